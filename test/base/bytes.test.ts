import { expect, test } from 'vitest';
import { transportAddress, transportAddressOf } from '../../src/base/address.js';
import { fromHex, setUint16, setUint32, toHex, uint16At, uint32At, viewOf } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { earliest, NEVER } from '../../src/base/time.js';

test('numbers are read and written as a DataView does it', () => {
  const bytes = new SeededRandom('numbers').bytes(64);
  const view = viewOf(bytes);
  for (let offset = 0; offset <= 60; offset += 1) {
    expect(uint16At(bytes, offset)).toBe(view.getUint16(offset));
    expect(uint32At(bytes, offset)).toBe(view.getUint32(offset));
  }
  const written = new Uint8Array(8);
  setUint16(written, 1, 0xfedc);
  setUint32(written, 4, 0x8899aabb);
  expect(toHex(written)).toBe('00fedc008899aabb');
});

test('an address from bytes is the one from text, and an IPv4-mapped one is IPv4', () => {
  expect(transportAddressOf(Uint8Array.of(203, 0, 113, 9), 4)).toEqual(transportAddress('203.0.113.9', 4));
  const v6 = fromHex('20010db8000000000000000000000010');
  expect(transportAddressOf(v6, 443)).toEqual({ family: 'ipv6', address: '2001:db8::10', port: 443 });
  const mapped = fromHex('00000000000000000000ffffc0000201');
  expect(transportAddressOf(mapped, 1)).toEqual({ family: 'ipv4', address: '192.0.2.1', port: 1 });
});

test('the earliest of none is never', () => {
  expect(earliest()).toBe(NEVER);
  expect(earliest(NEVER, 7, -3, 12)).toBe(-3);
});
