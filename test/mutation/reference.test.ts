import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { transportAddress, type TransportAddress } from '../../src/base/address.js';
import { fromHex, toHex } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildProbe } from '../../src/mutation/probe.js';
import {
  buildReferenceAnswer,
  buildReferenceRequest,
  recogniseReferenceAnswer,
  recogniseReferenceRequest,
  type ReferenceRequest,
} from '../../src/mutation/reference.js';
import * as stun from '../../src/stun/attributes.js';
import { signed } from '../../src/stun/integrity.js';
import { encodeMessage, parseStrict, type NewAttribute } from '../../src/stun/message.js';
import { ATTRIBUTES } from '../../src/stun/registry.js';

const random = new SeededRandom('reference');
const NONCE = random.bytes(8);
const V4 = transportAddress('198.51.100.7', 40123);
const V6 = transportAddress('2001:db8:1234:5678:11:2233:4455:6677', 65535);
const ORIGINS = [
  { mapped: V4, origin: transportAddress('192.0.2.1', 3478), other: transportAddress('192.0.2.2', 3479) },
  { mapped: V6, origin: transportAddress('2001:db8::1', 3478), other: transportAddress('2001:db8::2', 3479) },
  { mapped: V4, origin: null, other: null },
];
const CHANGES = [0, 1, 2, 3].map((bits) => ({ address: bits > 1, port: bits % 2 === 1 }));

function recognised(bytes: Uint8Array): ReferenceRequest {
  const request = recogniseReferenceRequest(bytes);
  if (!request) throw new Error('not recognised');
  return request;
}

describe.each([...ARM_NAMES])('%s', (arm) => {
  const bare = arm === 'stun~attributes';

  test('a request is recognised, with what it wants changed', () => {
    for (const change of CHANGES) {
      for (const lengthBytes of [undefined, 160, 400, 1203]) {
        const asked = { counter: 7, nonce: NONCE, random, change, ...(lengthBytes ? { lengthBytes } : {}) };
        const { id, bytes } = buildReferenceRequest(arm, asked);
        expect(recogniseReferenceRequest(bytes)).toEqual({
          ...{ arm, id, change, afterSeconds: null, lengthBytes: bytes.length, authentic: true, unknown: [] },
        });
        expect(id).toMatch(/^[0-9a-f]{24}$/);
      }
    }
  });

  test('the answer comes in the same arm, with all addresses, and is never larger', () => {
    for (const addresses of ORIGINS) {
      for (const lengthBytes of [160, 161, 163, 500, 1401]) {
        const { id, bytes } = buildReferenceRequest(arm, { counter: 9, nonce: NONCE, random, lengthBytes });
        const answer = buildReferenceAnswer(recognised(bytes), { ...addresses, random });
        expect(answer.length).toBeLessThanOrEqual(bytes.length);
        // Packets of one size in both directions; the bare arm has room for one address.
        if (!bare) expect(answer.length).toBe(bytes.length);
        const known = bare ? { mapped: addresses.mapped, origin: null, other: null } : addresses;
        expect(recogniseReferenceAnswer(answer, (asked) => (asked === id ? arm : undefined))).toEqual({
          // Only the bare arm's answer has nothing that vouches for it.
          ...{ id, arm, afterSeconds: null, signed: !bare, ...known },
        });
      }
    }
  });

  test('an answer that nobody asked for, or asked for in another arm, is nothing', () => {
    const { id, bytes } = buildReferenceRequest(arm, { counter: 1, nonce: NONCE, random });
    const answer = buildReferenceAnswer(recognised(bytes), { mapped: V4, origin: null, other: null, random });
    const others = ARM_NAMES.filter((name) => name !== arm);
    expect(recogniseReferenceAnswer(answer, () => undefined)).toBeNull();
    for (const other of others) {
      // Neither arm has an integrity in its answer: what was asked decides.
      if (bare && other === 'stun') continue;
      expect(
        recogniseReferenceAnswer(answer, (asked) => (asked === id ? other : undefined)),
        other,
      ).toBeNull();
    }
  });

  test('answers are no requests, and probes are neither: nobody plays ping-pong', () => {
    const { bytes } = buildReferenceRequest(arm, { counter: 1, nonce: NONCE, random });
    const answer = buildReferenceAnswer(recognised(bytes), { mapped: V6, origin: V6, other: V6, random });
    expect(recogniseReferenceRequest(answer)).toBeNull();
    expect(recogniseReferenceAnswer(bytes, () => arm)).toBeNull();
    const probe = buildProbe(arm, { key: random.bytes(32), counter: 1, lengthBytes: 200, random });
    const request = recogniseReferenceRequest(probe.bytes);
    // A probe of plain STUN is a Binding request, and a STUN server answers those.
    expect(request?.authentic ?? false).toBe(false);
  });

  test('ids differ by counter and by client, and are the same for the same', () => {
    const id = (counter: number, nonce: Uint8Array) => buildReferenceRequest(arm, { counter, nonce, random }).id;
    expect(id(1, NONCE)).toBe(id(1, NONCE));
    expect(new Set([id(1, NONCE), id(2, NONCE), id(1, random.bytes(8))]).size).toBe(3);
  });

  test('cut, it is not answered in its arm', () => {
    const { bytes } = buildReferenceRequest(arm, { counter: 1, nonce: NONCE, random });
    for (let length = 0; length < bytes.length; length += 1) {
      expect(recogniseReferenceRequest(bytes.subarray(0, length))).toBeNull();
    }
  });
});

