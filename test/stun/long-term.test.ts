import { describe, expect, test } from 'vitest';
import { fromHex, toHex, utf8Bytes } from '../../src/base/bytes.js';
import * as stun from '../../src/stun/attributes.js';
import { longTermKey, signed } from '../../src/stun/integrity.js';
import {
  LongTermSigner,
  nonceCookie,
  passwordAlgorithms,
  readChallenge,
  userhash,
  type Challenge,
} from '../../src/stun/long-term.js';
import { encodeMessage, parseStrict, type NewAttribute, type StunMessage } from '../../src/stun/message.js';
import { ATTRIBUTES, METHODS } from '../../src/stun/registry.js';
import { LONG_TERM, LONG_TERM_REQUEST, SHA256_REQUEST } from './vectors.js';

const transactionId = fromHex('78ad3433c6ad72c029da412e');
const credentials = { username: LONG_TERM.username, password: LONG_TERM.password };

function parsed(bytes: Uint8Array): StunMessage {
  const result = parseStrict(bytes);
  if (!result.ok) throw new Error(result.error.message);
  return result.message;
}

function unauthenticated(...attributes: readonly NewAttribute[]): StunMessage {
  const error = stun.errorCode({ code: 401, reason: 'Unauthenticated' });
  return parsed(encodeMessage({ method: 3, class: 'error', transactionId, attributes: [error, ...attributes] }));
}

const realm = (text: string): NewAttribute => ({ type: ATTRIBUTES.REALM, value: utf8Bytes(text) });
const nonce = (text: string): NewAttribute => ({ type: ATTRIBUTES.NONCE, value: utf8Bytes(text) });

function challenge(...attributes: readonly NewAttribute[]): Challenge {
  const read = readChallenge(unauthenticated(...attributes));
  if (!read) throw new Error('no challenge');
  return read;
}

const valueOf = (bytes: Uint8Array, name: keyof typeof ATTRIBUTES): string =>
  toHex(parsed(bytes).attributes.find(({ type }) => type === ATTRIBUTES[name])?.value ?? new Uint8Array());

describe('against the vectors of the RFCs', () => {
  test('RFC 5769 2.4: name, realm, nonce and integrity of a request that answers its challenge', () => {
    const signer = new LongTermSigner(challenge(realm(LONG_TERM.realm), nonce(LONG_TERM.nonce)), credentials);
    const request = signer.sign({ method: 1, class: 'request', transactionId, attributes: [] });
    for (const name of ['USERNAME', 'REALM', 'NONCE'] as const) {
      expect(valueOf(request, name), name).toBe(valueOf(LONG_TERM_REQUEST, name));
    }
    expect(signer.hasSigned(parsed(LONG_TERM_REQUEST))).toBe(true);
    expect(signer.hasSigned(parsed(request))).toBe(true);
  });

  test('RFC 8489 B.1: the hash of the name', () => {
    expect(toHex(userhash(LONG_TERM.username, LONG_TERM.realm))).toBe(valueOf(SHA256_REQUEST, 'USERHASH'));
  });

  test('RFC 8489 B.1: a server that names algorithms and knows users by their hash is answered with both', () => {
    const asked = challenge(
      realm(LONG_TERM.realm),
      nonce(`${nonceCookie({ passwordAlgorithms: true, anonymity: true })}rest`),
      passwordAlgorithms(['md5', 'sha256']),
    );
    const signer = new LongTermSigner(asked, credentials);
    const request = signer.sign({ method: 1, class: 'request', transactionId, attributes: [] });
    expect(valueOf(request, 'USERHASH')).toBe(valueOf(SHA256_REQUEST, 'USERHASH'));
    expect(valueOf(request, 'PASSWORD-ALGORITHM')).toBe('00020000');
    expect(valueOf(request, 'PASSWORD-ALGORITHMS')).toBe('0001000000020000');
    expect(parsed(request).attributes.some(({ type }) => type === ATTRIBUTES.USERNAME)).toBe(false);
    expect(parsed(request).attributes.some(({ type }) => type === ATTRIBUTES['MESSAGE-INTEGRITY'])).toBe(false);
    expect(signer.hasSigned(parsed(SHA256_REQUEST))).toBe(true);
  });
});

