import { VARINT_TOO_LARGE_TO_COUNT } from './varint.js';

const NOTHING = new Uint8Array();
const LARGEST_SAFE_HIGH_WORD = 0x1f_ffff;

/**
 * Reads bytes from a stranger. Reading past the end gives zeros and sets {@link failed}, once and for all, so that a
 * parser asks once at the end of a structure and never throws. Byte strings are views on the same memory.
 */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  offset: number;
  #failed = false;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  get left(): number {
    return this.end - this.offset;
  }

  /** Somebody read past the end. */
  failed(): boolean {
    return this.#failed;
  }

  /** Everything was read, and there was enough of it. */
  get complete(): boolean {
    return !this.#failed && this.offset === this.end;
  }

  uint8(): number {
    if (!this.#has(1)) return 0;
    const value = this.bytes[this.offset] ?? 0;
    this.offset += 1;
    return value;
  }

  uint16(): number {
    return this.#unsigned(2);
  }

  uint24(): number {
    return this.#unsigned(3);
  }

  uint32(): number {
    return this.#unsigned(4);
  }

  /** A variable-length integer; {@link VARINT_TOO_LARGE_TO_COUNT} for all that a number cannot count exactly. */
  varint(): number {
    const first = this.uint8();
    const value = first & 0x3f;
    switch (first >> 6) {
      case 0:
        return value;
      case 1:
        return (value << 8) | this.uint8();
      case 2:
        return value * 0x100_0000 + this.#unsigned(3);
      default: {
        const high = value * 0x100_0000 + this.#unsigned(3);
        const low = this.#unsigned(4);
        return high > LARGEST_SAFE_HIGH_WORD ? VARINT_TOO_LARGE_TO_COUNT : high * 0x1_0000_0000 + low;
      }
    }
  }

  /** A variable-length integer, exactly. */
  bigVarint(): bigint {
    const first = this.uint8();
    let value = BigInt(first & 0x3f);
    for (let more = (1 << (first >> 6)) - 1; more > 0; more -= 1) value = (value << 8n) | BigInt(this.uint8());
    return this.#failed ? 0n : value;
  }

  take(length: number): Uint8Array {
    if (!this.#has(length)) return NOTHING;
    const taken = this.bytes.subarray(this.offset, this.offset + length);
    this.offset += length;
    return taken;
  }

  /** A reader for the next `length` bytes alone; this one goes on behind them. */
  within(length: number): Reader {
    if (!this.#has(length)) return new Reader(NOTHING);
    const inner = new Reader(this.bytes, this.offset, this.offset + length);
    this.offset += length;
    return inner;
  }

  #unsigned(length: number): number {
    if (!this.#has(length)) return 0;
    let value = 0;
    for (let index = 0; index < length; index += 1) value = value * 256 + (this.bytes[this.offset + index] ?? 0);
    this.offset += length;
    return value;
  }

  #has(length: number): boolean {
    if (length >= 0 && length <= this.left && !this.#failed) return true;
    this.#failed = true;
    this.offset = this.end;
    return false;
  }
}
