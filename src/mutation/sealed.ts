import { createHmac, timingSafeEqual } from 'node:crypto';
import { concatBytes, toHex, utf8Bytes, xorBytes } from '../base/bytes.js';
import { TRANSACTION_ID_BYTES } from '../stun/registry.js';

/**
 * How arms that are not STUN carry what the far end needs: a tag, HMAC(key, label ‖ body), and right behind it the body
 * under a keystream drawn from the tag. It looks random, nobody without the key can make one, and the receiver needs no
 * memory to know it.
 */
const TAG_BYTES = 16;

export function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  return createHmac('sha256', key)
    .update(concatBytes(...parts))
    .digest();
}

export function seal(key: Uint8Array, label: string, body: Uint8Array): Uint8Array {
  const tag = hmac(key, utf8Bytes(label), body).subarray(0, TAG_BYTES);
  return concatBytes(tag, xorBytes(body, keystream(key, tag, body.length)));
}

/** The body of `bodyBytes` at the start of `bytes`; `null` where the tag does not fit key and label. */
export function unseal(key: Uint8Array, label: string, bytes: Uint8Array, bodyBytes: number): Uint8Array | null {
  if (bytes.length < TAG_BYTES + bodyBytes) return null;
  const tag = bytes.subarray(0, TAG_BYTES);
  const body = xorBytes(bytes.subarray(TAG_BYTES, TAG_BYTES + bodyBytes), keystream(key, tag, bodyBytes));
  const expected = hmac(key, utf8Bytes(label), body).subarray(0, TAG_BYTES);
  return timingSafeEqual(tag, expected) ? body : null;
}

/** The first of the tag, as long as a transaction id: ids of all arms look alike. */
export function sealedId(sealed: Uint8Array): string {
  return toHex(sealed.subarray(0, TRANSACTION_ID_BYTES));
}

function keystream(key: Uint8Array, tag: Uint8Array, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, block) =>
    hmac(key, utf8Bytes('icepath mask'), tag, Uint8Array.of(block)),
  );
  return concatBytes(...blocks).subarray(0, length);
}
