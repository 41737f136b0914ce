import { utf8Bytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import { padding, priority } from '../stun/attributes.js';
import { signed } from '../stun/integrity.js';
import { attributeBytes, type NewAttribute } from '../stun/message.js';
import { ATTRIBUTES, METHODS } from '../stun/registry.js';

/** With the shortest USERNAME and no further attributes: a usual check's length. */
export const CHECK_BYTES = 108;

const USERNAME_MIN = 32;
/** RFC 8489 §14.3 allows fewer than 509 bytes. */
const USERNAME_MAX = 508;

/** Of a peer-reflexive candidate (RFC 8445 §5.1.2.1): the value is no matter, that there is one is. */
const CHECK_PRIORITY = 0x6e7f00ff;

/**
 * A Binding request in the shape of an ICE check (RFC 8445 §7.2.2), signed with `key`: of `lengthBytes` rounded down to
 * a multiple of four, or longer where it needs more. A longer one has a longer USERNAME, and PADDING only when that
 * is used up.
 */
export function checkLike(
  transactionId: Uint8Array,
  options: {
    readonly key: Uint8Array;
    readonly lengthBytes: number;
    readonly random: Random;
    readonly more?: readonly NewAttribute[];
  },
): Uint8Array {
  const { key, lengthBytes, random, more = [] } = options;
  const moreBytes = more.reduce((sum, attribute) => sum + attributeBytes(attribute), 0);
  const extra = Math.max(0, (lengthBytes & ~3) - CHECK_BYTES - moreBytes);
  const usernameBytes = Math.min(USERNAME_MIN + extra, USERNAME_MAX);
  const paddingBytes = extra - (usernameBytes - USERNAME_MIN);
  const attributes = [
    { type: ATTRIBUTES.USERNAME, value: iceUsername(usernameBytes, random) },
    priority(CHECK_PRIORITY),
    { type: ATTRIBUTES['ICE-CONTROLLING'], value: random.bytes(8) },
    ...more,
    ...(paddingBytes > 0 ? [padding(paddingBytes - 4)] : []),
  ];
  const message = { method: METHODS.Binding, class: 'request', transactionId, attributes } as const;
  return signed(message, { key, fingerprint: true });
}

const ICE_CHARACTERS = utf8Bytes('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const COLON = 0x3a;

/** Two fragments of ice-chars (RFC 8839 §5.4) and the colon between them. */
function iceUsername(length: number, random: Random): Uint8Array {
  const characters = random.bytes(length).map((byte) => ICE_CHARACTERS[byte & 63] ?? 0);
  characters[length >> 1] = COLON;
  return characters;
}
