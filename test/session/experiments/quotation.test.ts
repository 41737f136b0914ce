import { describe, expect, it } from 'vitest';
import { fromHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { findQuoted, withoutExtensions } from '../../../src/session/experiments/quotation.js';

const random = new SeededRandom('quotations');
const packets = Array.from({ length: 50 }, (_, id) => ({ id, bytes: random.bytes(160) }));
const sent = (id: number): Uint8Array => packets[id]?.bytes ?? new Uint8Array();
/**
 * RFC 4884 §7 and RFC 4950 §3: version 2, the checksum by hand (20 00 + 00 08 + 01 01 + 05 dc + 01 40 = 28 25, whose
 * complement it is), then an object of class 1, type 1 with the label 24000, last of its stack, TTL 64.
 */
const mpls = fromHex('2000d7da 00080101 05dc0140'.replaceAll(' ', ''));

function altered(id: number, ...at: number[]): Uint8Array {
  const bytes = Uint8Array.from(sent(id));
  for (const byte of at) bytes[byte] = (bytes[byte] ?? 0) ^ 0xff;
  return bytes;
}

describe('what an ICMP error quotes', () => {
  it.each([24, 100, 160])('is known by its first %i bytes', (length) => {
    expect(findQuoted(packets, sent(7).subarray(0, length))).toMatchObject({ sent: { id: 7 }, changed: [] });
  });

  it('names the bytes that were rewritten by then', () => {
    expect(findQuoted(packets, altered(9, 40, 41, 42, 43))).toMatchObject({
      sent: { id: 9 },
      changed: [{ at: 40, end: 44 }],
    });
  });

  it('is too short to say anything at RFC 792’s 8 bytes, which are UDP’s header', () => {
    expect(findQuoted(packets, new Uint8Array(0))).toBe('short');
    expect(findQuoted(packets, sent(1).subarray(0, 23))).toBe('short');
  });

  it('is nobody’s where it is made up, or like two packets', () => {
    expect(findQuoted(packets, random.bytes(160))).toBeNull();
    const twins = [0, 1].map((id) => ({ id, bytes: altered(3, 10 + id) }));
    expect(findQuoted(twins, sent(3))).toBeNull();
  });

  it('is told from the MPLS labels behind it (RFC 4884, RFC 4950): 128 bytes of a datagram of 188, then the labels', () => {
    const told = Uint8Array.from([...sent(5).subarray(0, 100), ...mpls]);
    expect(withoutExtensions(told)).toEqual(sent(5).subarray(0, 100));
    expect(findQuoted(packets, told)).toMatchObject({ sent: { id: 5 }, changed: [] });
  });

  it('keeps what only begins like labels: a wrong checksum, an object that runs over', () => {
    for (const [at, value] of [
      [3, 0xff],
      [5, 0x40],
    ] as const) {
      const wrong = Uint8Array.from(mpls);
      wrong[at] = value;
      const told = Uint8Array.from([...sent(5).subarray(0, 100), ...wrong]);
      expect(withoutExtensions(told)).toEqual(told);
    }
  });

  it('whatever it is, ends without an error', () => {
    for (let length = 0; length < 600; length += 1) {
      expect(() => findQuoted(packets, random.bytes(length))).not.toThrow();
    }
  });
});
