import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.js';
import * as stun from '../../src/stun/attributes.js';
import { verifyFingerprint, verifyIntegrity } from '../../src/stun/integrity.js';
import { decodeType, encodeMessage, encodeType, parseLenient, parseStrict } from '../../src/stun/message.js';
import { ATTRIBUTES, CLASSES } from '../../src/stun/registry.js';
import { REQUEST } from './vectors.js';

const bytesOf = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });

const messages = fc.record({
  method: fc.integer({ min: 0, max: 0xfff }),
  class: fc.constantFrom(...CLASSES),
  transactionId: bytesOf(12),
  attributes: fc.array(
    fc
      .record({ type: fc.integer({ min: 0, max: 0xffff }), value: bytesOf(0, 40), four: bytesOf(3) })
      .map(({ type, value, four }) => ({ type, value, padding: four.subarray(0, -value.length & 3) })),
    { maxLength: 8 },
  ),
});

test('types: class and method bits interleave as in RFC 8489 figure 3', () => {
  expect(encodeType(1, 'request')).toBe(0x0001);
  expect(encodeType(1, 'indication')).toBe(0x0011);
  expect(encodeType(1, 'success')).toBe(0x0101);
  expect(encodeType(1, 'error')).toBe(0x0111);
  expect(encodeType(0xfff, 'error')).toBe(0x3fff);
  // requirements.md A.5.3
  expect(decodeType(0x0801)).toEqual({ method: 0x201, class: 'request' });
  expect(decodeType(0x0805)).toEqual({ method: 0x205, class: 'request' });
});

test('every message survives the wire byte for byte, unknown attributes and odd padding included', () => {
  fc.assert(
    fc.property(messages, (message) => {
      const wire = encodeMessage(message);
      const parsed = parseStrict(wire);
      if (!parsed.ok) throw new Error(parsed.error.message);
      expect(parsed.message).toMatchObject(message);
      expect(toHex(encodeMessage(parsed.message))).toBe(toHex(wire));
      expect(parseLenient(wire)?.attributes).toEqual(parsed.message.attributes);
    }),
  );
});

test('what cannot be a message is refused when it is made', () => {
  const message = { method: 1, class: 'request', transactionId: new Uint8Array(12), attributes: [] } as const;
  expect(() => encodeMessage({ ...message, transactionId: new Uint8Array(16) })).toThrow(RangeError);
  expect(() => encodeMessage({ ...message, method: 0x1000 })).toThrow(RangeError);
  expect(() => encodeMessage({ ...message, attributes: [stun.padding(0xffff)] })).toThrow(RangeError);
});

describe('the strict parser says what is wrong', () => {
  const bare = '00010000 2112a442 000102030405060708090a0b';
  test.each([
    ['too-short', '00010000 2112a442 0001'],
    ['first-bits', bare.replace('0001', '4001')],
    ['cookie', bare.replace('2112', '2113')],
    ['unaligned', `${bare.replace('0000', '0001')}ff`],
    ['length', bare.replace('0000', '0004')],
    ['length', `${bare} 80220000`],
    ['attribute', `${bare.replace('0000', '0004')} 80220004`],
  ])('%s', (code, hex) => {
    expect(parseStrict(fromHex(hex))).toMatchObject({ ok: false, error: { code } });
  });

  test('nothing, where nothing is wrong', () => {
    expect(parseStrict(fromHex(bare))).toMatchObject({ ok: true });
  });
});

