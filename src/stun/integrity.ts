import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { setUint16, setUint32, uint16At, uint32At, utf8Bytes } from '../base/bytes.js';
import { encodeMessage, type NewMessage, type StunMessage, writeAttribute } from './message.js';
import { ATTRIBUTES, HEADER_BYTES } from './registry.js';

export type IntegrityAlgorithm = 'sha1' | 'sha256';

export type Verification = 'valid' | 'invalid' | 'absent';

const INTEGRITY_TYPES = {
  sha1: ATTRIBUTES['MESSAGE-INTEGRITY'],
  sha256: ATTRIBUTES['MESSAGE-INTEGRITY-SHA256'],
} as const;

const INTEGRITY_BYTES = { sha1: 20, sha256: 32 } as const;

const FINGERPRINT_MASK = 0x5354554e;
const FINGERPRINT_BYTES = 8;

/** RFC 8489 §9.1.1: the key of ICE. */
export function shortTermKey(password: string): Uint8Array {
  return utf8Bytes(saslPrep(password));
}

/** RFC 8489 §9.2.2 and §18.5.1. */
export function longTermKey(
  username: string,
  realm: string,
  password: string,
  algorithm: 'md5' | 'sha256' = 'md5',
): Uint8Array {
  return createHash(algorithm)
    .update(utf8Bytes(`${username}:${realm}:${saslPrep(password)}`))
    .digest();
}

const MAPPED_TO_NOTHING = /[\u00ad\u1806\u200b\u2060\ufeff]|\u034f|[\u180b-\u180d]|\u200c|\u200d|[\ufe00-\ufe0f]/gu;

/** Mapping and normalisation of RFC 4013 §2.1 and §2.2; what §2.3 prohibits passes. */
export function saslPrep(text: string): string {
  return text
    .replace(MAPPED_TO_NOTHING, '')
    .replace(/\p{Zs}/gu, ' ')
    .normalize('NFKC');
}

/** The message with its integrity, and with a fingerprint where wanted (RFC 8489 §14.5–§14.7). */
export function signed(
  message: NewMessage,
  options: { readonly key: Uint8Array; readonly algorithm?: IntegrityAlgorithm; readonly fingerprint?: boolean },
): Uint8Array {
  const algorithm = options.algorithm ?? 'sha1';
  const valueBytes = INTEGRITY_BYTES[algorithm];
  const fingerprintBytes = options.fingerprint === true ? FINGERPRINT_BYTES : 0;
  const bytes = encodeMessage(message, 4 + valueBytes + fingerprintBytes);
  const at = bytes.length - fingerprintBytes - valueBytes - 4;
  const value = hmacOf(bytes.subarray(0, at), options.key, algorithm, valueBytes);
  writeAttribute(bytes, at, { type: INTEGRITY_TYPES[algorithm], value });
  return fingerprintBytes > 0 ? withFingerprint(bytes) : bytes;
}

/** The message with a fingerprint and without integrity (RFC 8489 §14.7). */
export function fingerprinted(message: NewMessage): Uint8Array {
  return withFingerprint(encodeMessage(message, FINGERPRINT_BYTES));
}

/** Writes it into the room at the end. */
function withFingerprint(bytes: Uint8Array): Uint8Array {
  const at = bytes.length - FINGERPRINT_BYTES;
  const value = new Uint8Array(4);
  setUint32(value, 0, fingerprintOf(bytes.subarray(0, at)));
  writeAttribute(bytes, at, { type: ATTRIBUTES.FINGERPRINT, value });
  return bytes;
}

/**
 * Whether the integrity, of either algorithm, fits the key. Where a message has both, both must. A SHA-256 value may be
 * cut to 16 bytes or more (RFC 8489 §14.6).
 */
export function verifyIntegrity(message: StunMessage, key: Uint8Array): Verification {
  let result: Verification = 'absent';
  let offset = HEADER_BYTES;
  const seen = new Set<IntegrityAlgorithm>();
  for (const { type, value, padding } of message.attributes) {
    const algorithm = type === INTEGRITY_TYPES.sha1 ? 'sha1' : type === INTEGRITY_TYPES.sha256 ? 'sha256' : null;
    // Behind an integrity only the other one counts, and SHA-256 comes last (§14.5).
    if (algorithm !== null && !seen.has(algorithm) && !seen.has('sha256')) {
      seen.add(algorithm);
      if (!fits(value, hmacOf(message.raw.subarray(0, offset), key, algorithm, value.length), algorithm))
        return 'invalid';
      result = 'valid';
    } else if (seen.size > 0) break;
    offset += 4 + value.length + padding.length;
  }
  return result;
}

function fits(value: Uint8Array, full: Uint8Array, algorithm: IntegrityAlgorithm): boolean {
  const shortest = algorithm === 'sha256' ? 16 : full.length;
  if (value.length < shortest || value.length > full.length || value.length % 4 !== 0) return false;
  return timingSafeEqual(value, full.subarray(0, value.length));
}

/** Over what stands before the integrity, with the length that the message has up to the integrity's end. */
function hmacOf(covered: Uint8Array, key: Uint8Array, algorithm: IntegrityAlgorithm, valueBytes: number): Uint8Array {
  return createHmac(algorithm, key)
    .update(withLength(covered, covered.length - HEADER_BYTES + 4 + valueBytes))
    .digest();
}

function withLength(bytes: Uint8Array, length: number): Uint8Array {
  if (uint16At(bytes, 2) === length) return bytes;
  const copy = new Uint8Array(bytes);
  setUint16(copy, 2, length);
  return copy;
}

/** A fingerprint counts only as the last attribute (RFC 8489 §14.7). */
export function verifyFingerprint(message: StunMessage): Verification {
  const at = message.attributes.findIndex(({ type }) => type === ATTRIBUTES.FINGERPRINT);
  const value = message.attributes[at]?.value;
  if (!value) return 'absent';
  if (at !== message.attributes.length - 1 || value.length !== 4) return 'invalid';
  const covered = message.raw.subarray(0, message.raw.length - FINGERPRINT_BYTES);
  return uint32At(value, 0) === fingerprintOf(covered) ? 'valid' : 'invalid';
}

function fingerprintOf(covered: Uint8Array): number {
  return (crc32(withLength(covered, covered.length - HEADER_BYTES + FINGERPRINT_BYTES)) ^ FINGERPRINT_MASK) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 of ITU V.42, which zlib and Ethernet use too. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}
