import { describe, expect, test } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { toHex } from '../../src/base/bytes.js';
import * as stun from '../../src/stun/attributes.js';
import { longTermKey, shortTermKey, signed, verifyFingerprint, verifyIntegrity } from '../../src/stun/integrity.js';
import { encodeMessage, parseLenient, parseStrict, transactionKey, type StunMessage } from '../../src/stun/message.js';
import { ATTRIBUTES } from '../../src/stun/registry.js';
import * as vectors from './vectors.js';

function parsed(bytes: Uint8Array): StunMessage {
  const result = parseStrict(bytes);
  if (!result.ok) throw new Error(result.error.message);
  return result.message;
}

const key = shortTermKey(vectors.SHORT_TERM_PASSWORD);
const md5Key = longTermKey(vectors.LONG_TERM.username, vectors.LONG_TERM.realm, vectors.LONG_TERM.password);
const sha256Key = longTermKey(
  vectors.LONG_TERM.username,
  vectors.LONG_TERM.realm,
  vectors.LONG_TERM.password,
  'sha256',
);

test('2.1 request: every attribute as the RFC lists it', () => {
  const message = parsed(vectors.REQUEST);
  expect(message).toMatchObject({ method: 1, class: 'request' });
  expect(transactionKey(message.transactionId)).toBe('b7e7a701bc34d686fa87dfae');
  expect(stun.readText(message, ATTRIBUTES.SOFTWARE)).toBe('STUN test client');
  expect(stun.readUsername(message)).toBe('evtj:h6vY');
  expect(stun.readPriority(message)).toBe(0x6e0001ff);
  expect(stun.readIceRole(message)).toEqual({ controlling: false, tieBreaker: 0x932ff9b151263b36n });
  expect(verifyFingerprint(message)).toBe('valid');
});

test('2.2 and 2.3 responses: the mapped addresses', () => {
  expect(stun.readMappedAddress(parsed(vectors.RESPONSE_IPV4))).toEqual(transportAddress('192.0.2.1', 32853));
  expect(stun.readMappedAddress(parsed(vectors.RESPONSE_IPV6))).toEqual(
    transportAddress('2001:db8:1234:5678:11:2233:4455:6677', 32853),
  );
});

test('2.4 long-term request: user, realm and nonce', () => {
  const message = parsed(vectors.LONG_TERM_REQUEST);
  expect(stun.readUsername(message)).toBe(vectors.LONG_TERM.username);
  expect(stun.readText(message, ATTRIBUTES.REALM)).toBe(vectors.LONG_TERM.realm);
  expect(stun.readText(message, ATTRIBUTES.NONCE)).toBe(vectors.LONG_TERM.nonce);
});

describe.each([
  { name: 'RFC 5769 2.1 request', bytes: vectors.REQUEST, key, fingerprint: 'valid' },
  { name: 'RFC 5769 2.2 IPv4 response', bytes: vectors.RESPONSE_IPV4, key, fingerprint: 'valid' },
  { name: 'RFC 5769 2.3 IPv6 response', bytes: vectors.RESPONSE_IPV6, key, fingerprint: 'valid' },
  { name: 'RFC 5769 2.4 long-term request', bytes: vectors.LONG_TERM_REQUEST, key: md5Key, fingerprint: 'absent' },
  { name: 'RFC 8489 B.1 SHA-256 request', bytes: vectors.SHA256_REQUEST, key: sha256Key, fingerprint: 'absent' },
])('$name', ({ bytes, key, fingerprint }) => {
  const message = parsed(bytes);

  test('verifies with the right key and no other', () => {
    expect(verifyIntegrity(message, key)).toBe('valid');
    expect(verifyIntegrity(message, shortTermKey('wrong'))).toBe('invalid');
    expect(verifyFingerprint(message)).toBe(fingerprint);
  });

  test('is encoded again byte for byte', () => {
    expect(toHex(encodeMessage(message))).toBe(toHex(bytes));
  });

  test('is signed anew byte for byte', () => {
    const algorithm = bytes === vectors.SHA256_REQUEST ? 'sha256' : 'sha1';
    const end = message.attributes.findIndex(({ type }) => type === 0x0008 || type === 0x001c);
    const again = signed(
      { ...message, attributes: message.attributes.slice(0, end) },
      { key, algorithm, fingerprint: fingerprint === 'valid' },
    );
    expect(toHex(again)).toBe(toHex(bytes));
  });

  test('a flipped bit anywhere that is protected is noticed', () => {
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      const result = parseStrict(changed);
      if (!result.ok) continue;
      const valid =
        verifyIntegrity(result.message, key) === 'valid' && verifyFingerprint(result.message) === fingerprint;
      expect(valid, `byte ${at}`).toBe(false);
    }
  });

  test('is nothing special to the lenient parser', () => {
    const flags = { lengthMismatch: false, unaligned: false, truncated: false, trailing: false };
    expect(parseLenient(bytes)).toMatchObject({ attributes: message.attributes, flags });
  });
});
