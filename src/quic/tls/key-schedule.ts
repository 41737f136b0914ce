import { createHash, timingSafeEqual } from 'node:crypto';
import { concatBytes } from '../../base/bytes.js';
import { expandLabel, hash, HASH_BYTES, type HashName, hkdfExtract, hmac } from '../crypto/hkdf.js';
import { message } from './builder.js';
import { MESSAGE } from './codes.js';

const NOTHING = new Uint8Array();

/** All handshake messages so far (RFC 8446 §4.4.1). */
export class Transcript {
  readonly #messages: Uint8Array[] = [];

  add(bytes: Uint8Array): void {
    this.#messages.push(bytes);
  }

  /** After a HelloRetryRequest the first ClientHello counts as its hash alone. */
  collapse(name: HashName): void {
    const first = hash(name, ...this.#messages.splice(0));
    this.#messages.push(message(MESSAGE.message_hash, first));
  }

  digest(name: HashName): Uint8Array {
    const state = createHash(name);
    for (const bytes of this.#messages) state.update(bytes);
    return new Uint8Array(state.digest());
  }
}

/** A secret for each direction. */
export interface TrafficSecrets {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/** RFC 8446 §7.1, without a pre-shared key. */
export class KeySchedule {
  readonly hash: HashName;
  readonly handshake: TrafficSecrets;
  readonly #handshakeSecret: Uint8Array;

  /** `helloDigest`: of the transcript up to the ServerHello. */
  constructor(name: HashName, sharedSecret: Uint8Array, helloDigest: Uint8Array) {
    this.hash = name;
    const zeros = new Uint8Array(HASH_BYTES[name]);
    const early = hkdfExtract(name, zeros, zeros);
    this.#handshakeSecret = hkdfExtract(name, this.#derive(early, 'derived', hash(name)), sharedSecret);
    this.handshake = {
      client: this.#derive(this.#handshakeSecret, 'c hs traffic', helloDigest),
      server: this.#derive(this.#handshakeSecret, 's hs traffic', helloDigest),
    };
  }

  /** `digest`: of the transcript up to the server's Finished. */
  application(digest: Uint8Array): TrafficSecrets & { readonly exporter: Uint8Array } {
    const derived = this.#derive(this.#handshakeSecret, 'derived', hash(this.hash));
    const master = hkdfExtract(this.hash, derived, new Uint8Array(HASH_BYTES[this.hash]));
    return {
      client: this.#derive(master, 'c ap traffic', digest),
      server: this.#derive(master, 's ap traffic', digest),
      exporter: this.#derive(master, 'exp master', digest),
    };
  }

  /** RFC 8446 §4.4.4. */
  finished(trafficSecret: Uint8Array, digest: Uint8Array): Uint8Array {
    const key = expandLabel(this.hash, trafficSecret, 'finished', NOTHING, HASH_BYTES[this.hash]);
    return hmac(this.hash, key, digest);
  }

  isFinished(verifyData: Uint8Array, trafficSecret: Uint8Array, digest: Uint8Array): boolean {
    const expected = this.finished(trafficSecret, digest);
    return verifyData.length === expected.length && timingSafeEqual(verifyData, expected);
  }

  #derive(secret: Uint8Array, label: string, digest: Uint8Array): Uint8Array {
    return expandLabel(this.hash, secret, label, digest, HASH_BYTES[this.hash]);
  }
}

/** TLS-Exporter (RFC 8446 §7.5). */
export function exportKey(
  name: HashName,
  exporterSecret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const secret = expandLabel(name, exporterSecret, label, hash(name), HASH_BYTES[name]);
  return expandLabel(name, secret, 'exporter', hash(name, context), lengthBytes);
}

const SIGNED_PADDING = new Uint8Array(64).fill(0x20);

/** What a CertificateVerify signs (RFC 8446 §4.4.3). */
export function signedContent(role: 'client' | 'server', digest: Uint8Array): Uint8Array {
  const context = new TextEncoder().encode(`TLS 1.3, ${role} CertificateVerify`);
  return concatBytes(SIGNED_PADDING, context, Uint8Array.of(0), digest);
}
