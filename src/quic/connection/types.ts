import type { TransportAddress } from '../../base/address.js';
import type { Random } from '../../base/random.js';
import type { Ms } from '../../base/time.js';
import type { CipherProvider } from '../crypto/ciphers.js';
import type { CipherSuite } from '../crypto/suites.js';
import type { CongestionController } from '../recovery/congestion.js';
import type { EcnMark } from '../recovery/received-packets.js';
import type { Space } from '../recovery/path-recovery.js';
import type { Scheduler } from '../schedulers/scheduler.js';
import type { CertificateCheck, Identity } from '../tls/certificates.js';
import type { GroupName } from '../tls/codes.js';
import type { HandshakeResult } from '../tls/handshake.js';
import type { Frame, PathStatus, StreamDirection } from '../wire/frames.js';
import type { TransportParameters } from '../wire/transport-parameters.js';

/**
 * Between which addresses datagrams travel. `local` names the socket and need not be what the network sees. A driver that
 * hands over the same object for the same addresses spares the comparison.
 */
export interface FourTuple {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
}

/**
 * One or more datagrams to be sent now. `bytes` lies in the buffer that `send` was given: it is the
 * caller's again as soon as he has sent it.
 */
export interface Transmit extends FourTuple {
  readonly bytes: Uint8Array;
  /**
   * 0: `bytes` is one datagram. Else it is several of so many bytes each, the last of which may be shorter: what
   * UDP_SEGMENT takes.
   */
  readonly segmentBytes: number;
  readonly ecn: 'none' | 'ect0';
}

/**
 * The connection ids by which datagrams find this connection, for who takes datagrams apart. All ids have one length, of
 * 4 to 20 bytes, and no two of one endpoint are the same.
 */
export interface ConnectionIds {
  readonly lengthBytes: number;
  /** A new id, which leads here from now on, and its stateless reset token of 16 bytes (RFC 9000 §10.3.2). */
  issue(): { readonly id: Uint8Array; readonly resetToken: Uint8Array };
  /** Packets with this id are not for this connection any more. On a server this is said of the client's own first choice, too. */
  retire(id: Uint8Array): void;
}

export type ConnectionParameters = Omit<
  TransportParameters,
  | 'originalDestinationConnectionId'
  | 'initialSourceConnectionId'
  | 'retrySourceConnectionId'
  | 'statelessResetToken'
  | 'preferredAddress'
>;

/** What both roles need. */
export interface ConnectionOptions {
  /** A source of secrets. */
  readonly random: Random;
  readonly ciphers: CipherProvider;
  readonly ids: ConnectionIds;
  /** The path of the handshake. */
  readonly tuple: FourTuple;
  /** In the order of preference. */
  readonly alpn: readonly string[];
  readonly suites?: readonly CipherSuite[];
  readonly groups?: readonly GroupName[];
  /** What differs from `OWN_PARAMETERS` (parameters.ts); `initialMaxPathId: null` switches multipath off. */
  readonly parameters?: Partial<ConnectionParameters>;
  /** One for each path; CUBIC without it. */
  readonly controller?: (datagramBytes: number) => CongestionController;
  /** `EarliestFirst` without it. */
  readonly scheduler?: Scheduler;
  /** How far auto-tuning may raise the windows. */
  readonly mostStreamWindowBytes?: number;
  readonly mostConnectionWindowBytes?: number;
  /** Bytes of a stream that wait to be sent for the first time: above them `write` takes no more. */
  readonly sendBufferBytes?: number;
  /** The largest UDP payload that the link of this address takes; `null`, or without it: as Ethernet. */
  readonly mostDatagramBytes?: (local: TransportAddress) => number | null;
  /** Whether datagrams can be sent with ECT(0), and the marks of those that come can be read; false without it. */
  readonly ecn?: boolean;
  /**
   * Whether the socket there takes nothing more at the moment: data for its paths wait, and go on others. Who says so calls
   * `send` again when there is room.
   */
  readonly isSocketFull?: (local: TransportAddress) => boolean;
  /** A handshake that is not complete by then is given up. */
  readonly handshakeTimeoutMs?: Ms;
  /** A path on which nothing came for so long is abandoned while another is open; `null`: never. */
  readonly pathIdleTimeoutMs?: Ms | null;
  /** A PING on each path that was silent for so long; `null`: none. */
  readonly keepAliveMs?: Ms | null;
  /** Lines of the format of SSLKEYLOGFILE. */
  readonly keylog?: (line: string) => void;
  /** What happens inside, for qlog. Called in the middle of things: it must not call back. */
  readonly observe?: (observed: Observed, now: Ms) => void;
}

