import type { StreamFrame } from '../wire/frames.js';
import { varintLength } from '../wire/varint.js';
import type { SendCredit } from './flow-control.js';
import type { SendStream, StreamPart } from './send-stream.js';

/** The streams that have something to send. They take turns; those that have nothing are not looked at. */
export class SendQueue {
  readonly #waiting = new Set<SendStream>();
  /** Those that their own limit holds up, of which nothing was said yet. */
  readonly #blocked = new Set<SendStream>();
  readonly #credit: SendCredit;

  /** `credit`: what all of them share. */
  constructor(credit: SendCredit) {
    this.#credit = credit;
  }

  /** A stream may have something to send. */
  wake(stream: SendStream): void {
    this.#waiting.add(stream);
  }

  /** Whether one of them has something that its own limit lets go. */
  get isWaiting(): boolean {
    for (const stream of this.#waiting) {
      if (stream.isSendable) return true;
      this.#rest(stream);
    }
    return false;
  }

  /** Whether {@link next} would give something. */
  get hasData(): boolean {
    const { left } = this.#credit;
    for (const stream of this.#waiting) {
      if (stream.isSendable && (left > 0 || !stream.needsCredit)) return true;
    }
    return false;
  }

  /** Bytes that were lost, and those that were never sent and may be. */
  get waiting(): { readonly lostBytes: number; readonly freshBytes: number } {
    let lostBytes = 0;
    let freshBytes = 0;
    for (const stream of this.#waiting) {
      lostBytes += stream.lostBytes;
      freshBytes += Math.min(stream.unsentBytes, stream.credit.left);
    }
    return { lostBytes, freshBytes: Math.min(freshBytes, this.#credit.left) };
  }

  next(most: number): { readonly stream: number; readonly part: StreamPart } | null {
    const found = this.#take(most, 0, false);
    return found === null ? null : { stream: found.stream.id, part: found.part };
  }

  /** The next STREAM frame, in `room` bytes; without a length where it fills them. */
  nextFrame(room: number, ahead = 0): { readonly frame: StreamFrame; readonly bytes: number } | null {
    const found = this.#take(room, ahead, true);
    if (found === null) return null;
    const { id } = found.stream;
    const { offset, data, fin } = found.part;
    const bare = headerBytes(id, offset) + data.length;
    const whole = bare + varintLength(data.length);
    // One that falls between goes to the end of the packet as well: the caller puts padding before it.
    const hasLength = whole <= room;
    return {
      frame: { type: 'stream', stream: id, offset, data, fin, hasLength },
      bytes: hasLength ? whole : bare,
    };
  }

  /** Streams that have become blocked by their own limit since the last call. */
  takeBlocked(): SendStream[] {
    if (this.#blocked.size === 0) return [];
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    return blocked;
  }

  /** A part that has at most `room` bytes, or with its header no more; past the next `ahead` bytes of what waits. */
  #take(
    room: number,
    ahead: number,
    withHeader: boolean,
  ): { readonly stream: SendStream; readonly part: StreamPart } | null {
    for (const stream of this.#waiting) {
      if (!stream.isSendable) {
        this.#rest(stream);
        continue;
      }
      const most = withHeader ? room - headerBytes(stream.id, stream.offsetAhead(ahead)) : room;
      // Not even one byte behind its header.
      if (most <= 0) continue;
      const { left } = this.#credit;
      const part = ahead > 0 ? stream.nextAhead(most, left, ahead) : stream.next(most, left);
      if (part === null) continue;
      this.#credit.use(part.newBytes);
      this.#rest(stream);
      return { stream, part };
    }
    return null;
  }

  /** It has had its turn: to the end of the line, or out of it. */
  #rest(stream: SendStream): void {
    // Nearly always it is alone: nobody to let pass.
    if (this.#waiting.size === 1 && stream.isSendable) return;
    this.#waiting.delete(stream);
    if (stream.isSendable) this.#waiting.add(stream);
    else if (stream.isBlocked) this.#blocked.add(stream);
  }
}

/** Without the length. */
function headerBytes(id: number, offset: number): number {
  return 1 + varintLength(id) + (offset > 0 ? varintLength(offset) : 0);
}
