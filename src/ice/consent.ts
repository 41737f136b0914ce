import { fraction, type Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import type { Pair } from './pair.js';
import type { IceTiming } from './timing.js';

/** Without an answer for so many periods a check was lost: randomised, one that is answered comes after 1.2 at most. */
const OVERDUE = 1.3;
/** Then checks come this much more often, that six lost ones in a row do not end a path which is only lossy. */
const SOONER = 5;

/** RFC 7675 §5.1: whether the far end still agrees to be sent to. Each check is a new transaction, never repeated. */
export class Consent {
  readonly #timing: IceTiming;
  readonly #random: Random;

  constructor(timing: IceTiming, random: Random) {
    this.#timing = timing;
    this.#random = random;
  }

  start(pair: Pair, now: Ms): void {
    this.renew(pair, now);
    this.sent(pair, now);
  }

  stop(pair: Pair): void {
    pair.consentDueAt = NEVER;
    pair.consentUntil = NEVER;
  }

  /** An answer came. */
  renew(pair: Pair, now: Ms): void {
    pair.consentUntil = now + this.#timing.consentLifetimeMs;
  }

  sent(pair: Pair, now: Ms): void {
    const { consentMs, consentLifetimeMs } = this.#timing;
    const isOverdue = now - (pair.consentUntil - consentLifetimeMs) > OVERDUE * consentMs;
    pair.consentDueAt = now + (isOverdue ? consentMs / SOONER : consentMs) * (0.8 + 0.4 * fraction(this.#random));
  }

  next(pairs: readonly Pair[], now: Ms): Pair | undefined {
    return pairs.find(({ consentDueAt }) => consentDueAt <= now);
  }

  expired(pairs: readonly Pair[], now: Ms): Pair[] {
    return pairs.filter(({ consentUntil }) => consentUntil <= now);
  }

  due(pairs: readonly Pair[]): Ms {
    return pairs.reduce((first, { consentDueAt }) => Math.min(first, consentDueAt), NEVER);
  }

  expiry(pairs: readonly Pair[]): Ms {
    return pairs.reduce((first, { consentUntil }) => Math.min(first, consentUntil), NEVER);
  }
}
