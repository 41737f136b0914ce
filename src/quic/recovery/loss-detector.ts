import { NEVER, type Ms } from '../../base/time.js';
import type { AckRange } from '../wire/frames.js';
import { GRANULARITY_MS, type RttEstimator } from './rtt.js';
import { type SentPacket, SentPackets } from './sent-packets.js';

/** RFC 9002 §6.1.1 and §6.1.2. */
const PACKET_THRESHOLD = 3;
const TIME_THRESHOLD = 9 / 8;

/** The packets of one packet number space on their way: which arrived, which are lost (RFC 9002 §6.1). */
export class LossDetector<Content> {
  largestAcked = -1;
  largestSent = -1;
  /** When the last packet was sent that asks for an acknowledgment. */
  lastAckElicitingAt: Ms = -Infinity;
  /** When the next packet counts as lost without another ACK. */
  lossTime: Ms = NEVER;
  ackElicitingInFlight = 0;
  readonly #packets = new SentPackets<Content>();

  onSent(packet: SentPacket<Content>): void {
    this.largestSent = packet.packetNumber;
    this.#packets.add(packet);
    if (!packet.isAckEliciting) return;
    this.lastAckElicitingAt = packet.sentAt;
    this.ackElicitingInFlight += 1;
  }

  /** The packets that are acknowledged for the first time, in order; `null` where one was never sent. */
  onAck(ranges: readonly AckRange[]): SentPacket<Content>[] | null {
    const largest = ranges[0]?.largest ?? -1;
    if (largest > this.largestSent) return null;
    this.largestAcked = Math.max(this.largestAcked, largest);
    const acked: SentPacket<Content>[] = [];
    for (let index = ranges.length - 1; index >= 0; index -= 1) {
      const range = ranges[index];
      if (range !== undefined) this.#packets.takeBetween(range.smallest, range.largest, acked);
    }
    for (const { isAckEliciting } of acked) if (isAckEliciting) this.ackElicitingInFlight -= 1;
    return acked;
  }

  /** The packets that are lost by `now`; sets {@link lossTime} for those that may be soon (RFC 9002 A.10). */
  detectLost(rtt: RttEstimator, now: Ms): SentPacket<Content>[] {
    this.lossTime = NEVER;
    const delay = Math.max(TIME_THRESHOLD * Math.max(rtt.latest, rtt.smoothed), GRANULARITY_MS);
    const lost: SentPacket<Content>[] = [];
    for (const packet of this.#packets.between(0, this.largestAcked)) {
      const isLate = packet.sentAt + delay <= now;
      if (isLate || this.largestAcked >= packet.packetNumber + PACKET_THRESHOLD) lost.push(packet);
      else this.lossTime = Math.min(this.lossTime, packet.sentAt + delay);
    }
    for (const packet of lost) this.#take(packet);
    return lost;
  }

  /** The oldest that still waits: what a probe sends again. */
  get oldest(): SentPacket<Content> | undefined {
    return this.#packets.first;
  }

  /** When the oldest, or the one after it, was sent of those that ask for an acknowledgment; `null`: there is none. */
  elicitingAt(place: 0 | 1): Ms | null {
    if (this.ackElicitingInFlight <= place) return null;
    let skipped = 0;
    for (const { isAckEliciting, sentAt } of this.waiting) {
      if (!isAckEliciting) continue;
      if (skipped === place) return sentAt;
      skipped += 1;
    }
    return null;
  }

  /** All that wait, in order. */
  get waiting(): Iterable<SentPacket<Content>> {
    return this.#packets.between(0, this.largestSent);
  }

  /** All that wait are forgotten: the keys are gone, or the path is. */
  discard(): SentPacket<Content>[] {
    this.lossTime = NEVER;
    this.ackElicitingInFlight = 0;
    this.lastAckElicitingAt = -Infinity;
    return this.#packets.clear();
  }

  #take(packet: SentPacket<Content>): SentPacket<Content> {
    this.#packets.take(packet.packetNumber);
    if (packet.isAckEliciting) this.ackElicitingInFlight -= 1;
    return packet;
  }
}

/** RFC 9002 §7.6: over how long everything was lost, at most, among what was sent after the first RTT sample. */
export function longestLossMs(lost: readonly SentPacket[], firstSampleAt: Ms | null): Ms {
  let longest = 0;
  let start: SentPacket | null = null;
  let previous = -1;
  for (const packet of lost) {
    if (firstSampleAt === null || packet.sentAt <= firstSampleAt) continue;
    // Between two numbers that do not follow each other something may have arrived.
    if (packet.packetNumber !== previous + 1) start = null;
    previous = packet.packetNumber;
    if (!packet.isAckEliciting) continue;
    start ??= packet;
    longest = Math.max(longest, packet.sentAt - start.sentAt);
  }
  return longest;
}
