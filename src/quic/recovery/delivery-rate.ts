import type { Ms } from '../../base/time.js';
import type { SentPacket } from './sent-packets.js';

/** How things stood when a packet left. */
interface Snapshot {
  readonly delivered: number;
  readonly deliveredAt: Ms;
  readonly firstSentAt: Ms;
  readonly isAppLimited: boolean;
  /** Bytes on their way, this packet included. */
  readonly inFlight: number;
  readonly lost: number;
}

/** What one ACK says of the path. */
export interface RateSample {
  /** Bytes a millisecond; 0 where the ACK does not tell. */
  readonly rate: number;
  /** Bytes that were delivered over the time of the sample, and those that this ACK told of. */
  readonly delivered: number;
  readonly newlyAcked: number;
  /** Of the newest packet that was acknowledged: what had been delivered when it left, and what was on its way. */
  readonly priorDelivered: number;
  readonly inFlightAtSend: number;
  /** Bytes lost since it left. */
  readonly lost: number;
  /** The sender had less to send than it might have: the rate is a lower bound. */
  readonly isAppLimited: boolean;
}

/** How fast a path delivers, measured over about a round trip (draft-ietf-ccwg-bbr, "Delivery Rate Samples"). */
export class DeliveryRate {
  delivered = 0;
  lost = 0;
  #deliveredAt: Ms = 0;
  #firstSentAt: Ms = 0;
  /** Until so much is delivered, samples come from a sender that had too little to send; 0: they do not. */
  #appLimitedUntil = 0;
  readonly #snapshots = new WeakMap<SentPacket, Snapshot>();
  #newest: Snapshot | null = null;
  #sendElapsed: Ms = 0;
  #newlyAcked = 0;

  /** `inFlight`: bytes on their way before this packet. */
  onSent(packet: SentPacket, inFlight: number, now: Ms): void {
    if (inFlight === 0) {
      this.#firstSentAt = now;
      this.#deliveredAt = now;
    }
    this.#snapshots.set(packet, {
      delivered: this.delivered,
      deliveredAt: this.#deliveredAt,
      firstSentAt: this.#firstSentAt,
      isAppLimited: this.#appLimitedUntil > 0,
      inFlight: inFlight + packet.bytes,
      lost: this.lost,
    });
  }

  /** There is nothing to send at the moment, although there might be more on its way than there is. */
  onAppLimited(inFlight: number): void {
    this.#appLimitedUntil = Math.max(1, this.delivered + inFlight);
  }

  onAcked(packet: SentPacket, now: Ms): void {
    const snapshot = this.#snapshots.get(packet);
    if (snapshot === undefined) return;
    this.delivered += packet.bytes;
    this.#deliveredAt = now;
    this.#newlyAcked += packet.bytes;
    if (this.#newest !== null && snapshot.delivered < this.#newest.delivered) return;
    this.#newest = snapshot;
    this.#sendElapsed = packet.sentAt - snapshot.firstSentAt;
    this.#firstSentAt = packet.sentAt;
  }

  /** Bytes that were on their way when the packet left, itself included, and what was lost since then. */
  onLost(packet: SentPacket): { readonly inFlight: number; readonly lost: number } {
    this.lost += packet.bytes;
    const snapshot = this.#snapshots.get(packet);
    return { inFlight: snapshot?.inFlight ?? packet.bytes, lost: this.lost - (snapshot?.lost ?? 0) };
  }

  /** The sample of an ACK all of whose packets were told; `null` where nothing of it was new. */
  take(minRtt: Ms): RateSample | null {
    const newest = this.#newest;
    const newlyAcked = this.#newlyAcked;
    this.#newest = null;
    this.#newlyAcked = 0;
    if (this.#appLimitedUntil > 0 && this.delivered > this.#appLimitedUntil) this.#appLimitedUntil = 0;
    if (newest === null) return null;
    const interval = Math.max(this.#sendElapsed, this.#deliveredAt - newest.deliveredAt);
    const delivered = this.delivered - newest.delivered;
    // Shorter than the path is: ACKs that came in a heap, whose rate would be a dream.
    const rate = interval > 0 && interval >= minRtt ? delivered / interval : 0;
    return {
      rate,
      delivered,
      newlyAcked,
      priorDelivered: newest.delivered,
      inFlightAtSend: newest.inFlight,
      lost: this.lost - newest.lost,
      isAppLimited: newest.isAppLimited,
    };
  }
}
