import type { HashName } from './hkdf.js';

export type AeadName = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';

/** A cipher suite of TLS 1.3 (RFC 8446 B.4) with its limits in QUIC (RFC 9001 §6.6). */
export interface CipherSuite {
  readonly id: number;
  readonly name: string;
  readonly aead: AeadName;
  readonly keyBytes: 16 | 32;
  readonly hash: HashName;
  /** Packets that may be sealed with one key. */
  readonly confidentialityLimit: number;
  /** Packets of a connection that may fail to open. */
  readonly integrityLimit: number;
}

export const AES_128_GCM: CipherSuite = {
  id: 0x1301,
  name: 'TLS_AES_128_GCM_SHA256',
  aead: 'aes-128-gcm',
  keyBytes: 16,
  hash: 'sha256',
  confidentialityLimit: 2 ** 23,
  integrityLimit: 2 ** 52,
};

export const AES_256_GCM: CipherSuite = {
  id: 0x1302,
  name: 'TLS_AES_256_GCM_SHA384',
  aead: 'aes-256-gcm',
  keyBytes: 32,
  hash: 'sha384',
  confidentialityLimit: 2 ** 23,
  integrityLimit: 2 ** 52,
};

export const CHACHA20_POLY1305: CipherSuite = {
  id: 0x1303,
  name: 'TLS_CHACHA20_POLY1305_SHA256',
  aead: 'chacha20-poly1305',
  keyBytes: 32,
  hash: 'sha256',
  confidentialityLimit: Infinity,
  integrityLimit: 2 ** 36,
};

/** In the order of preference: the first is the cheapest with AES in hardware. */
export const SUITES: readonly CipherSuite[] = [AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305];

export const TAG_BYTES = 16;
export const IV_BYTES = 12;
export const SAMPLE_BYTES = 16;
