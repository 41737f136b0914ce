import { setUint16, setUint32, toHex, uint16At, uint32At } from '../base/bytes.js';
import { CLASSES, HEADER_BYTES, MAGIC_COOKIE, type StunClass, TRANSACTION_ID_BYTES } from './registry.js';

export interface StunAttribute {
  readonly type: number;
  readonly value: Uint8Array;
  /** What follows the value up to the next multiple of four; any bytes (RFC 8489 §14). */
  readonly padding: Uint8Array;
}

/** What was parsed; {@link encodeMessage} gives the same bytes again, unknown attributes and odd padding included. */
export interface StunMessage {
  /** 12 bits. */
  readonly method: number;
  readonly class: StunClass;
  /** 12 bytes. */
  readonly transactionId: Uint8Array;
  readonly attributes: readonly StunAttribute[];
  readonly raw: Uint8Array;
}

/** An attribute to be sent; padding is zero unless given. */
export interface NewAttribute {
  readonly type: number;
  readonly value: Uint8Array;
  readonly padding?: Uint8Array;
}

export interface NewMessage {
  readonly method: number;
  readonly class: StunClass;
  readonly transactionId: Uint8Array;
  readonly attributes: readonly NewAttribute[];
}

export type ParseErrorCode = 'too-short' | 'first-bits' | 'cookie' | 'unaligned' | 'length' | 'attribute';

export type ParseResult =
  | { readonly ok: true; readonly message: StunMessage }
  | { readonly ok: false; readonly error: { readonly code: ParseErrorCode; readonly message: string } };

/** 24 hex digits: how a transaction is named in maps and records. */
export function transactionKey(id: Uint8Array): string {
  return toHex(id);
}

/** The 14 bits of the type, class bits interleaved (RFC 8489 §5, figure 3). */
export function encodeType(method: number, stunClass: StunClass): number {
  const c = CLASSES.indexOf(stunClass);
  return ((method & 0xf80) << 2) | ((method & 0x70) << 1) | (method & 0xf) | ((c & 2) << 7) | ((c & 1) << 4);
}

export function decodeType(type: number): { readonly method: number; readonly class: StunClass } {
  const c = ((type >> 7) & 2) | ((type >> 4) & 1);
  return {
    method: ((type >> 2) & 0xf80) | ((type >> 1) & 0x70) | (type & 0xf),
    class: CLASSES[c] ?? 'request',
  };
}

/**
 * Throws `RangeError` on a transaction id, method or length that no STUN message can have. `roomBytes` of zeros stand
 * behind the attributes, and the length counts them: for an integrity and a fingerprint.
 */
export function encodeMessage(message: NewMessage, roomBytes = 0): Uint8Array {
  if (message.transactionId.length !== TRANSACTION_ID_BYTES) throw new RangeError('a transaction id has 12 bytes');
  if (message.method < 0 || message.method > 0xfff) throw new RangeError('a method has 12 bits');
  const bodyBytes = message.attributes.reduce((sum, attribute) => sum + attributeBytes(attribute), roomBytes);
  if (bodyBytes > 0xffff) throw new RangeError('too long for a STUN message');
  const bytes = new Uint8Array(HEADER_BYTES + bodyBytes);
  setUint16(bytes, 0, encodeType(message.method, message.class));
  setUint16(bytes, 2, bodyBytes);
  setUint32(bytes, 4, MAGIC_COOKIE);
  bytes.set(message.transactionId, 8);
  let offset = HEADER_BYTES;
  for (const attribute of message.attributes) {
    writeAttribute(bytes, offset, attribute);
    offset += attributeBytes(attribute);
  }
  return bytes;
}

/** Header and padding included. */
export function attributeBytes({ value, padding }: NewAttribute): number {
  return 4 + value.length + (padding?.length ?? paddingLength(value.length));
}

/** Puts an attribute into zeros. */
export function writeAttribute(bytes: Uint8Array, offset: number, { type, value, padding }: NewAttribute): void {
  setUint16(bytes, offset, type);
  setUint16(bytes, offset + 2, value.length);
  bytes.set(value, offset + 4);
  if (padding) bytes.set(padding, offset + 4 + value.length);
}

function paddingLength(length: number): number {
  return -length & 3;
}

