import { addressBytes, type TransportAddress, transportAddressOf } from '../base/address.js';
import { concatBytes, fromHex, setUint16, setUint32, toHex, uint16At, utf8Bytes } from '../base/bytes.js';
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
  readUint32,
  uint32Attribute,
  unknownAttributes,
  unknownAttributesAttribute,
  xorMappedAddress,
} from '../stun/attributes.js';
import { signed, verifyFingerprint } from '../stun/integrity.js';
import {
  attributeBytes,
  encodeMessage,
  type NewAttribute,
  parseStrict,
  type StunMessage,
  transactionKey,
} from '../stun/message.js';
import { ATTRIBUTES, HEADER_BYTES, METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { type Arm, ARMS, sameFields } from './arm.js';
import { checkLike } from './check.js';
import { mutate, undo, undoFields } from './header.js';
import { type ArmName, PLAIN_ARM } from './names.js';
import { type ArmRegistry, BUILT_IN } from './registry.js';
import { hmac, seal, sealedId, unseal } from './sealed.js';
import { PREFIX_BYTES, prefixShape, type Shape, SHAPES } from './shape.js';

/** A reference shares no secret with its clients, so anybody may know this: it tells arms apart, it proves nothing. */
const PUBLISHED = utf8Bytes('icepath reference host, published key');

/** One for each change: `stun~attributes` has no attribute left to ask for one, but a key to be signed with. */
const KEYS = [0, 1, 2, 3].map(keyFor);
const KEY = keyFor(0);

/** So long that every arm's answer, with three IPv6 addresses, is no longer; the ClientHello decides. */
export const REFERENCE_BYTES = 160;

/**
 * Asks for a second answer after so many seconds of silence, and says in an answer that it will come, or (0) that this
 * is it. In no registry; comprehension-optional, so that other servers pass over it.
 */
const ANSWER_AFTER = 0xff7e;
/** The longest silence that a reference keeps. */
export const MOST_SECONDS = 300;

const BARE_ARM: ArmName = 'stun~attributes';
/** All arms of users that are not STUN. */
const PREFIXED: ArmName = 'prefixed';
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
  /** The second answer is wanted so much later; `null`: one answer. Both together are no longer than the request. */
  readonly afterSeconds: number | null;
  /** From an icepath; false for anybody's STUN or NAT behaviour discovery (RFC 8489, RFC 5780). */
  readonly authentic: boolean;
  /** Attributes that a stranger wants understood and are not. */
  readonly unknown: readonly number[];
  /** A user's arm, as far as it can be read off the packet; its name cannot. */
  readonly own?: Arm;
}

export interface ReferenceAnswer {
  readonly id: string;
  readonly arm: ArmName;
  readonly mapped: TransportAddress;
  readonly origin: TransportAddress | null;
  readonly other: TransportAddress | null;
  /** That a second answer follows after so many seconds; 0: this is it; `null`: there is no second. */
  readonly afterSeconds: number | null;
  /** The reference vouches for it: nobody on the way wrote into it. An ordinary STUN server never does. */
  readonly signed: boolean;
}

/** Whether a second, late answer can be asked for in this arm. */
export function canAnswerLate(arm: ArmName): boolean {
  return BUILT_IN.find(arm)?.stun === true && arm !== BARE_ARM;
}

/**
 * Whether a reference can be asked in this arm. It is told of no arm: it reads off a packet which fields of STUN were
 * changed, and looks for a body behind a few first bytes. Other changed bytes it cannot undo.
 */
export function isAnswerable({ stun, fields, changes = [] }: Arm): boolean {
  return !stun || (changes.length === 0 && (fields.length === 1 || !fields.includes('attributes')));
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
    readonly arms?: ArmRegistry;
    /** Only in an arm that {@link canAnswerLate}; the request is twice as long then. */
    readonly afterSeconds?: number;
  },
): { readonly id: string; readonly bytes: Uint8Array } {
  const { counter, nonce, random, change = UNCHANGED, arms = BUILT_IN, afterSeconds } = options;
  const known = arms.find(arm);
  const leastBytes = afterSeconds === undefined ? REFERENCE_BYTES : 2 * REFERENCE_BYTES;
  const lengthBytes = Math.max(leastBytes, options.lengthBytes ?? known?.lengthBytes ?? 0);
  const body = new Uint8Array(REQUEST_BODY_BYTES);
  body[0] = flagsOf(change);
  setUint32(body, 1, counter);
  body.set(nonce.subarray(0, 8), 5);

  if (known?.stun) {
    const id = hmac(KEY, requestLabel(arm), body).subarray(0, TRANSACTION_ID_BYTES);
    const more = [
      ...(change.address || change.port ? [changeRequest(change)] : []),
      ...(afterSeconds === undefined ? [] : [uint32Attribute(ANSWER_AFTER, afterSeconds)]),
    ];
    const key = arm === BARE_ARM ? keyFor(flagsOf(change)) : KEY;
    return { id: toHex(id), bytes: mutate(known, checkLike(id, { key, lengthBytes, random, more }), key) };
  }
  const shape = arms.shapeOf(arm);
  if (!shape) throw new RangeError(`no arm ${arm}`);
  const sealed = seal(KEY, requestLabel(nameToReference(shape)), body);
  return { id: sealedId(sealed), bytes: shape.wrap(sealed, lengthBytes, random) };
}

