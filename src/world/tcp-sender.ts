import { NEVER, type Ms } from '../base/time.js';

/** A stretch of the sequence space to be sent; offsets count from the SYN. */
export interface TcpPiece {
  readonly offset: number;
  readonly syn: boolean;
  readonly fin: boolean;
  readonly bytes: Uint8Array;
  /** Nothing more waits behind it. */
  readonly last: boolean;
}

/** RFC 6298 §2.1, and §5.7 for a connection whose SYN was sent more than once. */
const FIRST_TIMEOUT_MS: Ms = 1000;
const FIRST_TIMEOUT_AFTER_LOSS_MS: Ms = 3000;
/** Linux: the least that is allowed for what round trips vary, and the longest timeout. */
const LEAST_VARIANCE_MS: Ms = 200;
const LONGEST_TIMEOUT_MS: Ms = 120_000;
/** RFC 6928. */
const INITIAL_SEGMENTS = 10;
/** RFC 5681 §3.2. */
const DUPLICATES = 3;

/**
 * What one end of a connection sends: its bytes until they are acknowledged, when they may leave, and when they leave
 * again. Timeouts after RFC 6298, congestion control after RFC 5681 with NewReno's recovery (RFC 6582) and limited
 * transmit (RFC 3042), zero windows after RFC 9293 §3.8.6.1. No selective acknowledgments: after many losses in one
 * round trip it is slower than Linux.
 */
export class TcpSender {
  readonly #buffer = new SendBuffer();
  #mssBytes: number;
  /** The oldest that is not acknowledged, what is sent next, and what never was sent. */
  #una = 0;
  #next = 0;
  #fresh = 0;
  #ended = false;
  /** To be sent again, whatever the window. */
  #again = false;
  #windowBytes = 0;
  #congestionBytes = 0;
  #thresholdBytes = Number.POSITIVE_INFINITY;
  #duplicates = 0;
  /** Losses up to here belong to one event; `#recovering`: it is not over. */
  #recover = 0;
  #recovering = false;
  #smoothedMs: Ms | null = null;
  #varianceMs: Ms = 0;
  #firstTimeoutMs = FIRST_TIMEOUT_MS;
  #backoff = 0;
  /** Since something was heard that the other end would not say if it were gone. */
  #expiries = 0;
  #timed: { readonly offset: number; readonly at: Ms } | null = null;
  #timerAt: Ms = NEVER;

  constructor(mssBytes: number) {
    this.#mssBytes = mssBytes;
  }

  /** The oldest offset that is not acknowledged. */
  get una(): number {
    return this.#una;
  }

  /** The offset behind everything that was ever sent. */
  get fresh(): number {
    return this.#fresh;
  }

  get mssBytes(): number {
    return this.#mssBytes;
  }

  get isFinAcknowledged(): boolean {
    return this.#ended && this.#una > this.#buffer.end;
  }

  /** How often in a row a timer ran out and nothing was heard. */
  get expiries(): number {
    return this.#expiries;
  }

  get deadline(): Ms {
    return this.#timerAt;
  }

