import { varintLength } from './varint.js';

/** Writes into a buffer that the caller has; throws `RangeError` where it is full, which is a mistake of this program. */
export class Writer {
  readonly bytes: Uint8Array;
  readonly end: number;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  get left(): number {
    return this.end - this.offset;
  }

  uint8(value: number): void {
    this.#need(1);
    this.bytes[this.offset] = value;
    this.offset += 1;
  }

  uint16(value: number): void {
    this.unsigned(value, 2);
  }

  uint32(value: number): void {
    this.unsigned(value, 4);
  }

  /** The low `length` bytes of `value`, big-endian. */
  unsigned(value: number, length: number): void {
    this.#need(length);
    const { bytes, offset } = this;
    let rest = value;
    for (let index = length - 1; index >= 0; index -= 1) {
      bytes[offset + index] = rest;
      // Bits of a number are cheap up to 32.
      rest = rest <= 0xffff_ffff ? rest >>> 8 : Math.floor(rest / 256);
    }
    this.offset = offset + length;
  }

  /** RFC 9000 §16, in the shortest form unless `length` says otherwise. */
  varint(value: number, length: 1 | 2 | 4 | 8 = varintLength(value)): void {
    if (length < varintLength(value)) throw new RangeError('does not fit into so short a variable-length integer');
    const at = this.offset;
    this.unsigned(value, length);
    if (length > 1) this.bytes[at] = (this.bytes[at] ?? 0) | (length === 2 ? 0x40 : length === 4 ? 0x80 : 0xc0);
  }

  put(bytes: Uint8Array): void {
    this.#need(bytes.length);
    this.bytes.set(bytes, this.offset);
    this.offset += bytes.length;
  }

  zeros(length: number): void {
    this.#need(length);
    this.bytes.fill(0, this.offset, this.offset + length);
    this.offset += length;
  }

  written(): Uint8Array {
    return this.bytes.subarray(0, this.offset);
  }

  #need(length: number): void {
    if (length > this.left) throw new RangeError('the buffer is full');
  }
}
