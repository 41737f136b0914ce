import type { TransportAddress } from '../../base/address.js';
import { earliest, NEVER, type Ms } from '../../base/time.js';
import { Connection } from '../../quic/connection/connection.js';
import type { ConnectionEvent, FourTuple, QuicConnection } from '../../quic/connection/types.js';
import { datagramKind } from '../../quic/endpoint/demultiplex.js';
import { Endpoint } from '../../quic/endpoint/endpoint.js';
import type { AcceptOptions } from '../../quic/endpoint/types.js';
import { Bbr } from '../../quic/recovery/bbr.js';
import { pinned } from '../../quic/tls/certificates.js';
import { errorName } from '../../quic/wire/errors.js';
import type { Host, OpenSocket } from '../host.js';
import { addressKey } from './address-key.js';
import { Flow } from './flow.js';
import { JoinedPaths, type PathTotals, type ProvenPath } from './joined-paths.js';
import { type DataWay, TRANSFER_ALPN, type TransferOptions } from './types.js';

/** A connection outlives a blackout of everything for so long. */
const IDLE_MS: Ms = 60_000;
/** A path that carries nothing stays known to its NATs, and one that died while it did is left. */
const KEEP_ALIVE_MS: Ms = 10_000;
/** A handshake that no path lets through is tried on the next: a path may carry STUN and no QUIC. */
const HANDSHAKE_MS: Ms = 4000;
const MOST_ATTEMPTS = 8;
/** Handshakes at once with whom ICE does not know. */
const MOST_STRANGERS = 8;
/** How long after its time a transfer may still be delivering. */
const DELIVERY_MS: Ms = 45_000;
/** How often its progress is written into the record. */
const TICK_MS: Ms = 1000;
/** For a packet and its tag. */
const BUFFER_BYTES = 65_536;

/** Paths at once: of one connection, and of the interfaces of two hosts. */
const MOST_PATHS = 31;

type Sums = Readonly<Record<'sentBytes' | 'receivedBytes', number>>;

/**
 * Data over the paths that ICE proved: one multipath QUIC connection over the session's own sockets (RFC 9443), begun on
 * the first path that comes up, joined by every further one, leaving those that are lost. The client connects; both ends
 * know each other by the fingerprints that the control channel told.
 */
