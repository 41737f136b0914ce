import { concatBytes } from '../../base/bytes.js';
import { SendCredit } from './flow-control.js';
import { RangeSet } from './range-set.js';

/** RFC 9000 figure 2. */
export type SendState = 'ready' | 'send' | 'data-sent' | 'data-recvd' | 'reset-sent' | 'reset-recvd';

/** What goes into a STREAM frame. */
export interface StreamPart {
  readonly offset: number;
  readonly data: Uint8Array;
  readonly fin: boolean;
  /** Bytes that were never sent before: those that take credit of the connection. */
  readonly newBytes: number;
}

/** The sending half of a stream (RFC 9000 §3.1): keeps what was written until it is acknowledged. */
export class SendStream {
  readonly id: number;
  readonly credit: SendCredit;
  #state: SendState = 'ready';
  /** What was written and not yet acknowledged, from `#base` on. */
  #chunks: Uint8Array[] = [];
  #base = 0;
  #written = 0;
  /** How far everything was sent once. */
  #sent = 0;
  readonly #acked = new RangeSet();
  readonly #lost = new RangeSet();
  #isFinished = false;
  /** `none` until the end has been written. */
  #fin: 'none' | 'due' | 'sent' | 'acked' = 'none';
  #resetCode: number | null = null;
  readonly #wake: (stream: SendStream) => void;
  /** A chunk, and where in the stream it begins: most slices follow each other. */
  #cursor = { index: 0, at: 0 };

  /** `wake` is called when there may be something to send again. */
  constructor(id: number, limit: number, wake: (stream: SendStream) => void = () => undefined) {
    this.id = id;
    this.credit = new SendCredit(limit);
    this.#wake = wake;
  }

  get state(): SendState {
    return this.#state;
  }

  /** Everything was acknowledged, the end included. */
  get isDelivered(): boolean {
    return this.#state === 'data-recvd';
  }

  /** Bytes that were written and are kept: what backpressure looks at. */
  get bufferedBytes(): number {
    return this.#written - this.#base;
  }

  /** Bytes that wait to be sent for the first time. */
  get unsentBytes(): number {
    return this.#resetCode === null ? this.#written - this.#sent : 0;
  }

  /** Bytes that are to be sent again, or were left to a faster path. */
  get lostBytes(): number {
    return this.#lost.length;
  }

  /** Where the next part begins. */
  get nextOffset(): number {
    return this.#lost.first?.from ?? this.#sent;
  }

  /** Where {@link nextAhead} begins; with 0, where {@link next} does. */
  offsetAhead(ahead: number): number {
    return ahead > 0 ? this.#sent + Math.max(0, ahead - this.#lost.length) : this.nextOffset;
  }

  /** Nothing can go without credit of the connection. */
  get needsCredit(): boolean {
    return this.#lost.first === undefined && !(this.#fin === 'due' && this.#sent === this.#written);
  }

  /** What a RESET_STREAM has to say. */
  get finalSize(): number {
    return this.#sent;
  }

  get resetCode(): number | null {
    return this.#resetCode;
  }

