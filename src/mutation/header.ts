import { setUint16, setUint32, uint16At, uint32At } from '../base/bytes.js';
import { signed, verifyFingerprint, verifyIntegrity } from '../stun/integrity.js';
import { decodeType, encodeType, parseStrict, type StunMessage } from '../stun/message.js';
import { ATTRIBUTES, HEADER_BYTES, MAGIC_COOKIE, METHODS } from '../stun/registry.js';
import { ARMS, type Arm, type ByteChange, HEADER_FIELDS, type HeaderField } from './arm.js';
import type { ArmName } from './names.js';

/** Unassigned in the IANA registry, outside what RFC 8489 §18.2 keeps free for demultiplexing (0x100–0xFFF). */
const UNASSIGNED_METHOD = 0x05d;
const FIRST_BYTE_BIT = 0x40;
const COOKIE_HIGH = MAGIC_COOKIE >>> 16;
const COOKIE_END = 8;

export interface Undone {
  readonly arm: ArmName;
  /** Standard STUN again; its integrity fits the key. */
  readonly message: StunMessage;
  /** Which of the keys. */
  readonly keyIndex: number;
}

/**
 * Turns a finished standard Binding message into the arm, as the last step before it is sent. `key` is the key of its
 * integrity; a message that is no STUN comes back as it is.
 */
export function mutate(arm: Arm, message: Uint8Array, key: Uint8Array): Uint8Array {
  const { fields, changes = [] } = arm;
  if (fields.length + changes.length === 0) return message;
  const parsed = parseStrict(message);
  if (!parsed.ok) return message;
  const wire = fields.includes('attributes')
    ? signed({ ...parsed.message, attributes: [] }, { key })
    : new Uint8Array(message);
  for (const field of fields) CHANGES[field].apply(wire);
  for (const change of changes) applyBytes(change, wire);
  return wire;
}

/**
 * The standard message that an arm was made of, as the first step after receiving. Every arm's inverse is tried; only
 * what then is faultless STUN with an integrity that fits one of the keys, and a fingerprint that is right or absent,
 * is taken. STUN without integrity (the answer of a STUN server) is `null` here.
 */
export function undo(wire: Uint8Array, keys: readonly Uint8Array[], arms: readonly Arm[] = ARMS): Undone | null {
  if (wire.length < HEADER_BYTES) return null;
  for (const arm of arms) {
    if (!arm.stun) continue;
    const undone = undoArm(arm, wire, keys);
    if (undone) return undone;
  }
  return null;
}

/**
 * As {@link undo}, for who knows no arms but the fields that an arm may change: what was changed can be read off the
 * header, but for the fingerprint. `fields` in the order of `HEADER_FIELDS`.
 */
export function undoFields(
  wire: Uint8Array,
  keys: readonly Uint8Array[],
): (Omit<Undone, 'arm'> & { readonly fields: readonly HeaderField[] }) | null {
  if (wire.length < HEADER_BYTES) return null;
  const seen = HEADER_FIELDS.filter((field) => READ_OFF.includes(field) && CHANGES[field].isMade(wire));
  for (const more of [null, 'fingerprint', 'attributes'] as const) {
    const fields = HEADER_FIELDS.filter((field) => seen.includes(field) || field === more);
    const undone = undoArm({ name: '', stun: true, fields }, wire, keys);
    if (undone) return { fields, message: undone.message, keyIndex: undone.keyIndex };
  }
  return null;
}

const READ_OFF: readonly HeaderField[] = ['first-byte', 'type', 'length', 'cookie'];

function undoArm(arm: Arm, wire: Uint8Array, keys: readonly Uint8Array[]): Undone | null {
  const parsed = inverse(arm, wire);
  if (!parsed || verifyFingerprint(parsed) === 'invalid') return null;
  if (arm.fields.includes('attributes') !== isBare(parsed)) return null;
  const keyIndex = keys.findIndex((key) => verifyIntegrity(parsed, key) === 'valid');
  return keyIndex >= 0 ? { arm: arm.name, message: parsed, keyIndex } : null;
}

function inverse({ fields, changes }: Arm, wire: Uint8Array): StunMessage | null {
  const changed = changes ? withoutBytes(changes, wire) : wire;
  if (!changed || !fields.every((field) => CHANGES[field].isMade(changed))) return null;
  const message = new Uint8Array(changed);
  for (const field of fields) CHANGES[field].undo(message);
  const parsed = parseStrict(message);
  return parsed.ok ? parsed.message : null;
}

