import { createHmac } from 'node:crypto';
import { concatBytes } from '../../base/bytes.js';
import type { Random } from '../../base/random.js';
import { VERSION_1 } from './header.js';
import { Writer } from './writer.js';

/** What an endpoint sends for a connection of which it knows nothing: answers never larger than what they answer. */

const RESET_TOKEN_BYTES = 16;
/** RFC 9000 §10.3: shorter datagrams cannot be told from valid packets. */
const MIN_RESET_BYTES = 21;

/**
 * RFC 9000 §17.2.1 and §6: the versions of this end, one reserved one among them so that nobody gets used to a list.
 * The ids of the packet that it answers change places.
 */
export function versionNegotiationPacket(
  to: { readonly destination: Uint8Array; readonly source: Uint8Array },
  random: Random,
): Uint8Array {
  const bytes = new Uint8Array(7 + to.destination.length + to.source.length + 8);
  const writer = new Writer(bytes);
  const [unused = 0, ...reserved] = random.bytes(5);
  // The top bit says long header; the next one keeps it apart from STUN and others on one socket (RFC 9443).
  writer.uint8(0xc0 | unused);
  writer.uint32(0);
  writer.uint8(to.source.length);
  writer.put(to.source);
  writer.uint8(to.destination.length);
  writer.put(to.destination);
  writer.put(Uint8Array.from(reserved, (byte) => (byte & 0xf0) | 0x0a));
  writer.uint32(VERSION_1);
  return bytes;
}

/** 16 bytes that only this endpoint can compute, also after a restart (RFC 9000 §10.3.2). */
export function statelessResetToken(staticKey: Uint8Array, connectionId: Uint8Array): Uint8Array {
  const mac = createHmac('sha256', staticKey).update(concatBytes(Uint8Array.of(connectionId.length), connectionId));
  return new Uint8Array(mac.digest()).subarray(0, RESET_TOKEN_BYTES);
}

/**
 * A stateless reset in answer to a datagram of `triggerBytes`; `null` where it would have to be as long as that one:
 * two endpoints that both reset would never end (RFC 9000 §10.3.3).
 */
export function statelessReset(token: Uint8Array, triggerBytes: number, random: Random): Uint8Array | null {
  const length = Math.min(triggerBytes - 1, 2 * MIN_RESET_BYTES);
  if (length < MIN_RESET_BYTES) return null;
  const bytes = random.bytes(length);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  bytes.set(token, length - RESET_TOKEN_BYTES);
  return bytes;
}

/** The last 16 bytes of a datagram that may be a stateless reset; `null` for one that cannot (RFC 9000 §10.3.1). */
export function possibleResetToken(datagram: Uint8Array): Uint8Array | null {
  if (datagram.length < MIN_RESET_BYTES || ((datagram[0] ?? 0) & 0x80) !== 0) return null;
  return datagram.subarray(datagram.length - RESET_TOKEN_BYTES);
}
