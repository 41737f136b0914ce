import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddressBytes, transportAddress } from '../../src/base/address.js';
import { fromHex, toHex } from '../../src/base/bytes.js';
import * as stun from '../../src/stun/attributes.js';
import { signed } from '../../src/stun/integrity.js';
import { encodeMessage, parseStrict, type NewAttribute, type StunMessage } from '../../src/stun/message.js';
import { ATTRIBUTES, ERROR_CODES, METHODS } from '../../src/stun/registry.js';

const transactionId = fromHex('b7e7a701bc34d686fa87dfae');

function received(...attributes: readonly NewAttribute[]): StunMessage {
  const parsed = parseStrict(encodeMessage({ method: 1, class: 'request', transactionId, attributes }));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.message;
}

test('addresses of both families come back, plain and against cookie and transaction id', () => {
  const addresses = fc
    .tuple(
      fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
      fc.nat(65535),
    )
    .map(([bytes, port]) => transportAddress(formatAddressBytes(bytes), port));
  fc.assert(
    fc.property(addresses, (address) => {
      for (const name of ['XOR-MAPPED-ADDRESS', 'XOR-PEER-ADDRESS', 'XOR-RELAYED-ADDRESS'] as const) {
        const message = received(stun.xorAddressAttribute(ATTRIBUTES[name], address, transactionId));
        expect(stun.readXorAddress(message, ATTRIBUTES[name])).toEqual(address);
      }
      for (const name of ['MAPPED-ADDRESS', 'RESPONSE-ORIGIN', 'OTHER-ADDRESS'] as const) {
        const message = received(stun.addressAttribute(ATTRIBUTES[name], address));
        expect(stun.readAddress(message, ATTRIBUTES[name])).toEqual(address);
      }
    }),
  );
});

test('the mapped address of a server without XOR-MAPPED-ADDRESS', () => {
  const address = transportAddress('198.51.100.7', 4000);
  expect(stun.readMappedAddress(received(stun.addressAttribute(0x0001, address)))).toEqual(address);
});

test('ICE attributes have the layout of RFC 8445 §16.1', () => {
  expect(toHex(stun.priority(0x6e0001ff).value)).toBe('6e0001ff');
  expect(stun.iceRole(true, 0x932ff9b151263b36n)).toEqual({ type: 0x802a, value: fromHex('932ff9b151263b36') });
  expect(stun.iceRole(false, 1n)).toEqual({ type: 0x8029, value: fromHex('0000000000000001') });
  expect(stun.useCandidate()).toEqual({ type: 0x0025, value: new Uint8Array() });
  const message = received(stun.useCandidate(), stun.priority(7), stun.iceRole(true, 5n), stun.username('a:b'));
  expect(stun.hasUseCandidate(message)).toBe(true);
  expect(stun.readPriority(message)).toBe(7);
  expect(stun.readIceRole(message)).toEqual({ controlling: true, tieBreaker: 5n });
  expect(stun.readUsername(message)).toBe('a:b');
});

test('an error code is split into hundreds and rest (RFC 8489 §14.8)', () => {
  const conflict = stun.errorCode({ code: 487, reason: 'Role Conflict' });
  expect(toHex(conflict.value.subarray(0, 4))).toBe('00000457');
  expect(stun.readErrorCode(received(conflict))).toEqual({ code: 487, reason: 'Role Conflict' });
});

test('unknown attributes: those below 0x8000 that nobody knows', () => {
  const message = received({ type: 0x0031, value: new Uint8Array() }, stun.priority(1), stun.software('x'));
  const unknown = stun.unknownAttributes(message, new Set([ATTRIBUTES.PRIORITY]));
  expect(unknown).toEqual([0x0031]);
  expect(stun.readUnknownAttributes(received(stun.unknownAttributesAttribute([0x31, 0x4000])))).toEqual([0x31, 0x4000]);
});

test('CHANGE-REQUEST: A is 4, B is 2 (RFC 5780 §7.2)', () => {
  expect(toHex(stun.changeRequest({ address: true, port: false }).value)).toBe('00000004');
  expect(toHex(stun.changeRequest({ address: false, port: true }).value)).toBe('00000002');
  for (const change of [0, 1, 2, 3].map((bits) => ({ address: bits > 1, port: bits % 2 === 1 }))) {
    expect(stun.readChangeRequest(received(stun.changeRequest(change)))).toEqual(change);
  }
});