test('all arms’ requests have one length, whether they want a change or not; only stun~attributes and quic cannot', () => {
  const lengths = ARM_NAMES.filter((arm) => arm !== 'quic').flatMap((arm) =>
    CHANGES.map((change) => {
      const { length } = buildReferenceRequest(arm, { counter: 1, nonce: NONCE, random, change }).bytes;
      return arm === 'stun~attributes' ? length + 116 : length;
    }),
  );
  expect(new Set(lengths)).toEqual(new Set([160]));
});

describe('strangers', () => {
  const transactionId = fromHex('b7e7a701bc34d686fa87dfae');
  const ask = (...attributes: readonly NewAttribute[]): Uint8Array =>
    encodeMessage({ method: 1, class: 'request', transactionId, attributes });
  const answered = (bytes: Uint8Array, mapped: TransportAddress = V4): Uint8Array => {
    return buildReferenceAnswer(recognised(bytes), { mapped, origin: V4, other: V4, random });
  };

  test('a bare request of 20 bytes gets the smallest legal answer, the one that is larger', () => {
    expect(recognised(ask())).toMatchObject({ arm: 'stun', authentic: false, lengthBytes: 20 });
    // RFC 8489 §14.2: XOR-MAPPED-ADDRESS is 12 bytes for IPv4, 24 for IPv6.
    expect(answered(ask())).toHaveLength(32);
    expect(answered(ask(), V6)).toHaveLength(44);
    const parsed = parseStrict(answered(ask()));
    expect(parsed.ok && parsed.message.class).toBe('success');
    expect(parsed.ok && stun.readMappedAddress(parsed.message)).toEqual(V4);
  });

  test('who asks with PADDING (RFC 5780 §7.6) gets the other addresses too', () => {
    const bytes = ask(stun.padding(64), stun.changeRequest({ address: true, port: true }));
    expect(recognised(bytes).change).toEqual({ address: true, port: true });
    const answer = answered(bytes);
    expect(answer.length).toBeLessThanOrEqual(bytes.length);
    const parsed = parseStrict(answer);
    expect(parsed.ok && stun.readAddress(parsed.message, ATTRIBUTES['OTHER-ADDRESS'])).toEqual(V4);
    expect(parsed.ok && stun.readAddress(parsed.message, ATTRIBUTES['RESPONSE-ORIGIN'])).toEqual(V4);
  });

  test('who wants what a reference does not know is told so (RFC 8489 §6.3.1)', () => {
    const parsed = parseStrict(answered(ask(stun.responsePort(1234))));
    if (!parsed.ok) throw new Error(parsed.error.message);
    expect(parsed.message.class).toBe('error');
    expect(stun.readErrorCode(parsed.message)?.code).toBe(420);
    expect(stun.readUnknownAttributes(parsed.message)).toEqual([0x0027]);
  });

  test('an integrity of their own is no matter', () => {
    const message = { method: 1, class: 'request', transactionId, attributes: [stun.username('a:b')] } as const;
    const bytes = signed(message, { key: Uint8Array.of(1), fingerprint: true });
    expect(recognised(bytes)).toMatchObject({ arm: 'stun', authentic: false });
  });

  test('indications, answers and other methods are not answered', () => {
    for (const [method, stunClass] of [
      [1, 'indication'],
      [1, 'success'],
      [1, 'error'],
      [3, 'request'],
    ] as const) {
      const bytes = encodeMessage({ method, class: stunClass, transactionId, attributes: [] });
      expect(recogniseReferenceRequest(bytes)).toBeNull();
    }
  });

  test('ordinary servers answer plain requests, with either mapped address', () => {
    const { id } = buildReferenceRequest('stun', { counter: 3, nonce: NONCE, random });
    const asked = (one: string) => (one === id ? 'stun' : undefined);
    for (const mapped of [
      stun.xorMappedAddress(V4, fromHex(id)),
      stun.addressAttribute(ATTRIBUTES['MAPPED-ADDRESS'], V4),
    ]) {
      const attributes = [mapped, stun.addressAttribute(ATTRIBUTES['OTHER-ADDRESS'], V6)];
      const wire = encodeMessage({ method: 1, class: 'success', transactionId: fromHex(id), attributes });
      expect(recogniseReferenceAnswer(wire, asked)).toEqual({
        afterSeconds: null,
        id,
        arm: 'stun',
        mapped: V4,
        origin: null,
        other: V6,
        signed: false,
      });
      expect(recogniseReferenceAnswer(wire, () => 'stun~40')).toBeNull();
    }
    const error = encodeMessage({ method: 1, class: 'error', transactionId: fromHex(id), attributes: [] });
    expect(recogniseReferenceAnswer(error, asked)).toBeNull();
  });
});