export interface ClientConnectionOptions extends ConnectionOptions {
  readonly check: CertificateCheck;
  /** What the client proves itself with, where the server asks. */
  readonly identity?: Identity | null;
  readonly serverName?: string | null;
  /** Of a NEW_TOKEN or none: for the first Initial. */
  readonly token?: Uint8Array;
}

export interface ServerConnectionOptions extends ConnectionOptions {
  readonly identity: Identity;
  /** Asks the client for a certificate and judges it; `null` does not ask. */
  readonly check: CertificateCheck | null;
  /**
   * The destination connection id of the Initial that begins this connection. It leads here until `ids.retire` is called
   * with it.
   */
  readonly firstDestination: Uint8Array;
  /** Where a Retry went before: the destination of the Initial before that; the Retry's source is `firstDestination`. */
  readonly originalDestination?: Uint8Array;
  /** Another address of this server's that clients are asked to go to once they are connected (RFC 9000 §9.6), by family. */
  readonly preferredAddress?: { readonly ipv4?: TransportAddress; readonly ipv6?: TransportAddress };
  /** A token has proved the client's address: the limit of three times what came does not apply (RFC 9000 §8.1). */
  readonly isAddressValidated?: boolean;
}

/** Why a connection ended. */
export interface CloseReason {
  /** Who said so. `timeout` covers the idle timeout and a handshake that took too long. */
  readonly by: 'local' | 'remote' | 'timeout' | 'reset' | 'version';
  /** Whether `code` is the application's, or one of RFC 9000 §20.1. */
  readonly layer: 'application' | 'transport';
  readonly code: number;
  readonly reason: string;
}

/** What the user of a connection is to know, oldest first. */
export type ConnectionEvent =
  /** Both ends have proved who they are: streams can be opened. On a client the server may still wait for its proof. */
  | ({ readonly type: 'handshake-complete'; readonly multipath: boolean } & Omit<HandshakeResult, 'exporterSecret'>)
  /** RFC 9001 §4.1.2: paths can be opened, keys updated. */
  | { readonly type: 'handshake-confirmed' }
  | { readonly type: 'stream-opened'; readonly stream: number; readonly direction: StreamDirection }
  /** `read` has something; said again only after `read` has given `null`. */
  | { readonly type: 'readable'; readonly stream: number }
  /** Everything was read. */
  | { readonly type: 'finished'; readonly stream: number }
  | { readonly type: 'reset'; readonly stream: number; readonly errorCode: number }
  /** The far end wants no more of a stream; what this end sends on it was given up. */
  | { readonly type: 'stopped'; readonly stream: number; readonly errorCode: number }
  /** `write` had taken less than it was given, and takes more now. */
  | { readonly type: 'writable'; readonly stream: number }
  /** All that was written, and the end, was acknowledged. */
  | { readonly type: 'delivered'; readonly stream: number }
  /** `openStream` gave `null`, and would not now. */
  | { readonly type: 'streams-available'; readonly direction: StreamDirection }
  | { readonly type: 'datagram'; readonly data: Uint8Array }
  /** A path of the far end's making: it is not to be used before it is validated. */
  | { readonly type: 'path-opened'; readonly path: number; readonly tuple: FourTuple }
  | { readonly type: 'path-validated'; readonly path: number; readonly tuple: FourTuple }
  /** A path has proved other addresses, and goes there from now on (RFC 9000 §9). */
  | { readonly type: 'path-migrated'; readonly path: number; readonly tuple: FourTuple }
  /** A path could not be moved; it stays where it is. */
  | { readonly type: 'path-migration-failed'; readonly path: number; readonly tuple: FourTuple }
  | {
      readonly type: 'path-abandoned';
      readonly path: number;
      readonly by: 'local' | 'remote' | 'validation' | 'idle';
      readonly errorCode: number;
    }
  /** What the far end wishes of a path. */
  | { readonly type: 'path-status'; readonly path: number; readonly status: PathStatus }
  /** More paths may be opened than before. */
  | { readonly type: 'paths-available' }
  | { readonly type: 'new-token'; readonly token: Uint8Array }
  /** Nothing more can be read or written. */
  | ({ readonly type: 'closed' } & CloseReason)
  /** Nothing more will come of it: its ids are retired, it can be forgotten. Always the last. */
  | { readonly type: 'drained' };

/** What an observer sees; sizes in bytes, of UDP payload where a packet is alone in its datagram. */
export type Observed =
  | {
      readonly type: 'packet-sent' | 'packet-received';
      readonly space: Space;
      readonly path: number;
      readonly packetNumber: number;
      readonly bytes: number;
      readonly frames: readonly Frame[];
    }
  | {
      readonly type: 'packet-lost';
      readonly space: Space;
      readonly path: number;
      readonly packetNumber: number;
    }
  | { readonly type: 'packet-dropped'; readonly bytes: number; readonly why: DropReason }
  | { readonly type: 'parameters'; readonly whose: 'local' | 'remote'; readonly parameters: TransportParameters }
  | { readonly type: 'key-update'; readonly by: 'local' | 'remote'; readonly updates: number }
  | { readonly type: 'metrics'; readonly path: PathStatistics }
  | { readonly type: 'event'; readonly event: ConnectionEvent };

