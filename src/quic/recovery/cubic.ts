import type { Ms } from '../../base/time.js';
import { WindowController } from './congestion.js';
import type { RttEstimator } from './rtt.js';

/** RFC 9438 §4.1 and §4.6: segments per second cubed, and what a loss leaves. */
const C = 0.4;
const BETA = 0.7;
/** §4.3: what makes the estimate grow as Reno would with this β. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** RFC 9438: grows with the time since the last loss and not with the RTT, and never slower than Reno. */
export class Cubic extends WindowController {
  readonly name = 'cubic';
  /** Segments, all three. */
  #windowMax = 0;
  #priorWindow = 0;
  #estimate = 0;
  /** When the window began to grow again; `null` until something arrives after a loss. */
  #epochStart: Ms | null = null;
  /** Seconds. */
  #k = 0;
  /** The last time that the window was in use; what is idle is no time of growth (§5.8). */
  #idleSince: Ms | null = null;

  protected override grow(bytes: number, rtt: RttEstimator, now: Ms): void {
    const segments = this.window / this.datagramBytes;
    if (this.#epochStart === null) this.#beginEpoch(segments, now);
    else if (this.#idleSince !== null) this.#epochStart += now - this.#idleSince;
    this.#idleSince = null;
    const t = (now - (this.#epochStart ?? now)) / 1000;
    const acked = bytes / this.datagramBytes;
    this.#estimate += ((this.#estimate < this.#priorWindow ? ALPHA : 1) * acked) / segments;
    // §4.3: where Reno would be further, do as Reno.
    if (this.#cubic(t) < this.#estimate) {
      this.window = Math.max(segments, this.#estimate) * this.datagramBytes;
      return;
    }
    const target = Math.min(Math.max(this.#cubic(t + rtt.smoothed / 1000), segments), 1.5 * segments);
    this.window += ((target - segments) / segments) * acked * this.datagramBytes;
  }

  protected override reduce(): number {
    const segments = this.window / this.datagramBytes;
    // §4.7, fast convergence: who has less than before makes room.
    this.#windowMax = segments < this.#windowMax ? (segments * (1 + BETA)) / 2 : segments;
    this.#priorWindow = segments;
    this.#epochStart = null;
    this.#idleSince = null;
    return this.window * BETA;
  }

  protected override onIdle(now: Ms): void {
    this.#idleSince ??= now;
  }

  protected override onCollapse(): void {
    this.#epochStart = null;
    this.#windowMax = 0;
  }

  #beginEpoch(segments: number, now: Ms): void {
    this.#epochStart = now;
    this.#estimate = segments;
    // §4.2; after slow start without a loss there is no height to come back to.
    this.#windowMax = Math.max(this.#windowMax, segments);
    this.#k = Math.cbrt((this.#windowMax - segments) / C);
  }

  /** Segments at `t` seconds (§4.2, figure 1). */
  #cubic(t: number): number {
    return C * (t - this.#k) ** 3 + this.#windowMax;
  }
}
