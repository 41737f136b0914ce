import { fromHex } from '../../base/bytes.js';
import type { CipherProvider, HeaderMask, PacketCipher } from './ciphers.js';
import { expandLabel, HASH_BYTES, hkdfExtract } from './hkdf.js';
import { AES_128_GCM, type CipherSuite, IV_BYTES } from './suites.js';

const NOTHING = new Uint8Array();

/** What packets in one direction at one level are protected with (RFC 9001 §5.1). */
export interface PacketKeys {
  readonly cipher: PacketCipher;
  readonly iv: Uint8Array;
  readonly mask: HeaderMask;
}

export function aeadKey(suite: CipherSuite, secret: Uint8Array): { readonly key: Uint8Array; readonly iv: Uint8Array } {
  return {
    key: expandLabel(suite.hash, secret, 'quic key', NOTHING, suite.keyBytes),
    iv: expandLabel(suite.hash, secret, 'quic iv', NOTHING, IV_BYTES),
  };
}

export function headerKey(suite: CipherSuite, secret: Uint8Array): Uint8Array {
  return expandLabel(suite.hash, secret, 'quic hp', NOTHING, suite.keyBytes);
}

/** The secret after a key update (RFC 9001 §6.1). */
export function nextSecret(suite: CipherSuite, secret: Uint8Array): Uint8Array {
  return expandLabel(suite.hash, secret, 'quic ku', NOTHING, HASH_BYTES[suite.hash]);
}

export function packetKeys(suite: CipherSuite, secret: Uint8Array, ciphers: CipherProvider): PacketKeys {
  const { key, iv } = aeadKey(suite, secret);
  return {
    cipher: ciphers.packetCipher(suite.aead, key),
    iv,
    mask: ciphers.headerMask(suite.aead, headerKey(suite, secret)),
  };
}

const INITIAL_SALT = fromHex('38762cf7f55934b34d179ae6a4c80cadccbb7f0a');

/** RFC 9001 §5.2: from the destination connection id of the client's first Initial, or of its first after a Retry. */
export function initialSecrets(destination: Uint8Array): { readonly client: Uint8Array; readonly server: Uint8Array } {
  const common = hkdfExtract('sha256', INITIAL_SALT, destination);
  return {
    client: expandLabel('sha256', common, 'client in', NOTHING, 32),
    server: expandLabel('sha256', common, 'server in', NOTHING, 32),
  };
}

/** The keys of Initial packets: those of the client and those of the server. */
export function initialKeys(
  destination: Uint8Array,
  ciphers: CipherProvider,
): { readonly client: PacketKeys; readonly server: PacketKeys } {
  const { client, server } = initialSecrets(destination);
  return { client: packetKeys(AES_128_GCM, client, ciphers), server: packetKeys(AES_128_GCM, server, ciphers) };
}
