import type { Ms } from '../../base/time.js';
import { AmplificationLimit } from '../paths/validation.js';
import type { EcnMark } from '../recovery/received-packets.js';
import { TlsClient } from '../tls/client.js';
import { TlsServer } from '../tls/server.js';
import { TRANSPORT_ERRORS } from '../wire/errors.js';
import type { PathStatus, StreamDirection } from '../wire/frames.js';
import { encodeTransportParameters } from '../wire/transport-parameters.js';
import { onClosingDatagram } from './closing.js';
import { Core, ownParameters } from './core.js';
import { HandshakeDriver } from './handshake.js';
import { openHeld, receiveDatagram } from './opening.js';
import { LIMITS } from './parameters.js';
import { firstSlot } from './path-ids.js';
import { abandon, createPath, migrate, openPath, setStatus } from './paths.js';
import { preferredParameter } from './preferred.js';
import { sendNext } from './sending.js';
import { mostDatagramPayload } from './shared.js';
import { nextDeadline, onTimeout } from './timers.js';
import type {
  ClientConnectionOptions,
  ConnectionEvent,
  FourTuple,
  PathStatistics,
  QuicConnection,
  ServerConnectionOptions,
  Transmit,
} from './types.js';

/** RFC 9000 §7.2: a client's first destination has 8 bytes at least, and cannot be guessed. */
const FIRST_DESTINATION_BYTES = 12;
/** What one call of `send` may seal, and the CONNECTION_CLOSEs after it: keys must not be worn out before that is said. */
const KEPT_FOR_CLOSING = 128;
const NOTHING = new Uint8Array();

/** One end of a QUIC connection; see {@link QuicConnection}. */
export class Connection implements QuicConnection {
  readonly #core: Core;
  /** The time of the last call: what is paced is measured from there. */
  #now: Ms;
  /** Streams that took less than they were given. */
  readonly #full = new Set<number>();

  private constructor(core: Core, now: Ms) {
    this.#core = core;
    this.#now = now;
  }

  static client(options: ClientConnectionOptions, now: Ms): Connection {
    const { id } = options.ids.issue();
    const parameters = { ...ownParameters(options), initialSourceConnectionId: id };
    const core = new Core(false, options, parameters, now);
    const tls = new TlsClient({
      ...tlsOptions(core),
      check: options.check,
      identity: options.identity ?? null,
      serverName: options.serverName ?? null,
    });
    const destination = options.random.bytes(FIRST_DESTINATION_BYTES);
    core.handshake = new HandshakeDriver(tls, { source: id, destination }, options.token ?? NOTHING);
    begin(core, destination, now);
    core.handshake.start(core, now);
    return new Connection(core, now);
  }

  /** For a client whose first Initial has come; hand it over with `receive`. */
  static server(options: ServerConnectionOptions, now: Ms): Connection {
    const { firstDestination, originalDestination, identity, check, isAddressValidated = false } = options;
    const { id, resetToken } = options.ids.issue();
    const parameters = {
      ...ownParameters(options),
      initialSourceConnectionId: id,
      originalDestinationConnectionId: originalDestination ?? firstDestination,
      retrySourceConnectionId: originalDestination === undefined ? null : firstDestination,
      statelessResetToken: resetToken,
      preferredAddress: preferredParameter(options.preferredAddress ?? {}, options.ids),
    };
    const core = new Core(true, options, parameters, now);
    const tls = new TlsServer({ ...tlsOptions(core), identity, check });
    core.handshake = new HandshakeDriver(tls, { source: id, destination: NOTHING }, NOTHING);
    core.handshake.firstDestination = firstDestination;
    begin(core, firstDestination, now);
    const path = core.firstPath;
    if (path !== null && !isAddressValidated) path.limit = new AmplificationLimit(false);
    return new Connection(core, now);
  }

  receive(datagram: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): void {
    this.#now = now;
    const core = this.#core;
    if (core.phase === 'closing') onClosingDatagram(core);
    if (!core.isOpen) return;
    receiveDatagram(core, datagram, tuple, ecn, now);
    if (core.held.length > 0 && core.handshake.handshake.read !== null) openHeld(core, now);
  }