/** Any arm's request, or a stranger's Binding request; `null` for everything else, answers included. */
export function recogniseReferenceRequest(wire: Uint8Array): ReferenceRequest | null {
  const lengthBytes = wire.length;
  const common = { lengthBytes, afterSeconds: null, authentic: true, unknown: [] };
  if (lengthBytes >= REFERENCE_BYTES) {
    for (const { arm, unwrap } of SHAPES) {
      const sealed = unwrap(wire);
      const body = sealed && unseal(KEY, requestLabel(arm), sealed, REQUEST_BODY_BYTES);
      if (body) return { ...common, arm, id: sealedId(sealed), change: changeOf(body[0] ?? 0) };
    }
  }
  const undone = undoAny(wire);
  const prefixed = undone || lengthBytes < REFERENCE_BYTES ? null : behindPrefix(wire);
  if (prefixed) return { ...common, ...prefixed };
  const message = binding(undone?.message ?? stunIn(wire), 'request');
  if (!message) return null;
  const id = transactionKey(message.transactionId);
  const change = readChangeRequest(message) ?? UNCHANGED;
  if (undone?.arm === BARE_ARM) return { ...common, arm: undone.arm, id, change: changeOf(undone.keyIndex) };
  if (undone && lengthBytes >= REFERENCE_BYTES) {
    const after = lengthBytes >= 2 * REFERENCE_BYTES ? (readUint32(message, ANSWER_AFTER) ?? 0) : 0;
    const afterSeconds = after > 0 && after <= MOST_SECONDS ? after : null;
    return { ...common, arm: undone.arm, id, change, afterSeconds, ...(undone.own && { own: undone.own }) };
  }
  // A mutated one that is too short to be answered in its arm is nobody's.
  if (undone && undone.arm !== PLAIN_ARM) return null;
  const unknown = unknownAttributes(message, UNDERSTOOD);
  return { ...common, arm: PLAIN_ARM, id, change, authentic: false, unknown };
}

/** A user's arm: some first bytes, then what looks random. */
function behindPrefix(wire: Uint8Array): Pick<ReferenceRequest, 'arm' | 'id' | 'change' | 'own'> | null {
  for (const at of PREFIX_BYTES) {
    const sealed = wire.subarray(at);
    const body = unseal(KEY, requestLabel(PREFIXED), sealed, REQUEST_BODY_BYTES);
    const own: Arm = { name: PREFIXED, stun: false, fields: [], starts: wire.slice(0, at) };
    if (body) return { arm: PREFIXED, id: sealedId(sealed), change: changeOf(body[0] ?? 0), own };
  }
  return null;
}

/** Whatever fields were changed; attributes dropped together with another change are nobody's. */
function undoAny(
  wire: Uint8Array,
): { readonly arm: ArmName; readonly message: StunMessage; readonly keyIndex: number; readonly own?: Arm } | null {
  const undone = undoFields(wire, KEYS);
  if (!undone) return null;
  const { fields, message, keyIndex } = undone;
  const known = ARMS.find((arm) => arm.stun && sameFields(arm.fields, fields));
  if (known) return { arm: known.name, message, keyIndex };
  const own: Arm = { name: [PLAIN_ARM, ...fields].join('~'), stun: true, fields };
  return isAnswerable(own) ? { arm: own.name, message, keyIndex, own } : null;
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
    /** To a request that asks for a second answer: that it will come after so long; 0: this is it; else `null`. */
    readonly afterSeconds?: number | null;
  },
): Uint8Array {
  const { mapped, origin, other, random, afterSeconds = null } = options;
  const starts = request.own?.starts;
  const shape = starts ? prefixShape(PREFIXED, starts) : BUILT_IN.shapeOf(request.arm);
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
  const arm = request.own ?? BUILT_IN.find(request.arm);
  if (!request.authentic || !arm || request.arm === BARE_ARM) {
    const room = request.authentic ? 0 : request.lengthBytes - HEADER_BYTES - attributeBytes(required);
    return encodeMessage({ ...answer, class: 'success', attributes: [required, ...fitting(wished, room)] });
  }
  const late = afterSeconds === null ? [] : [uint32Attribute(ANSWER_AFTER, afterSeconds)];
  const lengthBytes = request.afterSeconds === null ? request.lengthBytes : request.lengthBytes >> 1;
  return signedAnswer(arm, { ...answer, class: 'success', attributes: [required, ...wished, ...late] }, lengthBytes);
}