/** Nothing but what RFC 8489 §5 and §6.3 allow, and nothing behind it. The message is a view on `bytes`. */
export function parseStrict(bytes: Uint8Array): ParseResult {
  if (bytes.length < HEADER_BYTES) return refused('too-short', `${bytes.length} bytes hold no STUN header`);
  const type = uint16At(bytes, 0);
  if (type > 0x3fff) return refused('first-bits', 'the top two bits are not zero');
  if (uint32At(bytes, 4) !== MAGIC_COOKIE) return refused('cookie', 'no magic cookie');
  const length = uint16At(bytes, 2);
  if (length % 4 !== 0) return refused('unaligned', `a length of ${length} is no multiple of four`);
  if (length !== bytes.length - HEADER_BYTES) {
    return refused('length', `says ${length} bytes of attributes, has ${bytes.length - HEADER_BYTES}`);
  }
  const { attributes, problem } = readAttributes(bytes, bytes.length, 4);
  if (problem) return refused('attribute', 'an attribute runs over the end');
  const transactionId = bytes.subarray(8, HEADER_BYTES);
  return { ok: true, message: { ...decodeType(type), transactionId, attributes, raw: bytes } };
}

function refused(code: ParseErrorCode, message: string): ParseResult {
  return { ok: false, error: { code, message } };
}

const NO_BYTES = new Uint8Array(0);

type AttributeProblem = 'header' | 'value' | 'padding';

/** Attributes up to `end`; a last one that is cut short is kept with what is there of its value. */
function readAttributes(
  bytes: Uint8Array,
  end: number,
  alignment: 1 | 4,
): { readonly attributes: StunAttribute[]; readonly problem: AttributeProblem | null } {
  const attributes: StunAttribute[] = [];
  let offset = HEADER_BYTES;
  while (offset < end) {
    if (offset + 4 > end) return { attributes, problem: 'header' };
    const length = uint16At(bytes, offset + 2);
    const valueEnd = offset + 4 + length;
    const padding = alignment === 4 ? paddingLength(length) : 0;
    attributes.push({
      type: uint16At(bytes, offset),
      value: bytes.subarray(offset + 4, Math.min(valueEnd, end)),
      padding: padding > 0 ? bytes.subarray(Math.min(valueEnd, end), Math.min(valueEnd + padding, end)) : NO_BYTES,
    });
    if (valueEnd > end) return { attributes, problem: 'value' };
    if (valueEnd + padding > end) return { attributes, problem: 'padding' };
    offset = valueEnd + padding;
  }
  return { attributes, problem: null };
}

export interface LenientFlags {
  /** The length field is not what follows the header. */
  readonly lengthMismatch: boolean;
  /** The length field is no multiple of four, or attributes stand without padding. */
  readonly unaligned: boolean;
  /** The datagram ends before the length field, the header or an attribute says so. */
  readonly truncated: boolean;
  /** The datagram goes on after the end that the length field gives. */
  readonly trailing: boolean;
}

export interface LenientMessage extends StunMessage {
  readonly type: number;
  /** What the length field says. */
  readonly declaredLength: number;
  readonly flags: LenientFlags;
  /** Bytes behind the declared end. */
  readonly rest: Uint8Array;
}

/**
 * For looking at other people's traffic, never for live checks: the cookie at offset 4 and a first byte of 0x00–0x3f
 * is all that is asked; whatever else is wrong is flagged. Reads to the declared or the actual end, whichever is first.
 * A transaction id that is cut short has what is there of it.
 */
export function parseLenient(bytes: Uint8Array): LenientMessage | null {
  if (bytes.length < 8) return null;
  const type = uint16At(bytes, 0);
  if (type > 0x3fff || uint32At(bytes, 4) !== MAGIC_COOKIE) return null;
  const declaredLength = uint16At(bytes, 2);
  const declaredEnd = HEADER_BYTES + declaredLength;
  const end = Math.min(declaredEnd, bytes.length);
  const padded = readAttributes(bytes, end, 4);
  // Some senders leave padding out: believed only where the attributes then end exactly where the message does.
  const packed = padded.problem === null ? padded : readAttributes(bytes, end, 1);
  const { attributes, problem } = packed.problem === null ? packed : padded;
  return {
    ...decodeType(type),
    type,
    declaredLength,
    transactionId: bytes.subarray(8, Math.min(HEADER_BYTES, bytes.length)),
    attributes,
    raw: bytes,
    rest: bytes.subarray(end),
    flags: {
      lengthMismatch: declaredEnd !== bytes.length,
      unaligned: declaredLength % 4 !== 0 || padded.problem === 'padding' || packed !== padded,
      truncated: declaredEnd > bytes.length || problem === 'header' || problem === 'value',
      trailing: declaredEnd < bytes.length,
    },
  };
}
