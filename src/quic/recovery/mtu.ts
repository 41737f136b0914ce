import { NEVER, type Ms } from '../../base/time.js';

/** RFC 9000 §14: every path has to carry this. */
export const BASE_DATAGRAM_BYTES = 1200;
/** Ethernet with IPv4 and UDP: 1500 − 20 − 8. */
export const ETHERNET_DATAGRAM_BYTES = 1472;
/** Jumbo frames: 9000 − 20 − 8. */
export const JUMBO_DATAGRAM_BYTES = 8972;

/** RFC 8899 §5.1: MAX_PROBES, PMTU_RAISE_TIMER. */
const MAX_PROBES = 3;
const RAISE_MS: Ms = 600_000;
/** The search ends when it knows the answer to so many bytes. */
const PRECISION_BYTES = 8;
/** So many full datagrams lost in a row, and none that left later arrived: the path has become smaller (RFC 8899 §4.3). */
const BLACK_HOLE_LOSSES = 6;

/** How large datagrams may be on a path, without asking ICMP: DPLPMTUD (RFC 8899, RFC 9000 §14.3). */
export class MtuSearch {
  #confirmed = BASE_DATAGRAM_BYTES;
  #ceiling: number;
  #most: number;
  /** What most paths have, where this host and the far end do. */
  #usual: number;
  #probing: number | null = null;
  #failures = 0;
  #lostInARow = 0;
  /** When the last full datagram left that is known to have arrived. */
  #passedAt: Ms = -Infinity;
  #raiseAt: Ms = NEVER;

  /** `most`: what this host can send and the far end says that it takes. */
  constructor(most: number = ETHERNET_DATAGRAM_BYTES, usual: number = ETHERNET_DATAGRAM_BYTES) {
    this.#most = Math.max(most, BASE_DATAGRAM_BYTES);
    this.#usual = Math.min(usual, this.#most);
    this.#ceiling = this.#most;
  }

  /** The far end takes no more than this; it is heard of while the search has not begun. */
  limit(most: number): void {
    this.#most = Math.max(Math.min(this.#most, most), BASE_DATAGRAM_BYTES);
    this.#usual = Math.min(this.#usual, this.#most);
    this.#ceiling = Math.min(this.#ceiling, this.#most);
  }

  /** Bytes of UDP payload that are known to pass. */
  get datagramBytes(): number {
    return this.#confirmed;
  }

  /** The size of a probe to be sent now; `null` where none is due or one is on its way. */
  get nextProbe(): number | null {
    if (this.#probing !== null || this.#ceiling - this.#confirmed < PRECISION_BYTES) return null;
    // First what most paths have, then what this host's link has, then halves.
    if (this.#confirmed < this.#usual && this.#ceiling >= this.#usual) return this.#usual;
    return this.#ceiling === this.#most ? this.#most : Math.ceil((this.#confirmed + this.#ceiling) / 2);
  }

  onProbeSent(bytes: number): void {
    this.#probing = bytes;
  }

  onProbeAcked(bytes: number, now: Ms): void {
    this.#probing = null;
    this.#failures = 0;
    this.#confirmed = Math.max(this.#confirmed, bytes);
    this.#rest(now);
  }

  /** The third loss in a row says that the size does not pass. */
  onProbeLost(bytes: number, now: Ms): void {
    this.#probing = null;
    this.#failures += 1;
    if (this.#failures < MAX_PROBES) return;
    this.#failures = 0;
    // Between Ethernet and jumbo frames there is little to be found: that is not worth a probe for each half.
    this.#ceiling = bytes > this.#usual ? this.#confirmed : Math.max(bytes - 1, this.#confirmed);
    this.#rest(now);
  }

  onAcked(bytes: number, sentAt: Ms): void {
    if (bytes < this.#confirmed) return;
    this.#lostInARow = 0;
    this.#passedAt = Math.max(this.#passedAt, sentAt);
  }

  /** True where the path has become smaller: from now on datagrams have the least size, and the search begins anew. */
  onLost(bytes: number, sentAt: Ms): boolean {
    if (this.#confirmed <= BASE_DATAGRAM_BYTES || bytes <= BASE_DATAGRAM_BYTES) return false;
    // An overflowing queue loses many in a row, too; but what leaves after them arrives.
    if (sentAt <= this.#passedAt) return false;
    this.#lostInARow += 1;
    if (this.#lostInARow < BLACK_HOLE_LOSSES) return false;
    this.#lostInARow = 0;
    this.#ceiling = this.#confirmed - 1;
    this.#confirmed = BASE_DATAGRAM_BYTES;
    this.#probing = null;
    return true;
  }

  deadline(): Ms {
    return this.#raiseAt;
  }

  /** Perhaps the path has grown. */
  onTimeout(now: Ms): void {
    if (now < this.#raiseAt) return;
    this.#raiseAt = NEVER;
    this.#ceiling = this.#most;
  }

  #rest(now: Ms): void {
    const isDone = this.#ceiling - this.#confirmed < PRECISION_BYTES;
    this.#raiseAt = isDone && this.#confirmed < this.#most ? now + RAISE_MS : NEVER;
  }
}
