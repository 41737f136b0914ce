import type { Ms } from '../../base/time.js';
import { LIMITS } from '../limits.js';
import { TokenBucket } from '../reflector-limits.js';

/** How much experiments may send: what a far end asks for beyond that is left out (docs/decisions/abuse.md). */
export class Budget {
  readonly #packets = new Map<string, TokenBucket>();
  readonly #bytes = new Map<string, TokenBucket>();
  #spent = 0;

  /** Whether a packet of `bytes` may go to an IP address now; if so it is spent. */
  take(address: string, bytes: number, now: Ms): boolean {
    if (this.#spent + bytes > LIMITS.trialBytes) return false;
    if (!bucketOf(this.#packets, address, LIMITS.trialPacketsPerAddress, now).take(1, now)) return false;
    if (!bucketOf(this.#bytes, address, LIMITS.trialBytesPerAddress, now).take(bytes, now)) return false;
    this.#spent += bytes;
    return true;
  }
}

/** Addresses are few: those that `PeerAddresses` admits, and the references. */
function bucketOf(buckets: Map<string, TokenBucket>, address: string, perSecond: number, now: Ms): TokenBucket {
  const bucket = buckets.get(address) ?? new TokenBucket({ perSecond, burst: perSecond / 2 }, now);
  buckets.set(address, bucket);
  return bucket;
}
