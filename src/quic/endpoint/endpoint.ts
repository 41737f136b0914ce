import { createHmac } from 'node:crypto';
import { Queue } from '../../base/machine.js';
import { NEVER, type Ms } from '../../base/time.js';
import { initialKeys } from '../crypto/keys.js';
import { openHeader, openPayload } from '../crypto/protection.js';
import { retryPacket } from '../crypto/retry.js';
import type { EcnMark } from '../recovery/received-packets.js';
import type { FourTuple, QuicConnection, Transmit } from '../connection/types.js';
import { MIN_INITIAL_DATAGRAM_BYTES, parsePacket, type ProtectedPacket } from '../wire/header.js';
import { statelessReset, statelessResetToken, versionNegotiationPacket } from '../wire/stateless.js';
import { Allowance } from './allowance.js';
import { Deadlines } from './deadlines.js';
import { Entry, remoteKey } from './entry.js';
import { IdTable, OWN_ID_BYTES } from './id-table.js';
import { AddressTokens, type TokenProof } from './tokens.js';
import {
  type AcceptOptions,
  type ConnectOptions,
  ENDPOINT_LIMITS,
  type EndpointCounters,
  type EndpointEvent,
  type EndpointLimits,
  type EndpointOptions,
} from './types.js';

/** RFC 9000 §7.2: what a client chooses to send its first Initial to has at least so many bytes. */
const MIN_FIRST_DESTINATION_BYTES = 8;
/** Answers to strangers that wait to be sent. */
const MOST_REPLIES = 256;
/** Who may be meant by a stateless reset: connections to one address and port. */
const MOST_RESET_CANDIDATES = 32;

interface Reply {
  readonly bytes: Uint8Array;
  readonly tuple: FourTuple;
}

/**
 * Many connections on some sockets: leads datagrams to the connections that they are for, makes new ones for clients,
 * and answers strangers, within limits and never with more than they sent (RFC 9000 §5.2, §6, §8.1, §10.3). The contract
 * is that of a connection: after any call, take `send` until it gives `undefined` and `pollEvent` until it does, then
 * wait until `deadline()`, and call `timeout`. Who calls a method of a connection says so with `touch`.
 */
