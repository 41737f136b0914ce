import { NEVER, type Ms } from '../../base/time.js';
import { RangeSet } from '../streams/range-set.js';
import type { AckFrame, EcnCounts } from '../wire/frames.js';

/** RFC 9000 §13.2.2: an ACK for every second packet that asks for one. */
const ACK_EVERY = 2;
/** RFC 9000 §13.2.3: more ranges than fit into a packet are of no use; the oldest are forgotten. */
const MAX_RANGES = 32;

export type EcnMark = 'none' | 'ect0' | 'ect1' | 'ce';

/** What came in one packet number space, and when to say so (RFC 9000 §13.2). */
export class ReceivedPackets {
  readonly #numbers = new RangeSet();
  /** Lower ones count as known: whether they came is forgotten. */
  #floor = 0;
  #largest = -1;
  #largestAt: Ms = 0;
  #counts: EcnCounts = { ect0: 0, ect1: 0, ce: 0 };
  /** Packets that ask for an ACK, since the last one. */
  #unacknowledged = 0;
  #dueAt: Ms = NEVER;
  readonly #maxDelayMs: Ms;

  /** `maxDelayMs`: what this end said in max_ack_delay; 0 for Initial and Handshake packets. */
  constructor(maxDelayMs: Ms) {
    this.#maxDelayMs = maxDelayMs;
  }

  /** The highest number that came; -1 before the first. */
  get largest(): number {
    return this.#largest;
  }

  /** Whether a packet came before, or may have. */
  isKnown(packetNumber: number): boolean {
    return packetNumber < this.#floor || this.#numbers.covers(packetNumber, packetNumber + 1);
  }

  /** A packet that was opened and is not known. */
  onPacket(packetNumber: number, isAckEliciting: boolean, mark: EcnMark, now: Ms): void {
    // What is out of order is told at once, so that losses are noticed (§13.2.1).
    const isInOrder = packetNumber === this.#largest + 1;
    this.#numbers.add(packetNumber, packetNumber + 1);
    if (packetNumber > this.#largest) {
      this.#largest = packetNumber;
      this.#largestAt = now;
    }
    if (mark !== 'none') this.#counts = { ...this.#counts, [mark]: this.#counts[mark] + 1 };
    const { ranges } = this.#numbers;
    if (ranges.length > MAX_RANGES) {
      this.#floor = ranges[ranges.length - MAX_RANGES]?.from ?? this.#floor;
      this.#numbers.remove(0, this.#floor);
    }
    if (!isAckEliciting) return;
    this.#unacknowledged += 1;
    const isUrgent = !isInOrder || mark === 'ce' || this.#unacknowledged >= ACK_EVERY;
    this.#dueAt = Math.min(this.#dueAt, isUrgent ? now : now + this.#maxDelayMs);
  }

  /** When an ACK has to be sent by itself. */
  deadline(): Ms {
    return this.#dueAt;
  }

  /** There is something new to say: an ACK may go along with other frames. */
  get isUseful(): boolean {
    return this.#unacknowledged > 0;
  }

  /** The ACK to be sent now; `null` where nothing came. `exponent`: this end's ack_delay_exponent. */
  takeAck(path: number | null, exponent: number, now: Ms): AckFrame | null {
    const { ranges } = this.#numbers;
    if (ranges.length === 0) return null;
    this.#unacknowledged = 0;
    this.#dueAt = NEVER;
    const { ect0, ect1, ce } = this.#counts;
    return {
      type: 'ack',
      path,
      delay: Math.floor(Math.max(0, (now - this.#largestAt) * 1000) / 2 ** exponent),
      ranges: ranges.map(({ from, to }) => ({ smallest: from, largest: to - 1 })).reverse(),
      ecn: ect0 + ect1 + ce > 0 ? this.#counts : null,
    };
  }

  /** An ACK with this as its highest number has arrived: what is below need not be said again (§13.2.4). */
  onAckAcknowledged(largest: number): void {
    // The highest stays, as an ACK has to have one.
    const floor = Math.min(largest, this.#largest);
    if (floor <= this.#floor) return;
    this.#floor = floor;
    this.#numbers.remove(0, floor);
  }
}
