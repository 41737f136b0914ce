/**
 * Variable-length integers (RFC 9000 §16) have up to 62 bits; a number holds 53. What is larger is read as
 * {@link VARINT_TOO_LARGE_TO_COUNT}. No decision depends on the difference: limits that high are no limits, and offsets,
 * packet numbers and sequence numbers that high are beyond everything this end ever allowed or sent. Where the RFC has a
 * bound above 2^53 (stream counts), `Reader.bigVarint` reads exactly.
 */
export const VARINT_TOO_LARGE_TO_COUNT = Number.MAX_SAFE_INTEGER;

/** The largest value that a variable-length integer can have. */
export const VARINT_MAX = (1n << 62n) - 1n;

/** 1, 2, 4 or 8: the shortest encoding. Throws `RangeError` on what no number can count. */
export function varintLength(value: number): 1 | 2 | 4 | 8 {
  if (value < 0x40) {
    if (value >= 0) return 1;
  } else if (value < 0x4000) return 2;
  else if (value < 0x4000_0000) return 4;
  else if (value <= Number.MAX_SAFE_INTEGER) return 8;
  throw new RangeError(`not a variable-length integer: ${String(value)}`);
}
