import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { expandLabel, hkdfExtract, hkdfLabel } from '../../../src/quic/crypto/hkdf.js';
import {
  aeadKey,
  headerKey,
  initialKeys,
  initialSecrets,
  nextSecret,
  packetKeys,
} from '../../../src/quic/crypto/keys.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { openHeader, openPayload, packetNonce, protectPacket } from '../../../src/quic/crypto/protection.js';
import { retryPacket, verifyRetry } from '../../../src/quic/crypto/retry.js';
import { AES_128_GCM, CHACHA20_POLY1305 } from '../../../src/quic/crypto/suites.js';
import { parsePacket, type ProtectedPacket, type RetryPacket } from '../../../src/quic/wire/header.js';
import * as vectors from './rfc9001.js';

const ID = fromHex('8394c8f03e515708');
const none = new Uint8Array();
const { client, server } = initialKeys(ID, nodeCiphers);

const packetIn = (datagram: Uint8Array, idBytes = 8) => parsePacket(datagram, 0, idBytes) as ProtectedPacket;

describe('A.1: keys', () => {
  test.each([
    ['client in', 32, '00200f746c73313320636c69656e7420696e00'],
    ['server in', 32, '00200f746c7331332073657276657220696e00'],
    ['quic key', 16, '00100e746c7331332071756963206b657900'],
    ['quic iv', 12, '000c0d746c733133207175696320697600'],
    ['quic hp', 16, '00100d746c733133207175696320687000'],
  ])('the label %s', (label, length, hex) => {
    expect(toHex(hkdfLabel(label, none, length))).toBe(hex);
  });

  test('the initial secret', () => {
    const salt = fromHex('38762cf7f55934b34d179ae6a4c80cadccbb7f0a');
    expect(toHex(hkdfExtract('sha256', salt, ID))).toBe(
      '7db5df06e7a69e432496adedb00851923595221596ae2ae9fb8115c1e9ed0a44',
    );
  });

  const secrets = initialSecrets(ID);
  test.each([
    [
      'client',
      secrets.client,
      'c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea',
      '1f369613dd76d5467730efcbe3b1a22d',
      'fa044b2f42a3fd3b46fb255c',
      '9f50449e04a0e810283a1e9933adedd2',
    ],
    [
      'server',
      secrets.server,
      '3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b',
      'cf3a5331653c364c88f0f379b6067e37',
      '0ac1493ca1905853b0bba03e',
      'c206b8d9b9f0f37644430b490eeaa314',
    ],
  ])('of the %s', (_, secret, hex, key, iv, hp) => {
    expect(toHex(secret)).toBe(hex);
    expect(toHex(aeadKey(AES_128_GCM, secret).key)).toBe(key);
    expect(toHex(aeadKey(AES_128_GCM, secret).iv)).toBe(iv);
    expect(toHex(headerKey(AES_128_GCM, secret))).toBe(hp);
  });
});

describe('A.2: the client Initial', () => {
  test('is made byte for byte', () => {
    const bytes = new Uint8Array(1200);
    bytes.set(concatBytes(vectors.CLIENT_HEADER, vectors.CLIENT_FRAME));
    const place = { start: 0, packetNumberAt: 18, packetNumberLength: 4, end: 22 + 1162 } as const;
    expect(protectPacket(bytes, place, client, 0, 2)).toBe(1200);
    expect(toHex(bytes)).toBe(toHex(vectors.CLIENT_PACKET));
  });

  test('the mask of its sample', () => {
    expect(toHex(client.mask(fromHex('d1b1c98dd7689fb8ec11d242b123dc9b')).subarray(0, 5))).toBe('437b9aec36');
  });

  test('is opened', () => {
    const bytes = vectors.CLIENT_PACKET.slice();
    const header = openHeader(bytes, packetIn(bytes), client.mask, -1);
    expect(header).toMatchObject({ packetNumber: 2, payloadAt: 22, reservedBitsSet: false });
    if (header === null) throw new Error('no header');
    const payload = openPayload(bytes, header, client, 0);
    expect(payload).toHaveLength(1162);
    expect(payload?.subarray(0, 245)).toEqual(vectors.CLIENT_FRAME);
    expect(payload?.subarray(245).every((byte) => byte === 0)).toBe(true);
  });
});

