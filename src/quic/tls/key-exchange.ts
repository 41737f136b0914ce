import { createECDH, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { concatBytes, fromHex } from '../../base/bytes.js';
import type { Random } from '../../base/random.js';
import type { GroupName } from './codes.js';

/** One end's half of a Diffie-Hellman exchange. */
export interface KeyExchange {
  readonly group: GroupName;
  /** As it stands in a key share (RFC 8446 §4.2.8.2). */
  readonly publicKey: Uint8Array;
  /** The shared secret; `null` for what is no public key of the group. */
  agree(peer: Uint8Array): Uint8Array | null;
}

const KEY_BYTES = 32;

/** `random` has to be a source of secrets. */
export function keyExchange(group: GroupName, random: Random): KeyExchange {
  return group === 'x25519' ? x25519(random.bytes(KEY_BYTES)) : secp256r1(random);
}

// RFC 8410 §7: what stands before the 32 bytes of a key.
const PRIVATE_PREFIX = fromHex('302e020100300506032b656e04220420');
const PUBLIC_PREFIX = fromHex('302a300506032b656e032100');

/** RFC 7748 §6.1; exported for the vectors. */
export function x25519(secret: Uint8Array): KeyExchange {
  const der = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const key = (bytes: Uint8Array, prefix: Uint8Array) => der(concatBytes(prefix, bytes));
  const privateKey = createPrivateKey({ key: key(secret, PRIVATE_PREFIX), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return {
    group: 'x25519',
    publicKey: new Uint8Array(spki.subarray(PUBLIC_PREFIX.length)),
    agree: (peer) => {
      if (peer.length !== KEY_BYTES) return null;
      try {
        const publicKey = createPublicKey({ key: key(peer, PUBLIC_PREFIX), format: 'der', type: 'spki' });
        // OpenSSL refuses an all-zero secret, as RFC 8446 §7.4.2 asks.
        return new Uint8Array(diffieHellman({ privateKey, publicKey }));
      } catch {
        return null;
      }
    },
  };
}

/** An uncompressed point (RFC 8446 §4.2.8.2). */
const UNCOMPRESSED = 0x04;
const POINT_BYTES = 65;

function secp256r1(random: Random): KeyExchange {
  const ecdh = createECDH('prime256v1');
  for (;;) {
    // Nearly all 32 bytes are a key; those that are not below the group's order are drawn again.
    try {
      ecdh.setPrivateKey(random.bytes(KEY_BYTES));
      break;
    } catch {
      continue;
    }
  }
  return {
    group: 'secp256r1',
    publicKey: new Uint8Array(ecdh.getPublicKey()),
    agree: (peer) => {
      if (peer.length !== POINT_BYTES || peer[0] !== UNCOMPRESSED) return null;
      try {
        return new Uint8Array(ecdh.computeSecret(peer));
      } catch {
        return null;
      }
    },
  };
}
