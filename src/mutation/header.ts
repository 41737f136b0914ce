import { viewOf } from '../base/bytes.js';
import { signed, verifyFingerprint, verifyIntegrity } from '../stun/integrity.js';
import { decodeType, encodeType, parseStrict, type StunMessage } from '../stun/message.js';
import { ATTRIBUTES, HEADER_BYTES, MAGIC_COOKIE, METHODS } from '../stun/registry.js';
import { ARMS, type Arm, type HeaderField } from './arm.js';
import type { ArmName } from './names.js';

/** Unassigned in the IANA registry, outside what RFC 8489 §18.2 keeps free for demultiplexing (0x100–0xFFF). */
const UNASSIGNED_METHOD = 0x05d;
const FIRST_BYTE_BIT = 0x40;
const COOKIE_HIGH = MAGIC_COOKIE >>> 16;

export interface Undone {
  readonly arm: ArmName;
  /** Standard STUN again; its integrity fits the key. */
  readonly message: Uint8Array;
  /** Which of the keys. */
  readonly keyIndex: number;
}

/**
 * Turns a finished standard Binding message into the arm, as the last step before it is sent. `key` is the key of its
 * integrity; a message that is no STUN comes back as it is.
 */
export function mutate(arm: Arm, message: Uint8Array, key: Uint8Array): Uint8Array {
  const parsed = parseStrict(message);
  if (!parsed.ok) return message;
  const wire = arm.fields.includes('attributes')
    ? signed({ ...parsed.message, attributes: [] }, { key })
    : Uint8Array.from(message);
  for (const field of arm.fields) CHANGES[field].apply(wire);
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
    const parsed = inverse(arm, wire);
    if (!parsed || verifyFingerprint(parsed) === 'invalid') continue;
    if (arm.fields.includes('attributes') !== isBare(parsed)) continue;
    const keyIndex = keys.findIndex((key) => verifyIntegrity(parsed, key) === 'valid');
    if (keyIndex >= 0) return { arm: arm.name, message: parsed.raw, keyIndex };
  }
  return null;
}

function inverse(arm: Arm, wire: Uint8Array): StunMessage | null {
  const message = Uint8Array.from(wire);
  for (const field of arm.fields) if (!CHANGES[field].undo(message)) return null;
  const parsed = parseStrict(message);
  return parsed.ok ? parsed.message : null;
}

/** Nothing but an integrity. */
function isBare({ attributes }: StunMessage): boolean {
  return attributes.length === 1 && attributes[0]?.type === ATTRIBUTES['MESSAGE-INTEGRITY'];
}

/** One change of bytes in place; `undo` is false where the bytes do not look as if it had been made. */
interface FieldChange {
  readonly apply: (message: Uint8Array) => void;
  readonly undo: (wire: Uint8Array) => boolean;
}

const CHANGES: Readonly<Record<HeaderField, FieldChange>> = {
  'first-byte': {
    apply: (message) => {
      message[0] = (message[0] ?? 0) | FIRST_BYTE_BIT;
    },
    undo: (wire) => {
      const first = wire[0] ?? 0;
      wire[0] = first & ~FIRST_BYTE_BIT;
      return first >> 6 === 1;
    },
  },
  type: {
    apply: (message) => {
      const view = viewOf(message);
      view.setUint16(0, withMethod(view.getUint16(0), UNASSIGNED_METHOD));
    },
    undo: (wire) => {
      const view = viewOf(wire);
      // With the first byte's bit still set where that change is undone later.
      const type = view.getUint16(0);
      view.setUint16(0, withMethod(type, METHODS.Binding));
      return decodeType(type & 0x3fff).method === UNASSIGNED_METHOD;
    },
  },
  length: {
    apply: (message) => {
      viewOf(message).setUint16(2, (message.length - HEADER_BYTES + 1) & 0xffff);
    },
    undo: (wire) => {
      const view = viewOf(wire);
      const length = view.getUint16(2);
      view.setUint16(2, wire.length - HEADER_BYTES);
      return length === wire.length - HEADER_BYTES + 1;
    },
  },
  cookie: {
    apply: (message) => {
      viewOf(message).setUint16(4, falseCookie(message));
    },
    undo: (wire) => {
      const view = viewOf(wire);
      const found = view.getUint16(4);
      view.setUint16(4, COOKIE_HIGH);
      return found === falseCookie(wire);
    },
  },
  fingerprint: {
    apply: invertFingerprint,
    undo: invertFingerprint,
  },
  // Cut off before these changes, and not to be restored: what is left is valid STUN as it is.
  attributes: { apply: () => undefined, undo: () => true },
};

function withMethod(type: number, method: number): number {
  return (type & ~0x3fff) | encodeType(method, decodeType(type & 0x3fff).class);
}

/** Drawn from the transaction id, so that the receiver needs to be told nothing. Never the true cookie. */
function falseCookie(message: Uint8Array): number {
  const view = viewOf(message);
  const drawn = view.getUint16(8) ^ view.getUint16(14) ^ 0x9d3b;
  return drawn === COOKIE_HIGH ? drawn ^ 0xffff : drawn;
}

/** Inverts a fingerprint at the end of the message; false where there is none. */
function invertFingerprint(message: Uint8Array): boolean {
  const at = message.length - 8;
  if (at < HEADER_BYTES) return false;
  const view = viewOf(message);
  if (view.getUint16(at) !== ATTRIBUTES.FINGERPRINT || view.getUint16(at + 2) !== 4) return false;
  view.setUint32(at + 4, ~view.getUint32(at + 4));
  return true;
}
