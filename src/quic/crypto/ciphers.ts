import type { AeadName } from './suites.js';

/** One key of an AEAD. Both work in place, as packets are built and read in one buffer. */
export interface PacketCipher {
  /**
   * Encrypts `bytes[payloadAt, end)` with `bytes[headerAt, payloadAt)` as associated data and writes the tag behind it:
   * `end + TAG_BYTES` must lie in the buffer.
   */
  seal(nonce: Uint8Array, bytes: Uint8Array, headerAt: number, payloadAt: number, end: number): void;
  /** The reverse; `end` is behind the tag. False, and nothing written, where the tag does not fit. */
  open(nonce: Uint8Array, bytes: Uint8Array, headerAt: number, payloadAt: number, end: number): boolean;
}

/** One header protection key: 5 bytes of mask for a sample of 16 (RFC 9001 §5.4), good until the next call. */
export type HeaderMask = (sample: Uint8Array) => Uint8Array;

/** Where ciphers come from: node:crypto here, something faster from `net/`. */
export interface CipherProvider {
  readonly name: string;
  packetCipher(aead: AeadName, key: Uint8Array): PacketCipher;
  headerMask(aead: AeadName, key: Uint8Array): HeaderMask;
}
