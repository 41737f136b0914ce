import { equalBytes } from '../../base/bytes.js';
import type { Random } from '../../base/random.js';
import { NEVER, type Ms } from '../../base/time.js';
import { INITIAL_RTT_MS } from '../recovery/rtt.js';
import type { Frame } from '../wire/frames.js';

export type ValidationState = 'idle' | 'validating' | 'validated' | 'failed';

/** RFC 9000 §8.2.4: three times the larger of the PTO now and that of a path of which nothing is known. */
const TIMEOUT_PTOS = 3;
const UNKNOWN_PTO_MS: Ms = INITIAL_RTT_MS + 4 * (INITIAL_RTT_MS / 2);
/** Challenges that may still be answered; older ones are forgotten. */
const MAX_OUTSTANDING = 8;

/** Whether the far end is where this end sends to (RFC 9000 §8.2): nothing but what it returns proves that. */
export class PathValidation {
  readonly #random: Random;
  #state: ValidationState = 'idle';
  #outstanding: Uint8Array[] = [];
  #isDue = false;
  #nextAt: Ms = NEVER;
  #intervalMs: Ms = 0;
  #failsAt: Ms = NEVER;

  /** `random` has to be a source of secrets: a challenge that can be guessed proves nothing. */
  constructor(random: Random) {
    this.#random = random;
  }

  get state(): ValidationState {
    return this.#state;
  }

  /** A challenge is to be sent now. */
  get isDue(): boolean {
    return this.#state === 'validating' && this.#isDue;
  }

  /** Begins, or begins anew: the address has changed. `pto`: of the connection now. */
  start(pto: Ms, now: Ms): void {
    this.#state = 'validating';
    this.#outstanding = [];
    this.#isDue = true;
    this.#intervalMs = Math.max(pto, 1);
    this.#failsAt = now + TIMEOUT_PTOS * Math.max(pto, UNKNOWN_PTO_MS);
  }

  /** The challenge to be sent now, each with data of its own; the datagram has to be padded to 1200 bytes if it may be. */
  takeChallenge(now: Ms): Frame | null {
    if (this.#state !== 'validating' || !this.#isDue) return null;
    this.#isDue = false;
    this.#nextAt = now + this.#intervalMs;
    this.#intervalMs *= 2;
    const data = this.#random.bytes(8);
    this.#outstanding = [...this.#outstanding, data].slice(-MAX_OUTSTANDING);
    return { type: 'path-challenge', data };
  }

  /** A PATH_RESPONSE, on whatever path it came; true where it has validated this one. What fits nothing is passed over. */
  onResponse(data: Uint8Array): boolean {
    if (this.#state !== 'validating' || !this.#outstanding.some((sent) => equalBytes(sent, data))) return false;
    this.#end('validated');
    return true;
  }

  deadline(): Ms {
    return this.#state === 'validating' ? Math.min(this.#isDue ? NEVER : this.#nextAt, this.#failsAt) : NEVER;
  }

  onTimeout(now: Ms): void {
    if (this.#state !== 'validating') return;
    if (now >= this.#failsAt) this.#end('failed');
    else if (now >= this.#nextAt) this.#isDue = true;
  }

  #end(state: ValidationState): void {
    this.#state = state;
    this.#outstanding = [];
    this.#isDue = false;
  }
}

/** RFC 9000 §8.1: to an address that has proved nothing, three times what came from it and no more. */
export class AmplificationLimit {
  #left = 0;
  #isLifted: boolean;

  constructor(isLifted: boolean) {
    this.#isLifted = isLifted;
  }

  /** Bytes of UDP payload that may be sent now. */
  get leftBytes(): number {
    return this.#isLifted ? Infinity : this.#left;
  }

  onReceived(bytes: number): void {
    this.#left += 3 * bytes;
  }

  onSent(bytes: number): void {
    this.#left -= bytes;
  }

  /** The address is proven. */
  lift(): void {
    this.#isLifted = true;
  }
}
