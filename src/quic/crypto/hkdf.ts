import { createHash, createHmac } from 'node:crypto';
import { concatBytes, utf8Bytes } from '../../base/bytes.js';

export type HashName = 'sha256' | 'sha384';

export const HASH_BYTES: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48 };

export function hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(name);
  for (const part of parts) state.update(part);
  return new Uint8Array(state.digest());
}

export function hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac(name, key).update(data).digest());
}

/** RFC 5869 §2.2. */
export function hkdfExtract(name: HashName, salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
  return hmac(name, salt, keyMaterial);
}

/** RFC 5869 §2.3. */
export function hkdfExpand(name: HashName, key: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array {
  const output = new Uint8Array(lengthBytes);
  let block: Uint8Array = new Uint8Array();
  for (let offset = 0, counter = 1; offset < lengthBytes; offset += block.length, counter += 1) {
    block = hmac(name, key, concatBytes(block, info, Uint8Array.of(counter)));
    output.set(block.subarray(0, lengthBytes - offset), offset);
  }
  return output;
}

/** HKDF-Expand-Label of RFC 8446 §7.1; "tls13 " goes before the label. */
export function expandLabel(
  name: HashName,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return hkdfExpand(name, secret, hkdfLabel(label, context, lengthBytes), lengthBytes);
}

export function hkdfLabel(label: string, context: Uint8Array, lengthBytes: number): Uint8Array {
  const full = utf8Bytes(`tls13 ${label}`);
  return concatBytes(
    Uint8Array.of(lengthBytes >> 8, lengthBytes & 0xff, full.length),
    full,
    Uint8Array.of(context.length),
    context,
  );
}
