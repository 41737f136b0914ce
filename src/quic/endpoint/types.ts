import type { Random } from '../../base/random.js';
import type { Ms } from '../../base/time.js';
import type { CipherProvider } from '../crypto/ciphers.js';
import type {
  ClientConnectionOptions,
  ConnectionEvent,
  FourTuple,
  QuicConnection,
  ServerConnectionOptions,
} from '../connection/types.js';

/** What the endpoint itself gives a connection. */
type Given = 'random' | 'ciphers' | 'ids' | 'tuple' | 'firstDestination' | 'originalDestination' | 'isAddressValidated';

export type ConnectOptions = Omit<ClientConnectionOptions, Given> & { readonly tuple: FourTuple };
export type AcceptOptions = Omit<ServerConnectionOptions, Given>;

/** Makes connections; `Connection` of `quic/connection`, or what a test puts in its place. */
export interface ConnectionFactory {
  client(options: ClientConnectionOptions, now: Ms): QuicConnection;
  server(options: ServerConnectionOptions, now: Ms): QuicConnection;
}

export interface ServerPolicy {
  /** What a client that comes is offered; `null` does not answer it. */
  readonly accept: (client: FourTuple) => AcceptOptions | null;
  /**
   * Whether a client has to show first that it is where it says it is (RFC 9000 §8.1.2), which costs it a round trip:
   * `under-load` asks for it while many handshakes are under way.
   */
  readonly retry?: 'never' | 'under-load' | 'always';
  /** Whether clients get a token for their next connection. */
  readonly newTokens?: boolean;
}

export interface EndpointLimits {
  /** Connections of clients, all and those whose handshake is not complete. */
  readonly mostConnections: number;
  readonly mostHandshakes: number;
  /** So many handshakes are load. */
  readonly loadHandshakes: number;
  /** Connections of clients that begin in a second. */
  readonly connectionsPerSecond: number;
  /** Retries a second; Version Negotiations and stateless resets a second. */
  readonly retriesPerSecond: number;
  readonly repliesPerSecond: number;
}

export const ENDPOINT_LIMITS: EndpointLimits = {
  mostConnections: 4096,
  mostHandshakes: 512,
  loadHandshakes: 64,
  connectionsPerSecond: 256,
  retriesPerSecond: 512,
  repliesPerSecond: 64,
};

export interface EndpointOptions {
  /** A source of secrets. */
  readonly random: Random;
  readonly ciphers: CipherProvider;
  readonly connections: ConnectionFactory;
  /** 32 secret bytes; who keeps them over a restart can still reset the connections from before it. */
  readonly secret: Uint8Array;
  /** `null`: connects only, and answers no stranger. */
  readonly server: ServerPolicy | null;
  readonly limits?: Partial<EndpointLimits>;
}

export type EndpointEvent =
  /** A client has begun a connection; it is not known yet who it is. */
  | { readonly type: 'accepted'; readonly connection: QuicConnection; readonly tuple: FourTuple }
  | { readonly type: 'connection'; readonly connection: QuicConnection; readonly event: ConnectionEvent };

/** What happened to datagrams that led to no connection. */
export interface EndpointCounters {
  readonly connections: number;
  readonly handshakes: number;
  readonly accepted: number;
  readonly retries: number;
  readonly versionNegotiations: number;
  readonly resets: number;
  /** Initials that a limit kept from becoming connections. */
  readonly refused: number;
  /** Everything else that was passed over. */
  readonly dropped: number;
}
