import type { Ms } from '../../base/time.js';
import { type CongestionController, initialWindow } from './congestion.js';
import { ETHERNET_DATAGRAM_BYTES } from './mtu.js';
import type { RttEstimator } from './rtt.js';

/** RFC 9002 §7.7: a little faster than the window allows, so that the window and not the pacer is the limit. */
const GAIN = 1.25;
/** The window doubles within a round trip. */
const SLOW_START_GAIN = 2;

const ROUNDING_BYTES = 0.001;

/** A timer wakes a sender no more often than that: what the path takes meanwhile leaves at once. */
const TIMER_MS = 2;
/**
 * On a path so fast that a millisecond, which is what timers can do, is worth so many datagrams, a sender waits no less:
 * woken for each it would send them one by one, and find no time for anything else.
 */
const MANY_DATAGRAMS = 16;
const LEAST_WAIT_MS = 1;

/**
 * A leaky bucket of the size of an initial window, or of what a fast path takes between two ticks of a timer: packets
 * leave at the path's pace and not in one burst.
 */
export class Pacer {
  #tokens: number;
  #at: Ms | null = null;
  readonly #burst: number;

  constructor(datagramBytes: number) {
    this.#burst = initialWindow(datagramBytes);
    this.#tokens = this.#burst;
  }

  /** When a datagram of `bytes` may leave: `now`, or later. */
  releaseAt(bytes: number, controller: CongestionController, rtt: RttEstimator, now: Ms): Ms {
    const rate = this.#refill(controller, rtt, now);
    const wanted = Math.min(bytes, this.#burst);
    // What is missing by a rounding error is there: else the time to wait would be none, again and again.
    if (this.#tokens >= wanted - ROUNDING_BYTES) return now;
    const wait = (wanted - this.#tokens) / rate;
    const many = MANY_DATAGRAMS * Math.min(bytes, ETHERNET_DATAGRAM_BYTES);
    return now + (rate * LEAST_WAIT_MS >= many ? Math.max(wait, LEAST_WAIT_MS) : wait);
  }

  onSent(bytes: number, controller: CongestionController, rtt: RttEstimator, now: Ms): void {
    this.#refill(controller, rtt, now);
    this.#tokens -= bytes;
  }

  /** Bytes a millisecond. */
  #refill(controller: CongestionController, rtt: RttEstimator, now: Ms): number {
    const gain = controller.isSlowStart ? SLOW_START_GAIN : GAIN;
    const rate = controller.pacingRate ?? (gain * controller.window) / Math.max(rtt.smoothed, 0.001);
    this.#tokens = Math.min(Math.max(this.#burst, rate * TIMER_MS), this.#tokens + rate * (now - (this.#at ?? now)));
    this.#at = now;
    return rate;
  }
}
