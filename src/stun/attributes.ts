import { addressBytes, type TransportAddress, transportAddressOf } from '../base/address.js';
import { concatBytes, setUint32, uint16At, uint32At, utf8Bytes, utf8Text, viewOf, xorBytes } from '../base/bytes.js';
import type { NewAttribute, StunAttribute, StunMessage } from './message.js';
import { ATTRIBUTES, MAGIC_COOKIE } from './registry.js';

const INTEGRITY: ReadonlySet<number> = new Set([
  ATTRIBUTES['MESSAGE-INTEGRITY'],
  ATTRIBUTES['MESSAGE-INTEGRITY-SHA256'],
]);

/**
 * The first attribute of a type (RFC 8489 §14). What stands behind the integrity is not protected by it and not seen
 * here, but for another integrity and the fingerprint (§14.5).
 */
export function findAttribute(message: Pick<StunMessage, 'attributes'>, type: number): StunAttribute | undefined {
  const unprotected = INTEGRITY.has(type) || type === ATTRIBUTES.FINGERPRINT;
  for (const attribute of message.attributes) {
    if (attribute.type === type) return attribute;
    if (INTEGRITY.has(attribute.type) && !unprotected) return undefined;
  }
  return undefined;
}

/** The attributes that a receiver has to understand, does not, and must refuse the message for (RFC 8489 §6.3.1). */
export function unknownAttributes(message: StunMessage, known: ReadonlySet<number>): number[] {
  const required = message.attributes.map(({ type }) => type).filter((type) => type < 0x8000);
  return [...new Set(required)].filter((type) => !known.has(type));
}

// Addresses (RFC 8489 §14.1, §14.2)

/** MAPPED-ADDRESS, RESPONSE-ORIGIN, OTHER-ADDRESS, ALTERNATE-SERVER. */
export function addressAttribute(type: number, { address, port }: TransportAddress): NewAttribute {
  const bytes = addressBytes(address);
  return { type, value: concatBytes(Uint8Array.of(0, bytes.length === 4 ? 1 : 2, port >> 8, port & 0xff), bytes) };
}

/** XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS, XOR-RELAYED-ADDRESS. */
export function xorAddressAttribute(type: number, address: TransportAddress, transactionId: Uint8Array): NewAttribute {
  return { type, value: xored(addressAttribute(type, address).value, transactionId) };
}

export function readAddress(message: StunMessage, type: number): TransportAddress | undefined {
  return addressIn(findAttribute(message, type)?.value);
}

export function readXorAddress(message: StunMessage, type: number): TransportAddress | undefined {
  const value = findAttribute(message, type)?.value;
  return value && addressIn(xored(value, message.transactionId));
}

export function xorMappedAddress(address: TransportAddress, transactionId: Uint8Array): NewAttribute {
  return xorAddressAttribute(ATTRIBUTES['XOR-MAPPED-ADDRESS'], address, transactionId);
}

/** XOR-MAPPED-ADDRESS, or what an old server sends in its place. */
export function readMappedAddress(message: StunMessage): TransportAddress | undefined {
  return (
    readXorAddress(message, ATTRIBUTES['XOR-MAPPED-ADDRESS']) ?? readAddress(message, ATTRIBUTES['MAPPED-ADDRESS'])
  );
}

function addressIn(value: Uint8Array | undefined): TransportAddress | undefined {
  if (value?.length !== (value?.[1] === 1 ? 8 : value?.[1] === 2 ? 20 : NaN)) return undefined;
  return transportAddressOf(value.subarray(4), uint16At(value, 2));
}

/** Port and address against the cookie, an IPv6 address against cookie and transaction id. Its own inverse. */
function xored(value: Uint8Array, transactionId: Uint8Array): Uint8Array {
  const cookie = uint32(MAGIC_COOKIE);
  return xorBytes(value, concatBytes(Uint8Array.of(0, 0), cookie.subarray(0, 2), cookie, transactionId));
}

// Numbers and text

export function uint32Attribute(type: number, number: number): NewAttribute {
  return { type, value: uint32(number) };
}

export function username(text: string): NewAttribute {
  return { type: ATTRIBUTES.USERNAME, value: utf8Bytes(text) };
}

export function software(text: string): NewAttribute {
  return { type: ATTRIBUTES.SOFTWARE, value: utf8Bytes(text) };
}

export function readText(message: StunMessage, type: number): string | undefined {
  const value = findAttribute(message, type)?.value;
  return value && utf8Text(value);
}

export function readUsername(message: StunMessage): string | undefined {
  return readText(message, ATTRIBUTES.USERNAME);
}

function uint32(number: number): Uint8Array {
  const value = new Uint8Array(4);
  setUint32(value, 0, number);
  return value;
}