describe('a challenge', () => {
  test('the nonce cookie says what the server knows: bit 0 is the rightmost (RFC 8489 §18.1)', () => {
    expect(nonceCookie({ passwordAlgorithms: false, anonymity: false })).toBe('obMatJos2AAAA');
    expect(nonceCookie({ passwordAlgorithms: true, anonymity: false })).toBe('obMatJos2AAAB');
    expect(nonceCookie({ passwordAlgorithms: false, anonymity: true })).toBe('obMatJos2AAAC');
    expect(challenge(realm('r'), nonce('obMatJos2AAACf//499k')).anonymous).toBe(true);
    expect(challenge(realm('r'), nonce('obMatJos2gAAAf//499k')).anonymous).toBe(false);
    expect(challenge(realm('r'), nonce('anything')).anonymous).toBe(false);
  });

  test('takes SHA-256 before MD5, and MD5 before nothing', () => {
    const cookie = nonce(nonceCookie({ passwordAlgorithms: true, anonymity: false }));
    expect(challenge(realm('r'), cookie, passwordAlgorithms(['md5', 'sha256'])).algorithm).toBe('sha256');
    expect(challenge(realm('r'), cookie, passwordAlgorithms(['md5'])).algorithm).toBe('md5');
    expect(challenge(realm('r'), nonce('n')).algorithm).toBe('md5');
    const padded = { type: ATTRIBUTES['PASSWORD-ALGORITHMS'], value: fromHex('0009000155000000 00020000') };
    expect(challenge(realm('r'), cookie, padded).algorithm).toBe('sha256');
  });

  test.each([
    ['no realm', [nonce('n')]],
    ['no nonce', [realm('r')]],
    ['an empty nonce', [realm('r'), nonce('')]],
    ['a nonce beyond its bound', [realm('r'), nonce('n'.repeat(764))]],
    ['a realm beyond its bound', [realm('r'.repeat(764)), nonce('n')]],
    ['algorithms promised by the nonce and taken out on the way', [realm('r'), nonce('obMatJos2AAABx')]],
    [
      'algorithms that nobody knows',
      [realm('r'), nonce('n'), { type: ATTRIBUTES['PASSWORD-ALGORITHMS'], value: fromHex('00070000') }],
    ],
  ] satisfies [string, NewAttribute[]][])('with %s cannot be met', (_, attributes) => {
    expect(readChallenge(unauthenticated(...attributes))).toBeNull();
  });

  test('asked again with another nonce is another challenge; with the same it says that the answer was wrong', () => {
    const signer = new LongTermSigner(challenge(realm('r'), nonce('one')), credentials);
    expect(signer.answers(challenge(realm('r'), nonce('one')))).toBe(true);
    expect(signer.answers(challenge(realm('r'), nonce('two')))).toBe(false);
    expect(signer.answers(challenge(realm('other'), nonce('one')))).toBe(false);
  });
});

describe('answers', () => {
  const asked = { realm: 'r', nonce: utf8Bytes('n'), offered: null, anonymous: false };
  const answer = { method: METHODS.Allocate, class: 'success', transactionId, attributes: [] } as const;

  test('count with the key of the password only', () => {
    const signer = new LongTermSigner({ ...asked, algorithm: 'md5' }, { username: 'u', password: 'p' });
    const key = longTermKey('u', 'r', 'p');
    expect(signer.hasSigned(parsed(signed(answer, { key })))).toBe(true);
    expect(signer.hasSigned(parsed(signed(answer, { key: longTermKey('u', 'r', 'q') })))).toBe(false);
    expect(signer.hasSigned(parsed(encodeMessage(answer)))).toBe(false);
  });

  test('to a request with SHA-256 do not count with SHA-1', () => {
    const offered = passwordAlgorithms(['sha256']).value;
    const signer = new LongTermSigner({ ...asked, algorithm: 'sha256', offered }, { username: 'u', password: 'p' });
    const key = longTermKey('u', 'r', 'p', 'sha256');
    expect(signer.hasSigned(parsed(signed(answer, { key, algorithm: 'sha256' })))).toBe(true);
    expect(signer.hasSigned(parsed(signed(answer, { key })))).toBe(false);
  });
});

test('neither name nor password stands in what is sent where the server knows users by their hash', () => {
  const asked = challenge(realm('example.org'), nonce(nonceCookie({ passwordAlgorithms: false, anonymity: true })));
  const request = new LongTermSigner(asked, { username: 'nobody-knows-me', password: 'a-secret-word' }).sign({
    ...{ method: METHODS.Allocate, class: 'request', transactionId, attributes: [] },
  });
  const text = Buffer.from(request).toString('latin1');
  expect(text).not.toContain('nobody-knows-me');
  expect(text).not.toContain('a-secret-word');
});