export class Transfer {
  readonly #host: Host;
  readonly #options: TransferOptions;
  readonly #endpoint: Endpoint;
  readonly #paths: JoinedPaths;
  /** Sockets by their local address. */
  readonly #sockets = new Map<string, OpenSocket | DataWay>();
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #connection: QuicConnection | null = null;
  #on: ProvenPath | null = null;
  #confirmed = false;
  #flow: Flow | null = null;
  #attempts = 0;
  /** When data began to flow. */
  startedAt: Ms = NEVER;
  #tickAt: Ms = NEVER;
  #giveUpAt: Ms = NEVER;
  #over = false;
  #blamed: string | null = null;
  #told: { readonly sums: Sums; readonly moved: ReadonlyMap<string, number> } = {
    sums: { sentBytes: 0, receivedBytes: 0 },
    moved: new Map(),
  };

  constructor(host: Host, options: TransferOptions) {
    this.#host = host;
    this.#options = options;
    const { means } = options;
    this.#endpoint = new Endpoint({
      random: host.random,
      ciphers: means.ciphers,
      connections: Connection,
      secret: host.random.bytes(32),
      server: host.role === 'server' ? { accept: (tuple) => this.#accept(tuple), retry: 'under-load' } : null,
      limits: { mostConnections: 32, mostHandshakes: 2 * MOST_STRANGERS, loadHandshakes: 4 },
    });
    this.#paths = new JoinedPaths({
      joined: (path, quicPath, afterMs) => {
        host.record({ type: 'joined', path, quicPath, afterMs });
        host.log('info', 'path.joined', { path, quicPath, afterMs });
      },
      left: (path, quicPath, why) => {
        host.record({ type: 'left', path, quicPath, why });
        host.log('info', 'path.left', { path, quicPath, why });
      },
    });
    // Where nothing ever comes up there is nothing to wait for, nor anybody to tell the server so once control is lost.
    this.#giveUpAt = host.now + options.plan.seconds * 1000 + DELIVERY_MS;
  }

  /** Nothing more will come of it. */
  get done(): boolean {
    return this.#over;
  }

  /** A pair of a path is valid: `remote` is where its packets go. */
  up(path: string, socket: OpenSocket | DataWay, remote: TransportAddress): void {
    this.#sockets.set(addressKey(socket.local), socket);
    this.#paths.proven(path, { local: socket.local, remote }, this.#host.now);
    this.#pump();
  }

  /** No pair of a path is valid any more. */
  down(path: string): void {
    this.#paths.lost(path, this.#connection, this.#host.now);
    this.#touch();
  }

  socketGone(socket: OpenSocket): void {
    this.#sockets.delete(addressKey(socket.local));
    this.#paths.socketGone(socket.local, this.#connection, this.#host.now);
    this.#touch();
  }

  /** Takes a datagram that is QUIC's: at once where it leads to a connection, and else where nobody else knows it. */
  datagram(socket: OpenSocket | DataWay, from: TransportAddress, bytes: Uint8Array, known: boolean): boolean {
    if (known ? !this.#endpoint.owns(bytes) : datagramKind(bytes) !== 'quic') return false;
    this.#sockets.set(addressKey(socket.local), socket);
    // Decrypted in place: who sent it may still hold it, as the world does.
    this.#endpoint.receive(new Uint8Array(bytes), { local: socket.local, remote: from }, 'none', this.#host.now);
    if (this.#over) this.#close();
    else this.#pump();
    return true;
  }

  deadline(): Ms {
    if (this.#over) return NEVER;
    const paths = this.#confirmed && this.#host.role === 'client' ? this.#paths.deadline() : NEVER;
    return earliest(this.#endpoint.deadline(), paths, this.#flow?.deadline() ?? NEVER, this.#tickAt, this.#giveUpAt);
  }

  timeout(): void {
    const { now } = this.#host;
    if (this.#over) return;
    if (this.#endpoint.deadline() <= now) this.#endpoint.timeout(now);
    if (this.#tickAt <= now) this.#tick();
    if (this.#giveUpAt <= now) this.#giveUp();
    this.#pump();
  }

  /** Why the run may end before its time: for the error. */
  blame(why: string): void {
    this.#blamed = why;
  }

  /** Ends the connection; what was not delivered is lost, and both ends say so. */
  stop(): void {
    if (this.#over) return;
    const why = this.#blamed === null ? '' : `: ${this.#blamed}`;
    this.#finish(this.#flow?.isComplete === true ? null : `the run ended before it was complete${why}`);
    if (this.#connection === null) return;
    this.#connection.close(0, 'the run is over', this.#host.now);
    this.#endpoint.touch(this.#connection);
    this.#close();
  }

  /** Anybody may begin a handshake, and only the client can complete one: where ICE proved it, it finds a place. */
  #accept(tuple: FourTuple): AcceptOptions | null {
    const isFull = this.#endpoint.counters.handshakes >= MOST_STRANGERS && !this.#paths.isProven(tuple);
    if (this.#flow !== null || isFull) return null;
    return { ...this.#common(), identity: this.#options.means.identity, check: pinned([this.#options.farFingerprint]) };
  }

  #common() {
    const { keylog } = this.#options.means;
    return {
      alpn: [TRANSFER_ALPN],
      handshakeTimeoutMs: HANDSHAKE_MS,
      keepAliveMs: KEEP_ALIVE_MS,
      controller: (datagramBytes: number) => new Bbr(datagramBytes),
      parameters: { maxIdleTimeoutMs: IDLE_MS, initialMaxPathId: MOST_PATHS },
      ...(keylog && { keylog }),
    };
  }

  /** The server's: the latest that the client completed, until data flow. */
  #adopt(connection: QuicConnection): void {
    const [path] = connection.paths;
    if (this.#host.role !== 'server' || this.#flow !== null || path === undefined) return;
    this.#connection = connection;
    this.#paths.opened(path.path, path.tuple);
  }

  #connect(): void {
    const first = this.#paths.first();
    if (first === null || this.#attempts >= MOST_ATTEMPTS) return;
    const { identity } = this.#options.means;
    this.#attempts += 1;
    this.#on = first;
    this.#connection = this.#endpoint.connect(
      { ...this.#common(), check: pinned([this.#options.farFingerprint]), identity, tuple: first.tuple },
      this.#host.now,
    );
    this.#paths.begin(0, first);
    this.#host.log('debug', 'transfer.connecting', { path: first.path, attempt: this.#attempts });
  }

  #pump(): void {
    const { now, role } = this.#host;
    if (this.#over) return;
    if (role === 'client' && this.#connection === null) this.#connect();
    if (this.#connection !== null) {
      if (role === 'client' && this.#confirmed) this.#paths.work(this.#connection, now);
      this.#flow?.work(now);
      this.#endpoint.touch(this.#connection);
    }
    this.#send();
    for (let event = this.#endpoint.pollEvent(); event !== undefined; event = this.#endpoint.pollEvent()) {
      if (event.type === 'accepted') continue;
      if (event.event.type === 'handshake-complete') this.#adopt(event.connection);
      if (event.connection === this.#connection) this.#event(event.event, event.connection);
      if (this.#isOver()) return;
    }
    this.#send();
  }

  /** A method, so that the compiler believes that it may change. */
  #isOver(): boolean {
    return this.#over;
  }

  /** What still comes is answered by the close, which may have been lost (RFC 9000 §10.2.1). */
  #close(): void {
    this.#send();
    while (this.#endpoint.pollEvent() !== undefined);
  }

  #touch(): void {
    if (this.#connection === null) return;
    this.#endpoint.touch(this.#connection);
    this.#pump();
  }

  #send(): void {
    const { now } = this.#host;
    for (
      let transmit = this.#endpoint.send(now, this.#buffer);
      transmit !== undefined;
      transmit = this.#endpoint.send(now, this.#buffer)
    ) {
      const socket = this.#sockets.get(addressKey(transmit.local));
      const bytes = transmit.bytes.slice();
      if (socket && 'id' in socket) this.#host.sendData(socket, transmit.remote, bytes);
      else socket?.send?.(transmit.remote, bytes);
    }
  }

  #event(event: ConnectionEvent, connection: QuicConnection): void {
    const { now, role } = this.#host;
    switch (event.type) {
      case 'handshake-complete':
        if (role === 'client') this.#begin(connection, connection.openStream('bidi'));
        this.#paths.validated(0, connection, now);
        break;
      case 'handshake-confirmed':
        this.#confirmed = true;
        break;
      case 'stream-opened':
        if (role === 'server' && this.#flow === null) this.#begin(connection, event.stream);
        break;
      case 'readable':
        this.#flow?.read(now);
        break;
      case 'writable':
        this.#flow?.writable();
        break;
      case 'finished':
        this.#flow?.ended();
        break;
      case 'delivered':
        this.#flow?.delivered();
        break;
      case 'path-opened':
        this.#paths.opened(event.path, event.tuple);
        break;
      case 'path-validated':
        this.#paths.validated(event.path, connection, now);
        break;
      case 'path-abandoned':
        this.#paths.abandoned(event.path, event.by, now);
        break;
      case 'paths-available':
        this.#paths.retry();
        break;
      case 'closed':
        this.#closed(event);
        return;
      default:
    }
    if (this.#flow?.isComplete === true && role === 'client') {
      connection.close(0, 'complete', now);
      this.#endpoint.touch(connection);
      this.#send();
      this.#finish(null);
    } else this.#flow?.work(now);
  }

  #begin(connection: QuicConnection, stream: number | null): void {
    if (stream === null) return;
    const { now, role } = this.#host;
    const { direction, seconds, rateBps } = this.#options.plan;
    const sends = direction === 'both' || (direction === 'upload') === (role === 'client');
    this.#flow = new Flow({ connection, stream, until: now + seconds * 1000, sends, rateBps }, now);
    this.startedAt = now;
    this.#tickAt = now + TICK_MS;
    this.#giveUpAt = now + seconds * 1000 + DELIVERY_MS;
    this.#host.record({ type: 'transfer', direction, seconds, rateBps });
    this.#host.log('info', 'transfer.started', { direction, seconds });
    this.#flow.read(now);
  }

  #closed({ by, layer, code, reason }: Extract<ConnectionEvent, { type: 'closed' }>): void {
    const complete = layer === 'application' && code === 0 && reason === 'complete';
    const why = `${by === 'timeout' ? 'nothing was heard any more' : `${by} end closed it`}: ${layer === 'application' ? reason : errorName(code)}`;
    if (this.#flow !== null) {
      this.#finish(complete ? null : why);
      return;
    }
    this.#host.log('warn', 'transfer.no-connection', { path: this.#on?.path ?? null, why });
    if (this.#on) this.#paths.refused(this.#on.path);
    this.#connection = null;
    this.#confirmed = false;
    if (this.#host.role === 'client' && this.#attempts >= MOST_ATTEMPTS)
      this.#finish(`no path lets QUIC through: ${why}`);
  }

  #giveUp(): void {
    const { now } = this.#host;
    this.#giveUpAt = NEVER;
    const why = this.#flow === null ? 'no path came up on which QUIC connects' : 'not everything was delivered in time';
    this.#connection?.close(1, why, now);
    if (this.#connection) this.#endpoint.touch(this.#connection);
    this.#send();
    this.#finish(why);
  }

  #tick(): void {
    this.#tickAt += TICK_MS;
    this.#progress();
  }

  /** Sums since the beginning: whoever reads them takes the difference of two. */
  #progress(): void {
    if (this.#connection) this.#paths.note(this.#connection);
    const paths = [...this.#paths.totals()].map(([path, totals]) => ({ path, ...totals }));
    const { sentBytes = 0, receivedBytes = 0 } = this.#flow ?? {};
    const second = Math.round((this.#host.now - this.startedAt) / TICK_MS);
    this.#host.record({ type: 'progress', second, sentBytes, receivedBytes, paths });
    this.#tell(second, { sentBytes, receivedBytes }, paths);
  }

  /** For who watches: what the last second brought, and which paths carried it. */
  #tell(second: number, sums: Sums, paths: readonly ({ readonly path: string } & PathTotals)[]): void {
    const before = this.#told;
    const moved = paths.map((one) => one.sentBytes + one.receivedBytes);
    const since = moved.map((bytes, index) => bytes - (before.moved.get(paths[index]?.path ?? '') ?? 0));
    const all = since.reduce((sum, bytes) => sum + bytes, 0);
    const mbps = (bytes: number): number => Math.round((bytes * 8) / 10_000) / 100;
    this.#host.log('info', 'transfer.progress', {
      second,
      sentMbps: mbps(sums.sentBytes - before.sums.sentBytes),
      receivedMbps: mbps(sums.receivedBytes - before.sums.receivedBytes),
      paths: paths.flatMap(({ path, smoothedRttMs, lostPackets }, index) => {
        const share = all === 0 ? 0 : Math.round(((since[index] ?? 0) / all) * 100);
        return [`${path} ${String(share)} %, RTT ${String(Math.round(smoothedRttMs))} ms, ${String(lostPackets)} lost`];
      }),
    });
    this.#told = { sums, moved: new Map(paths.map(({ path }, index) => [path, moved[index] ?? 0])) };
  }

  #finish(error: string | null): void {
    if (this.#over) return;
    const flow = this.#flow;
    this.#progress();
    this.#over = true;
    const damaged = flow?.damagedAt ?? null;
    this.#host.record({
      type: 'transferred',
      sentBytes: flow?.sentBytes ?? 0,
      receivedBytes: flow?.receivedBytes ?? 0,
      afterMs: flow ? this.#host.now - this.startedAt : 0,
      longestPauseMs: flow?.longestPauseMs ?? 0,
      longestPauseAt: flow ? flow.longestPauseAt - this.startedAt : 0,
      error: damaged === null ? error : `byte ${String(damaged)} came otherwise than it was sent`,
    });
    this.#host.log(error === null ? 'info' : 'warn', 'transfer.over', { error });
  }
}

/** Says in the record and the log that there will be no data: an older far end does not speak QUIC. */
export function refuseTransfer(host: Host): void {
  const error = 'the far end is of a version without transfers: the same version at both ends has them';
  const nothing = { sentBytes: 0, receivedBytes: 0, afterMs: 0, longestPauseMs: 0, longestPauseAt: 0 };
  host.log('warn', 'transfer.skipped', { error });
  host.record({ type: 'transferred', ...nothing, error });
}
