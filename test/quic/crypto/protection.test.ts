import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import { HASH_BYTES } from '../../../src/quic/crypto/hkdf.js';
import { KeyPhases } from '../../../src/quic/crypto/key-phases.js';
import { packetKeys } from '../../../src/quic/crypto/keys.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { openHeader, openPayload, protectPacket } from '../../../src/quic/crypto/protection.js';
import {
  AES_128_GCM,
  AES_256_GCM,
  CHACHA20_POLY1305,
  type CipherSuite,
  SUITES,
} from '../../../src/quic/crypto/suites.js';
import { parsePacket, type ProtectedPacket, writeShortHeader } from '../../../src/quic/wire/header.js';
import { packetNumberLength } from '../../../src/quic/wire/packet-number.js';
import { Writer } from '../../../src/quic/wire/writer.js';

const ID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

describe.each(SUITES.map((suite) => [suite.name, suite] as const))('%s', (_, suite) => {
  const keys = packetKeys(suite, new SeededRandom(suite.name).bytes(HASH_BYTES[suite.hash]), nodeCiphers);

  function seal(payload: Uint8Array, path: number, packetNumber: number, largestAcked: number): Uint8Array {
    const bytes = new Uint8Array(1500);
    const writer = new Writer(bytes);
    const length = packetNumberLength(packetNumber, largestAcked);
    const packetNumberAt = writeShortHeader(writer, {
      destination: ID,
      keyPhase: 0,
      spin: 0,
      packetNumber: packetNumber % 2 ** (8 * length),
      packetNumberLength: length,
    });
    writer.put(payload);
    const place = { start: 0, packetNumberAt, packetNumberLength: length, end: writer.offset };
    return bytes.slice(0, protectPacket(bytes, place, keys, path, packetNumber));
  }

  function open(bytes: Uint8Array, path: number, largest: number): [number, Uint8Array] | null {
    const header = openHeader(bytes, parsePacket(bytes, 0, 8) as ProtectedPacket, keys.mask, largest);
    if (header === null) return null;
    const payload = openPayload(bytes, header, keys, path);
    return payload && [header.packetNumber, payload];
  }

  const cases = fc.record({
    payload: fc.uint8Array({ minLength: 4, maxLength: 100 }),
    path: fc.nat({ max: 2 ** 31 - 1 }),
    largestAcked: fc.nat({ max: 2 ** 40 }),
    ahead: fc.integer({ min: 1, max: 2 ** 20 }),
  });

  test('a packet is opened by who has the keys, on its path', () => {
    fc.assert(
      fc.property(cases, ({ payload, path, largestAcked, ahead }) => {
        const sealed = seal(payload, path, largestAcked + ahead, largestAcked);
        expect(open(sealed.slice(), path, largestAcked)).toEqual([largestAcked + ahead, payload]);
        expect(open(sealed.slice(), path + 1, largestAcked)).toBeNull();
      }),
      { numRuns: 50 },
    );
  });

  test('a packet that was changed in any bit, or cut, is not', () => {
    fc.assert(
      fc.property(cases, fc.nat(), fc.nat({ max: 7 }), ({ payload, path, largestAcked, ahead }, at, bit) => {
        const sealed = seal(payload, path, largestAcked + ahead, largestAcked);
        const cut = sealed.slice(0, 9 + (at % (sealed.length - 9)));
        expect(open(cut, path, largestAcked)).toBeNull();
        // Behind the first byte: that one decides whether there is a header to read at all.
        const index = 9 + (at % (sealed.length - 9));
        sealed[index] = (sealed[index] ?? 0) ^ (1 << bit);
        expect(open(sealed, path, largestAcked)).toBeNull();
      }),
      { numRuns: 100 },
    );
  });
});

test('the limits are those of RFC 9001 §6.6', () => {
  expect([AES_128_GCM, AES_256_GCM].map((suite) => suite.confidentialityLimit)).toEqual([2 ** 23, 2 ** 23]);
  expect(SUITES.map(({ integrityLimit }) => integrityLimit)).toEqual([2 ** 52, 2 ** 52, 2 ** 36]);
});

