import type { Ms } from '../../base/time.js';
import type { RttEstimator } from './rtt.js';
import type { SentPacket } from './sent-packets.js';

/** How much a path may have on its way. Small machines that can be exchanged. */
export interface CongestionController {
  readonly name: string;
  /** Bytes. */
  readonly window: number;
  readonly isSlowStart: boolean;
  /** `isLimited`: the window was in use, so that what arrives says something about it (RFC 9002 §7.8). */
  onAcked(packet: SentPacket, rtt: RttEstimator, isLimited: boolean, now: Ms): void;
  /** A packet sent at `sentAt` was lost, or marked by ECN. */
  onCongestion(sentAt: Ms, now: Ms): void;
  /** RFC 9002 §7.6. */
  onPersistentCongestion(): void;
  /** The path takes larger datagrams, or smaller ones. */
  setDatagramBytes(bytes: number): void;
  /** Bytes a millisecond, for controllers that set the pace themselves; else it follows from the window. */
  readonly pacingRate?: number;
  /** A packet leaves while `inFlight` bytes are on their way. */
  onSent?(packet: SentPacket, inFlight: number, now: Ms): void;
  /** A packet is lost; `onCongestion` follows for all of them. */
  onLost?(packet: SentPacket, now: Ms): void;
  /** All that an ACK told was told; `inFlight` bytes are on their way still. */
  onAckDone?(inFlight: number, rtt: RttEstimator, now: Ms): void;
  /** There is nothing to send, although the path would take it. */
  onAppLimited?(inFlight: number): void;
}

/** RFC 9002 §7.2. */
export function initialWindow(datagramBytes: number): number {
  return Math.min(10 * datagramBytes, Math.max(14_720, 2 * datagramBytes));
}

export function minimumWindow(datagramBytes: number): number {
  return 2 * datagramBytes;
}

/** Slow start and recovery, as RFC 9002 §7.3 has them; what is between is the algorithm's. */
export abstract class WindowController implements CongestionController {
  abstract readonly name: string;
  window: number;
  slowStartThreshold = Infinity;
  protected datagramBytes: number;
  #recoveryStart: Ms = -Infinity;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
    this.window = initialWindow(datagramBytes);
  }

  get isSlowStart(): boolean {
    return this.window < this.slowStartThreshold;
  }

  onAcked(packet: SentPacket, rtt: RttEstimator, isLimited: boolean, now: Ms): void {
    if (packet.sentAt <= this.#recoveryStart) return;
    if (!isLimited) {
      this.onIdle(now);
      return;
    }
    if (this.isSlowStart) this.window += packet.bytes;
    else this.grow(packet.bytes, rtt, now);
  }

  onCongestion(sentAt: Ms, now: Ms): void {
    if (sentAt <= this.#recoveryStart) return;
    this.#recoveryStart = now;
    this.slowStartThreshold = this.reduce(now);
    this.window = Math.max(this.slowStartThreshold, minimumWindow(this.datagramBytes));
  }

  onPersistentCongestion(): void {
    this.window = minimumWindow(this.datagramBytes);
    this.#recoveryStart = -Infinity;
    this.onCollapse();
  }

  setDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
    this.window = Math.max(this.window, minimumWindow(bytes));
  }

  /** `bytes` arrived outside slow start. */
  protected abstract grow(bytes: number, rtt: RttEstimator, now: Ms): void;
  /** The window that a congestion leaves. */
  protected abstract reduce(now: Ms): number;
  /** The sender had less to send than it might have. */
  protected abstract onIdle(now: Ms): void;
  /** All that was known of the path is void. */
  protected abstract onCollapse(): void;
}

/** RFC 9002 §7 and appendix B. */
export class NewReno extends WindowController {
  readonly name = 'newreno';

  protected override grow(bytes: number): void {
    this.window += (this.datagramBytes * bytes) / this.window;
  }

  protected override reduce(): number {
    return this.window / 2;
  }

  protected override onIdle(): void {
    // The window stays as it is.
  }

  protected override onCollapse(): void {
    // The window is all that there is.
  }
}
