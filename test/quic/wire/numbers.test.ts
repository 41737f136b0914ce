import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/base/bytes.js';
import { decodePacketNumber, packetNumberLength } from '../../../src/quic/wire/packet-number.js';
import { Reader } from '../../../src/quic/wire/reader.js';
import { Writer } from '../../../src/quic/wire/writer.js';
import { varints } from './arbitraries.js';

// RFC 9000 A.1
test.each([
  ['c2197c5eff14e88c', 151_288_809_941_952_652n],
  ['9d7f3e7d', 494_878_333n],
  ['7bbd', 15_293n],
  ['25', 37n],
  ['4025', 37n],
])('%s is %d', (hex, value) => {
  expect(new Reader(fromHex(hex)).bigVarint()).toBe(value);
  if (value <= Number.MAX_SAFE_INTEGER) expect(new Reader(fromHex(hex)).varint()).toBe(Number(value));
});

test('what a number cannot count is read as the largest that it can, and exactly where asked for', () => {
  const largest = fromHex('ffffffffffffffff');
  expect(new Reader(largest).varint()).toBe(Number.MAX_SAFE_INTEGER);
  expect(new Reader(largest).bigVarint()).toBe(2n ** 62n - 1n);
  expect(new Reader(fromHex('c01fffffffffffff')).varint()).toBe(2 ** 53 - 1);
  expect(new Reader(fromHex('c020000000000000')).varint()).toBe(2 ** 53 - 1);
});

test('variable-length integers survive the wire, in as few bytes as RFC 9000 table 4 says', () => {
  fc.assert(
    fc.property(varints, (value) => {
      const writer = new Writer(new Uint8Array(8));
      writer.varint(value);
      expect(writer.offset).toBe(value < 64 ? 1 : value < 16_384 ? 2 : value < 1_073_741_824 ? 4 : 8);
      const reader = new Reader(writer.written());
      expect(reader.varint()).toBe(value);
      expect(reader.complete).toBe(true);
      expect(new Reader(writer.written()).bigVarint()).toBe(BigInt(value));
    }),
  );
});

test('reading past the end gives zeros and is remembered', () => {
  const reader = new Reader(fromHex('c0ffee'));
  expect(reader.varint()).toBe(0);
  expect(reader.failed()).toBe(true);
  expect(reader.take(1)).toHaveLength(0);
  expect(new Reader(fromHex('01')).take(-1)).toHaveLength(0);
});

test('writing past the end throws: that is our own mistake', () => {
  expect(() => {
    new Writer(new Uint8Array(3)).uint32(1);
  }).toThrow(RangeError);
  expect(() => {
    new Writer(new Uint8Array(9)).varint(-1);
  }).toThrow(RangeError);
});

test('packet numbers: the examples of RFC 9000 A.2 and A.3', () => {
  expect(packetNumberLength(0xac5c02, 0xabe8b3)).toBe(2);
  expect(packetNumberLength(0xace8fe, 0xabe8b3)).toBe(3);
  expect(toHex(Uint8Array.of(0x9b, 0x32))).toBe('9b32');
  expect(decodePacketNumber(0x9b32, 2, 0xa82f30ea)).toBe(0xa82f9b32);
});

test('a packet number that is truncated as the sender may is what the receiver makes of it', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 2 ** 45 }),
      fc.nat({ max: 2 ** 30 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (largestAcked, ahead, share) => {
        const packetNumber = largestAcked + 1 + ahead;
        const length = packetNumberLength(packetNumber, largestAcked);
        // The receiver has seen what it acknowledged, and perhaps more.
        const largest = largestAcked + Math.floor(ahead * share);
        expect(decodePacketNumber(packetNumber % 2 ** (8 * length), length, largest)).toBe(packetNumber);
      },
    ),
  );
  expect(decodePacketNumber(0, 1, -1)).toBe(0);
  expect(decodePacketNumber(255, 1, -1)).toBe(255);
});
