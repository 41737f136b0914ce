import { loadEvp } from '../../os/evp.js';
import type { Evp, EvpState } from '../../os/evp.js';
import type { CipherProvider } from '../../quic/crypto/ciphers.js';
import { nodeCiphers } from '../../quic/crypto/node-ciphers.js';
import { type AeadName, IV_BYTES, SUITES, TAG_BYTES } from '../../quic/crypto/suites.js';
import { equalBytes } from '../../base/bytes.js';

/** OpenSSL's EVP with contexts that serve all packets of a key. */
export function evpCiphers(evp: Evp): CipherProvider {
  return {
    name: `EVP of ${evp.library}`,
    packetCipher: (aead, key) => evp.aead(aead, key),
    headerMask: (aead, key) =>
      aead === 'chacha20-poly1305' ? evp.chacha20(key) : evp.blockCipher(aead === 'aes-128-gcm' ? 16 : 32, key),
  };
}

export type FastCiphers =
  { readonly ciphers: CipherProvider; readonly reason: null } | { readonly ciphers: null; readonly reason: string };

/** The fast ciphers, or why they are not to be had: what does not do as node:crypto does is not used. */
export function fastCiphers(state: EvpState = loadEvp()): FastCiphers {
  if (state.evp === null) return { ciphers: null, reason: state.reason };
  const ciphers = evpCiphers(state.evp);
  try {
    const wrong = SUITES.find(({ aead, keyBytes }) => !agree(ciphers, aead, keyBytes));
    if (wrong === undefined) return { ciphers, reason: null };
    return { ciphers: null, reason: `${ciphers.name} gives wrong ${wrong.aead}` };
  } catch (error) {
    return { ciphers: null, reason: `${ciphers.name}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

const HEADER_BYTES = 21;
/** Of no block's length. */
const END = 157;

function agree(ciphers: CipherProvider, aead: AeadName, keyBytes: number): boolean {
  const key = counting(keyBytes, 3);
  const nonce = counting(IV_BYTES, 5);
  const plain = counting(END + TAG_BYTES, 7);
  const expected = plain.slice();
  nodeCiphers.packetCipher(aead, key).seal(nonce, expected, 0, HEADER_BYTES, END);
  const cipher = ciphers.packetCipher(aead, key);
  const bytes = plain.slice();
  cipher.seal(nonce, bytes, 0, HEADER_BYTES, END);
  if (!equalBytes(bytes, expected)) return false;
  const forged = expected.slice();
  forged[END] = (forged[END] ?? 0) ^ 1;
  const asItCame = forged.slice();
  if (cipher.open(nonce, forged, 0, HEADER_BYTES, forged.length) || !equalBytes(forged, asItCame)) return false;
  if (!cipher.open(nonce, bytes, 0, HEADER_BYTES, bytes.length)) return false;
  if (!equalBytes(bytes.subarray(0, END), plain.subarray(0, END))) return false;
  const sample = plain.subarray(0, 16);
  const mask = (provider: CipherProvider): Uint8Array => provider.headerMask(aead, key)(sample).slice(0, 5);
  return equalBytes(mask(ciphers), mask(nodeCiphers));
}

function counting(length: number, step: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * step + step);
}