export function readUint32(message: StunMessage, type: number): number | undefined {
  const value = findAttribute(message, type)?.value;
  return value?.length === 4 ? uint32At(value, 0) : undefined;
}

// ICE (RFC 8445 §16.1)

export function priority(value: number): NewAttribute {
  return uint32Attribute(ATTRIBUTES.PRIORITY, value);
}

export function readPriority(message: StunMessage): number | undefined {
  return readUint32(message, ATTRIBUTES.PRIORITY);
}

export function useCandidate(): NewAttribute {
  return { type: ATTRIBUTES['USE-CANDIDATE'], value: new Uint8Array() };
}

export function hasUseCandidate(message: StunMessage): boolean {
  return findAttribute(message, ATTRIBUTES['USE-CANDIDATE']) !== undefined;
}

/** ICE-CONTROLLING or ICE-CONTROLLED with the tie-breaker, 64 bits. */
export function iceRole(controlling: boolean, tieBreaker: bigint): NewAttribute {
  const value = new Uint8Array(8);
  viewOf(value).setBigUint64(0, tieBreaker);
  return { type: ATTRIBUTES[controlling ? 'ICE-CONTROLLING' : 'ICE-CONTROLLED'], value };
}

export function readIceRole(
  message: StunMessage,
): { readonly controlling: boolean; readonly tieBreaker: bigint } | undefined {
  const controlling = findAttribute(message, ATTRIBUTES['ICE-CONTROLLING']);
  const value = (controlling ?? findAttribute(message, ATTRIBUTES['ICE-CONTROLLED']))?.value;
  if (value?.length !== 8) return undefined;
  return { controlling: controlling !== undefined, tieBreaker: viewOf(value).getBigUint64(0) };
}

// Errors (RFC 8489 §14.8, §14.13)

export interface StunError {
  /** 300–699. */
  readonly code: number;
  readonly reason: string;
}

export function errorCode({ code, reason }: StunError): NewAttribute {
  const head = Uint8Array.of(0, 0, Math.floor(code / 100), code % 100);
  return { type: ATTRIBUTES['ERROR-CODE'], value: concatBytes(head, utf8Bytes(reason)) };
}

export function readErrorCode(message: StunMessage): StunError | undefined {
  const value = findAttribute(message, ATTRIBUTES['ERROR-CODE'])?.value;
  if (!value || value.length < 4) return undefined;
  const hundreds = (value[2] ?? 0) & 7;
  const rest = value[3] ?? 0;
  if (hundreds < 3 || hundreds > 6 || rest > 99) return undefined;
  return { code: hundreds * 100 + rest, reason: utf8Text(value.subarray(4)) };
}

export function unknownAttributesAttribute(types: readonly number[]): NewAttribute {
  const value = Uint8Array.from(types.flatMap((type) => [type >> 8, type & 0xff]));
  return { type: ATTRIBUTES['UNKNOWN-ATTRIBUTES'], value };
}

export function readUnknownAttributes(message: StunMessage): number[] | undefined {
  const value = findAttribute(message, ATTRIBUTES['UNKNOWN-ATTRIBUTES'])?.value;
  if (!value || value.length % 2 !== 0) return undefined;
  return Array.from({ length: value.length / 2 }, (_, index) => uint16At(value, index * 2));
}

// NAT behaviour discovery (RFC 5780 §7)

const CHANGE_ADDRESS = 4;
const CHANGE_PORT = 2;

/** Which of its addresses and ports the server should answer from: another address, another port, or both. */
export interface Change {
  readonly address: boolean;
  readonly port: boolean;
}

export function changeRequest({ address, port }: Change): NewAttribute {
  return uint32Attribute(ATTRIBUTES['CHANGE-REQUEST'], (address ? CHANGE_ADDRESS : 0) | (port ? CHANGE_PORT : 0));
}

export function readChangeRequest(message: StunMessage): Change | undefined {
  const flags = readUint32(message, ATTRIBUTES['CHANGE-REQUEST']);
  if (flags === undefined) return undefined;
  return { address: (flags & CHANGE_ADDRESS) !== 0, port: (flags & CHANGE_PORT) !== 0 };
}

/** `length` bytes of zeros; four bytes of header come on top. */
export function padding(length: number): NewAttribute {
  return { type: ATTRIBUTES.PADDING, value: new Uint8Array(length) };
}

export function responsePort(port: number): NewAttribute {
  return { type: ATTRIBUTES['RESPONSE-PORT'], value: Uint8Array.of(port >> 8, port & 0xff, 0, 0) };
}

export function readResponsePort(message: StunMessage): number | undefined {
  const value = findAttribute(message, ATTRIBUTES['RESPONSE-PORT'])?.value;
  return value?.length === 2 || value?.length === 4 ? uint16At(value, 0) : undefined;
}
