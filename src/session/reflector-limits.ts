import { addressBytes, formatAddressBytes } from '../base/address.js';
import type { Ms } from '../base/time.js';

export interface Rate {
  readonly perSecond: number;
  /** How much may be taken at once after a quiet time. */
  readonly burst: number;
}

/** Fills at its rate up to its burst; what is not in it cannot be taken. */
export class TokenBucket {
  readonly #rate: Rate;
  #level: number;
  #at: Ms;

  constructor(rate: Rate, now: Ms) {
    this.#rate = rate;
    this.#level = rate.burst;
    this.#at = now;
  }

  take(amount: number, now: Ms): boolean {
    const elapsed = Math.max(0, now - this.#at);
    this.#level = Math.min(this.#rate.burst, this.#level + (elapsed * this.#rate.perSecond) / 1000);
    this.#at = Math.max(this.#at, now);
    if (this.#level < amount) return false;
    this.#level -= amount;
    return true;
  }
}

/**
 * One bucket for each source prefix (/24, /56: what one customer gets), of the most recent prefixes only: memory stays
 * bounded however many sources a flood pretends to have. A forgotten prefix starts anew, which is why an overall
 * bucket stands beside this one.
 */
export class PrefixBuckets {
  readonly #rate: Rate;
  readonly #most: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: Rate, most: number) {
    this.#rate = rate;
    this.#most = most;
  }

  get size(): number {
    return this.#buckets.size;
  }

  take(address: string, now: Ms): boolean {
    const prefix = prefixOf(address);
    const bucket = this.#buckets.get(prefix) ?? new TokenBucket(this.#rate, now);
    // A Map keeps the order of insertion: the first key is the prefix that was silent for longest.
    this.#buckets.delete(prefix);
    this.#buckets.set(prefix, bucket);
    if (this.#buckets.size > this.#most) this.#buckets.delete(this.#buckets.keys().next().value ?? '');
    return bucket.take(1, now);
  }
}

/** What one customer gets: /24, /56. */
export function prefixOf(address: string): string {
  const bytes = addressBytes(address);
  return formatAddressBytes(bytes.fill(0, bytes.length === 4 ? 3 : 7));
}
