/** A window without scaling (RFC 9293 §3.1): 64 KiB a round trip, enough for what a measurement says to its far end. */
export const WINDOW_BYTES = 0xffff;

interface Stretch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What one end of a connection receives: puts it in order. Offsets count from the SYN of the far end. */
export class TcpReceiver {
  /** What is expected next. */
  next = 0;
  /** In order, and not fetched. */
  readonly #ready: Uint8Array[] = [];
  #readyBytes = 0;
  /** Beyond a gap, by offset. */
  #ahead: Stretch[] = [];
  #aheadBytes = 0;
  #finAt: number | null = null;

  get windowBytes(): number {
    return WINDOW_BYTES - this.#readyBytes;
  }

  get hasUnread(): boolean {
    return this.#readyBytes > 0;
  }

  /** Whether everything came, the FIN included. */
  get isEnded(): boolean {
    return this.#finAt !== null && this.next > this.#finAt;
  }

  get hasGap(): boolean {
    return this.#ahead.length > 0;
  }

  /**
   * RFC 9293 §3.10.7.4: whether any of it lies in the window. An acknowledgment at its very edge is taken, as Linux
   * does: a sender that has filled the window has no other number for it.
   */
  accepts(offset: number, length: number): boolean {
    const edge = this.next + this.windowBytes;
    if (length === 0) return offset >= this.next && offset <= edge;
    return offset + length > this.next && (offset < edge || offset === this.next);
  }

  /** Takes what is acceptable; gives whether it was what was expected next. */
  take(offset: number, payload: Uint8Array, fin: boolean): boolean {
    const edge = this.next + this.windowBytes;
    const skipped = Math.max(0, this.next - offset);
    const bytes = payload.subarray(skipped, Math.max(skipped, edge - offset));
    if (fin && offset + payload.length <= edge) this.#finAt ??= offset + payload.length;
    const isNext = offset <= this.next;
    if (isNext) this.#append(bytes);
    else this.#keep({ offset, bytes });
    this.#join();
    return isNext;
  }

  /** What is in order, oldest first. */
  fetch(): Uint8Array | undefined {
    const bytes = this.#ready.shift();
    this.#readyBytes -= bytes?.length ?? 0;
    return bytes;
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#ready.push(bytes);
    this.#readyBytes += bytes.length;
    this.next += bytes.length;
  }

  #keep(stretch: Stretch): void {
    const { offset, bytes } = stretch;
    if (bytes.length === 0 || this.#aheadBytes + bytes.length > WINDOW_BYTES) return;
    if (this.#ahead.some((one) => one.offset <= offset && one.offset + one.bytes.length >= offset + bytes.length))
      return;
    const at = this.#ahead.findIndex((one) => one.offset > offset);
    this.#ahead.splice(at < 0 ? this.#ahead.length : at, 0, stretch);
    this.#aheadBytes += bytes.length;
  }

  #join(): void {
    for (let first = this.#ahead[0]; first && first.offset <= this.next; first = this.#ahead[0]) {
      this.#ahead.shift();
      this.#aheadBytes -= first.bytes.length;
      this.#append(first.bytes.subarray(this.next - first.offset));
    }
    if (this.next === this.#finAt) this.next += 1;
  }
}
