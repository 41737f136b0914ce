import { expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import { fromHex, toHex } from '../../../src/base/bytes.js';
import { fastCiphers } from '../../../src/net/quic/ciphers.js';
import { openEvp } from '../../../src/os/evp.js';
import { loadLibc } from '../../../src/os/libc.js';
import { packetKeys } from '../../../src/quic/crypto/keys.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { protectPacket } from '../../../src/quic/crypto/protection.js';
import { CHACHA20_POLY1305, SUITES } from '../../../src/quic/crypto/suites.js';
import { describeWith } from '../../support/skip.js';

describeWith(['linux', 'koffi'], 'OpenSSL called directly', () => {
  const fast = () => {
    const { ciphers, reason } = fastCiphers();
    expect(reason).toBeNull();
    return ciphers ?? nodeCiphers;
  };

  test('makes the packet of RFC 9001 A.5', () => {
    const secret = fromHex('9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b');
    const keys = packetKeys(CHACHA20_POLY1305, secret, fast());
    const bytes = new Uint8Array(21);
    bytes.set(fromHex('4200bff401'));
    const end = protectPacket(
      bytes,
      { start: 0, packetNumberAt: 1, packetNumberLength: 3, end: 5 },
      keys,
      0,
      654360564,
    );
    expect(toHex(bytes.subarray(0, end))).toBe('4cfe4189655e5cd55c41f69080575d7999c25a5bfb');
  });

  test.each(SUITES)('does as node:crypto does: $name', ({ aead, keyBytes }) => {
    const random = new SeededRandom(aead);
    const key = random.bytes(keyBytes);
    const [cipher, reference] = [fast().packetCipher(aead, key), nodeCiphers.packetCipher(aead, key)];
    const [mask, referenceMask] = [fast().headerMask(aead, key), nodeCiphers.headerMask(aead, key)];
    for (const length of [0, 1, 15, 16, 17, 255, 1350, 9000]) {
      const nonce = random.bytes(12);
      const plain = random.bytes(20 + length + 16);
      const [sealed, expected] = [plain.slice(), plain.slice()];
      cipher.seal(nonce, sealed, 3, 20, 20 + length);
      reference.seal(nonce, expected, 3, 20, 20 + length);
      expect(sealed).toEqual(expected);
      expect(cipher.open(nonce, sealed, 3, 20, sealed.length)).toBe(true);
      expect(sealed.subarray(0, 20 + length)).toEqual(plain.subarray(0, 20 + length));
      const sample = random.bytes(16);
      expect(toHex(mask(sample).slice(0, 5))).toBe(toHex(referenceMask(sample).slice(0, 5)));
    }
  });

  test.each(SUITES)('does the same in memory that C knows: $name', ({ aead, keyBytes }) => {
    const { libc } = loadLibc();
    expect(libc).not.toBeNull();
    if (libc === null) return;
    // A part in the middle: what stands around it must stay as it is.
    const whole = libc.allocate(2000).bytes;
    const random = new SeededRandom(`native ${aead}`);
    const key = random.bytes(keyBytes);
    const [cipher, reference] = [fast().packetCipher(aead, key), nodeCiphers.packetCipher(aead, key)];
    for (const length of [0, 1, 16, 17, 1350]) {
      const nonce = random.bytes(12);
      whole.set(random.bytes(whole.length));
      const part = whole.subarray(100, 100 + 20 + length + 16);
      const expected = whole.slice();
      reference.seal(nonce, expected.subarray(100, 100 + part.length), 3, 20, 20 + length);
      cipher.seal(nonce, part, 3, 20, 20 + length);
      expect(toHex(whole)).toBe(toHex(expected));
      part[20 + length] = (part[20 + length] ?? 0) ^ 1;
      const forged = whole.slice();
      expect(cipher.open(nonce, part, 3, 20, part.length)).toBe(false);
      expect(toHex(whole)).toBe(toHex(forged));
      part[20 + length] = (part[20 + length] ?? 0) ^ 1;
      expect(cipher.open(nonce, part, 3, 20, part.length)).toBe(true);
      expect(() => {
        cipher.seal(nonce, part, 3, 20, 21 + length);
      }).toThrow(RangeError);
      expect(cipher.open(nonce, part, 3, 20, part.length + 1)).toBe(false);
    }
  });

  test.each(SUITES)('leaves what was forged as it came: $name', ({ aead, keyBytes }) => {
    const random = new SeededRandom(aead);
    const cipher = fast().packetCipher(aead, random.bytes(keyBytes));
    const nonce = random.bytes(12);
    const sealed = random.bytes(100 + 16);
    cipher.seal(nonce, sealed, 0, 10, 100);
    for (const at of [0, 9, 10, 99, 100, 115]) {
      const forged = sealed.slice();
      forged[at] = (forged[at] ?? 0) ^ 0x10;
      const copy = forged.slice();
      expect(cipher.open(nonce, forged, 0, 10, forged.length)).toBe(false);
      expect(forged).toEqual(copy);
    }
    expect(cipher.open(nonce, sealed, 0, 10, 20)).toBe(false);
    expect(cipher.open(nonce, sealed, 0, 10, sealed.length)).toBe(true);
  });
});

test('without koffi there is a reason, and no crash', () => {
  const state = openEvp(() => {
    throw new Error("Cannot find module 'koffi'");
  });
  expect(fastCiphers(state)).toEqual({
    ciphers: null,
    reason: "koffi cannot be loaded: Cannot find module 'koffi'",
  });
});

test('an OpenSSL that does not do as node:crypto does is not used', () => {
  const { ciphers, reason } = fastCiphers({
    evp: {
      library: 'a broken one',
      aead: () => ({ seal: () => undefined, open: () => true }),
      blockCipher: () => (block) => block,
      chacha20: () => (block) => block,
    },
    reason: null,
  });
  expect(ciphers).toBeNull();
  expect(reason).toContain('EVP of a broken one gives wrong aes-128-gcm');
});
