import { toHex, utf8Bytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { findAttribute, readText, readUsername } from '../stun/attributes.js';
import { type IntegrityAlgorithm, longTermKey, verifyIntegrity } from '../stun/integrity.js';
import { nonceCookie, passwordAlgorithms, userhash } from '../stun/long-term.js';
import type { NewAttribute, StunMessage } from '../stun/message.js';
import { ATTRIBUTES } from '../stun/registry.js';

/** Who signed a request, and how its answer is to be signed. */
export interface Signer {
  readonly user: string;
  readonly key: Uint8Array;
  readonly algorithm: IntegrityAlgorithm;
}

export interface TurnUsers {
  readonly realm: string;
  /** Passwords by user. */
  readonly users: ReadonlyMap<string, string>;
  /** How long a nonce holds. */
  readonly nonceMs: Ms;
  /** With SHA-256 and hashed names (RFC 8489), or as RFC 5389 had it. */
  readonly modern: boolean;
}

/** The server's side of long-term credentials (RFC 8489 §9.2.4). One nonce for everybody: this is a model. */
export class TurnCredentials {
  readonly #options: TurnUsers;
  readonly #random: Random;
  #nonce = '';
  #nonceUntil: Ms = Number.NEGATIVE_INFINITY;

  constructor(options: TurnUsers, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  /** From now on every nonce that was given is stale. */
  expireNonce(): void {
    this.#nonceUntil = Number.NEGATIVE_INFINITY;
  }

  /** Who signed a request; the code of the error that it is refused with where nobody did. */
  inspect(message: StunMessage, now: Ms): Signer | 400 | 401 | 438 {
    const { realm, users, modern } = this.#options;
    const sha256 = findAttribute(message, ATTRIBUTES['MESSAGE-INTEGRITY-SHA256']) !== undefined;
    if (!sha256 && !findAttribute(message, ATTRIBUTES['MESSAGE-INTEGRITY'])) return 401;
    const named = readUsername(message);
    const hash = findAttribute(message, ATTRIBUTES.USERHASH)?.value;
    const nonce = readText(message, ATTRIBUTES.NONCE);
    if ((named ?? hash) === undefined || nonce === undefined || readText(message, ATTRIBUTES.REALM) === undefined) {
      return 400;
    }
    // Its own nonce says that algorithms were offered: who does not repeat them was lied to on the way.
    const repeated = findAttribute(message, ATTRIBUTES['PASSWORD-ALGORITHMS']) !== undefined;
    if (modern !== repeated || sha256 !== modern) return 400;
    if (nonce !== this.#current(now)) return 438;
    const user = named ?? [...users.keys()].find((each) => hash && toHex(userhash(each, realm)) === toHex(hash));
    const password = user === undefined ? undefined : users.get(user);
    if (user === undefined || password === undefined) return 401;
    const key = longTermKey(user, realm, password, modern ? 'sha256' : 'md5');
    if (verifyIntegrity(message, key) !== 'valid') return 401;
    return { user, key, algorithm: sha256 ? 'sha256' : 'sha1' };
  }

  /** What goes with 401 and 438. */
  challenge(now: Ms): NewAttribute[] {
    return [
      { type: ATTRIBUTES.REALM, value: utf8Bytes(this.#options.realm) },
      { type: ATTRIBUTES.NONCE, value: utf8Bytes(this.#current(now)) },
      ...(this.#options.modern ? [passwordAlgorithms(['sha256', 'md5'])] : []),
    ];
  }

  #current(now: Ms): string {
    if (now >= this.#nonceUntil) {
      const { modern, nonceMs } = this.#options;
      const cookie = modern ? nonceCookie({ passwordAlgorithms: true, anonymity: true }) : '';
      this.#nonce = `${cookie}${toHex(this.#random.bytes(12))}`;
      this.#nonceUntil = now + nonceMs;
    }
    return this.#nonce;
  }
}