  write(bytes: Uint8Array): void {
    if (!this.#ended) this.#buffer.push(bytes);
  }

  /** Nothing more is written: a FIN follows what was. */
  end(): void {
    this.#ended = true;
  }

  /** The far end's handshake: how much it takes in a segment. */
  negotiate(mssBytes: number): void {
    this.#mssBytes = Math.min(this.#mssBytes, mssBytes);
    this.#congestionBytes = INITIAL_SEGMENTS * this.#mssBytes;
  }

  /** A link on the way takes only smaller segments: what is under way is cut anew (RFC 1191 §6.4). */
  shrink(mssBytes: number): void {
    if (mssBytes >= this.#mssBytes) return;
    this.#mssBytes = mssBytes;
    this.repeat();
  }

  /** Sends what is not acknowledged once more. */
  repeat(): void {
    this.#next = this.#una;
    this.#timed = null;
  }

  /** What may leave now; `null`: nothing. */
  next(now: Ms): TcpPiece | null {
    if (this.#again) {
      this.#again = false;
      this.#timerAt = NEVER;
      return this.#cut(this.#una, this.#mssBytes, now);
    }
    if (this.#next === 0) return this.#cut(0, 0, now);
    if (this.#una === 0) return null;
    const limited = this.#recovering ? 0 : Math.min(this.#duplicates, DUPLICATES - 1) * this.#mssBytes;
    const room = this.#una + Math.min(this.#congestionBytes + limited, this.#windowBytes) - this.#next;
    const left = this.#buffer.end - this.#next;
    const isFinLeft = this.#ended && left >= 0;
    if (left <= 0 && !isFinLeft) return null;
    const length = Math.min(this.#mssBytes, left, Math.floor(room));
    const isIdle = this.#next === this.#una;
    // A small one would only be the first of many (RFC 9293 §3.8.6.2.1).
    if (room < 1 || (length < this.#mssBytes && length < left && !isIdle)) {
      if (isIdle && this.#timerAt === NEVER) this.#timerAt = now + this.#timeoutMs;
      return null;
    }
    return this.#cut(this.#next, length, now);
  }

  #cut(offset: number, length: number, now: Ms): TcpPiece {
    const syn = offset === 0;
    const bytes = syn ? this.#buffer.slice(1, 0) : this.#buffer.slice(offset, length);
    const behind = offset + (syn ? 1 : bytes.length);
    const last = behind === this.#buffer.end;
    const fin = !syn && last && this.#ended && behind < this.#una + this.#windowBytes;
    const end = behind + (fin ? 1 : 0);
    // Karn: an acknowledgment of what was sent twice says nothing of the round trip.
    if (offset < this.#fresh) this.#timed = null;
    else this.#timed ??= { offset: end, at: now };
    this.#next = Math.max(this.#next, end);
    this.#fresh = Math.max(this.#fresh, end);
    if (this.#timerAt === NEVER) this.#timerAt = now + this.#timeoutMs;
    return { offset, syn, fin, bytes, last };
  }

  /** Takes an acknowledgment between `una` and `fresh`; `isBare`: its segment carried nothing else. */
  acknowledge(offset: number, isBare: boolean, now: Ms): void {
    if (offset > this.#una) this.#advance(offset, now);
    else if (isBare && this.#una < this.#fresh && this.#una > 0) this.#duplicate();
    if (this.#windowBytes === 0) this.#expiries = 0;
  }

  /** What the far end takes from `una` on. Gives whether that is news. */
  open(windowBytes: number, now: Ms): boolean {
    if (windowBytes === this.#windowBytes) return false;
    const wasShut = this.#windowBytes === 0;
    this.#windowBytes = windowBytes;
    if (wasShut && this.#una > 0) {
      this.#backoff = 0;
      this.#rearm(now);
    }
    return true;
  }

  #advance(offset: number, now: Ms): void {
    const acknowledged = offset - this.#una;
    const wasSyn = this.#una === 0;
    this.#una = offset;
    this.#next = Math.max(this.#next, offset);
    this.#buffer.forget(Math.min(offset, this.#buffer.end));
    this.#duplicates = 0;
    this.#expiries = 0;
    if (this.#timed && offset >= this.#timed.offset) this.#measure(now - this.#timed.at);
    if (wasSyn) this.#afterSyn();
    else if (this.#recovering) this.#recoverUpTo(offset, acknowledged);
    else if (this.#congestionBytes < this.#thresholdBytes) {
      this.#congestionBytes += Math.min(acknowledged, 2 * this.#mssBytes);
    } else this.#congestionBytes += this.#mssBytes ** 2 / this.#congestionBytes;
    this.#rearm(now);
  }

  #afterSyn(): void {
    if (this.#smoothedMs !== null) return;
    this.#firstTimeoutMs = FIRST_TIMEOUT_AFTER_LOSS_MS;
    this.#backoff = 0;
  }

  #recoverUpTo(offset: number, acknowledged: number): void {
    if (offset >= this.#recover) {
      this.#recovering = false;
      this.#congestionBytes = this.#thresholdBytes;
      return;
    }
    // A partial acknowledgment: what follows it was lost as well.
    this.#again = true;
    this.#congestionBytes = Math.max(this.#mssBytes, this.#congestionBytes - acknowledged + this.#mssBytes);
  }

  #duplicate(): void {
    this.#duplicates += 1;
    if (this.#recovering) this.#congestionBytes += this.#mssBytes;
    else if (this.#duplicates === DUPLICATES && this.#una > this.#recover) {
      this.#halve();
      this.#recover = this.#fresh;
      this.#recovering = true;
      this.#congestionBytes = this.#thresholdBytes + DUPLICATES * this.#mssBytes;
      this.#again = true;
    }
  }

  /** The timer ran out. `probe`: the far end takes nothing; it is to be asked whether that is still so. */
  expire(now: Ms): 'repeat' | 'probe' {
    this.#expiries += 1;
    this.#backoff += 1;
    this.#timerAt = now + this.#timeoutMs;
    if (this.#una > 0 && (this.#una === this.#fresh || this.#windowBytes === 0)) return 'probe';
    // RFC 5681 §3.1: once for what is lost.
    if (this.#expiries === 1) this.#halve();
    this.#congestionBytes = this.#mssBytes;
    this.#recover = this.#fresh;
    this.#recovering = false;
    this.#again = false;
    this.#duplicates = 0;
    this.repeat();
    return 'repeat';
  }

  #halve(): void {
    this.#thresholdBytes = Math.max((this.#next - this.#una) / 2, 2 * this.#mssBytes);
  }

  #measure(roundTripMs: Ms): void {
    this.#timed = null;
    this.#backoff = 0;
    if (this.#smoothedMs === null) {
      this.#smoothedMs = roundTripMs;
      this.#varianceMs = roundTripMs / 2;
    } else {
      this.#varianceMs = 0.75 * this.#varianceMs + 0.25 * Math.abs(this.#smoothedMs - roundTripMs);
      this.#smoothedMs = 0.875 * this.#smoothedMs + 0.125 * roundTripMs;
    }
  }

  #rearm(now: Ms): void {
    this.#timerAt = this.#una < this.#fresh ? now + this.#timeoutMs : NEVER;
  }

  get #timeoutMs(): Ms {
    const measured =
      this.#smoothedMs === null
        ? this.#firstTimeoutMs
        : this.#smoothedMs + Math.max(LEAST_VARIANCE_MS, 4 * this.#varianceMs);
    return Math.min(LONGEST_TIMEOUT_MS, measured * 2 ** this.#backoff);
  }
}

/** The bytes from an offset on; the first one written has offset 1. */
class SendBuffer {
  #bytes = new Uint8Array(0);
  /** Of the first byte held. */
  #begin = 1;
  #start = 0;
  #stop = 0;

  /** Behind the last byte. */
  get end(): number {
    return this.#begin + this.#stop - this.#start;
  }

  push(bytes: Uint8Array): void {
    if (this.#stop + bytes.length > this.#bytes.length) {
      // Never moved in place: packets that are under way hold on to slices.
      const grown = new Uint8Array(2 * (this.#stop - this.#start + bytes.length));
      grown.set(this.#bytes.subarray(this.#start, this.#stop));
      this.#bytes = grown;
      this.#stop -= this.#start;
      this.#start = 0;
    }
    this.#bytes.set(bytes, this.#stop);
    this.#stop += bytes.length;
  }

  slice(offset: number, length: number): Uint8Array {
    const from = this.#start + offset - this.#begin;
    return this.#bytes.subarray(from, Math.min(from + length, this.#stop));
  }

  forget(upTo: number): void {
    this.#start += upTo - this.#begin;
    this.#begin = upTo;
  }
}
