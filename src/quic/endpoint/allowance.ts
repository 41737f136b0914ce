import type { Ms } from '../../base/time.js';

/** So many a second on average, and so many at once: what strangers may make this end do. */
export class Allowance {
  readonly #perSecond: number;
  readonly #most: number;
  #left: number;
  #at: Ms = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, most: number) {
    this.#perSecond = perSecond;
    this.#most = most;
    this.#left = most;
  }

  /** Whether one more may be done now; then it counts. */
  take(now: Ms): boolean {
    if (now > this.#at) {
      const since = this.#at === Number.NEGATIVE_INFINITY ? 0 : now - this.#at;
      this.#left = Math.min(this.#most, this.#left + (since / 1000) * this.#perSecond);
      this.#at = now;
    }
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
