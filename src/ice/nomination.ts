import { NEVER, type Ms } from '../base/time.js';
import { isUndecided } from './checklist.js';
import type { Pair } from './pair.js';

/** Regular nomination (RFC 8445 §8.1.1): which pair the controlling agent nominates, and when. */
export class Nomination {
  readonly #afterMs: Ms;
  readonly #firstValid: boolean;
  #due: Ms = NEVER;

  /** `firstValid`: the first valid pair is as good as any; else the best is waited for, at most `afterMs`. */
  constructor(afterMs: Ms, firstValid: boolean) {
    this.#afterMs = afterMs;
    this.#firstValid = firstValid;
  }

  /**
   * The pair to nominate now. `pairs` have the highest priority first; `complete` tells that neither end will name more
   * candidates. A selected pair stays selected for as long as it is valid.
   */
  decide(pairs: readonly Pair[], complete: boolean, now: Ms): Pair | null {
    const best = pairs.findIndex(({ valid }) => valid);
    if (best < 0 || pairs.some((pair) => pair.nominating || (pair.selected && pair.valid))) {
      this.#due = NEVER;
      return null;
    }
    this.#due = Math.min(this.#due, now + this.#afterMs);
    const settled = complete && !pairs.slice(0, best).some(isUndecided);
    if (!this.#firstValid && !settled && now < this.#due) return null;
    this.#due = NEVER;
    return pairs[best] ?? null;
  }

  deadline(): Ms {
    return this.#due;
  }
}
