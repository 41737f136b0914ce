import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { CipherProvider, HeaderMask, PacketCipher } from './ciphers.js';
import { type AeadName, TAG_BYTES } from './suites.js';

/** Ciphers of node:crypto: everywhere, and with a new cipher object for each packet, as Node has it no other way. */
export const nodeCiphers: CipherProvider = { name: 'node:crypto', packetCipher, headerMask };

// The types know the options of GCM only together with its name; ChaCha20-Poly1305 takes the same.
const gcm = (aead: AeadName): 'aes-128-gcm' => aead as 'aes-128-gcm';
const OPTIONS = { authTagLength: TAG_BYTES };

function packetCipher(aead: AeadName, key: Uint8Array): PacketCipher {
  return {
    seal: (nonce, bytes, headerAt, payloadAt, end) => {
      const cipher = createCipheriv(gcm(aead), key, nonce, OPTIONS);
      cipher.setAAD(bytes.subarray(headerAt, payloadAt));
      bytes.set(cipher.update(bytes.subarray(payloadAt, end)), payloadAt);
      cipher.final();
      bytes.set(cipher.getAuthTag(), end);
    },
    open: (nonce, bytes, headerAt, payloadAt, end) => {
      const tagAt = end - TAG_BYTES;
      if (tagAt < payloadAt) return false;
      const decipher = createDecipheriv(gcm(aead), key, nonce, OPTIONS);
      decipher.setAuthTag(bytes.subarray(tagAt, end));
      decipher.setAAD(bytes.subarray(headerAt, payloadAt));
      const plain = decipher.update(bytes.subarray(payloadAt, tagAt));
      try {
        decipher.final();
      } catch {
        return false;
      }
      bytes.set(plain, payloadAt);
      return true;
    },
  };
}

const FIVE_ZEROS = new Uint8Array(5);

function headerMask(aead: AeadName, key: Uint8Array): HeaderMask {
  // RFC 9001 §5.4.4: the sample is counter and nonce, in the order in which OpenSSL takes them as an IV.
  if (aead === 'chacha20-poly1305') return (sample) => createCipheriv('chacha20', key, sample).update(FIVE_ZEROS);
  // RFC 9001 §5.4.3. ECB keeps no state between blocks, so one cipher serves all packets.
  const cipher = createCipheriv(aead === 'aes-128-gcm' ? 'aes-128-ecb' : 'aes-256-ecb', key, null);
  cipher.setAutoPadding(false);
  return (sample) => cipher.update(sample);
}
