import { concatBytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';

/** The client's random: where a sealed body begins; what does not fit there goes into the cookie. */
const RANDOM_BYTES = 32;
const RECORD_HEADER = 13;
const HANDSHAKE_HEADER = 12;
/** Record and handshake header, then the version. */
const RANDOM_AT = RECORD_HEADER + HANDSHAKE_HEADER + 2;
const COOKIE_AT = RANDOM_AT + RANDOM_BYTES + 1;
const COOKIE_MAX = 255;

const HANDSHAKE = 0x16;
const CLIENT_HELLO = 1;
const DTLS_1_2 = [0xfe, 0xfd] as const;

/** ECDHE with AES-128-GCM or ChaCha20-Poly1305 (RFC 5289, RFC 7905). */
const CIPHER_SUITES = Uint8Array.of(0, 8, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9, 0xcc, 0xa8);
const NULL_COMPRESSION = Uint8Array.of(1, 0);
/** supported_groups x25519 and secp256r1, ec_point_formats uncompressed, signature_algorithms ECDSA and RSA-PSS. */
const EXTENSIONS = Uint8Array.of(
  ...[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
  ...[0, 11, 0, 2, 1, 0],
  ...[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
);
const PADDING_EXTENSION = 21;

/**
 * A DTLS 1.2 ClientHello record (RFC 6347 §4.2) of `lengthBytes`, or of the least length that holds everything, about a
 * `sealed` of at most 287 bytes.
 */
export function clientHello(sealed: Uint8Array, lengthBytes: number, random: Random): Uint8Array {
  const missing = Math.max(0, RANDOM_BYTES - sealed.length);
  const clientRandom = concatBytes(sealed.subarray(0, RANDOM_BYTES), random.bytes(missing));
  const cookie = sealed.subarray(RANDOM_BYTES);
  if (cookie.length > COOKIE_MAX) throw new RangeError('a DTLS cookie has at most 255 bytes');
  const start = concatBytes(
    ...[Uint8Array.from(DTLS_1_2), clientRandom, Uint8Array.of(0, cookie.length), cookie],
    ...[CIPHER_SUITES, NULL_COMPRESSION],
  );
  const natural = RECORD_HEADER + HANDSHAKE_HEADER + start.length + 2 + EXTENSIONS.length;
  const extensions = concatBytes(EXTENSIONS, paddingExtension(lengthBytes - natural));
  const body = concatBytes(start, uint16(extensions.length), extensions);
  // Both headers count from zero: epoch, sequence number, message sequence, fragment offset.
  const handshake = concatBytes(
    ...[Uint8Array.of(CLIENT_HELLO), uint24(body.length), uint16(0), uint24(0), uint24(body.length), body],
  );
  const record = [Uint8Array.of(HANDSHAKE, ...DTLS_1_2), new Uint8Array(8), uint16(handshake.length), handshake];
  return concatBytes(...record);
}

/** RFC 7685; it needs four bytes at least. */
function paddingExtension(bytes: number): Uint8Array {
  if (bytes < 4) return new Uint8Array();
  return concatBytes(uint16(PADDING_EXTENSION), uint16(bytes - 4), new Uint8Array(bytes - 4));
}

/** Random and cookie of a datagram that begins like our ClientHello; `null` else. */
export function sealedInClientHello(wire: Uint8Array): Uint8Array | null {
  if (wire.length < COOKIE_AT + 1 || wire[0] !== HANDSHAKE || wire[RECORD_HEADER] !== CLIENT_HELLO) return null;
  const cookieBytes = wire[COOKIE_AT] ?? 0;
  const cookie = wire.subarray(COOKIE_AT + 1, COOKIE_AT + 1 + cookieBytes);
  return concatBytes(wire.subarray(RANDOM_AT, RANDOM_AT + RANDOM_BYTES), cookie);
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

function uint24(value: number): Uint8Array {
  return Uint8Array.of((value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff);
}
