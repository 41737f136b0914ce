import type { Ms } from '../../base/time.js';

/** RFC 9002 §6.2.2. */
export const INITIAL_RTT_MS: Ms = 333;
/** kGranularity (RFC 9002 §6.1.2). */
export const GRANULARITY_MS: Ms = 1;

/** How long a path takes there and back (RFC 9002 §5); each path has its own. */
export class RttEstimator {
  latest: Ms = 0;
  smoothed: Ms;
  variation: Ms;
  /** 0 before the first sample. */
  min: Ms = 0;
  #firstSampleAt: Ms | null = null;

  constructor(initial: Ms = INITIAL_RTT_MS) {
    this.smoothed = initial;
    this.variation = initial / 2;
  }

  get firstSampleAt(): Ms | null {
    return this.#firstSampleAt;
  }

  /**
   * A packet was acknowledged `latest` after it was sent; `ackDelay` is what the far end says it waited, limited to
   * `maxAckDelay` by the caller once the handshake is confirmed (RFC 9002 §5.3).
   */
  sample(latest: Ms, ackDelay: Ms, now: Ms): void {
    this.latest = latest;
    if (this.#firstSampleAt === null) {
      this.#firstSampleAt = now;
      this.min = latest;
      this.smoothed = latest;
      this.variation = latest / 2;
      return;
    }
    this.min = Math.min(this.min, latest);
    // A delay that would make the path faster than it ever was is not believed.
    const adjusted = latest >= this.min + ackDelay ? latest - ackDelay : latest;
    this.variation = 0.75 * this.variation + 0.25 * Math.abs(this.smoothed - adjusted);
    this.smoothed = 0.875 * this.smoothed + 0.125 * adjusted;
  }

  /** The probe timeout before any backoff (RFC 9002 §6.2.1). */
  pto(maxAckDelay: Ms): Ms {
    return this.smoothed + Math.max(4 * this.variation, GRANULARITY_MS) + maxAckDelay;
  }
}
