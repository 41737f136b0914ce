import type { TransportAddress } from '../base/address.js';
import type { Random } from '../base/random.js';
import { findAttribute, iceRole, priority, readPriority, username, xorMappedAddress } from '../stun/attributes.js';
import { signed } from '../stun/integrity.js';
import {
  decodeType,
  encodeMessage,
  encodeType,
  type NewAttribute,
  parseStrict,
  type StunMessage,
} from '../stun/message.js';
import { HEADER_BYTES, METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { viewOf } from '../base/bytes.js';
import type { Profile } from './schema.js';

/** WhatsApp's attributes, as requirements.md (A.5.3) has them: a token of the call, a clock, a filler. */
export const TOKEN = 0x4000;
const CLOCK = 0x4003;
const FILLER = 0x4004;
const ATTRIBUTE_HEADER_BYTES = 4;
const CLOCK_BYTES = 9;

export interface Keys {
  /** Both ends sign probes with it. */
  readonly key: Uint8Array;
  /** Of the call: equal in the first request to a relay and in the last. */
  readonly token: Uint8Array;
}

type Attributes = Profile['direct']['attributes'];

/** A probe: a Binding request, signed. `of`: PRIORITY, where one is asked for. */
export function buildProbe(
  transactionId: Uint8Array,
  { key }: Keys,
  {
    attributes,
    random,
    controlling,
    of,
  }: { attributes: Attributes; random: Random; controlling: boolean; of?: number },
): Uint8Array {
  const ice =
    attributes === 'ice'
      ? [username('profile:profile'), priority(of ?? 1), iceRole(controlling, viewOf(random.bytes(8)).getBigUint64(0))]
      : of === undefined
        ? []
        : [priority(of)];
  const message = { method: METHODS.Binding, class: 'request', transactionId, attributes: ice } as const;
  return signed(message, { key, fingerprint: attributes === 'ice' });
}

/** WhatsApp's answers name no address, and have the PRIORITY of what they answer (O8). */
export function buildAnswer(
  request: StunMessage,
  from: TransportAddress,
  { key }: Keys,
  attributes: Attributes,
): Uint8Array {
  const { transactionId } = request;
  const asked = readPriority(request);
  const named =
    attributes === 'ice' ? [xorMappedAddress(from, transactionId)] : asked === undefined ? [] : [priority(asked)];
  const message = { method: METHODS.Binding, class: 'success', transactionId, attributes: named } as const;
  return signed(message, { key, fingerprint: attributes === 'ice' });
}

/** What a relay is asked: the token, and other attributes of four bytes. */
export function buildRelayRequest(
  type: number,
  transactionId: Uint8Array,
  { token }: Keys,
  more: readonly number[],
): Uint8Array {
  const attributes = [
    { type: TOKEN, value: token },
    ...more.map((one): NewAttribute => ({ type: one, value: new Uint8Array(4) })),
  ];
  return encodeMessage({ ...decodeType(type), transactionId, attributes });
}

/** A message without content, or one of a train: a clock, and a filler up to the length. */
export function buildBare(type: number, transactionId: Uint8Array, lengthBytes = HEADER_BYTES): Uint8Array {
  const room = lengthBytes - HEADER_BYTES;
  const clock = ATTRIBUTE_HEADER_BYTES + CLOCK_BYTES + 3;
  const attributes: NewAttribute[] = [];
  if (room >= clock) attributes.push({ type: CLOCK, value: new Uint8Array(CLOCK_BYTES) });
  if (room >= clock + ATTRIBUTE_HEADER_BYTES)
    attributes.push({ type: FILLER, value: new Uint8Array(room - clock - ATTRIBUTE_HEADER_BYTES) });
  return encodeMessage({ ...decodeType(type), transactionId, attributes });
}

export function newTransactionId(random: Random): Uint8Array {
  return random.bytes(TRANSACTION_ID_BYTES);
}

/** The reply to each request of a relay that a stand-in knows; `null`: it is not answered. */
const REPLIES: Readonly<Record<number, number | null>> = {
  0x0003: 0x0103,
  0x0800: null,
  0x0801: 0x0802,
  0x0804: 0x0805,
};

/**
 * What a reference host says in a relay's place, `null` for all that is none of a profile's. Never longer than what it
 * answers; it relays nothing, and whoever allocates as RFC 8656 has it is not answered.
 */
export function standInAnswer(bytes: Uint8Array, from: TransportAddress): Uint8Array | null {
  const parsed = parseStrict(bytes);
  if (!parsed.ok) return null;
  const { message } = parsed;
  const type = encodeType(message.method, message.class);
  const reply = REPLIES[type];
  if (reply === undefined || reply === null) return null;
  const { transactionId } = message;
  const tokenBytes = findAttribute(message, TOKEN)?.value.length ?? 0;
  if (type === 0x0003 && tokenBytes < 32) return null;
  const clock = findAttribute(message, CLOCK);
  const attributes =
    type === 0x0003 ? [xorMappedAddress(from, transactionId)] : clock ? [{ type: CLOCK, value: clock.value }] : [];
  const answer = encodeMessage({ ...decodeType(reply), transactionId, attributes });
  return answer.length <= bytes.length ? answer : null;
}
