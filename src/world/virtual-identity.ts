import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { Random } from '../base/random.js';
import type { Identity } from '../quic/tls/certificates.js';

/** PKCS #8 of an Ed25519 key (RFC 8410 §7), before its 32 bytes. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
/** SEQUENCE { id-Ed25519 } (RFC 8410 §3). */
const ED25519 = Buffer.from('300506032b6570', 'hex');
const NOBODY = der(0x30);
const VALIDITY = der(0x30, time('20200101000000Z'), time('99991231235959Z'));

/**
 * What a host of a simulated internet proves itself with: an Ed25519 key drawn from its seed, in a self-signed certificate
 * of version 1 (RFC 5280 §4.1). Made at once and the same every time, as the library's is not.
 */
export function virtualIdentity(random: Random): Identity {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, random.bytes(32)]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const body = der(0x30, der(0x02, Buffer.of(1)), ED25519, NOBODY, VALIDITY, NOBODY, publicKey);
  const signature = der(0x03, Buffer.of(0), sign(null, body, key));
  return {
    chain: [new Uint8Array(der(0x30, body, ED25519, signature))],
    schemes: ['ed25519'],
    sign: (_scheme, content) => new Uint8Array(sign(null, content, key)),
  };
}

/** One element of DER (X.690 §8), shorter than 64 KiB. */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}

function time(text: string): Buffer {
  return der(0x18, Buffer.from(text, 'latin1'));
}
