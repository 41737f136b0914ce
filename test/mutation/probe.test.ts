import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex, utf8Bytes } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { ARMS } from '../../src/mutation/arm.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildProbe, recogniseProbe } from '../../src/mutation/probe.js';

const random = new SeededRandom('probes');
const KEY = random.bytes(32);
const probe = (arm: string, counter = 1, lengthBytes?: number) =>
  buildProbe(arm, { key: KEY, counter, random, ...(lengthBytes === undefined ? {} : { lengthBytes }) });

function expectedTag(arm: string, counter: number): string {
  const bytes = Uint8Array.of(counter >>> 24, counter >>> 16, counter >>> 8, counter);
  return createHmac('sha256', KEY)
    .update(utf8Bytes(`icepath probe${arm}`))
    .update(bytes)
    .digest('hex');
}

describe.each([...ARM_NAMES])('%s', (arm) => {
  test('is recognised with its id, by the key alone', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.integer({ min: 0, max: 1400 }), (counter, lengthBytes) => {
        const { id, bytes } = probe(arm, counter, lengthBytes);
        expect(recogniseProbe(bytes, KEY)).toEqual({ arm, id });
        expect(recogniseProbe(bytes, random.bytes(32))).toBeNull();
        expect(id).toBe(expectedTag(arm, counter).slice(0, 24));
      }),
    );
  });

  test('has the length that was asked for, to four bytes', () => {
    for (const lengthBytes of [108, 160, 512, 999, 1200, 1400]) {
      const { length } = probe(arm, 1, lengthBytes).bytes;
      if (arm === 'stun~attributes') expect(length).toBe(44);
      // RFC 9000 §14.1.
      else if (arm === 'quic') expect(length).toBe(Math.max(lengthBytes, 1200));
      else expect(length).toBe(ARMS.find(({ name }) => name === arm)?.stun ? lengthBytes & ~3 : lengthBytes);
    }
  });

  test('cut, or with any byte of what carries the id changed, it is nobody’s', () => {
    const { bytes } = probe(arm);
    expect(recogniseProbe(bytes.subarray(0, 27), KEY)).toBeNull();
    const at = { dtls: 27, quic: 6 }[arm as string] ?? 8;
    for (let index = at; index < at + 20; index += 1) {
      const changed = Uint8Array.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 0x80;
      expect(recogniseProbe(changed, KEY), `byte ${index}`).toBeNull();
    }
  });
});

test('all arms have one length, the control that of plain STUN; only stun~attributes and quic cannot', () => {
  const alike = ARM_NAMES.filter((arm) => arm !== 'stun~attributes' && arm !== 'quic');
  const lengths = new Set(alike.map((arm) => probe(arm).bytes.length));
  expect([...lengths]).toEqual([108]);
});

test('the control: byte 0 from 0x60–0x7f, the tag at 8–23 (design.md)', () => {
  for (let counter = 0; counter < 200; counter += 1) {
    const { bytes } = probe('random', counter);
    expect(bytes[0]).toBeGreaterThanOrEqual(0x60);
    expect(bytes[0]).toBeLessThanOrEqual(0x7f);
    expect(toHex(bytes.subarray(8, 24))).toBe(expectedTag('random', counter).slice(0, 32));
  }
});

test('the counter is masked: nothing of two neighbours’ packets is alike', () => {
  const [one, two] = [probe('random', 1).bytes, probe('random', 2).bytes];
  expect(toHex(one.subarray(24, 28))).not.toBe('00000001');
  expect(toHex(one.subarray(24, 27))).not.toBe(toHex(two.subarray(24, 27)));
});

test('DTLS: a ClientHello record with the tag in the random (RFC 6347 §4.2)', () => {
  const { bytes } = probe('dtls', 5);
  expect(toHex(bytes.subarray(0, 3))).toBe('16fefd');
  expect(bytes[13]).toBe(1);
  expect(toHex(bytes.subarray(27, 43))).toBe(expectedTag('dtls', 5).slice(0, 32));
});

test('QUIC: an Initial of version 1 (RFC 9000 §17.2.2) with the tag in the connection id (design.md)', () => {
  const { bytes } = probe('quic', 6);
  // Long header and fixed bit; type Initial; version 1; 20 bytes of connection id.
  expect((bytes[0] ?? 0) >> 4).toBe(0b1100);
  expect(toHex(bytes.subarray(1, 6))).toBe('0000000114');
  expect(toHex(bytes.subarray(6, 22))).toBe(expectedTag('quic', 6).slice(0, 32));
});

test('random datagrams are no probe', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(recogniseProbe(bytes, KEY)).toBeNull();
    }),
    { numRuns: 2000 },
  );
});

test('one arm’s tag in another arm’s packet is refused', () => {
  const control = Uint8Array.from(probe('random').bytes);
  const { bytes: hello } = probe('dtls');
  control.set(hello.subarray(27, 47), 8);
  expect(recogniseProbe(control, KEY)).toBeNull();
});

test('an arm that nobody knows cannot be built', () => {
  expect(() => probe('sctp')).toThrow(RangeError);
});
