import type { Ms } from '../../base/time.js';

/** What the far end may send: of a stream, or of all together (RFC 9000 §4). */
export class ReceiveWindow {
  #limit: number;
  #bytes: number;
  readonly #mostBytes: number;
  #received = 0;
  #consumed = 0;
  #lastUpdate: Ms | null = null;

  /** `mostBytes`: how far auto-tuning may go. */
  constructor(bytes: number, mostBytes: number) {
    this.#bytes = bytes;
    this.#limit = bytes;
    this.#mostBytes = Math.max(bytes, mostBytes);
  }

  /** What was last said to the far end. */
  get limit(): number {
    return this.#limit;
  }

  get windowBytes(): number {
    return this.#bytes;
  }

  /** The far end has used the window up to `total`; false where it may not (FLOW_CONTROL_ERROR). */
  receive(total: number): boolean {
    if (total > this.#limit) return false;
    this.#received = Math.max(this.#received, total);
    return true;
  }

  /** `bytes` were read, or will never be. */
  consume(bytes: number): void {
    this.#consumed += bytes;
  }

  /** Half of the window is used: the far end should hear of a new limit. */
  get isUpdateDue(): boolean {
    return this.#limit - this.#consumed < this.#bytes / 2;
  }

  /** The far end has used more than half of the window, whatever was read of it, and the window may grow. */
  get isTight(): boolean {
    return this.#limit - this.#received < this.#bytes / 2 && this.#bytes < this.#mostBytes;
  }

  /**
   * The limit to be said now where nothing waits to be read but a gap is in the way: the far end would stand still until
   * the gap is filled, which takes it a round trip or more.
   */
  widen(): number {
    this.#bytes = Math.min(this.#mostBytes, this.#bytes * 2);
    this.#limit = Math.max(this.#limit, this.#consumed + this.#bytes);
    return this.#limit;
  }

  /**
   * The limit to be said now. Where the last half of a window took less than two round trips, the window and not the
   * path was the limit: it doubles.
   */
  update(rtt: Ms, now: Ms): number {
    if (this.#lastUpdate !== null && now - this.#lastUpdate < 2 * rtt) {
      this.#bytes = Math.min(this.#mostBytes, this.#bytes * 2);
    }
    this.#lastUpdate = now;
    this.#limit = Math.max(this.#limit, this.#consumed + this.#bytes);
    return this.#limit;
  }
}

/** What this end may send. */
export class SendCredit {
  #limit: number;
  #used = 0;
  #blockedSaid = -1;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get limit(): number {
    return this.#limit;
  }

  get left(): number {
    return this.#limit - this.#used;
  }

  /** Limits only rise; an older one that comes late is passed over (RFC 9000 §4.1). */
  raise(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
  }

  use(bytes: number): void {
    this.#used += bytes;
  }

  /** The limit to be said in a BLOCKED frame, once for each; `null` where nothing is blocked, or it was said. */
  takeBlocked(): number | null {
    if (this.left > 0 || this.#blockedSaid === this.#limit) return null;
    this.#blockedSaid = this.#limit;
    return this.#limit;
  }

  /** What was said was lost on its way. */
  repeatBlocked(): void {
    this.#blockedSaid = -1;
  }
}