test('RESPONSE-PORT and PADDING (RFC 5780 §7.5, §7.6)', () => {
  expect(stun.readResponsePort(received(stun.responsePort(4660)))).toBe(4660);
  expect(stun.padding(64)).toEqual({ type: 0x0026, value: new Uint8Array(64) });
});

test('what somebody appends behind the integrity is not seen (RFC 8489 §14.5)', () => {
  const genuine = signed(
    { method: 1, class: 'request', transactionId, attributes: [stun.username('a:b')] },
    { key: Uint8Array.of(1) },
  );
  const parsed = parseStrict(genuine);
  if (!parsed.ok) throw new Error(parsed.error.message);
  const appended = parseStrict(
    encodeMessage({ ...parsed.message, attributes: [...parsed.message.attributes, stun.useCandidate()] }),
  );
  expect(appended.ok && stun.hasUseCandidate(appended.message)).toBe(false);
  expect(appended.ok && stun.readUsername(appended.message)).toBe('a:b');
});

describe('names and numbers of the IANA registry', () => {
  test.each([
    // RFC 8489 §18.3
    ['MAPPED-ADDRESS', 0x0001],
    ['USERNAME', 0x0006],
    ['MESSAGE-INTEGRITY', 0x0008],
    ['ERROR-CODE', 0x0009],
    ['UNKNOWN-ATTRIBUTES', 0x000a],
    ['REALM', 0x0014],
    ['NONCE', 0x0015],
    ['MESSAGE-INTEGRITY-SHA256', 0x001c],
    ['PASSWORD-ALGORITHM', 0x001d],
    ['USERHASH', 0x001e],
    ['XOR-MAPPED-ADDRESS', 0x0020],
    ['PASSWORD-ALGORITHMS', 0x8002],
    ['ALTERNATE-DOMAIN', 0x8003],
    ['SOFTWARE', 0x8022],
    ['ALTERNATE-SERVER', 0x8023],
    ['FINGERPRINT', 0x8028],
    // RFC 8445 §20.1
    ['PRIORITY', 0x0024],
    ['USE-CANDIDATE', 0x0025],
    ['ICE-CONTROLLED', 0x8029],
    ['ICE-CONTROLLING', 0x802a],
    // RFC 5780 §9.1
    ['CHANGE-REQUEST', 0x0003],
    ['PADDING', 0x0026],
    ['RESPONSE-PORT', 0x0027],
    ['CACHE-TIMEOUT', 0x8027],
    ['RESPONSE-ORIGIN', 0x802b],
    ['OTHER-ADDRESS', 0x802c],
    // RFC 8656 §18
    ['CHANNEL-NUMBER', 0x000c],
    ['LIFETIME', 0x000d],
    ['XOR-PEER-ADDRESS', 0x0012],
    ['DATA', 0x0013],
    ['XOR-RELAYED-ADDRESS', 0x0016],
    ['REQUESTED-ADDRESS-FAMILY', 0x0017],
    ['EVEN-PORT', 0x0018],
    ['REQUESTED-TRANSPORT', 0x0019],
    ['DONT-FRAGMENT', 0x001a],
    ['RESERVATION-TOKEN', 0x0022],
    ['ADDITIONAL-ADDRESS-FAMILY', 0x8000],
    ['ADDRESS-ERROR-CODE', 0x8001],
    ['ICMP', 0x8004],
  ] as const)('attribute %s', (name, type) => {
    expect(ATTRIBUTES[name]).toBe(type);
  });

  test('no attribute has a name or number of its own', () => {
    expect(new Set(Object.values(ATTRIBUTES)).size).toBe(39);
  });

  test('methods (RFC 8489 §18.2, RFC 8656 §17) and error codes (RFC 8489 §18.4, RFC 8445 §20.2, RFC 8656 §19)', () => {
    expect(METHODS).toEqual({
      ...{ Binding: 1, Allocate: 3, Refresh: 4, Send: 6, Data: 7, CreatePermission: 8, ChannelBind: 9 },
    });
    expect(Object.entries(ERROR_CODES).map(([name, code]) => `${code} ${name}`)).toEqual([
      ...['300 Try Alternate', '400 Bad Request', '401 Unauthenticated', '403 Forbidden', '420 Unknown Attribute'],
      ...['437 Allocation Mismatch', '438 Stale Nonce', '440 Address Family not Supported', '441 Wrong Credentials'],
      ...['442 Unsupported Transport Protocol', '443 Peer Address Family Mismatch', '486 Allocation Quota Reached'],
      ...['487 Role Conflict', '500 Server Error', '508 Insufficient Capacity'],
    ]);
  });
});
