import { NEVER, type Ms } from '../../base/time.js';
import { type QuicError, quicError } from '../wire/errors.js';
import type { CipherProvider, HeaderMask, PacketCipher } from './ciphers.js';
import { aeadKey, headerKey, nextSecret } from './keys.js';
import { openPayload, type OpenHeader, protectPacket, type PacketPlace } from './protection.js';
import type { CipherSuite } from './suites.js';

/** The keys of one phase in one direction, and the secret that the next are made of. */
interface Phase {
  readonly secret: Uint8Array;
  readonly cipher: PacketCipher;
  readonly iv: Uint8Array;
}

/** Both ends' keys are renewed well before the limit, so that an update that takes its time does not end all. */
const UPDATE_AT_SHARE = 0.75;

/** How long old keys are kept, and how long an update waits after the one before, in PTOs (RFC 9001 §6.5). */
const RETAIN_PTOS = 3;

export interface KeyPhasesOptions {
  readonly suite: CipherSuite;
  readonly ciphers: CipherProvider;
  readonly readSecret: Uint8Array;
  readonly writeSecret: Uint8Array;
}

/**
 * The keys of 1-RTT packets through their updates (RFC 9001 §6). Packet numbers are told apart by path, as each path has
 * its own (multipath draft -21, "Key Phase Update Process"); `pto` is that of the slowest path.
 */
export class KeyPhases {
  readonly suite: CipherSuite;
  readonly readMask: HeaderMask;
  readonly #writeMask: HeaderMask;
  readonly #ciphers: CipherProvider;
  #phase: 0 | 1 = 0;
  #updates = 0;
  #write: Phase;
  #read: Phase;
  #nextRead: Phase;
  #previousRead: Phase | null = null;
  #previousUntil: Ms = NEVER;
  #sealed = 0;
  /** Per path: the first packet that was sent, and the lowest that came, in the current phase. */
  readonly #firstSent = new Map<number, number>();
  readonly #lowestReceived = new Map<number, number>();
  /** When a packet of the current phase was acknowledged. */
  #acknowledgedAt: Ms = NEVER;

  constructor({ suite, ciphers, readSecret, writeSecret }: KeyPhasesOptions) {
    this.suite = suite;
    this.#ciphers = ciphers;
    this.#write = this.#phaseOf(writeSecret);
    this.#read = this.#phaseOf(readSecret);
    this.#nextRead = this.#phaseOf(nextSecret(suite, readSecret));
    this.readMask = ciphers.headerMask(suite.aead, headerKey(suite, readSecret));
    this.#writeMask = ciphers.headerMask(suite.aead, headerKey(suite, writeSecret));
  }

  /** What the next packet's header has to say. */
  get keyPhase(): 0 | 1 {
    return this.#phase;
  }

  /** How often keys were updated. */
  get updates(): number {
    return this.#updates;
  }

  /** Packets sealed since the last update are so many that another is due. */
  get isUpdateDue(): boolean {
    return this.#sealed >= this.suite.confidentialityLimit * UPDATE_AT_SHARE;
  }

  /** How many packets these keys may still seal. */
  get remaining(): number {
    return this.suite.confidentialityLimit - this.#sealed;
  }

  /** Nothing may be sealed any more. */
  get isExhausted(): boolean {
    return this.#sealed >= this.suite.confidentialityLimit;
  }

  /** Returns the end of the packet. */
  protect(bytes: Uint8Array, place: PacketPlace, path: number, packetNumber: number): number {
    this.#sealed += 1;
    if (!this.#firstSent.has(path)) this.#firstSent.set(path, packetNumber);
    const { cipher, iv } = this.#write;
    return protectPacket(bytes, place, { cipher, iv, mask: this.#writeMask }, path, packetNumber);
  }

  /** The frames of a packet; `null` for what these keys did not make. Most packets have no use for `timing`. */
  open(bytes: Uint8Array, header: OpenHeader, path: number, now: Ms, timing: { readonly pto: Ms }): Uint8Array | null {
    if (now >= this.#previousUntil) this.#forgetPrevious();
    if (header.keyPhase === this.#phase) {
      const payload = openPayload(bytes, header, this.#read, path);
      if (payload !== null) this.#received(path, header.packetNumber, now, timing);
      return payload;
    }
    if (this.#previousRead !== null && this.#mayBePrevious(path, header.packetNumber)) {
      const payload = openPayload(bytes, header, this.#previousRead, path);
      if (payload !== null) return payload;
    }
    if (!this.#mayBeNext(path, header.packetNumber)) return null;
    const payload = openPayload(bytes, header, this.#nextRead, path);
    if (payload === null) return null;
    this.#advance();
    this.#received(path, header.packetNumber, now, timing);
    return payload;
  }

  /** This end begins an update, if it may by now (RFC 9001 §6.1); only once the handshake is confirmed. */
  update(now: Ms, pto: Ms): boolean {
    if (now < this.#acknowledgedAt + RETAIN_PTOS * pto) return false;
    this.#advance();
    return true;
  }

  /**
   * Packets up to `largest` of a path were acknowledged, in a packet of the phase `keyPhase`. The error where the far end
   * has our new keys and goes on with its old ones (RFC 9001 §6.2).
   */
  onAcknowledged(path: number, largest: number, keyPhase: 0 | 1, now: Ms): QuicError | null {
    const first = this.#firstSent.get(path);
    if (first === undefined || largest < first) return null;
    if (keyPhase !== this.#phase) {
      return quicError('KEY_UPDATE_ERROR', 'new keys were acknowledged under old ones');
    }
    if (this.#acknowledgedAt === NEVER) this.#acknowledgedAt = now;
    return null;
  }

  deadline(): Ms {
    return this.#previousUntil;
  }

  onTimeout(now: Ms): void {
    if (now >= this.#previousUntil) this.#forgetPrevious();
  }

  #mayBePrevious(path: number, packetNumber: number): boolean {
    const lowest = this.#lowestReceived.get(path);
    return lowest === undefined || packetNumber < lowest;
  }

  /** Nobody updates again before he has seen that the other has followed. */
  #mayBeNext(path: number, packetNumber: number): boolean {
    if (this.#lowestReceived.size === 0 && this.#updates > 0) return false;
    const lowest = this.#lowestReceived.get(path);
    return lowest === undefined || packetNumber > lowest;
  }

  #received(path: number, packetNumber: number, now: Ms, timing: { readonly pto: Ms }): void {
    if (this.#previousRead !== null && this.#previousUntil === NEVER) {
      this.#previousUntil = now + RETAIN_PTOS * timing.pto;
    }
    const lowest = this.#lowestReceived.get(path);
    if (lowest === undefined || packetNumber < lowest) this.#lowestReceived.set(path, packetNumber);
  }

  #advance(): void {
    this.#phase = this.#phase === 0 ? 1 : 0;
    this.#updates += 1;
    this.#write = this.#phaseOf(nextSecret(this.suite, this.#write.secret));
    this.#previousRead = this.#read;
    this.#previousUntil = NEVER;
    this.#read = this.#nextRead;
    this.#nextRead = this.#phaseOf(nextSecret(this.suite, this.#read.secret));
    this.#sealed = 0;
    this.#firstSent.clear();
    this.#lowestReceived.clear();
    this.#acknowledgedAt = NEVER;
  }

  #forgetPrevious(): void {
    this.#previousRead = null;
    this.#previousUntil = NEVER;
  }

  #phaseOf(secret: Uint8Array): Phase {
    const { key, iv } = aeadKey(this.suite, secret);
    return { secret, iv, cipher: this.#ciphers.packetCipher(this.suite.aead, key) };
  }
}
