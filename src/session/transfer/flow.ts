import { earliest, NEVER, type Ms } from '../../base/time.js';
import type { QuicConnection } from '../../quic/connection/types.js';

const KIB = 1024;
const PATTERN_BYTES = 64 * KIB;
/** How often a capped sender writes. */
const TICK_MS: Ms = 10;

/** Bytes that repeat with no period of a packet, so that any that is missing, doubled or misplaced is seen. */
const PATTERN = Uint8Array.from({ length: PATTERN_BYTES }, (_, index) => (index * 167 + (index >>> 8) * 29) & 0xff);

export interface FlowOptions {
  readonly connection: QuicConnection;
  readonly stream: number;
  /** When this end stops writing; it ends its half at once where it sends nothing. */
  readonly until: Ms;
  readonly sends: boolean;
  readonly rateBps: number | null;
}

/**
 * One stream of a transfer: writes a pattern until its time is over, reads what the far end writes, and knows whether all
 * of it came, how much, and how long nothing did.
 */
export class Flow {
  readonly stream: number;
  readonly #options: FlowOptions;
  readonly #startedAt: Ms;
  sentBytes = 0;
  receivedBytes = 0;
  /** The longest time between two reads; from the first byte on. */
  longestPauseMs: Ms = 0;
  /** When that began. */
  longestPauseAt: Ms = 0;
  #lastReadAt: Ms | null = null;
  #blocked = false;
  #nextAt: Ms = 0;
  #finished = false;
  #delivered = false;
  #ended = false;
  #damagedAt: number | null = null;

  constructor(options: FlowOptions, now: Ms) {
    this.#options = options;
    this.stream = options.stream;
    this.#startedAt = now;
  }

  /** Everything that was written is acknowledged, and everything that the far end wrote was read. */
  get isComplete(): boolean {
    return this.#delivered && this.#ended;
  }

  /** The first byte that came otherwise than it was written; `null`: none did. */
  get damagedAt(): number | null {
    return this.#damagedAt;
  }

  deadline(): Ms {
    const { sends, rateBps, until } = this.#options;
    if (this.#finished) return NEVER;
    if (!sends || this.#blocked) return until;
    return rateBps === null ? until : earliest(until, this.#nextAt);
  }

  /** Writes what may be written now. */
  work(now: Ms): void {
    const { connection, stream, sends, until, rateBps } = this.#options;
    if (this.#finished) return;
    // A capped sender is asked with every packet that comes: it writes packets, not crumbs.
    if (sends && !this.#blocked && (rateBps === null || now >= this.#nextAt || now >= until)) {
      this.#nextAt = now + TICK_MS;
      const end = Math.min(now, until);
      const allowed = rateBps === null ? Infinity : Math.floor(((end - this.#startedAt) * rateBps) / 8000);
      while (this.sentBytes < allowed) {
        const at = this.sentBytes % PATTERN_BYTES;
        const chunk = PATTERN.subarray(at, Math.min(PATTERN_BYTES, at + allowed - this.sentBytes));
        const taken = connection.write(stream, chunk);
        this.sentBytes += taken;
        if (taken < chunk.length) {
          this.#blocked = true;
          break;
        }
      }
    }
    if (now < until && sends) return;
    this.#finished = true;
    connection.finish(stream);
  }

  writable(): void {
    this.#blocked = false;
  }

  delivered(): void {
    this.#delivered = true;
  }

  ended(): void {
    this.#ended = true;
  }

  read(now: Ms): void {
    const { connection, stream } = this.#options;
    for (let bytes = connection.read(stream); bytes !== null; bytes = connection.read(stream)) {
      if (bytes.length === 0) continue;
      this.#check(bytes);
      this.receivedBytes += bytes.length;
      const pause = now - (this.#lastReadAt ?? now);
      if (pause > this.longestPauseMs) {
        this.longestPauseMs = pause;
        this.longestPauseAt = now - pause;
      }
      this.#lastReadAt = now;
    }
  }

  #check(bytes: Uint8Array): void {
    let at = this.receivedBytes % PATTERN_BYTES;
    for (const [index, byte] of bytes.entries()) {
      if (byte !== PATTERN[at]) this.#damagedAt ??= this.receivedBytes + index;
      at = at + 1 === PATTERN_BYTES ? 0 : at + 1;
    }
  }
}
