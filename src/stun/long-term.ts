import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { equalBytes, setUint16, uint16At, utf8Bytes } from '../base/bytes.js';
import { findAttribute, readText, username as usernameAttribute } from './attributes.js';
import { type IntegrityAlgorithm, longTermKey, saslPrep, signed, verifyIntegrity } from './integrity.js';
import type { NewAttribute, NewMessage, StunMessage } from './message.js';
import { ATTRIBUTES } from './registry.js';

/** What a person was given for a server. Neither may get into a log, a record or a message. */
export interface LongTermCredentials {
  readonly username: string;
  readonly password: string;
}

/** RFC 8489 §9.2: a nonce that begins so tells what the server knows, and nobody on the way can take it back. */
const NONCE_COOKIE = 'obMatJos2';
const FEATURE_BITS = /^obMatJos2([A-Za-z0-9+/]{4})/;
/** RFC 8489 §18.1; bit 0 is the rightmost of 24. */
const FEATURES = { passwordAlgorithms: 1, usernameAnonymity: 2 } as const;
/** RFC 8489 §14.9 and §14.10: characters, and so at most three bytes each. */
const LONGEST_TEXT_BYTES = 763;

/** RFC 8489 §18.5. */
const PASSWORD_ALGORITHMS = { md5: 1, sha256: 2 } as const;
export type PasswordAlgorithm = keyof typeof PASSWORD_ALGORITHMS;

/** What a server asks for with 401 or 438: everything but the password that a signature needs. */
export interface Challenge {
  readonly realm: string;
  readonly nonce: Uint8Array;
  /** How the password becomes a key, and so how messages are signed. */
  readonly algorithm: PasswordAlgorithm;
  /** PASSWORD-ALGORITHMS as the server sent it, to be sent back; `null` where it sent none. */
  readonly offered: Uint8Array | null;
  /** The server knows users by their hash: the name need not be said. */
  readonly anonymous: boolean;
}

/**
 * RFC 8489 §9.2.5. `null` for a challenge that nobody can meet: without realm or nonce, too long, with algorithms that
 * are all unknown, or with some of what its own nonce promises taken out on the way (bid-down).
 */
export function readChallenge(message: StunMessage): Challenge | null {
  const realm = readText(message, ATTRIBUTES.REALM);
  const realmBytes = findAttribute(message, ATTRIBUTES.REALM)?.value.length ?? 0;
  const nonce = findAttribute(message, ATTRIBUTES.NONCE)?.value;
  if (realm === undefined || nonce === undefined || nonce.length === 0) return null;
  if (nonce.length > LONGEST_TEXT_BYTES || realmBytes > LONGEST_TEXT_BYTES) return null;
  const features = featuresIn(nonce);
  const offered = findAttribute(message, ATTRIBUTES['PASSWORD-ALGORITHMS'])?.value ?? null;
  const promised = (features & FEATURES.passwordAlgorithms) !== 0;
  if (promised && offered === null) return null;
  const algorithm = offered ? bestOf(offered) : 'md5';
  if (algorithm === null) return null;
  const anonymous = (features & FEATURES.usernameAnonymity) !== 0;
  return { realm, nonce: nonce.slice(), algorithm, offered: offered?.slice() ?? null, anonymous };
}

/** The security features that a nonce tells of, as the number of their 24 bits; 0 for a nonce without the cookie. */
function featuresIn(nonce: Uint8Array): number {
  const encoded = FEATURE_BITS.exec(String.fromCharCode(...nonce.subarray(0, NONCE_COOKIE.length + 4)))?.[1];
  if (encoded === undefined) return 0;
  return Buffer.from(encoded, 'base64').readUIntBE(0, 3);
}

/** The beginning of a nonce that tells of these features. */
export function nonceCookie(features: { readonly passwordAlgorithms: boolean; readonly anonymity: boolean }): string {
  const bits =
    (features.passwordAlgorithms ? FEATURES.passwordAlgorithms : 0) |
    (features.anonymity ? FEATURES.usernameAnonymity : 0);
  return `${NONCE_COOKIE}AAA${'ABCD'[bits] ?? 'A'}`;
}