/** Padded to the length of its request, so that both directions have packets of one size. */
function signedAnswer(arm: Arm, answer: Parameters<typeof signed>[0], lengthBytes: number): Uint8Array {
  const used = answer.attributes.reduce((sum, attribute) => sum + attributeBytes(attribute), HEADER_BYTES);
  const room = lengthBytes - used - INTEGRITY_AND_FINGERPRINT_BYTES;
  const attributes = room < 4 ? answer.attributes : [...answer.attributes, padding(room - 4)];
  return mutate(arm, signed({ ...answer, attributes }, { key: KEY, fingerprint: true }), KEY);
}

function fitting(attributes: readonly NewAttribute[], roomBytes: number): NewAttribute[] {
  let left = roomBytes;
  return attributes.filter((attribute) => {
    if (attributeBytes(attribute) > left) return false;
    left -= attributeBytes(attribute);
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
  arms: ArmRegistry = BUILT_IN,
): ReferenceAnswer | null {
  for (const shape of arms.shapes) {
    const sealed = shape.unwrap(wire);
    const body = sealed && unseal(KEY, answerLabel(nameToReference(shape)), sealed, ANSWER_BODY_BYTES);
    const answer = body && sealedAnswer(shape.arm, body, expected);
    if (answer) return answer;
  }
  const undone = undo(wire, [KEY], arms.arms);
  const message = binding(undone?.message ?? unsigned(stunIn(wire)), 'success');
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
    afterSeconds: undone ? (readUint32(message, ANSWER_AFTER) ?? null) : null,
    signed: undone !== null,
  };
}

/** A signature that does not fit says that somebody on the way wrote into the answer, which may be the address itself. */
function unsigned(message: StunMessage | null): StunMessage | null {
  const isSigned = message?.attributes.some(({ type }) => type === ATTRIBUTES['MESSAGE-INTEGRITY']) === true;
  return message && !isSigned && verifyFingerprint(message) !== 'invalid' ? message : null;
}

/**
 * The request that an answer belongs to which no longer is what was answered: only its transaction id is believed.
 * `null` for what is no STUN by its first bits.
 */
export function alteredAnswerId(wire: Uint8Array): string | null {
  if (wire.length < HEADER_BYTES || (wire[0] ?? 0) >> 6 !== 0) return null;
  return toHex(wire.subarray(HEADER_BYTES - TRANSACTION_ID_BYTES, HEADER_BYTES));
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
  return mapped && expected(id) === arm ? { id, arm, mapped, origin, other, afterSeconds: null, signed: true } : null;
}

function stunIn(bytes: Uint8Array): StunMessage | null {
  const parsed = parseStrict(bytes);
  return parsed.ok ? parsed.message : null;
}

function binding(message: StunMessage | null, wanted: 'request' | 'success'): StunMessage | null {
  return message?.class === wanted && message.method === METHODS.Binding ? message : null;
}

function packedAddress(address: TransportAddress | null): Uint8Array {
  const packed = new Uint8Array(ADDRESS_BYTES);
  if (!address) return packed;
  const bytes = addressBytes(address.address);
  packed[0] = bytes.length;
  setUint16(packed, 1, address.port);
  packed.set(bytes, 3);
  return packed;
}

function unpackedAddress(packed: Uint8Array): TransportAddress | null {
  const length = packed[0];
  if (length !== 4 && length !== 16) return null;
  return transportAddressOf(packed.subarray(3, 3 + length), uint16At(packed, 1));
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

/** A reference does not know what users call theirs. */
function nameToReference({ arm }: Shape): ArmName {
  return BUILT_IN.shapeOf(arm) ? arm : PREFIXED;
}

function requestLabel(arm: ArmName): string {
  return `icepath reference request${arm}`;
}

function answerLabel(arm: ArmName): string {
  return `icepath reference answer${arm}`;
}