/** As it was before its bytes were changed; `null` where they do not look so. */
function withoutBytes(changes: readonly ByteChange[], wire: Uint8Array): Uint8Array | null {
  const message = new Uint8Array(wire);
  for (const { at, how, bytes } of changes.toReversed()) {
    if (how === 'to' && bytes.some((byte, index) => message[at + index] !== byte)) return null;
    if (how === 'to') for (let index = at; index < at + bytes.length; index += 1) restore(message, index);
    else applyBytes({ at, how, bytes }, message);
  }
  return message;
}

function applyBytes({ at, how, bytes }: ByteChange, message: Uint8Array): void {
  for (const [index, byte] of bytes.entries()) {
    // What lies behind the end stays there: nothing is added to a message.
    if (at + index < message.length) message[at + index] = how === 'xor' ? (message[at + index] ?? 0) ^ byte : byte;
  }
}

/** The standard value of a byte of length or cookie. */
function restore(message: Uint8Array, index: number): void {
  const standard = new Uint8Array(COOKIE_END);
  setUint16(standard, 2, message.length - HEADER_BYTES);
  setUint32(standard, 4, MAGIC_COOKIE);
  message[index] = standard[index] ?? 0;
}

/** Nothing but an integrity. */
function isBare({ attributes }: StunMessage): boolean {
  return attributes.length === 1 && attributes[0]?.type === ATTRIBUTES['MESSAGE-INTEGRITY'];
}

/** One change of bytes in place, which leaves the bytes of the other changes alone. */
interface FieldChange {
  readonly apply: (message: Uint8Array) => void;
  /** Whether the bytes look as if it had been made. */
  readonly isMade: (wire: Uint8Array) => boolean;
  readonly undo: (wire: Uint8Array) => void;
}

const CHANGES: Readonly<Record<HeaderField, FieldChange>> = {
  'first-byte': {
    apply: (message) => {
      message[0] = (message[0] ?? 0) | FIRST_BYTE_BIT;
    },
    isMade: (wire) => (wire[0] ?? 0) >> 6 === 1,
    undo: (wire) => {
      wire[0] = (wire[0] ?? 0) & ~FIRST_BYTE_BIT;
    },
  },
  type: {
    apply: (message) => {
      setUint16(message, 0, withMethod(uint16At(message, 0), UNASSIGNED_METHOD));
    },
    // With the first byte's bit still set where that is changed too.
    isMade: (wire) => decodeType(uint16At(wire, 0) & 0x3fff).method === UNASSIGNED_METHOD,
    undo: (wire) => {
      setUint16(wire, 0, withMethod(uint16At(wire, 0), METHODS.Binding));
    },
  },
  length: {
    apply: (message) => {
      setUint16(message, 2, message.length - HEADER_BYTES + 1);
    },
    isMade: (wire) => uint16At(wire, 2) === wire.length - HEADER_BYTES + 1,
    undo: (wire) => {
      setUint16(wire, 2, wire.length - HEADER_BYTES);
    },
  },
  cookie: {
    apply: (message) => {
      setUint16(message, 4, falseCookie(message));
    },
    isMade: (wire) => uint16At(wire, 4) === falseCookie(wire),
    undo: (wire) => {
      setUint16(wire, 4, COOKIE_HIGH);
    },
  },
  fingerprint: {
    apply: invertFingerprint,
    isMade: hasFingerprint,
    undo: invertFingerprint,
  },
  // Cut off before these changes, and not to be restored: what is left is valid STUN as it is.
  attributes: { apply: () => undefined, isMade: () => true, undo: () => undefined },
};

function withMethod(type: number, method: number): number {
  return (type & ~0x3fff) | encodeType(method, decodeType(type & 0x3fff).class);
}

/** Drawn from the transaction id, so that the receiver needs to be told nothing. Never the true cookie. */
function falseCookie(message: Uint8Array): number {
  const drawn = uint16At(message, 8) ^ uint16At(message, 14) ^ 0x9d3b;
  return drawn === COOKIE_HIGH ? drawn ^ 0xffff : drawn;
}

/** At the end of the message. */
function hasFingerprint(message: Uint8Array): boolean {
  const at = message.length - 8;
  return at >= HEADER_BYTES && uint16At(message, at) === ATTRIBUTES.FINGERPRINT && uint16At(message, at + 2) === 4;
}

function invertFingerprint(message: Uint8Array): void {
  const at = message.length - 4;
  if (hasFingerprint(message)) setUint32(message, at, ~uint32At(message, at));
}
