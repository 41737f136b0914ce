import { timingSafeEqual } from 'node:crypto';
import { equalBytes } from '../../base/bytes.js';
import { RangeSet } from '../streams/range-set.js';
import { type QuicError, quicError } from '../wire/errors.js';
import type { Frame, NewConnectionIdFrame } from '../wire/frames.js';

interface RemoteId {
  readonly sequence: number;
  readonly id: Uint8Array;
  /** `null` for the id of the handshake, where the far end sent no token. */
  readonly resetToken: Uint8Array | null;
}

/** Ids to be retired that were not yet said to be, as a multiple of those that may be active (RFC 9000 §5.1.2). */
const MAX_RETIRING = 2;
const MAX_GAPS = 64;

/** The connection ids that the far end has issued for one path, and of which this end uses one (RFC 9000 §5.1). */
export class RemoteIds {
  readonly #path: number | null;
  /** This end's active_connection_id_limit, for each path. */
  readonly #limit: number;
  readonly #ids = new Map<number, RemoteId>();
  #current: RemoteId | null = null;
  #retirePriorTo = 0;
  readonly #retiring = new Set<number>();
  /** What was retired: an old frame that comes again does not bring it back. */
  readonly #gone = new RangeSet();

  /** `path`: the path id that frames are to name; `null` without multipath. */
  constructor(path: number | null, limit: number) {
    this.#path = path;
    this.#limit = limit;
  }

  /** What packets on this path are addressed to; `null` before the far end has issued an id. */
  get current(): Uint8Array | null {
    return this.#current?.id ?? null;
  }

  /** Ids that were not used yet. */
  get spare(): number {
    return this.#ids.size - (this.#current === null ? 0 : 1);
  }

  /** The id of the handshake: sequence number 0 of path 0. */
  setFirst(id: Uint8Array, resetToken: Uint8Array | null): void {
    this.#current = { sequence: 0, id, resetToken };
    this.#ids.set(0, this.#current);
  }

  /** That of a preferred address: sequence number 1 of path 0 (RFC 9000 §5.1.1). */
  setPreferred(id: Uint8Array, resetToken: Uint8Array): void {
    this.#ids.set(1, { sequence: 1, id, resetToken });
  }

  /** A NEW_CONNECTION_ID (RFC 9000 §19.15), or PATH_NEW_CONNECTION_ID for this path. */
  onNew(frame: NewConnectionIdFrame): QuicError | null {
    const { sequence, retirePriorTo, id, resetToken } = frame;
    const same = this.#ids.get(sequence);
    for (const known of this.#ids.values()) {
      if (equalBytes(known.id, id) !== (known.sequence === sequence)) {
        return quicError('PROTOCOL_VIOLATION', 'a connection id with two sequence numbers, or the reverse');
      }
    }
    if (same !== undefined) {
      if (same.resetToken !== null && !equalBytes(same.resetToken, resetToken)) {
        return quicError('PROTOCOL_VIOLATION', 'a connection id with two tokens');
      }
    } else if (sequence < this.#retirePriorTo) this.#retire(sequence);
    else if (!this.#gone.covers(sequence, sequence + 1)) {
      this.#ids.set(sequence, { sequence, id: id.slice(), resetToken: resetToken.slice() });
    }
    if (retirePriorTo > this.#retirePriorTo) {
      this.#retirePriorTo = retirePriorTo;
      for (const old of [...this.#ids.keys()]) if (old < retirePriorTo) this.#retire(old);
    }
    this.#current ??= this.#lowest();
    if (this.#ids.size > this.#limit || this.#retiring.size > MAX_RETIRING * this.#limit) {
      return quicError('CONNECTION_ID_LIMIT_ERROR', 'more connection ids than allowed');
    }
    return null;
  }

  /** Goes over to an id that was not used, and retires the one before; false where there is none (RFC 9000 §5.1.2). */
  rotate(): boolean {
    const current = this.#current;
    const next = [...this.#ids.values()].find((known) => known !== current);
    if (next === undefined) return false;
    if (current !== null) this.#retire(current.sequence);
    this.#current = next;
    return true;
  }

  /** RETIRE_CONNECTION_ID frames to be sent; each until {@link onRetireAcked}. */
  retirements(): Frame[] {
    return [...this.#retiring].map((sequence) => ({ type: 'retire-connection-id', path: this.#path, sequence }));
  }

  onRetireAcked(sequence: number): void {
    this.#retiring.delete(sequence);
  }

  /** Whether a datagram ends with the token of an id in use: a stateless reset (RFC 9000 §10.3.1), in constant time. */
  isReset(token: Uint8Array): boolean {
    let isFound = false;
    for (const { resetToken } of this.#ids.values()) {
      if (resetToken?.length === token.length && timingSafeEqual(resetToken, token)) isFound = true;
    }
    return isFound;
  }

  /** The path is abandoned: all ids count as retired, without a word (multipath draft -21, "Path Close"). */
  abandon(): void {
    this.#ids.clear();
    this.#retiring.clear();
    this.#current = null;
  }

  #retire(sequence: number): void {
    if (this.#gone.covers(sequence, sequence + 1)) return;
    this.#ids.delete(sequence);
    this.#retiring.add(sequence);
    this.#gone.add(sequence, sequence + 1);
    // Somebody leaves gaps: those below count as gone, too.
    const [first, second] = this.#gone.ranges;
    if (this.#gone.ranges.length > MAX_GAPS && first && second) this.#gone.add(first.from, second.to);
    if (this.#current?.sequence === sequence) this.#current = this.#lowest();
  }

  #lowest(): RemoteId | null {
    return [...this.#ids.values()].sort((left, right) => left.sequence - right.sequence)[0] ?? null;
  }
}