  /** Whether anything could be sent, credit of the connection aside. */
  get isSendable(): boolean {
    if (this.#resetCode !== null) return false;
    return (
      this.#lost.first !== undefined || this.#fin === 'due' || (this.#sent < this.#written && this.credit.left > 0)
    );
  }

  /** New bytes wait for the stream's own limit. */
  get isBlocked(): boolean {
    return this.#resetCode === null && this.#sent < this.#written && this.credit.left === 0;
  }

  /** False where the stream takes nothing more. */
  write(data: Uint8Array): boolean {
    if (this.#isFinished || this.#resetCode !== null) return false;
    if (data.length > 0) this.#chunks.push(data);
    this.#written += data.length;
    this.#wake(this);
    return true;
  }

  /** Nothing more will be written. */
  finish(): void {
    if (this.#isFinished || this.#resetCode !== null) return;
    this.#isFinished = true;
    this.#fin = 'due';
    this.#wake(this);
  }

  /** The far end takes more. */
  raise(limit: number): void {
    this.credit.raise(limit);
    this.#wake(this);
  }

  /** Gives up: true where a RESET_STREAM is to be sent (RFC 9000 §3.1). */
  reset(errorCode: number): boolean {
    if (this.#resetCode !== null || this.#state === 'data-recvd') return false;
    this.#resetCode = errorCode;
    this.#state = 'reset-sent';
    this.#chunks = [];
    this.#base = this.#written;
    return true;
  }

  onResetAcked(): void {
    if (this.#state === 'reset-sent') this.#state = 'reset-recvd';
  }

  /** The next part, of at most `most` bytes, of which `connectionLeft` may be new; what was lost goes first. */
  next(most: number, connectionLeft: number): StreamPart | null {
    if (this.#resetCode !== null) return null;
    const lost = this.#lost.first;
    if (lost !== undefined && most > 0) {
      const to = Math.min(lost.to, lost.from + most);
      this.#lost.remove(lost.from, to);
      return this.#part(lost.from, to, 0);
    }
    const room = Math.max(0, Math.min(most, this.credit.left, connectionLeft));
    const to = Math.min(this.#written, this.#sent + room);
    const newBytes = to - this.#sent;
    const isEnd = this.#fin === 'due' && to === this.#written;
    if (newBytes === 0 && !isEnd) return null;
    const from = this.#sent;
    this.#sent = to;
    this.credit.use(newBytes);
    return this.#part(from, to, newBytes);
  }

  /**
   * For a slow path: a part of at most `most` bytes that was never sent, and before which `ahead` bytes at least wait for
   * the faster ones; `null` where there are no more than those. What it leaves out goes next, as if it had been lost.
   */
  nextAhead(most: number, connectionLeft: number, ahead: number): StreamPart | null {
    if (this.#resetCode !== null) return null;
    const from = this.offsetAhead(ahead);
    const to = Math.min(this.#written, from + most, this.#sent + Math.min(this.credit.left, connectionLeft));
    if (to <= from) return null;
    const newBytes = to - this.#sent;
    this.#lost.add(this.#sent, from);
    this.#sent = to;
    this.credit.use(newBytes);
    return this.#part(from, to, newBytes);
  }

  /** True where with this everything has arrived. */
  onAcked(offset: number, length: number, fin: boolean): boolean {
    if (this.#resetCode !== null) return false;
    this.#acked.add(offset, offset + length);
    this.#lost.remove(offset, offset + length);
    if (fin) this.#fin = 'acked';
    const done = this.#acked.first;
    if (done?.from === 0) this.#free(done.to);
    if (this.#fin !== 'acked' || this.#base !== this.#written) return false;
    this.#state = 'data-recvd';
    return true;
  }

  onLost(offset: number, length: number, fin: boolean): void {
    if (this.#resetCode !== null) return;
    for (const { from, to } of this.#acked.missing(offset, offset + length)) this.#lost.add(from, to);
    if (fin && this.#fin === 'sent') this.#fin = 'due';
    this.#wake(this);
  }

  #part(from: number, to: number, newBytes: number): StreamPart {
    const fin = this.#isFinished && to === this.#written;
    if (fin && this.#fin === 'due') this.#fin = 'sent';
    if (this.#state === 'ready') this.#state = 'send';
    if (fin && this.#sent === this.#written) this.#state = 'data-sent';
    return { offset: from, data: this.#slice(from, to), fin, newBytes };
  }

  #slice(from: number, to: number): Uint8Array {
    const chunks = this.#chunks;
    let { index, at } = from >= this.#cursor.at ? this.#cursor : { index: 0, at: this.#base };
    for (let chunk = chunks[index]; chunk !== undefined && at + chunk.length <= from; chunk = chunks[index]) {
      at += chunk.length;
      index += 1;
    }
    this.#cursor = { index, at };
    const first = chunks[index];
    if (first !== undefined && at + first.length >= to) return first.subarray(from - at, to - at);
    const parts: Uint8Array[] = [];
    for (let chunk = first; chunk !== undefined && at < to; chunk = chunks[index]) {
      parts.push(chunk.subarray(Math.max(0, from - at), Math.min(chunk.length, to - at)));
      at += chunk.length;
      index += 1;
    }
    return concatBytes(...parts);
  }

  #free(to: number): void {
    let chunk = this.#chunks[0];
    let drop = 0;
    while (chunk !== undefined && this.#base + chunk.length <= to) {
      this.#base += chunk.length;
      drop += 1;
      chunk = this.#chunks[drop];
    }
    if (drop > 0) this.#chunks.splice(0, drop);
    if (chunk !== undefined && this.#base < to) {
      this.#chunks[0] = chunk.subarray(to - this.#base);
      this.#base = to;
    }
    const index = this.#cursor.index - drop;
    // The first chunk may have become shorter.
    this.#cursor = index <= 0 ? { index: 0, at: this.#base } : { index, at: this.#cursor.at };
  }
}
