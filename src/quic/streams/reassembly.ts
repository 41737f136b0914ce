import { RangeSet } from './range-set.js';

/** More pieces with gaps between them than any path makes: somebody wants our memory (RFC 9000 §21.6). */
const MAX_GAPS = 4096;

/** Memory is taken in blocks, each twice the one before, from what came first up to so much. */
const MOST_BLOCK_BYTES = 64 * 1024;
const NOTHING = new Uint8Array();

/** Bytes of a stream: `block[from, to)`. */
interface Piece {
  readonly block: Uint8Array;
  /** In the stream. */
  offset: number;
  from: number;
  to: number;
}

/**
 * Puts the bytes of a stream in order: of a STREAM's, or of the handshake. What is kept is at most what the caller lets
 * in by its limits, and each byte once. What comes in order goes to one block, and is read as one piece.
 */
export class Reassembly {
  #readOffset = 0;
  readonly #received = new RangeSet();
  /** Sorted, without overlaps. */
  #pieces: Piece[] = [];
  /** Where what comes next in order goes; the last piece may end there, and grows with it. */
  #block: Uint8Array = NOTHING;
  #used = 0;

  /** How far everything has been taken out. */
  get readOffset(): number {
    return this.#readOffset;
  }

  /** How far everything is there. */
  get contiguous(): number {
    const { first } = this.#received;
    return first !== undefined && first.from <= this.#readOffset
      ? Math.max(first.to, this.#readOffset)
      : this.#readOffset;
  }

  /** False where the pieces are too many; then nothing was taken. */
  insert(offset: number, data: Uint8Array): boolean {
    const { ranges } = this.#received;
    const end = ranges[ranges.length - 1]?.to ?? this.#readOffset;
    if (offset === end) {
      // Nearly all come in order.
      if (data.length === 0) return true;
      if (ranges.length >= MAX_GAPS) return false;
      this.#append(offset, data);
      this.#received.add(offset, offset + data.length);
      return true;
    }
    const from = Math.max(offset, this.#readOffset);
    const to = offset + data.length;
    const missing = this.#received.missing(from, to);
    if (missing.length === 0) return true;
    if (ranges.length + missing.length > MAX_GAPS) return false;
    for (const part of missing) {
      // A copy: a view would keep the whole datagram.
      const block = data.slice(part.from - offset, part.to - offset);
      this.#place({ block, offset: part.from, from: 0, to: block.length });
    }
    this.#received.add(from, to);
    return true;
  }

  /** The next bytes, at most `most`; `null` where they are not there yet. */
  read(most = Infinity): Uint8Array | null {
    const piece = this.#pieces[0];
    if (piece?.offset !== this.#readOffset || most <= 0) return null;
    const { block, from } = piece;
    const to = Math.min(piece.to, from + most);
    this.#readOffset += to - from;
    if (to === piece.to) this.#pieces.shift();
    else {
      piece.offset = this.#readOffset;
      piece.from = to;
    }
    this.#received.remove(0, this.#readOffset);
    return block.subarray(from, to);
  }

  /** Nobody wants the rest. */
  clear(): void {
    this.#pieces = [];
    this.#block = NOTHING;
    this.#used = 0;
  }

  /** Behind all that is there. */
  #append(offset: number, data: Uint8Array): void {
    const last = this.#pieces[this.#pieces.length - 1];
    let from = this.#used;
    if (this.#block.length - from < data.length) {
      this.#block = new Uint8Array(Math.max(data.length, Math.min(2 * this.#block.length, MOST_BLOCK_BYTES)));
      from = 0;
    }
    this.#block.set(data, from);
    this.#used = from + data.length;
    const goesOn = last?.block === this.#block && last.to === from && last.offset + from - last.from === offset;
    if (goesOn) last.to = this.#used;
    else this.#pieces.push({ block: this.#block, offset, from, to: this.#used });
  }

  #place(piece: Piece): void {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#pieces[middle]?.offset ?? 0) < piece.offset) low = middle + 1;
      else high = middle;
    }
    this.#pieces.splice(low, 0, piece);
  }
}