export type DropReason =
  'malformed' | 'unknown-id' | 'no-keys' | 'undecryptable' | 'duplicate' | 'other-version' | 'unexpected-address';

/** How a path does; times in milliseconds. */
export interface PathStatistics {
  readonly path: number;
  readonly tuple: FourTuple;
  readonly state: PathState;
  readonly smoothedRttMs: Ms;
  readonly latestRttMs: Ms;
  readonly minRttMs: Ms;
  readonly rttVariationMs: Ms;
  readonly ptoMs: Ms;
  readonly ptoCount: number;
  readonly congestionWindowBytes: number;
  readonly bytesInFlight: number;
  readonly datagramBytes: number;
  /** Bytes of UDP payload, and datagrams. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentDatagrams: number;
  readonly receivedDatagrams: number;
  /** Packets that were declared lost, without probes for the MTU. */
  readonly lostPackets: number;
}

/** `validating`: nothing but what proves the addresses travels on it. */
export type PathState = 'validating' | 'open' | 'abandoned';

export type { EcnMark, PathStatus, Space, StreamDirection };

/**
 * What a connection does: QUIC v1 (RFC 9000 to 9002, RFC 9221) with the multipath extension. The contract is that of
 * `base/machine.ts`: it neither opens, waits, nor asks the time; it is deterministic; nothing that comes from outside
 * makes it throw. After any call, take `send` until it gives `undefined` and `pollEvent` until it does, then wait until
 * `deadline()`, and call `timeout`.
 */

export interface QuicConnection {
  /**
   * A datagram that came. Headers and payload are decrypted in place; nothing keeps a view on it afterwards. One that no id
   * of this endpoint is in can be handed over, too, where it came from the far end's address: a stateless reset has none.
   */
  receive(datagram: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): void;
  /**
   * Builds what is to be sent next in `into`, which has at least `mostDatagramBytes` of every path; up to `mostDatagrams` for one path
   * at once, as far as they fit. `undefined`: nothing more for now.
   */
  send(now: Ms, into: Uint8Array, mostDatagrams?: number): Transmit | undefined;
  deadline(): Ms;
  timeout(now: Ms): void;
  pollEvent(): ConnectionEvent | undefined;

  /** The id of a new stream; `null` where the far end allows no more now: `streams-available` will say when. */
  openStream(direction: StreamDirection): number | null;
  /**
   * How many bytes were taken: less than all where enough wait already, and `writable` will say when there is room again.
   * What is taken is kept, not copied, until it is acknowledged: it must not change.
   */
  write(stream: number, data: Uint8Array): number;
  /** Nothing more will be written. */
  finish(stream: number): void;
  /** Bytes that came, in order; `null` where there are none now. */
  read(stream: number, most?: number): Uint8Array | null;
  /** Gives up what this end sends. */
  reset(stream: number, errorCode: number): void;
  /** Gives up what the far end sends. */
  stopSending(stream: number, errorCode: number): void;

  /** The largest datagram that would be taken; 0 where the far end takes none. */
  readonly mostDatagramPayloadBytes: number;
  /** RFC 9221: sent once, if it can be sent soon; false where it is too large, or too many wait. */
  sendDatagram(data: Uint8Array): boolean;

  /**
   * A client opens a further path; its id, which is validated before it is used, or `null` where it may not: no multipath,
   * not confirmed, no ids. The far end hears of the want, and `paths-available` says when it is worth another try.
   */
  openPath(tuple: FourTuple, now: Ms): number | null;
  /** A client moves a path to other addresses: tried first, moved only if it works. False where it may not. */
  migratePath(path: number, tuple: FourTuple, now: Ms): boolean;
  /** Tells the far end what to use a path for, and heeds it here. */
  setPathStatus(path: number, status: PathStatus): void;
  /** False for what is not open, or the last that is: end the connection instead. */
  abandonPath(path: number, now: Ms, errorCode?: number): boolean;
  readonly paths: readonly PathStatistics[];

  /** A server gives the client a token for its next connection. */
  sendToken(token: Uint8Array): void;
  /** New keys from now on; false where it is too early for that (RFC 9001 §6.1, §6.5). */
  updateKeys(now: Ms): boolean;
  /** RFC 5705 / RFC 8446 §7.5 material is derived from this; `null` before the handshake is complete. */
  readonly exporterSecret: Uint8Array | null;
  /** Ends the connection now; what was not acknowledged may not arrive. */
  close(errorCode: number, reason: string, now: Ms): void;
  readonly isClosed: boolean;
}