describe('the lenient parser', () => {
  const id = '000102030405060708090a0b';
  const nothing = { lengthMismatch: false, unaligned: false, truncated: false, trailing: false };

  // The shapes are those of requirements.md A.5.3, "Parser requirement".
  test('a last attribute without padding, length 25', () => {
    const hex = `08020019 2112a442 ${id} 40020008 0000018660b8c827 40030009 010203040506070809`;
    const message = parseLenient(fromHex(hex));
    expect(message?.attributes.map(({ type, value }) => [type, value.length])).toEqual([
      [0x4002, 8],
      [0x4003, 9],
    ]);
    expect(message?.flags).toEqual({ ...nothing, unaligned: true });
  });

  test('an attribute without padding in the middle', () => {
    const hex = `08010013 2112a442 ${id} 40030009 010203040506070809 40070002 01f4`;
    const message = parseLenient(fromHex(hex));
    expect(message?.attributes.map(({ type, value }) => [type, toHex(value)])).toEqual([
      [0x4003, '010203040506070809'],
      [0x4007, '01f4'],
    ]);
    expect(message?.flags).toEqual({ ...nothing, unaligned: true });
  });

  test('a length of 452 where 480 bytes follow: read to the declared end', () => {
    const attributes = `40030001 ff000000 400401b8 ${'00'.repeat(440)}`;
    const message = parseLenient(fromHex(`080101c4 2112a442 ${id} ${attributes} ${'aa'.repeat(28)}`));
    expect(message?.attributes.map(({ type, value }) => [type, value.length])).toEqual([
      [0x4003, 1],
      [0x4004, 440],
    ]);
    expect(message?.flags).toEqual({ ...nothing, lengthMismatch: true, trailing: true });
    expect(message?.rest).toHaveLength(28);
  });

  test('a datagram that ends before its message does', () => {
    const message = parseLenient(REQUEST.subarray(0, 30));
    expect(message?.flags).toMatchObject({ lengthMismatch: true, truncated: true });
    expect(message?.attributes).toHaveLength(1);
    expect(parseLenient(REQUEST.subarray(0, 10))?.flags.truncated).toBe(true);
  });

  test('asks for the cookie and the first two bits, nothing else', () => {
    expect(parseLenient(REQUEST.subarray(0, 7))).toBeNull();
    expect(parseLenient(Uint8Array.from(REQUEST).fill(0x40, 0, 1))).toBeNull();
    expect(parseLenient(Uint8Array.from(REQUEST).fill(0x20, 4, 5))).toBeNull();
    expect(parseLenient(Uint8Array.from(REQUEST).fill(0x3f, 0, 1))).not.toBeNull();
  });
});

test('hostile bytes: nothing throws, whatever is read', () => {
  const truncated = fc.nat(REQUEST.length).map((length) => REQUEST.slice(0, length));
  const flipped = fc.tuple(fc.nat(REQUEST.length - 1), fc.nat(255)).map(([at, value]) => {
    return Uint8Array.from(REQUEST).fill(value, at, at + 1);
  });
  const withCookie = bytesOf(16, 120).map((bytes) => {
    bytes.set([0, 1, 0, bytes.length - 20, 0x21, 0x12, 0xa4, 0x42]);
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(bytesOf(0, 200), truncated, flipped, withCookie, messages.map(encodeMessage)), (bytes) => {
      const strict = parseStrict(bytes);
      for (const message of [parseLenient(bytes), strict.ok ? strict.message : null]) {
        if (!message) continue;
        stun.readMappedAddress(message);
        stun.readIceRole(message);
        stun.readErrorCode(message);
        stun.readUnknownAttributes(message);
        stun.readChangeRequest(message);
        stun.readResponsePort(message);
        stun.readUsername(message);
        stun.readPriority(message);
        verifyIntegrity(message, REQUEST);
        verifyFingerprint(message);
      }
    }),
    { numRuns: 2000 },
  );
});

test('readers give nothing for a value of the wrong shape, whatever the attribute', () => {
  const readers: Readonly<Record<string, (message: Parameters<typeof stun.readPriority>[0]) => unknown>> = {
    'XOR-MAPPED-ADDRESS': stun.readMappedAddress,
    'MAPPED-ADDRESS': stun.readMappedAddress,
    PRIORITY: stun.readPriority,
    'ICE-CONTROLLING': stun.readIceRole,
    'ERROR-CODE': stun.readErrorCode,
    'UNKNOWN-ATTRIBUTES': stun.readUnknownAttributes,
    'CHANGE-REQUEST': stun.readChangeRequest,
    'RESPONSE-PORT': stun.readResponsePort,
  };
  for (const [name, read] of Object.entries(readers)) {
    const type = ATTRIBUTES[name as keyof typeof ATTRIBUTES];
    for (const value of [Uint8Array.of(1), Uint8Array.of(0, 9, 1, 1, 1), new Uint8Array(7)]) {
      const wire = encodeMessage({
        ...{ method: 1, class: 'success', transactionId: new Uint8Array(12) },
        attributes: [{ type, value }],
      });
      const parsed = parseStrict(wire);
      expect(parsed.ok && read(parsed.message), `${name} of ${value.length}`).toBeUndefined();
    }
  }
});
