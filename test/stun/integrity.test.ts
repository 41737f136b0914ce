import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { priority, software, username } from '../../src/stun/attributes.js';
import { longTermKey, shortTermKey, signed, verifyFingerprint, verifyIntegrity } from '../../src/stun/integrity.js';
import { encodeMessage, parseStrict, type NewMessage, type StunMessage } from '../../src/stun/message.js';
import { toHex, utf8Bytes, viewOf } from '../../src/base/bytes.js';

const message: NewMessage = {
  method: 1,
  class: 'request',
  transactionId: new Uint8Array(12).fill(7),
  attributes: [username('a:b'), priority(1)],
};
const key = shortTermKey('a password of enough characters');

function parsed(bytes: Uint8Array): StunMessage {
  const result = parseStrict(bytes);
  if (!result.ok) throw new Error(result.error.message);
  return result.message;
}

test('only the key that signed verifies, with either algorithm', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc.constantFrom('sha1' as const, 'sha256' as const),
      fc.boolean(),
      (one, other, algorithm, fingerprint) => {
        fc.pre(toHex(one).replace(/(00)+$/, '') !== toHex(other).replace(/(00)+$/, ''));
        const wire = parsed(signed(message, { key: one, algorithm, fingerprint }));
        expect(verifyIntegrity(wire, one)).toBe('valid');
        expect(verifyIntegrity(wire, other)).toBe('invalid');
        expect(verifyFingerprint(wire)).toBe(fingerprint ? 'valid' : 'absent');
      },
    ),
  );
});

test('a message without integrity or fingerprint is neither right nor wrong', () => {
  const plain = parsed(encodeMessage(message));
  expect(verifyIntegrity(plain, key)).toBe('absent');
  expect(verifyFingerprint(plain)).toBe('absent');
});

test('where both algorithms sign, both count', () => {
  const first = parsed(signed(message, { key }));
  const both = signed({ ...message, attributes: first.attributes }, { key, algorithm: 'sha256' });
  expect(verifyIntegrity(parsed(both), key)).toBe('valid');
  const bad = Uint8Array.from(both);
  bad[bad.length - 1] = (bad[bad.length - 1] ?? 0) ^ 1;
  expect(verifyIntegrity(parsed(bad), key)).toBe('invalid');
});

test.each([
  [12, 'invalid'],
  [16, 'valid'],
  [18, 'invalid'],
  [28, 'valid'],
  [32, 'valid'],
] as const)('SHA-256 cut to %d bytes is %s: 16 to 32, in fours (RFC 8489 §14.6)', (bytes, expected) => {
  // By hand: the length that is signed is the one with the cut value.
  const covered = encodeMessage(message);
  viewOf(covered).setUint16(2, covered.length - 20 + 4 + bytes);
  const value = createHmac('sha256', key).update(covered).digest().subarray(0, bytes);
  const cut = encodeMessage({ ...message, attributes: [...message.attributes, { type: 0x001c, value }] });
  expect(verifyIntegrity(parsed(cut), key)).toBe(expected);
});

test('an integrity of the wrong length is wrong', () => {
  const attributes = [...message.attributes, { type: 0x0008, value: new Uint8Array(4) }];
  expect(verifyIntegrity(parsed(encodeMessage({ ...message, attributes })), key)).toBe('invalid');
});

test('a fingerprint counts only as the last attribute', () => {
  const wire = parsed(signed(message, { key, fingerprint: true }));
  const more = encodeMessage({ ...message, attributes: [...wire.attributes, software('later')] });
  expect(verifyFingerprint(parsed(more))).toBe('invalid');
});

test('keys: ASCII passwords as they are, others prepared', () => {
  expect(toHex(shortTermKey('VOkJxbRl1RmTxUk/WvJxBt'))).toBe(toHex(utf8Bytes('VOkJxbRl1RmTxUk/WvJxBt')));
  // RFC 4013 §3, examples 1 to 5 without the prohibited ones.
  expect(shortTermKey('I\u00adX')).toEqual(shortTermKey('IX'));
  expect(shortTermKey('\u2168')).toEqual(shortTermKey('IX'));
  expect(shortTermKey('\u00aa')).toEqual(shortTermKey('a'));
  expect(shortTermKey('USER')).not.toEqual(shortTermKey('user'));
  // RFC 5389 §15.4: MD5 of user:realm:pass.
  expect(toHex(longTermKey('user', 'realm', 'pass'))).toBe('8493fbc53ba582fb4c044c456bdc40eb');
});