test('hostile bytes: nothing throws, and no answer is larger by more than the smallest one', () => {
  const requests = fc.constantFrom(
    ...ARM_NAMES.map((arm) => buildReferenceRequest(arm, { counter: 1, nonce: NONCE, random }).bytes),
  );
  const damaged = fc.tuple(requests, fc.nat(159), fc.nat(255), fc.nat(160)).map(([bytes, at, value, length]) =>
    Uint8Array.from(bytes)
      .fill(value, at, at + 1)
      .subarray(0, length),
  );
  const binding = fc
    .array(fc.record({ type: fc.nat(0xffff), value: fc.uint8Array({ maxLength: 12 }) }), { maxLength: 6 })
    .map((attributes) => encodeMessage({ method: 1, class: 'request', transactionId: NONCE_ID, attributes }));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged, binding), (bytes) => {
      recogniseReferenceAnswer(bytes, () => 'stun');
      const request = recogniseReferenceRequest(bytes);
      if (!request) return;
      const answer = buildReferenceAnswer(request, { mapped: V6, origin: V6, other: V6, random });
      expect(answer.length).toBeLessThanOrEqual(
        Math.max(bytes.length, request.unknown.length > 0 ? bytes.length + 12 : 44),
      );
      if (request.authentic) expect(answer.length).toBeLessThanOrEqual(bytes.length);
    }),
    { numRuns: 2000 },
  );
});

const NONCE_ID = fromHex(`${toHex(NONCE)}00000000`);
