import type { EcnCounts } from '../wire/frames.js';
import type { SentPacket } from './sent-packets.js';

/** RFC 9000 A.4. */
export type EcnState = 'testing' | 'unknown' | 'capable' | 'failed';

/** RFC 9000 §13.4.2: marked packets of a test; after that they wait for what the far end says. */
const TEST_PACKETS = 10;

/** Whether a path carries ECN marks to the far end and their counts back (RFC 9000 §13.4.2). One for each number space. */
export class EcnValidator {
  #state: EcnState = 'testing';
  #sent = 0;
  #lost = 0;
  #acked = 0;
  #counts: EcnCounts = { ect0: 0, ect1: 0, ce: 0 };

  get state(): EcnState {
    return this.#state;
  }

  /** Whether the next packet is sent with ECT(0). */
  get marks(): boolean {
    return this.#state === 'testing' || this.#state === 'capable';
  }

  onSent(isMarked: boolean): void {
    if (!isMarked) return;
    this.#sent += 1;
    if (this.#state === 'testing' && this.#sent >= TEST_PACKETS) this.#state = 'unknown';
  }

  onLost(isMarked: boolean): void {
    if (!isMarked) return;
    this.#lost += 1;
    // All that were marked are lost: perhaps because they were marked.
    if (this.#acked === 0 && this.#lost >= TEST_PACKETS && this.#lost >= this.#sent) this.#state = 'failed';
  }

  /**
   * `acked` were acknowledged for the first time by an ACK with these counts that raised the largest acknowledged packet
   * number; others tell nothing (§13.4.2.1). True where the network has marked packets since: a congestion.
   */
  onAck(acked: readonly SentPacket[], counts: EcnCounts | null): boolean {
    // Nobody speaks of it.
    if (counts === null && this.#sent === 0) return false;
    const marked = acked.filter(({ isMarked }) => isMarked).length;
    this.#acked += marked;
    if (this.#state === 'failed') return false;
    if (counts === null) {
      if (marked > 0) this.#state = 'failed';
      return false;
    }
    const ce = counts.ce - this.#counts.ce;
    const ect0 = counts.ect0 - this.#counts.ect0;
    const isWrong = ce < 0 || ect0 < 0 || ect0 + ce < marked || counts.ect1 > 0 || counts.ect0 + counts.ce > this.#sent;
    // Nothing but congestion from the first packet on is somebody who marks everything.
    const allMarked = counts.ce >= TEST_PACKETS && counts.ce >= this.#sent;
    if (isWrong || allMarked) {
      this.#state = 'failed';
      return false;
    }
    this.#counts = counts;
    if (this.#state === 'unknown' && this.#acked > 0) this.#state = 'capable';
    return ce > 0;
  }
}
