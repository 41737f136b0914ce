import { EventEmitter } from 'node:events';
import { sameAddress, type TransportAddress } from '../../base/address.js';
import { IcepathError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import { NEVER, type Ms } from '../../base/time.js';
import type { FourTuple, QuicConnection } from '../../quic/connection/types.js';
import { type DatagramKind, datagramKind } from '../../quic/endpoint/demultiplex.js';
import { Endpoint } from '../../quic/endpoint/endpoint.js';
import type {
  AcceptOptions,
  ConnectionFactory,
  ConnectOptions,
  EndpointCounters,
  EndpointLimits,
  ServerPolicy,
} from '../../quic/endpoint/types.js';
import type { EcnMark } from '../../quic/recovery/received-packets.js';
import { TRANSPORT_ERRORS } from '../../quic/wire/errors.js';
import { monotonicNow } from '../clock.js';
import { systemRandom } from '../random.js';
import { type BackEnd, backEnd } from './back-end.js';
import { linkDatagramBytes } from './link-mtu.js';
import { QuicLink } from './link.js';
import { Traces } from './traces.js';
import type { QuicSocket, SocketRequest } from './socket.js';

export type HostLog = (
  level: 'debug' | 'info' | 'warn',
  name: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

export interface QuicHostOptions {
  readonly connections: ConnectionFactory;
  readonly backEnd?: BackEnd;
  /** `null`: connects only. */
  readonly server?: ServerPolicy | null;
  readonly limits?: Partial<EndpointLimits>;
  readonly random?: Random;
  /** 32 secret bytes to keep over a restart; drawn anew without. */
  readonly secret?: Uint8Array;
  /** The largest UDP payload by local address; `linkDatagramBytes` (link-mtu.ts) without it. */
  readonly linkBytes?: (local: TransportAddress) => number | null;
  readonly log?: HostLog;
  /** How often links say how their paths do; `null`: never. */
  readonly statisticsMs?: Ms | null;
  /** Where each connection gets a qlog; `null`: none. */
  readonly qlogFolder?: string | null;
  /**
   * To which the secrets of connections are appended; `null`: none. Without it, what the environment's SSLKEYLOGFILE
   * names, as with other programs.
   */
  readonly keylogFile?: string | null;
}

interface HostEvents {
  /** A client has begun a connection: it may be anybody until `handshake`. */
  connection: [QuicLink, FourTuple];
  /** A datagram that is not QUIC's (RFC 9443), good only during the call: STUN, say. */
  other: [kind: DatagramKind, bytes: Uint8Array, tuple: FourTuple];
  'socket-failed': [local: TransportAddress, code: string];
}

/** Sends in a row before the event loop may take in what has come meanwhile. */
const SENDS_AT_ONCE = 32;
/** `setTimeout` waits at least a millisecond; for less, the event loop goes round. */
const SHORT_WAIT_MS = 1;
const LONGEST_TIMER_MS = 0x7fff_ffff;
/** A timer that is later than this was held up: what came meanwhile is read before anybody is said to be silent. */
const LATE_MS = 5;

/** Both back ends take in such datagrams, and a little more. */
const MOST_RECEIVED_BYTES = 9000;

type SocketOptions = Required<Pick<ConnectOptions, 'isSocketFull' | 'mostDatagramBytes' | 'parameters'>>;

interface Opened {
  readonly socket: QuicSocket;
  /** By far address: the same object for the same addresses. */
  readonly tuples: WeakMap<TransportAddress, FourTuple>;
  readonly linkBytes: number | null;
}

/** QUIC on this machine: an endpoint, its sockets, its timer. Nothing stays open after `close`. */
export class QuicHost extends EventEmitter<HostEvents> {
  readonly backEnd: BackEnd;
  readonly #endpoint: Endpoint;
  readonly #random: Random;
  readonly #sockets = new Map<string, Opened>();
  /** Sockets that have no room at the moment. */
  readonly #full = new Set<string>();
  readonly #links = new Map<QuicConnection, QuicLink>();
  readonly #log: HostLog;
  readonly #linkBytes: (local: TransportAddress) => number | null;
  readonly #traces: Traces;
  readonly #statistics: NodeJS.Timeout | null;
  #pumping = false;
  #again = false;
  #soon: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerAt: Ms = NEVER;
  /** What the timer, or the wait of less than a millisecond, is for. */
  #dueAt: Ms = NEVER;
  #isOver = false;

  constructor(options: QuicHostOptions) {
    super();
    this.backEnd = options.backEnd ?? backEnd();
    this.#random = options.random ?? systemRandom;
    this.#log = options.log ?? (() => undefined);
    this.#linkBytes = options.linkBytes ?? linkDatagramBytes;
    this.#traces = new Traces(options.qlogFolder ?? null, options.keylogFile, this.#log);
    const { server = null } = options;
    this.#endpoint = new Endpoint({
      random: this.#random,
      ciphers: this.backEnd.ciphers,
      connections: options.connections,
      secret: options.secret ?? this.#random.bytes(32),
      server: server && { ...server, accept: (client) => this.#offer(server, client) },
      ...(options.limits && { limits: options.limits }),
    });
    this.#log('info', 'quic.back-end', { ...this.backEnd.taken });
    const { statisticsMs = null } = options;
    this.#statistics =
      statisticsMs === null
        ? null
        : setInterval(() => {
            for (const link of this.#links.values()) link.emit('statistics', link.paths);
          }, statisticsMs).unref();
  }

  get counters(): EndpointCounters {
    return this.#endpoint.counters;
  }

  get locals(): readonly TransportAddress[] {
    return [...this.#sockets.values()].map(({ socket }) => socket.local);
  }

  /** The address that the socket got. Rejects with `quic-socket` where it cannot be had. */
  async open(request: SocketRequest): Promise<TransportAddress> {
    // The address is known only when the socket is there, and nothing comes before that.
    let opened: Opened | null = null;
    try {
      const socket = await this.backEnd.sockets.open(request, {
        datagram: (bytes, from, ecn) => {
          if (opened) this.#receive(opened, bytes, from, ecn);
        },
        batchEnd: () => {
          this.#pump();
        },
        writable: () => {
          if (opened) this.#onWritable(opened.socket.local);
        },
        failed: (code) => {
          if (opened) this.#onSocketFailed(opened.socket.local, code);
        },
        noted: (what, code) => {
          this.#log('info', `quic.${what}`, { ...opened?.socket.local, code });
        },
      });
      opened = { socket, tuples: new WeakMap(), linkBytes: this.#linkBytes(socket.local) };
      if (this.#isOver) socket.close();
      else this.#sockets.set(keyOf(socket.local), opened);
      this.#log('debug', 'quic.socket', { ...socket.local, device: request.device, pinned: socket.pinned });
      return socket.local;
    } catch (error) {
      throw new IcepathError(
        'quic-socket',
        `no UDP socket for QUIC at ${request.local.address} port ${String(request.local.port)}: ${error instanceof Error ? error.message : String(error)}`,
        'Name an address of this host and a free port, or port 0 for any.',
        { cause: error },
      );
    }
  }

  connect(options: ConnectOptions): QuicLink {
    const traced = { ...this.#traces.options('client'), ...options };
    const link = this.#link(this.#endpoint.connect({ ...traced, ...this.#socketOptions(options) }, monotonicNow()));
    this.#pumpSoon();
    return link;
  }

  /** What is not QUIC's leaves by the same socket: STUN, say. False where there is no such socket. */
  sendOther(local: TransportAddress, to: TransportAddress, bytes: Uint8Array): boolean {
    const opened = this.#sockets.get(keyOf(local));
    opened?.socket.send(to, bytes, 0);
    return opened !== undefined;
  }

  /** An interface is gone: its paths are left where another is open, and silent where none is. */
  closeSocket(local: TransportAddress): void {
    this.#sockets.get(keyOf(local))?.socket.close();
    this.#forgetSocket(local);
  }

  /** Ends all connections and closes all sockets. */
  async close(errorCode = 0, reason = ''): Promise<void> {
    if (this.#isOver) return;
    await Promise.all([...this.#links.values()].map((link) => link.close(errorCode, reason)));
    this.#isOver = true;
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#soon) clearImmediate(this.#soon);
    if (this.#statistics) clearInterval(this.#statistics);
    for (const { socket } of this.#sockets.values()) socket.close();
    this.#sockets.clear();
    this.#traces.close();
  }

  #offer(server: ServerPolicy, client: FourTuple): AcceptOptions | null {
    const offered = server.accept(client);
    return offered && { ...this.#traces.options('server'), ...offered, ...this.#socketOptions(offered) };
  }

  /** What connections are told about their sockets. */
  #socketOptions({ parameters }: Pick<ConnectOptions, 'parameters'>): SocketOptions {
    return {
      isSocketFull: this.#isSocketFull,
      mostDatagramBytes: (local) => this.#sockets.get(keyOf(local))?.linkBytes ?? null,
      parameters: { maxUdpPayloadBytes: MOST_RECEIVED_BYTES, ...parameters },
    };
  }

  #receive(opened: Opened, bytes: Uint8Array, from: TransportAddress, ecn: EcnMark): void {
    let tuple = opened.tuples.get(from);
    if (tuple === undefined) opened.tuples.set(from, (tuple = { local: opened.socket.local, remote: from }));
    const kind = datagramKind(bytes);
    if (kind === 'quic') this.#endpoint.receive(bytes, tuple, ecn, monotonicNow());
    else this.emit('other', kind, bytes, tuple);
  }

  #onSocketFailed(local: TransportAddress, code: string): void {
    this.#log('warn', 'quic.socket-failed', { ...local, code });
    this.#forgetSocket(local);
    this.emit('socket-failed', local, code);
  }

  #forgetSocket(local: TransportAddress): void {
    this.#sockets.delete(keyOf(local));
    this.#full.delete(keyOf(local));
    for (const link of this.#links.values()) {
      for (const { path, tuple } of link.paths) {
        if (sameAddress(tuple.local, local)) link.abandonPath(path, TRANSPORT_ERRORS.PATH_UNSTABLE_OR_POOR);
      }
    }
  }

  readonly #isSocketFull = (local: TransportAddress): boolean => this.#full.size > 0 && this.#full.has(keyOf(local));

  #onWritable(local: TransportAddress): void {
    if (!this.#full.delete(keyOf(local))) return;
    for (const connection of this.#links.keys()) this.#endpoint.touch(connection);
    this.#pump();
  }

  #link(connection: QuicConnection): QuicLink {
    const link = new QuicLink(connection, {
      now: monotonicNow,
      touch: (touched) => {
        this.#endpoint.touch(touched);
        this.#pumpSoon();
      },
      hasSocket: (local) => this.#sockets.has(keyOf(local)),
    });
    this.#links.set(connection, link);
    return link;
  }

  /** Several calls in a row are answered together. */
  #pumpSoon(): void {
    if (this.#pumping) this.#again = true;
    else this.#soon ??= setImmediate(this.#onSoon);
  }

  readonly #onSoon = (): void => {
    this.#soon = null;
    this.#pump();
  };

  #pump(): void {
    if (this.#pumping || this.#isOver) return;
    this.#pumping = true;
    try {
      let isAllSent = true;
      do {
        this.#again = false;
        isAllSent = this.#sendAll();
        this.#dispatch();
      } while (this.#isAskedAgain() && isAllSent);
      if (isAllSent) this.#schedule();
      else this.#soon ??= setImmediate(this.#onSoon);
    } finally {
      this.#pumping = false;
    }
  }

  #isAskedAgain(): boolean {
    return this.#again;
  }

  /** False where there is more to send. */
  #sendAll(): boolean {
    const { sendBuffer, mostSegments } = this.backEnd.sockets;
    for (let count = 0; count < SENDS_AT_ONCE; count += 1) {
      const transmit = this.#endpoint.send(monotonicNow(), sendBuffer, mostSegments);
      if (transmit === undefined) return true;
      const key = keyOf(transmit.local);
      const socket = this.#sockets.get(key)?.socket;
      socket?.send(transmit.remote, transmit.bytes, transmit.segmentBytes);
      if (socket?.isFull === true) this.#full.add(key);
    }
    return false;
  }

  #dispatch(): void {
    for (let event = this.#endpoint.pollEvent(); event !== undefined; event = this.#endpoint.pollEvent()) {
      if (event.type === 'accepted') this.emit('connection', this.#link(event.connection), event.tuple);
      else {
        this.#links.get(event.connection)?.onEvent(event.event);
        if (event.event.type === 'drained') this.#links.delete(event.connection);
      }
    }
  }

  #schedule(): void {
    const deadline = this.#endpoint.deadline();
    if (deadline === this.#timerAt) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAt = deadline;
    this.#dueAt = deadline;
    if (deadline === NEVER) return;
    const wait = deadline - monotonicNow();
    if (wait < SHORT_WAIT_MS) {
      this.#timerAt = NEVER;
      this.#soon ??= setImmediate(this.#onShortWait);
      return;
    }
    this.#timer = setTimeout(this.#onTimer, Math.min(wait, LONGEST_TIMER_MS));
  }

  readonly #onShortWait = (): void => {
    this.#soon = null;
    this.#onDue();
  };

  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#timerAt = NEVER;
    this.#onDue();
  };

  /**
   * Node runs timers before it reads sockets. After a freeze of the machine or of this program an idle timeout would end
   * connections whose packets wait in the socket: so a late timer lets the loop read once before it takes effect.
   */
  #onDue(): void {
    if (monotonicNow() - this.#dueAt > LATE_MS) this.#soon ??= setImmediate(this.#onRead);
    else this.#onTimeout();
  }

  /** From timers and immediates alike, an immediate comes only after sockets have been read. */
  readonly #onRead = (): void => {
    this.#soon = null;
    this.#onTimeout();
  };

  #onTimeout(): void {
    this.#endpoint.timeout(monotonicNow());
    this.#pump();
  }
}

function keyOf({ address, port }: TransportAddress): string {
  return `${address} ${String(port)}`;
}
