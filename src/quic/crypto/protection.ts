import { decodePacketNumber, type PacketNumberLength } from '../wire/packet-number.js';
import type { HeaderMask, PacketCipher } from './ciphers.js';
import type { PacketKeys } from './keys.js';
import { IV_BYTES, SAMPLE_BYTES, TAG_BYTES } from './suites.js';

/** The sample begins as if the packet number had four bytes (RFC 9001 §5.4.2). */
const SAMPLE_AFTER = 4;

/**
 * IV xor (path id: 32 bits ‖ packet number: 64 bits). On path 0 that is RFC 9001 §5.3, on the others the multipath draft
 * -21, "Nonce Calculation after Handshake Completion". `into` is overwritten and returned.
 */
export function packetNonce(
  iv: Uint8Array,
  path: number,
  packetNumber: number,
  into: Uint8Array = new Uint8Array(IV_BYTES),
): Uint8Array {
  const high = Math.floor(packetNumber / 0x1_0000_0000);
  for (let index = 0; index < 4; index += 1) {
    const shift = 24 - 8 * index;
    into[index] = (iv[index] ?? 0) ^ (path >>> shift);
    into[4 + index] = (iv[4 + index] ?? 0) ^ (high >>> shift);
    into[8 + index] = (iv[8 + index] ?? 0) ^ (packetNumber >>> shift);
  }
  return into;
}

/** Where a packet stands in the buffer in which it is built. */
export interface PacketPlace {
  readonly start: number;
  readonly packetNumberAt: number;
  readonly packetNumberLength: PacketNumberLength;
  /** Behind the last frame; {@link TAG_BYTES} must be free there. */
  readonly end: number;
}

/** So that there is a sample to take, frames and packet number have at least four bytes. */
export const MIN_PLAIN_BYTES = SAMPLE_AFTER;

const nonceBuffer = new Uint8Array(IV_BYTES);

/** Encrypts the frames, then hides the header (RFC 9001 §5.4.1). Returns the end of the packet. */
export function protectPacket(
  bytes: Uint8Array,
  place: PacketPlace,
  keys: PacketKeys,
  path: number,
  packetNumber: number,
): number {
  const { start, packetNumberAt, packetNumberLength, end } = place;
  const payloadAt = packetNumberAt + packetNumberLength;
  if (end - packetNumberAt < MIN_PLAIN_BYTES) throw new RangeError('too short to be protected: pad it');
  keys.cipher.seal(packetNonce(keys.iv, path, packetNumber, nonceBuffer), bytes, start, payloadAt, end);
  const sampleAt = packetNumberAt + SAMPLE_AFTER;
  const mask = keys.mask(bytes.subarray(sampleAt, sampleAt + SAMPLE_BYTES));
  bytes[start] = (bytes[start] ?? 0) ^ ((mask[0] ?? 0) & headerBits(bytes[start] ?? 0));
  for (let index = 0; index < packetNumberLength; index += 1) {
    bytes[packetNumberAt + index] = (bytes[packetNumberAt + index] ?? 0) ^ (mask[1 + index] ?? 0);
  }
  return end + TAG_BYTES;
}

/** Those bits of the first byte that are hidden: four of a long header, five of a short one. */
function headerBits(first: number): number {
  return (first & 0x80) === 0 ? 0x1f : 0x0f;
}

/** A packet whose header can be read; its frames are still encrypted. */
export interface OpenHeader {
  readonly start: number;
  readonly payloadAt: number;
  readonly end: number;
  readonly packetNumber: number;
  /** Of a short header. */
  readonly keyPhase: 0 | 1;
  /** To be asked only when the packet has been opened (RFC 9000 §17.2). */
  readonly reservedBitsSet: boolean;
}

/**
 * Uncovers the header, in the datagram itself. `largest` is the highest packet number that was opened in this space, or
 * -1. `null` for what is too short, or has a packet number that no honest end comes to.
 */
export function openHeader(
  bytes: Uint8Array,
  packet: { readonly start: number; readonly packetNumberAt: number; readonly end: number },
  headerMask: HeaderMask,
  largest: number,
): OpenHeader | null {
  const { start, packetNumberAt, end } = packet;
  const sampleAt = packetNumberAt + SAMPLE_AFTER;
  if (sampleAt + SAMPLE_BYTES > end) return null;
  const mask = headerMask(bytes.subarray(sampleAt, sampleAt + SAMPLE_BYTES));
  const covered = bytes[start] ?? 0;
  const first = covered ^ ((mask[0] ?? 0) & headerBits(covered));
  bytes[start] = first;
  const length = ((first & 3) + 1) as PacketNumberLength;
  let truncated = 0;
  for (let index = 0; index < length; index += 1) {
    const byte = (bytes[packetNumberAt + index] ?? 0) ^ (mask[1 + index] ?? 0);
    bytes[packetNumberAt + index] = byte;
    truncated = truncated * 256 + byte;
  }
  const packetNumber = decodePacketNumber(truncated, length, largest);
  if (!Number.isSafeInteger(packetNumber)) return null;
  const isLong = (first & 0x80) !== 0;
  return {
    start,
    payloadAt: packetNumberAt + length,
    end,
    packetNumber,
    keyPhase: !isLong && (first & 0x04) !== 0 ? 1 : 0,
    reservedBitsSet: (first & (isLong ? 0x0c : 0x18)) !== 0,
  };
}

/** The frames of a packet, decrypted in place; `null` where it was not made with these keys. */
export function openPayload(
  bytes: Uint8Array,
  header: OpenHeader,
  keys: { readonly cipher: PacketCipher; readonly iv: Uint8Array },
  path: number,
): Uint8Array | null {
  const { start, payloadAt, end, packetNumber } = header;
  const nonce = packetNonce(keys.iv, path, packetNumber, nonceBuffer);
  return keys.cipher.open(nonce, bytes, start, payloadAt, end) ? bytes.subarray(payloadAt, end - TAG_BYTES) : null;
}