/** Two ends that seal and open on a virtual clock with a PTO of 100 ms. */
describe('key updates', () => {
  const PTO = 100;
  const secrets = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
  const ends = (suite: CipherSuite = CHACHA20_POLY1305) => {
    const [one, two] = secrets;
    return {
      a: new KeyPhases({ suite, ciphers: nodeCiphers, readSecret: one, writeSecret: two }),
      b: new KeyPhases({ suite, ciphers: nodeCiphers, readSecret: two, writeSecret: one }),
    };
  };

  function seal(keys: KeyPhases, packetNumber: number, path = 0): Uint8Array {
    const bytes = new Uint8Array(100);
    const writer = new Writer(bytes);
    const packetNumberAt = writeShortHeader(writer, {
      destination: ID,
      keyPhase: keys.keyPhase,
      spin: 0,
      packetNumber,
      packetNumberLength: 4,
    });
    writer.put(Uint8Array.of(1, 0, 0, 0));
    const place = { start: 0, packetNumberAt, packetNumberLength: 4 as const, end: writer.offset };
    return bytes.slice(0, keys.protect(bytes, place, path, packetNumber));
  }

  function opens(keys: KeyPhases, bytes: Uint8Array, now: number, path = 0): boolean {
    const copy = bytes.slice();
    const header = openHeader(copy, parsePacket(copy, 0, 8) as ProtectedPacket, keys.readMask, 5);
    return header !== null && keys.open(copy, header, path, now, { pto: PTO }) !== null;
  }

  test('one end updates, the other follows, and packets that were late are still opened, for 3 PTO', () => {
    const { a, b } = ends();
    expect(opens(b, seal(a, 0), 0)).toBe(true);
    const late = [seal(a, 1), seal(a, 2)];
    expect(a.update(0, PTO)).toBe(false);
    expect(a.onAcknowledged(0, 0, 0, 10)).toBeNull();
    expect(a.update(10 + 3 * PTO - 1, PTO)).toBe(false);
    expect(a.update(10 + 3 * PTO, PTO)).toBe(true);
    expect(a.keyPhase).toBe(1);
    // What b sent before it knew.
    expect(opens(a, seal(b, 0), 311)).toBe(true);
    expect(opens(b, seal(a, 3), 320)).toBe(true);
    expect(b.keyPhase).toBe(1);
    expect(opens(b, late[0] ?? new Uint8Array(), 320 + 3 * PTO - 1)).toBe(true);
    expect(b.deadline()).toBe(320 + 3 * PTO);
    expect(opens(b, late[1] ?? new Uint8Array(), 320 + 3 * PTO)).toBe(false);
    expect(opens(a, seal(b, 1), 330)).toBe(true);
    expect([a.updates, b.updates]).toEqual([1, 1]);
  });

  test('no second update before the first was acknowledged', () => {
    const { a } = ends();
    seal(a, 0);
    a.onAcknowledged(0, 0, 0, 0);
    expect(a.update(1000, PTO)).toBe(true);
    seal(a, 1);
    expect(a.update(2000, PTO)).toBe(false);
    a.onAcknowledged(0, 0, 1, 2000);
    expect(a.update(3000, PTO)).toBe(false);
    a.onAcknowledged(0, 1, 1, 3000);
    expect(a.update(3000 + 3 * PTO, PTO)).toBe(true);
    expect(a.keyPhase).toBe(0);
  });

  test('new keys that are acknowledged under old ones end the connection (RFC 9001 §6.2)', () => {
    const { a } = ends();
    seal(a, 0);
    a.onAcknowledged(0, 0, 0, 0);
    a.update(1000, PTO);
    seal(a, 1);
    expect(a.onAcknowledged(0, 1, 0, 1100)).toMatchObject({ code: 0x0e });
  });

  test('on several paths: each has its own packet numbers', () => {
    const { a, b } = ends();
    const late = seal(a, 50, 2);
    expect(opens(b, seal(a, 0, 1), 0, 1)).toBe(true);
    a.onAcknowledged(1, 0, 0, 0);
    a.update(300, PTO);
    expect(opens(b, seal(a, 1, 1), 310, 1)).toBe(true);
    // Higher than any of path 1 in the new phase, and yet of the old one.
    expect(opens(b, late, 320, 2)).toBe(true);
    expect(opens(b, seal(a, 51, 2), 330, 2)).toBe(true);
    expect(b.updates).toBe(1);
  });

  test('what only says that it has new keys changes nothing', () => {
    const { a, b } = ends();
    const forged = seal(a, 7);
    forged[0] = (forged[0] ?? 0) ^ 0x04;
    expect(opens(b, forged, 0)).toBe(false);
    expect(b.updates).toBe(0);
    expect(opens(b, seal(a, 8), 0)).toBe(true);
  });

  test('at the limit of the cipher first an update is due, then nothing goes any more', () => {
    const suite: CipherSuite = { ...AES_128_GCM, confidentialityLimit: 8 };
    const { a } = ends(suite);
    const due: boolean[] = [];
    for (let packet = 0; packet < 8; packet += 1) {
      due.push(a.isUpdateDue);
      expect(a.isExhausted).toBe(false);
      seal(a, packet);
    }
    expect(due).toEqual([false, false, false, false, false, false, true, true]);
    expect(a.isExhausted).toBe(true);
    a.onAcknowledged(0, 7, 0, 0);
    expect(a.update(300, PTO)).toBe(true);
    expect(a.isExhausted).toBe(false);
  });
});
