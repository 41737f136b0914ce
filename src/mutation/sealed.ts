import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { concatBytes, setUint32, toHex, xorBytes } from '../base/bytes.js';
import { TRANSACTION_ID_BYTES } from '../stun/registry.js';

/**
 * How arms that are not STUN carry what the far end needs: a tag, HMAC(key, label ‖ body), and right behind it the body
 * under a keystream drawn from the tag. It looks random, nobody without the key can make one, and the receiver needs no
 * memory to know it.
 */
const TAG_BYTES = 16;
/** Of {@link maskOf}. */
const MASK_BYTES = 64;

/** Over the parts one behind the other; text in UTF-8. */
export function hmac(key: Uint8Array, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/**
 * The `block`th {@link MASK_BYTES} that nobody foretells without the key: BLAKE2b-512 (RFC 7693) of key, `what` and
 * block. It cannot be extended, so that a key in front of a text of known length is enough; and there is one for each
 * packet that is looked at, where node:crypto's HMAC takes more than twice as long.
 */
export function maskOf(key: Uint8Array, what: Uint8Array, block: number): Uint8Array {
  const input = new Uint8Array(key.length + what.length + 4);
  input.set(key);
  input.set(what, key.length);
  setUint32(input, key.length + what.length, block);
  return hash('blake2b512', input, 'buffer');
}

export function seal(key: Uint8Array, label: string, body: Uint8Array): Uint8Array {
  const tag = hmac(key, label, body).subarray(0, TAG_BYTES);
  return concatBytes(tag, xorBytes(body, keystream(key, tag, body.length)));
}

/** The body of `bodyBytes` at the start of `bytes`; `null` where the tag does not fit key and label. */
export function unseal(key: Uint8Array, label: string, bytes: Uint8Array, bodyBytes: number): Uint8Array | null {
  if (bytes.length < TAG_BYTES + bodyBytes) return null;
  const tag = bytes.subarray(0, TAG_BYTES);
  const body = xorBytes(bytes.subarray(TAG_BYTES, TAG_BYTES + bodyBytes), keystream(key, tag, bodyBytes));
  const expected = hmac(key, label, body).subarray(0, TAG_BYTES);
  return timingSafeEqual(tag, expected) ? body : null;
}

/** The first of the tag, as long as a transaction id: ids of all arms look alike. */
export function sealedId(sealed: Uint8Array): string {
  return toHex(sealed.subarray(0, TRANSACTION_ID_BYTES));
}

function keystream(key: Uint8Array, tag: Uint8Array, length: number): Uint8Array {
  const first = maskOf(key, tag, 0);
  if (length <= MASK_BYTES) return first.subarray(0, length);
  const stream = new Uint8Array(length);
  stream.set(first);
  for (let offset = MASK_BYTES; offset < length; offset += MASK_BYTES) {
    stream.set(maskOf(key, tag, offset / MASK_BYTES).subarray(0, length - offset), offset);
  }
  return stream;
}