/** SHA-256 where the server has it. Each is a number, the length of its parameters, and those padded (§14.11). */
function bestOf(offered: Uint8Array): PasswordAlgorithm | null {
  const numbers: number[] = [];
  for (let offset = 0; offset + 4 <= offered.length;) {
    numbers.push(uint16At(offered, offset));
    offset += 4 + ((uint16At(offered, offset + 2) + 3) & ~3);
  }
  if (numbers.includes(PASSWORD_ALGORITHMS.sha256)) return 'sha256';
  return numbers.includes(PASSWORD_ALGORITHMS.md5) ? 'md5' : null;
}

/** PASSWORD-ALGORITHMS, best first. */
export function passwordAlgorithms(algorithms: readonly PasswordAlgorithm[]): NewAttribute {
  const value = new Uint8Array(algorithms.length * 4);
  for (const [index, algorithm] of algorithms.entries()) setUint16(value, index * 4, PASSWORD_ALGORITHMS[algorithm]);
  return { type: ATTRIBUTES['PASSWORD-ALGORITHMS'], value };
}

function passwordAlgorithm(algorithm: PasswordAlgorithm): NewAttribute {
  return { ...passwordAlgorithms([algorithm]), type: ATTRIBUTES['PASSWORD-ALGORITHM'] };
}

/** RFC 8489 §14.4: what is sent instead of the name. */
export function userhash(username: string, realm: string): Uint8Array {
  return createHash('sha256')
    .update(utf8Bytes(`${saslPrep(username)}:${saslPrep(realm)}`))
    .digest();
}

/** One answer to a challenge: signs requests, and knows what the server signed with the same key. */
export class LongTermSigner {
  readonly challenge: Challenge;
  readonly #username: string;
  readonly #key: Uint8Array;

  constructor(challenge: Challenge, { username, password }: LongTermCredentials) {
    this.challenge = challenge;
    this.#username = username;
    this.#key = longTermKey(saslPrep(username), challenge.realm, password, challenge.algorithm);
  }

  /** RFC 8489 §9.2.5: a server that names algorithms is asked with MESSAGE-INTEGRITY-SHA256 alone. */
  sign(message: NewMessage): Uint8Array {
    const { realm, nonce, algorithm, offered, anonymous } = this.challenge;
    const who = anonymous
      ? { type: ATTRIBUTES.USERHASH, value: userhash(this.#username, realm) }
      : usernameAttribute(saslPrep(this.#username));
    const chosen = offered
      ? [{ type: ATTRIBUTES['PASSWORD-ALGORITHMS'], value: offered }, passwordAlgorithm(algorithm)]
      : [];
    const attributes = [
      ...message.attributes,
      who,
      { type: ATTRIBUTES.REALM, value: utf8Bytes(realm) },
      { type: ATTRIBUTES.NONCE, value: nonce },
      ...chosen,
    ];
    return signed({ ...message, attributes }, { key: this.#key, algorithm: this.#integrity, fingerprint: true });
  }

  /** Whether an answer is signed with this key, in the way that the challenge asks for: never in a weaker one. */
  hasSigned(message: StunMessage): boolean {
    const wanted = this.#integrity === 'sha256' ? 'MESSAGE-INTEGRITY-SHA256' : 'MESSAGE-INTEGRITY';
    return findAttribute(message, ATTRIBUTES[wanted]) !== undefined && verifyIntegrity(message, this.#key) === 'valid';
  }

  /** Whether another challenge asks for the same again, nonce included: then the answer to it was wrong. */
  answers({ realm, nonce }: Challenge): boolean {
    return realm === this.challenge.realm && equalBytes(nonce, this.challenge.nonce);
  }

  get #integrity(): IntegrityAlgorithm {
    return this.challenge.offered ? 'sha256' : 'sha1';
  }
}