  send(now: Ms, into: Uint8Array, mostDatagrams = 1): Transmit | undefined {
    this.#now = now;
    const core = this.#core;
    if (core.isOpen) this.#tendKeys(now);
    const sent = sendNext(core, into, mostDatagrams, now);
    if (this.#full.size > 0) this.#tellWritable();
    return sent;
  }

  deadline(): Ms {
    return nextDeadline(this.#core, this.#now);
  }

  timeout(now: Ms): void {
    this.#now = now;
    onTimeout(this.#core, now);
  }

  pollEvent(): ConnectionEvent | undefined {
    const core = this.#core;
    for (let event = core.streams.takeEvent(); event !== undefined; event = core.streams.takeEvent()) {
      switch (event.type) {
        case 'opened': {
          const direction: StreamDirection = event.stream.send === null ? 'uni' : 'bidi';
          core.emit({ type: 'stream-opened', stream: event.stream.id, direction }, this.#now);
          break;
        }
        case 'readable': {
          const { stream } = event;
          const errorCode = core.streams.takeReset(stream);
          if (errorCode === null) core.emit(event, this.#now);
          else core.emit({ type: 'reset', stream, errorCode }, this.#now);
          break;
        }
        case 'stopped':
        case 'delivered':
          core.emit(event, this.#now);
          break;
        case 'allowed':
          core.emit({ type: 'streams-available', direction: event.direction }, this.#now);
      }
    }
    const event = core.events.shift();
    if (event?.type === 'datagram') core.receivedDatagrams -= 1;
    return event;
  }

  openStream(direction: StreamDirection): number | null {
    return this.#core.isOpen ? (this.#core.streams.open(direction)?.id ?? null) : null;
  }

  write(stream: number, data: Uint8Array): number {
    const core = this.#core;
    const send = core.streams.get(stream)?.send;
    if (!core.isOpen || !send || data.length === 0) return 0;
    const room = (core.options.sendBufferBytes ?? LIMITS.sendBufferBytes) - send.unsentBytes;
    const taken = room >= data.length ? data : data.subarray(0, Math.max(0, room));
    if (taken.length < data.length) this.#full.add(stream);
    if (taken.length === 0) return 0;
    return send.write(taken) ? taken.length : 0;
  }

  finish(stream: number): void {
    this.#core.streams.get(stream)?.send?.finish();
  }

  read(stream: number, most = Infinity): Uint8Array | null {
    const core = this.#core;
    const data = core.streams.read(stream, most);
    if (core.streams.takeEnd(stream)) core.emit({ type: 'finished', stream }, this.#now);
    return data;
  }

  reset(stream: number, errorCode: number): void {
    this.#full.delete(stream);
    this.#core.streams.reset(stream, errorCode);
  }

  stopSending(stream: number, errorCode: number): void {
    this.#core.streams.stop(stream, errorCode);
  }

  get mostDatagramPayloadBytes(): number {
    return this.#core.handshake.isComplete ? mostDatagramPayload(this.#core) : 0;
  }

  sendDatagram(data: Uint8Array): boolean {
    const core = this.#core;
    return core.isOpen && data.length <= this.mostDatagramPayloadBytes && core.queueDatagram(data);
  }

  openPath(tuple: FourTuple, now: Ms): number | null {
    this.#now = now;
    return openPath(this.#core, tuple, now);
  }

  migratePath(path: number, tuple: FourTuple, now: Ms): boolean {
    this.#now = now;
    const found = this.#core.path(path);
    return found !== null && migrate(this.#core, found, tuple, now);
  }

  setPathStatus(path: number, status: PathStatus): void {
    setStatus(this.#core, path, status);
  }

  abandonPath(path: number, now: Ms, errorCode: number = TRANSPORT_ERRORS.APPLICATION_ABANDON_PATH): boolean {
    this.#now = now;
    const found = this.#core.path(path);
    return this.#core.isOpen && found !== null && abandon(this.#core, found, errorCode, 'local', now);
  }

  get paths(): readonly PathStatistics[] {
    return this.#core.paths.map((path) => path.statistics());
  }

  sendToken(token: Uint8Array): void {
    if (this.#core.isServer && token.length > 0) this.#core.outbox.push({ type: 'new-token', token });
  }

  updateKeys(now: Ms): boolean {
    this.#now = now;
    const { handshake, pto } = this.#core;
    if (!handshake.isConfirmed || handshake.keys?.update(now, pto) !== true) return false;
    this.#core.observe({ type: 'key-update', by: 'local', updates: handshake.keys.updates }, now);
    return true;
  }

  get exporterSecret(): Uint8Array | null {
    return this.#core.handshake.result?.exporterSecret ?? null;
  }

  close(errorCode: number, reason: string, now: Ms): void {
    this.#now = now;
    this.#core.close({ code: errorCode, frameType: 0, reason }, 'application', now);
  }

  get isClosed(): boolean {
    return !this.#core.isOpen;
  }

  /** RFC 9001 §6.6: keys are renewed before they are worn out; where that is not possible in time, all ends. */
  #tendKeys(now: Ms): void {
    const { keys } = this.#core.handshake;
    if (keys === null) return;
    if (keys.isUpdateDue) this.updateKeys(now);
    if (keys.remaining < KEPT_FOR_CLOSING) {
      const reason = 'too many packets under one key';
      this.#core.fail({ code: TRANSPORT_ERRORS.AEAD_LIMIT_REACHED, frameType: 0, reason }, now);
    }
  }

  #tellWritable(): void {
    const core = this.#core;
    const half = (core.options.sendBufferBytes ?? LIMITS.sendBufferBytes) / 2;
    for (const stream of this.#full) {
      const send = core.streams.get(stream)?.send;
      if (send && send.unsentBytes > half) continue;
      this.#full.delete(stream);
      if (send) core.emit({ type: 'writable', stream }, this.#now);
    }
  }
}

function tlsOptions(core: Core) {
  const { random, alpn, suites, groups } = core.options;
  return {
    random,
    alpn,
    transportParameters: encodeTransportParameters(core.parameters),
    ...(suites ? { suites } : {}),
    ...(groups ? { groups } : {}),
  };
}

/** The path of the handshake, and the keys of its first packets. */
function begin(core: Core, firstDestination: Uint8Array, now: Ms): void {
  core.observe({ type: 'parameters', whose: 'local', parameters: core.parameters }, now);
  core.handshake.setInitialKeys(core, firstDestination);
  const path = createPath(core, firstSlot(core, null), core.options.tuple, true, now);
  path.state = 'open';
}
