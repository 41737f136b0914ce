import { timingSafeEqual } from 'node:crypto';
import { concatBytes, fromHex } from '../../base/bytes.js';
import type { Random } from '../../base/random.js';
import { type RetryPacket, VERSION_1 } from '../wire/header.js';
import { Writer } from '../wire/writer.js';
import type { CipherProvider } from './ciphers.js';
import { TAG_BYTES } from './suites.js';

// RFC 9001 §5.8.
const KEY = fromHex('be0c690b9f66575a1d766b54e368c84e');
const NONCE = fromHex('461599d35d632bf2239825bb');

/** The Retry Integrity Tag: who made the Retry has seen the Initial with this destination connection id. */
export function retryIntegrityTag(
  untagged: Uint8Array,
  originalDestination: Uint8Array,
  ciphers: CipherProvider,
): Uint8Array {
  const pseudo = concatBytes(Uint8Array.of(originalDestination.length), originalDestination, untagged);
  const bytes = concatBytes(pseudo, new Uint8Array(TAG_BYTES));
  ciphers.packetCipher('aes-128-gcm', KEY).seal(NONCE, bytes, 0, pseudo.length, pseudo.length);
  return bytes.slice(pseudo.length);
}

export function verifyRetry(retry: RetryPacket, originalDestination: Uint8Array, ciphers: CipherProvider): boolean {
  return timingSafeEqual(retryIntegrityTag(retry.untagged, originalDestination, ciphers), retry.integrityTag);
}

export interface NewRetry {
  /** The source connection id of the Initial that is answered. */
  readonly destination: Uint8Array;
  /** What the client shall send to from now on: not what it sent to. */
  readonly source: Uint8Array;
  readonly token: Uint8Array;
  readonly originalDestination: Uint8Array;
}

/** RFC 9000 §17.2.5. */
export function retryPacket(retry: NewRetry, random: Random, ciphers: CipherProvider): Uint8Array {
  const { destination, source, token, originalDestination } = retry;
  const writer = new Writer(new Uint8Array(7 + destination.length + source.length + token.length));
  writer.uint8(0xf0 | ((random.bytes(1)[0] ?? 0) & 0x0f));
  writer.uint32(VERSION_1);
  writer.uint8(destination.length);
  writer.put(destination);
  writer.uint8(source.length);
  writer.put(source);
  writer.put(token);
  return concatBytes(writer.bytes, retryIntegrityTag(writer.bytes, originalDestination, ciphers));
}
