import { NEVER, type Ms } from '../../base/time.js';
import { KeyPhases } from '../crypto/key-phases.js';
import { initialKeys, packetKeys } from '../crypto/keys.js';
import type { Space } from '../recovery/path-recovery.js';
import type { Handshake, HandshakeResult, Level } from '../tls/handshake.js';
import type { QuicError } from '../wire/errors.js';
import type { CryptoFrame } from '../wire/frames.js';
import { parseTransportParameters, type TransportParameters } from '../wire/transport-parameters.js';
import type { Core } from './core.js';
import { CryptoStream, LongSpace } from './crypto-space.js';
import { parameterError, type SeenIds } from './parameters.js';
import { issueIds, startPaths } from './path-ids.js';
import { goToPreferred } from './preferred.js';

/** Handshake bytes, keys and number spaces of a connection (RFC 9001 §4). */
export class HandshakeDriver {
  readonly initial = new LongSpace('initial');
  readonly handshake = new LongSpace('handshake');
  /** What comes at the level of 1-RTT: tickets, which are passed over. */
  readonly application = new CryptoStream();
  /** Of 1-RTT packets. */
  keys: KeyPhases | null = null;
  result: HandshakeResult | null = null;
  isConfirmed = false;
  /** This end's address for packets with a long header, and the far end's. */
  readonly source: Uint8Array;
  destination: Uint8Array;
  /** The far end's own choice of {@link destination} is known. */
  isDestinationFinal = false;
  /** Of a Retry, or of an earlier connection: goes into Initials. */
  token: Uint8Array;
  /** A client's. */
  readonly originalDestination: Uint8Array;
  retrySource: Uint8Array | null = null;
  /** A server's: what the client's first packets are addressed to; `null` when that leads here no more. */
  firstDestination: Uint8Array | null = null;
  retireFirstAt: Ms = NEVER;
  readonly #tls: Handshake;
  #remote: TransportParameters | null = null;

  constructor(
    tls: Handshake,
    ids: { readonly source: Uint8Array; readonly destination: Uint8Array },
    token: Uint8Array,
  ) {
    this.#tls = tls;
    this.source = ids.source;
    this.destination = ids.destination;
    this.originalDestination = ids.destination;
    this.token = token;
  }

  get isComplete(): boolean {
    return this.result !== null;
  }

  long(space: 'initial' | 'handshake'): LongSpace {
    return space === 'initial' ? this.initial : this.handshake;
  }

  crypto(space: Space): CryptoStream {
    return space === 'application' ? this.application : this.long(space).crypto;
  }

  /** Keys of Initial packets: from the client's first destination, or from that of a Retry. */
  setInitialKeys(core: Core, destination: Uint8Array): void {
    const { client, server } = initialKeys(destination, core.options.ciphers);
    if (core.isServer) this.initial.setKeys(client, server);
    else this.initial.setKeys(server, client);
  }

  start(core: Core, now: Ms): void {
    this.#tls.handle({ type: 'start' });
    this.#pump(core, now);
  }

  onCrypto(core: Core, space: Space, frame: CryptoFrame, now: Ms): QuicError | null {
    const stream = this.crypto(space);
    const error = stream.onFrame(frame);
    if (error !== null) return error;
    const level: Level = space === 'application' ? '1-rtt' : space;
    for (let data = stream.read(); data !== null; data = stream.read()) {
      this.#tls.handle({ type: 'crypto', level, data });
      this.#pump(core, now);
    }
    return null;
  }

  /** RFC 9001 §4.9.1 and §4.9.2. */
  discard(core: Core, space: 'initial' | 'handshake'): void {
    const long = this.long(space);
    if (long.isDiscarded) return;
    long.discard();
    core.firstPath?.recovery.discard(space);
    this.tellRecovery(core);
  }

  /** RFC 9001 §4.1.2: a server by the client's Finished, a client by HANDSHAKE_DONE. */
  confirm(core: Core, now: Ms): void {
    if (this.isConfirmed) return;
    this.isConfirmed = true;
    this.discard(core, 'initial');
    this.discard(core, 'handshake');
    this.tellRecovery(core);
    this.retireFirstAt = now + 3 * core.pto;
    core.emit({ type: 'handshake-confirmed' }, now);
    goToPreferred(core, now);
  }

  tellRecovery(core: Core): void {
    const state = {
      isConfirmed: this.isConfirmed,
      hasHandshakeKeys: this.handshake.write !== null,
      maxAckDelayMs: core.remote.maxAckDelayMs,
    };
    for (const path of core.paths) path.recovery.setState(state);
  }

  /** The client's first destination is not an id of this connection any more. */
  retireFirst(core: Core): void {
    if (this.firstDestination !== null) core.options.ids.retire(this.firstDestination);
    this.firstDestination = null;
    this.retireFirstAt = NEVER;
  }

  #pump(core: Core, now: Ms): void {
    const { ciphers, keylog } = core.options;
    for (let output = this.#tls.poll(); output !== undefined; output = this.#tls.poll()) {
      switch (output.type) {
        case 'send':
          this.crypto(output.level === '1-rtt' ? 'application' : output.level).out.write(output.data);
          break;
        case 'keys': {
          const { suite, read, write } = output;
          if (output.level === 'handshake') {
            this.handshake.setKeys(packetKeys(suite, read, ciphers), packetKeys(suite, write, ciphers));
            this.tellRecovery(core);
          } else this.keys = new KeyPhases({ suite, ciphers, readSecret: read, writeSecret: write });
          break;
        }
        case 'parameters':
          this.#onParameters(core, output.encoded, now);
          break;
        case 'keylog':
          keylog?.(output.line);
          break;
        case 'complete':
          this.#onComplete(core, output, now);
          break;
        case 'failed':
          core.fail(output.error, now);
      }
    }
  }

  #onParameters(core: Core, encoded: Uint8Array, now: Ms): void {
    const parsed = parseTransportParameters(encoded, core.isServer ? 'client' : 'server');
    if (!parsed.ok) {
      core.fail(parsed.error, now);
      return;
    }
    const seen: SeenIds = {
      source: this.destination,
      originalDestination: core.isServer ? null : this.originalDestination,
      retrySource: this.retrySource,
    };
    const error = parameterError(parsed.value, seen, core.parameters, core.isServer);
    if (error === null) this.#remote = parsed.value;
    else core.fail(error, now);
  }

  #onComplete(core: Core, result: HandshakeResult, now: Ms): void {
    const remote = this.#remote;
    if (remote === null || !core.isOpen) return;
    const { alpn, suite, group, peerChain, exporterSecret } = result;
    this.result = { alpn, suite, group, peerChain, exporterSecret };
    core.remote = remote;
    core.observe({ type: 'parameters', whose: 'remote', parameters: remote }, now);
    core.streams.setRemote(remote);
    startPaths(core);
    this.tellRecovery(core);
    const multipath = core.isMultipath;
    core.emit({ type: 'handshake-complete', alpn, suite, group, peerChain, multipath }, now);
    if (core.isServer) {
      core.outbox.push({ type: 'handshake-done' });
      this.confirm(core, now);
    }
    issueIds(core);
  }
}
