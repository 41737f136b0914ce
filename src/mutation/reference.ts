import { addressBytes, formatAddressBytes, type TransportAddress, transportAddress } from '../base/address.js';
import { concatBytes, fromHex, toHex, utf8Bytes, viewOf } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import {
  addressAttribute,
  type Change,
  changeRequest,
  errorCode,
  padding,
  readAddress,
  readChangeRequest,
  readMappedAddress,
  unknownAttributes,
  unknownAttributesAttribute,
  xorMappedAddress,
} from '../stun/attributes.js';
import { signed } from '../stun/integrity.js';
import { encodeMessage, type NewAttribute, parseStrict, type StunMessage, transactionKey } from '../stun/message.js';
import { ATTRIBUTES, HEADER_BYTES, METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { type Arm, findArm } from './arm.js';
import { checkLike } from './check.js';
import { mutate, undo } from './header.js';
import { type ArmName, PLAIN_ARM } from './names.js';
import { hmac, seal, sealedId, unseal } from './sealed.js';
import { SHAPES } from './shape.js';

/** A reference shares no secret with its clients, so anybody may know this: it tells arms apart, it proves nothing. */
const PUBLISHED = utf8Bytes('icepath reference host, published key');

/** One for each change: `stun~attributes` has no attribute left to ask for one, but a key to be signed with. */
const KEYS = [0, 1, 2, 3].map(keyFor);
const KEY = keyFor(0);

/** So long that every arm's answer, with three IPv6 addresses, is no longer; the ClientHello decides. */
export const REFERENCE_BYTES = 160;

const BARE_ARM: ArmName = 'stun~attributes';
const UNCHANGED: Change = { address: false, port: false };

/** In the sealed body: flags, counter, nonce. */
const REQUEST_BODY_BYTES = 1 + 4 + 8;
/** Family, port, address. */
const ADDRESS_BYTES = 1 + 2 + 16;
const ANSWER_BODY_BYTES = TRANSACTION_ID_BYTES + 3 * ADDRESS_BYTES;

const INTEGRITY_AND_FINGERPRINT_BYTES = 24 + 8;

export interface ReferenceRequest {
  readonly arm: ArmName;
  /** 24 hex digits; the transaction id where the arm is STUN. */
  readonly id: string;
  readonly change: Change;
  readonly lengthBytes: number;
  /** From an icepath; false for anybody's STUN or NAT behaviour discovery (RFC 8489, RFC 5780). */
  readonly authentic: boolean;
  /** Attributes that a stranger wants understood and are not. */
  readonly unknown: readonly number[];
}

export interface ReferenceAnswer {
  readonly id: string;
  readonly arm: ArmName;
  readonly mapped: TransportAddress;
  readonly origin: TransportAddress | null;
  readonly other: TransportAddress | null;
}

/**
 * Asks a reference host, in `arm`, where the packet seems to come from. `nonce`: 8 random bytes of this client, so that
 * the ids of two do not meet. `lengthBytes` is at least {@link REFERENCE_BYTES} (44 in `stun~attributes`, whatever is
 * asked). The same arm, counter, nonce and change give the same id. Throws `RangeError` for an unknown arm.
 */
export function buildReferenceRequest(
  arm: ArmName,
  options: {
    readonly counter: number;
    readonly nonce: Uint8Array;
    readonly random: Random;
    readonly lengthBytes?: number;
    readonly change?: Change;
  },
): { readonly id: string; readonly bytes: Uint8Array } {
  const { counter, nonce, random, change = UNCHANGED } = options;
  const lengthBytes = Math.max(REFERENCE_BYTES, options.lengthBytes ?? 0);
  const body = new Uint8Array(REQUEST_BODY_BYTES);
  body[0] = flagsOf(change);
  viewOf(body).setUint32(1, counter);
  body.set(nonce.subarray(0, 8), 5);

  const stun = findArm(arm);
  if (stun?.stun) {
    const id = hmac(KEY, utf8Bytes(requestLabel(arm)), body).subarray(0, TRANSACTION_ID_BYTES);
    const more = change.address || change.port ? [changeRequest(change)] : [];
    const key = arm === BARE_ARM ? keyFor(flagsOf(change)) : KEY;
    return { id: toHex(id), bytes: mutate(stun, checkLike(id, { key, lengthBytes, random, more }), key) };
  }
  const shape = SHAPES.find((one) => one.arm === arm);
  if (!shape) throw new RangeError(`no arm ${arm}`);
  const sealed = seal(KEY, requestLabel(arm), body);
  return { id: sealedId(sealed), bytes: shape.wrap(sealed, lengthBytes, random) };
}

/** Any arm's request, or a stranger's Binding request; `null` for everything else, answers included. */
export function recogniseReferenceRequest(wire: Uint8Array): ReferenceRequest | null {
  const lengthBytes = wire.length;
  const common = { lengthBytes, authentic: true, unknown: [] };
  if (lengthBytes >= REFERENCE_BYTES) {
    for (const { arm, unwrap } of SHAPES) {
      const sealed = unwrap(wire);
      const body = sealed && unseal(KEY, requestLabel(arm), sealed, REQUEST_BODY_BYTES);
      if (body) return { ...common, arm, id: sealedId(sealed), change: changeOf(body[0] ?? 0) };
    }
  }
  const undone = undo(wire, KEYS);
  const message = bindingIn(undone?.message ?? wire, 'request');
  if (!message) return null;
  const id = transactionKey(message.transactionId);
  const change = readChangeRequest(message) ?? UNCHANGED;
  if (undone?.arm === BARE_ARM) return { ...common, arm: undone.arm, id, change: changeOf(undone.keyIndex) };
  if (undone && lengthBytes >= REFERENCE_BYTES) return { ...common, arm: undone.arm, id, change };
  // A mutated one that is too short to be answered in its arm is nobody's.
  if (undone && undone.arm !== PLAIN_ARM) return null;
  const unknown = unknownAttributes(message, UNDERSTOOD);
  return { arm: PLAIN_ARM, id, change, lengthBytes, authentic: false, unknown };
}

/** What a stranger's request may carry that a reference understands, or may pass over. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  ATTRIBUTES['CHANGE-REQUEST'],
  ATTRIBUTES.USERNAME,
  ATTRIBUTES['MESSAGE-INTEGRITY'],
  ATTRIBUTES['MESSAGE-INTEGRITY-SHA256'],
  ATTRIBUTES.PRIORITY,
  ATTRIBUTES['USE-CANDIDATE'],
  ATTRIBUTES.PADDING,
]);

/**
 * The answer, in the arm of its request and never longer, with one exception: a stranger's request that is too short
 * for the smallest legal answer (a bare one has 20 bytes) gets that answer. `origin` and `other` (RFC 5780 §7.3, §7.4)
 * are left out where there is no room.
 */
export function buildReferenceAnswer(
  request: ReferenceRequest,
  options: {
    readonly mapped: TransportAddress;
    readonly origin: TransportAddress | null;
    readonly other: TransportAddress | null;
    readonly random: Random;
  },
): Uint8Array {
  const { mapped, origin, other, random } = options;
  const shape = SHAPES.find((one) => one.arm === request.arm);
  if (shape) {
    const body = concatBytes(fromHex(request.id), ...[mapped, origin, other].map(packedAddress));
    return shape.wrap(seal(KEY, answerLabel(request.arm), body), request.lengthBytes, random);
  }
  const transactionId = fromHex(request.id);
  const answer = { method: METHODS.Binding, transactionId } as const;
  if (request.unknown.length > 0) {
    const attributes = [errorCode({ code: 420, reason: '' }), unknownAttributesAttribute(request.unknown)];
    return encodeMessage({ ...answer, class: 'error', attributes });
  }
  const required = xorMappedAddress(mapped, transactionId);
  const wished = [
    ...(origin ? [addressAttribute(ATTRIBUTES['RESPONSE-ORIGIN'], origin)] : []),
    ...(other ? [addressAttribute(ATTRIBUTES['OTHER-ADDRESS'], other)] : []),
  ];
  const arm = findArm(request.arm);
  if (!request.authentic || !arm || request.arm === BARE_ARM) {
    const room = request.authentic ? 0 : request.lengthBytes - HEADER_BYTES - lengthOf(required);
    return encodeMessage({ ...answer, class: 'success', attributes: [required, ...fitting(wished, room)] });
  }
  return signedAnswer(arm, { ...answer, class: 'success', attributes: [required, ...wished] }, request.lengthBytes);
}

/** Padded to the length of its request, so that both directions have packets of one size. */
function signedAnswer(arm: Arm, answer: Parameters<typeof signed>[0], lengthBytes: number): Uint8Array {
  const used = answer.attributes.reduce((sum, attribute) => sum + lengthOf(attribute), HEADER_BYTES);
  const room = lengthBytes - used - INTEGRITY_AND_FINGERPRINT_BYTES;
  const attributes = room < 4 ? answer.attributes : [...answer.attributes, padding(room - 4)];
  return mutate(arm, signed({ ...answer, attributes }, { key: KEY, fingerprint: true }), KEY);
}

function lengthOf({ value }: NewAttribute): number {
  return 4 + ((value.length + 3) & ~3);
}

function fitting(attributes: readonly NewAttribute[], roomBytes: number): NewAttribute[] {
  let left = roomBytes;
  return attributes.filter((attribute) => {
    if (lengthOf(attribute) > left) return false;
    left -= lengthOf(attribute);
    return true;
  });
}

/**
 * An answer to a request that is waited for: `expected` gives the arm in which an id was asked, and nothing for ids
 * that were not. Takes the answers of ordinary STUN servers to plain requests too. `null` for everything else.
 */
export function recogniseReferenceAnswer(
  wire: Uint8Array,
  expected: (id: string) => ArmName | undefined,
): ReferenceAnswer | null {
  for (const { arm, unwrap } of SHAPES) {
    const sealed = unwrap(wire);
    const body = sealed && unseal(KEY, answerLabel(arm), sealed, ANSWER_BODY_BYTES);
    if (body) return sealedAnswer(arm, body, expected);
  }
  const undone = undo(wire, [KEY]);
  const message = bindingIn(undone?.message ?? wire, 'success');
  const mapped = message && readMappedAddress(message);
  if (!mapped) return null;
  const id = transactionKey(message.transactionId);
  const arm = expected(id);
  // Without integrity an answer is either a stranger's or that of the bare arm, which has no room for one.
  const cameIn = undone?.arm ?? (arm === BARE_ARM ? BARE_ARM : PLAIN_ARM);
  if (arm !== cameIn) return null;
  return {
    ...{ id, arm, mapped },
    origin: readAddress(message, ATTRIBUTES['RESPONSE-ORIGIN']) ?? null,
    other: readAddress(message, ATTRIBUTES['OTHER-ADDRESS']) ?? null,
  };
}

function sealedAnswer(
  arm: ArmName,
  body: Uint8Array,
  expected: (id: string) => ArmName | undefined,
): ReferenceAnswer | null {
  const id = toHex(body.subarray(0, TRANSACTION_ID_BYTES));
  const [mapped = null, origin = null, other = null] = [0, 1, 2].map((index) =>
    unpackedAddress(body.subarray(TRANSACTION_ID_BYTES + index * ADDRESS_BYTES)),
  );
  return mapped && expected(id) === arm ? { id, arm, mapped, origin, other } : null;
}

function bindingIn(bytes: Uint8Array, wanted: 'request' | 'success'): StunMessage | null {
  const parsed = parseStrict(bytes);
  if (!parsed.ok || parsed.message.class !== wanted || parsed.message.method !== METHODS.Binding) return null;
  return parsed.message;
}

function packedAddress(address: TransportAddress | null): Uint8Array {
  const packed = new Uint8Array(ADDRESS_BYTES);
  if (!address) return packed;
  const bytes = addressBytes(address.address);
  packed[0] = bytes.length;
  viewOf(packed).setUint16(1, address.port);
  packed.set(bytes, 3);
  return packed;
}

function unpackedAddress(packed: Uint8Array): TransportAddress | null {
  const length = packed[0];
  if (length !== 4 && length !== 16) return null;
  return transportAddress(formatAddressBytes(packed.subarray(3, 3 + length)), viewOf(packed).getUint16(1));
}

function keyFor(flags: number): Uint8Array {
  return hmac(PUBLISHED, Uint8Array.of(flags));
}

function flagsOf({ address, port }: Change): number {
  return (address ? 2 : 0) | (port ? 1 : 0);
}

function changeOf(flags: number): Change {
  return { address: (flags & 2) !== 0, port: (flags & 1) !== 0 };
}

function requestLabel(arm: ArmName): string {
  return `icepath reference request${arm}`;
}

function answerLabel(arm: ArmName): string {
  return `icepath reference answer${arm}`;
}