export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #limits: EndpointLimits;
  readonly #tokens: AddressTokens;
  readonly #resetKey: Uint8Array;
  readonly #ids = new IdTable<Entry>();
  readonly #entries = new Map<QuicConnection, Entry>();
  readonly #byRemote = new Map<string, Set<Entry>>();
  readonly #deadlines = new Deadlines<Entry>();
  readonly #ready = new Queue<Entry>();
  readonly #events = new Queue<EndpointEvent>();
  readonly #replies = new Queue<Reply>();
  readonly #newConnections: Allowance;
  readonly #retries: Allowance;
  readonly #strangers: Allowance;
  readonly #counts = { accepted: 0, retries: 0, versionNegotiations: 0, resets: 0, refused: 0, dropped: 0 };
  #serverConnections = 0;
  #handshakes = 0;

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.#limits = { ...ENDPOINT_LIMITS, ...options.limits };
    this.#tokens = new AddressTokens(derived(options.secret, 'tokens'));
    this.#resetKey = derived(options.secret, 'resets');
    this.#newConnections = new Allowance(this.#limits.connectionsPerSecond, this.#limits.connectionsPerSecond);
    this.#retries = new Allowance(this.#limits.retriesPerSecond, this.#limits.retriesPerSecond);
    this.#strangers = new Allowance(this.#limits.repliesPerSecond, this.#limits.repliesPerSecond);
  }

  get counters(): EndpointCounters {
    return { connections: this.#entries.size, handshakes: this.#handshakes, ...this.#counts };
  }

  connect({ tuple, ...options }: ConnectOptions, now: Ms): QuicConnection {
    const { random, ciphers, connections } = this.#options;
    const entry = this.#newEntry(false);
    return this.#begin(entry, connections.client({ ...options, tuple, random, ciphers, ids: entry }, now), tuple);
  }

  /** A datagram that came, changed in place; see {@link QuicConnection.receive}. */
  receive(datagram: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    const first = datagram[0] ?? 0;
    if ((first & 0x80) === 0) this.#receiveShort(datagram, first, tuple, ecn, now);
    else this.#receiveLong(datagram, tuple, ecn, now);
  }

  /** Whether a datagram carries an id of this endpoint's: on a shared socket it need not be tried as anything else. */
  owns(datagram: Uint8Array): boolean {
    const first = datagram[0] ?? 0;
    if ((first & 0x40) === 0) return false;
    if ((first & 0x80) === 0)
      return datagram.length > OWN_ID_BYTES && this.#ids.get(datagram, 1, OWN_ID_BYTES) !== undefined;
    const idBytes = datagram[5] ?? 0;
    return datagram.length >= 6 + idBytes && this.#ids.get(datagram, 6, idBytes) !== undefined;
  }

  /** See {@link QuicConnection.send}. One connection after the other has its turn. */
  send(now: Ms, into: Uint8Array, mostDatagrams = 1): Transmit | undefined {
    const reply = this.#replies.shift();
    if (reply !== undefined) {
      into.set(reply.bytes);
      return { ...reply.tuple, bytes: into.subarray(0, reply.bytes.length), segmentBytes: 0, ecn: 'none' };
    }
    for (let entry = this.#ready.shift(); entry !== undefined; entry = this.#ready.shift()) {
      const transmit = entry.connection.send(now, into, mostDatagrams);
      if (transmit !== undefined) {
        this.#ready.push(entry);
        return transmit;
      }
      entry.isReady = false;
      this.#settle(entry, now);
    }
    return undefined;
  }

  deadline(): Ms {
    if (this.#ready.length > 0 || this.#replies.length > 0) return Number.NEGATIVE_INFINITY;
    return this.#deadlines.earliest?.dueAt ?? NEVER;
  }

  timeout(now: Ms): void {
    for (let entry = this.#deadlines.earliest; entry && entry.dueAt <= now; entry = this.#deadlines.earliest) {
      this.#deadlines.set(entry, NEVER);
      entry.connection.timeout(now);
      this.#makeReady(entry);
    }
  }

  pollEvent(): EndpointEvent | undefined {
    return this.#events.shift();
  }

  /** The connection has been told something: it is asked what it wants to send, and by when it wants to be called. */
  touch(connection: QuicConnection): void {
    const entry = this.#entries.get(connection);
    if (entry !== undefined) this.#makeReady(entry);
  }

  #receiveShort(datagram: Uint8Array, first: number, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    if ((first & 0x40) === 0 || datagram.length <= OWN_ID_BYTES) {
      this.#counts.dropped += 1;
      return;
    }
    const entry = this.#ids.get(datagram, 1, OWN_ID_BYTES);
    if (entry !== undefined) this.#deliver(entry, datagram, tuple, ecn, now);
    else this.#receiveUnknown(datagram, tuple, ecn, now);
  }

  #receiveLong(datagram: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    // Of every version (RFC 8999 §5.1).
    const idBytes = datagram[5] ?? 0;
    const entry = datagram.length >= 6 + idBytes ? this.#ids.get(datagram, 6, idBytes) : undefined;
    if (entry !== undefined) {
      this.#deliver(entry, datagram, tuple, ecn, now);
      return;
    }
    const packet = datagram.length < MIN_INITIAL_DATAGRAM_BYTES ? null : parsePacket(datagram, 0, OWN_ID_BYTES);
    if (this.#options.server === null || packet === null) this.#counts.dropped += 1;
    else if (packet.type === 'other-version') this.#negotiateVersion(packet, tuple, now);
    else if (packet.type === 'initial' && packet.destination.length >= MIN_FIRST_DESTINATION_BYTES) {
      this.#receiveInitial(datagram, packet, tuple, ecn, now);
    } else this.#counts.dropped += 1;
  }

  #deliver(entry: Entry, datagram: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    entry.connection.receive(datagram, tuple, ecn, now);
    this.#makeReady(entry);
  }

  /** A stateless reset of the far end's, or a packet of a connection that this end has forgotten. */
  #receiveUnknown(datagram: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    let count = 0;
    for (const entry of this.#byRemote.get(remoteKey(tuple)) ?? []) {
      if ((count += 1) > MOST_RESET_CANDIDATES) break;
      this.#deliver(entry, datagram, tuple, ecn, now);
      if (entry.connection.isClosed) return;
    }
    const id = datagram.subarray(1, 1 + OWN_ID_BYTES);
    const { random } = this.#options;
    const bytes = statelessReset(statelessResetToken(this.#resetKey, id), datagram.length, random);
    if (bytes === null || !this.#strangers.take(now)) this.#counts.dropped += 1;
    else {
      this.#counts.resets += 1;
      this.#reply(bytes, tuple);
    }
  }

  #negotiateVersion(
    packet: { readonly destination: Uint8Array; readonly source: Uint8Array },
    tuple: FourTuple,
    now: Ms,
  ): void {
    if (!this.#strangers.take(now)) {
      this.#counts.dropped += 1;
      return;
    }
    this.#counts.versionNegotiations += 1;
    this.#reply(versionNegotiationPacket(packet, this.#options.random), tuple);
  }

  #receiveInitial(datagram: Uint8Array, packet: ProtectedPacket, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    const proof = this.#tokens.verify(packet.token, tuple.remote, packet.destination, now);
    if (proof === null && this.#wantsRetry()) this.#sendRetry(packet, tuple, now);
    else if (
      this.#serverConnections >= this.#limits.mostConnections ||
      this.#handshakes >= this.#limits.mostHandshakes ||
      !this.#newConnections.take(now)
    ) {
      this.#counts.refused += 1;
    } else {
      const offered = isGenuine(datagram, packet, this.#options) ? this.#options.server?.accept(tuple) : null;
      if (offered) this.#accept(offered, datagram, packet, proof, tuple, ecn, now);
      else this.#counts.dropped += 1;
    }
  }

  #wantsRetry(): boolean {
    switch (this.#options.server?.retry ?? 'under-load') {
      case 'always':
        return true;
      case 'under-load':
        return this.#handshakes >= this.#limits.loadHandshakes;
      case 'never':
        return false;
    }
  }

  #sendRetry({ destination, source }: ProtectedPacket, tuple: FourTuple, now: Ms): void {
    if (!this.#retries.take(now)) {
      this.#counts.refused += 1;
      return;
    }
    const { random, ciphers } = this.#options;
    // Nothing of it is kept: the connection begins only when the token comes back.
    const retrySource = random.bytes(OWN_ID_BYTES);
    const originalDestination = destination;
    const token = this.#tokens.retry(tuple.remote, { originalDestination, retrySource }, now);
    const retry = { destination: source, source: retrySource, token, originalDestination };
    this.#counts.retries += 1;
    this.#reply(retryPacket(retry, random, ciphers), tuple);
  }

  #accept(
    offered: AcceptOptions,
    datagram: Uint8Array,
    packet: ProtectedPacket,
    proof: TokenProof | null,
    tuple: FourTuple,
    ecn: EcnMark,
    now: Ms,
  ): void {
    const { random, ciphers, connections } = this.#options;
    const entry = this.#newEntry(true);
    const firstDestination = packet.destination.slice();
    entry.lead(firstDestination);
    const connection = connections.server(
      {
        ...offered,
        random,
        ciphers,
        ids: entry,
        tuple,
        firstDestination,
        ...(proof?.type === 'retry' && { originalDestination: proof.originalDestination }),
        isAddressValidated: proof !== null,
      },
      now,
    );
    this.#counts.accepted += 1;
    this.#serverConnections += 1;
    this.#handshakes += 1;
    this.#begin(entry, connection, tuple);
    this.#events.push({ type: 'accepted', connection, tuple });
    this.#deliver(entry, datagram, tuple, ecn, now);
  }

  #newEntry(isServer: boolean): Entry {
    return new Entry(isServer, this.#ids, this.#options.random, this.#resetKey);
  }

  #begin(entry: Entry, connection: QuicConnection, tuple: FourTuple): QuicConnection {
    entry.connection = connection;
    this.#entries.set(connection, entry);
    this.#meet(entry, tuple);
    this.#makeReady(entry);
    return connection;
  }

  #makeReady(entry: Entry): void {
    if (entry.isReady) return;
    entry.isReady = true;
    this.#ready.push(entry);
  }

  /** What came of the last calls of a connection that has nothing more to send. */
  #settle(entry: Entry, now: Ms): void {
    const { connection } = entry;
    if (!this.#entries.has(connection)) return;
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      this.#events.push({ type: 'connection', connection, event });
      switch (event.type) {
        case 'handshake-complete':
          this.#handshakeIsOver(entry, now);
          break;
        case 'path-validated':
        case 'path-migrated':
          this.#meet(entry, event.tuple);
          break;
        case 'drained':
          this.#forget(entry);
          return;
        default:
      }
    }
    this.#deadlines.set(entry, connection.deadline());
  }

  #handshakeIsOver(entry: Entry, now: Ms): void {
    if (!entry.isServer || !entry.isHandshaking) return;
    entry.isHandshaking = false;
    this.#handshakes -= 1;
    if (this.#options.server?.newTokens !== true) return;
    const [path] = entry.connection.paths;
    if (path === undefined) return;
    entry.connection.sendToken(this.#tokens.newToken(path.tuple.remote, now));
    this.#makeReady(entry);
  }

  #meet(entry: Entry, tuple: FourTuple): void {
    const key = remoteKey(tuple);
    if (!entry.meet(key)) return;
    let known = this.#byRemote.get(key);
    if (known === undefined) this.#byRemote.set(key, (known = new Set()));
    known.add(entry);
  }

  #forget(entry: Entry): void {
    if (!this.#entries.delete(entry.connection)) return;
    this.#deadlines.delete(entry);
    entry.retireAll();
    for (const key of entry.remotes) {
      const known = this.#byRemote.get(key);
      known?.delete(entry);
      if (known?.size === 0) this.#byRemote.delete(key);
    }
    if (!entry.isServer) return;
    this.#serverConnections -= 1;
    if (entry.isHandshaking) this.#handshakes -= 1;
  }

  #reply(bytes: Uint8Array, tuple: FourTuple): void {
    if (this.#replies.length < MOST_REPLIES) this.#replies.push({ bytes, tuple });
  }
}

function derived(secret: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(createHmac('sha256', secret).update(`icepath quic ${purpose}`).digest());
}

/** Whether an Initial is one: who does not even encrypt it (RFC 9001 §5.2) gets no connection made for it. */
function isGenuine(datagram: Uint8Array, packet: ProtectedPacket, { ciphers }: EndpointOptions): boolean {
  const keys = initialKeys(packet.destination, ciphers).client;
  // The connection will decrypt it once more.
  // Not `slice`: of a Buffer of Node's it is a view, and the Initial itself would be opened here.
  const copy = new Uint8Array(datagram.subarray(0, packet.end));
  const header = openHeader(copy, packet, keys.mask, -1);
  return header !== null && openPayload(copy, header, keys, 0) !== null;
}