describe('A.3: the server Initial', () => {
  test('is made byte for byte', () => {
    const plain = concatBytes(vectors.SERVER_HEADER, vectors.SERVER_PAYLOAD);
    const bytes = concatBytes(plain, new Uint8Array(16));
    const place = { start: 0, packetNumberAt: 18, packetNumberLength: 2, end: plain.length } as const;
    protectPacket(bytes, place, server, 0, 1);
    expect(toHex(bytes)).toBe(toHex(vectors.SERVER_PACKET));
    expect(toHex(server.mask(fromHex('2cd0991cd25b0aac406a5816b6394100')).subarray(0, 5))).toBe('2ec0d8356a');
  });

  test('is opened', () => {
    const bytes = vectors.SERVER_PACKET.slice();
    const header = openHeader(bytes, packetIn(bytes), server.mask, -1);
    if (header === null) throw new Error('no header');
    expect(header.packetNumber).toBe(1);
    expect(openPayload(bytes, header, server, 0)).toEqual(vectors.SERVER_PAYLOAD);
  });
});

describe('A.4: Retry', () => {
  test('its integrity tag is good, and for no other connection id', () => {
    const packet = parsePacket(vectors.RETRY, 0, 8) as RetryPacket;
    expect(verifyRetry(packet, ID, nodeCiphers)).toBe(true);
    expect(verifyRetry(packet, fromHex('8394c8f03e515709'), nodeCiphers)).toBe(false);
    const damaged = vectors.RETRY.slice();
    damaged[16] = 0;
    expect(verifyRetry(parsePacket(damaged, 0, 8) as RetryPacket, ID, nodeCiphers)).toBe(false);
  });

  test('is made byte for byte, where the unused bits are those of the RFC', () => {
    const random = { uint32: () => 0, bytes: (length: number) => new Uint8Array(length).fill(0x0f) };
    const retry = {
      destination: none,
      source: fromHex('f067a5502a4262b5'),
      token: fromHex('746f6b656e'),
      originalDestination: ID,
    };
    expect(toHex(retryPacket(retry, random, nodeCiphers))).toBe(toHex(vectors.RETRY));
    const other = retryPacket(retry, new SeededRandom(1), nodeCiphers);
    expect(verifyRetry(parsePacket(other, 0, 8) as RetryPacket, ID, nodeCiphers)).toBe(true);
  });
});

describe('A.5: ChaCha20-Poly1305', () => {
  const secret = fromHex('9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b');
  const keys = packetKeys(CHACHA20_POLY1305, secret, nodeCiphers);
  const packet = fromHex('4cfe4189655e5cd55c41f69080575d7999c25a5bfb');

  test('keys', () => {
    const { key, iv } = aeadKey(CHACHA20_POLY1305, secret);
    expect(toHex(key)).toBe('c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8');
    expect(toHex(iv)).toBe('e0459b3474bdd0e44a41c144');
    expect(toHex(headerKey(CHACHA20_POLY1305, secret))).toBe(
      '25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4',
    );
    expect(toHex(nextSecret(CHACHA20_POLY1305, secret))).toBe(
      '1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9',
    );
    expect(toHex(expandLabel('sha256', secret, 'quic ku', none, 32))).toBe(
      toHex(nextSecret(CHACHA20_POLY1305, secret)),
    );
  });

  test('nonce, mask and packet', () => {
    expect(toHex(packetNonce(keys.iv, 0, 654_360_564))).toBe('e0459b3474bdd0e46d417eb0');
    expect(toHex(keys.mask(fromHex('5e5cd55c41f69080575d7999c25a5bfb')))).toBe('aefefe7d03');
    const bytes = concatBytes(fromHex('4200bff401'), new Uint8Array(16));
    protectPacket(bytes, { start: 0, packetNumberAt: 1, packetNumberLength: 3, end: 5 }, keys, 0, 654_360_564);
    expect(toHex(bytes)).toBe(toHex(packet));
  });

  test('the packet is opened by who has seen one shortly before', () => {
    const bytes = packet.slice();
    const header = openHeader(bytes, packetIn(bytes, 0), keys.mask, 654_360_000);
    if (header === null) throw new Error('no header');
    expect(header.packetNumber).toBe(654_360_564);
    expect(openPayload(bytes, header, keys, 0)).toEqual(Uint8Array.of(1));
  });
});

test('the nonce of the multipath draft', () => {
  expect(toHex(packetNonce(fromHex('6b26114b9cba2b63a9e8dd4f'), 3, 54_321))).toBe('6b2611489cba2b63a9e8097e');
});

test('a nonce of large numbers: all bits of the path id and of the packet number are in it', () => {
  const zero = new Uint8Array(12);
  expect(toHex(packetNonce(zero, 2 ** 32 - 1, 2 ** 53 - 1))).toBe('ffffffff001fffffffffffff');
});
