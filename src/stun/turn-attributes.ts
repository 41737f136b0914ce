import type { Family } from '../base/address.js';
import { setUint16, uint16At, uint32At } from '../base/bytes.js';
import { findAttribute, readUint32, uint32Attribute } from './attributes.js';
import type { NewAttribute, StunMessage } from './message.js';
import { ATTRIBUTES } from './registry.js';

/** The attributes of TURN (RFC 8656 §18). XOR-PEER-ADDRESS and XOR-RELAYED-ADDRESS are read by `attributes.ts`. */

/** UDP in the registry of IP protocols: what a relay is asked to carry. */
export const TRANSPORT_UDP = 17;

const FAMILIES = { ipv4: 1, ipv6: 2 } as const;

/** Seconds, as in the attribute itself. */
export function lifetime(seconds: number): NewAttribute {
  return uint32Attribute(ATTRIBUTES.LIFETIME, seconds);
}

export function readLifetime(message: StunMessage): number | undefined {
  return readUint32(message, ATTRIBUTES.LIFETIME);
}

/** RFC 8656 §18.1: 16 bits, then 16 that are reserved. */
export function channelNumber(channel: number): NewAttribute {
  const value = new Uint8Array(4);
  setUint16(value, 0, channel);
  return { type: ATTRIBUTES['CHANNEL-NUMBER'], value };
}

export function readChannelNumber(message: StunMessage): number | undefined {
  const value = findAttribute(message, ATTRIBUTES['CHANNEL-NUMBER'])?.value;
  return value?.length === 4 ? uint16At(value, 0) : undefined;
}

/** The payload of a Send or Data indication; may be empty. */
export function data(bytes: Uint8Array): NewAttribute {
  return { type: ATTRIBUTES.DATA, value: bytes };
}

export function readData(message: StunMessage): Uint8Array | undefined {
  return findAttribute(message, ATTRIBUTES.DATA)?.value;
}

/** An IP protocol number in the first byte (RFC 8656 §18.8). */
export function requestedTransport(protocol: number): NewAttribute {
  return { type: ATTRIBUTES['REQUESTED-TRANSPORT'], value: Uint8Array.of(protocol, 0, 0, 0) };
}

export function readRequestedTransport(message: StunMessage): number | undefined {
  const value = findAttribute(message, ATTRIBUTES['REQUESTED-TRANSPORT'])?.value;
  return value?.length === 4 ? value[0] : undefined;
}

/** REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6); IPv4 where it is left out. */
export function requestedAddressFamily(family: Family): NewAttribute {
  return { type: ATTRIBUTES['REQUESTED-ADDRESS-FAMILY'], value: Uint8Array.of(FAMILIES[family], 0, 0, 0) };
}

/** `null` for a family that is neither IPv4 nor IPv6, `undefined` where the attribute is missing. */
export function readRequestedAddressFamily(message: StunMessage): Family | null | undefined {
  const value = findAttribute(message, ATTRIBUTES['REQUESTED-ADDRESS-FAMILY'])?.value;
  if (!value) return undefined;
  return value.length === 4 ? familyOf(value[0]) : null;
}

function familyOf(byte: number | undefined): Family | null {
  if (byte === FAMILIES.ipv4) return 'ipv4';
  return byte === FAMILIES.ipv6 ? 'ipv6' : null;
}

/** Asks for the DF bit on what goes to the peer (RFC 8656 §18.9). */
export function dontFragment(): NewAttribute {
  return { type: ATTRIBUTES['DONT-FRAGMENT'], value: new Uint8Array() };
}

export function hasDontFragment(message: StunMessage): boolean {
  return findAttribute(message, ATTRIBUTES['DONT-FRAGMENT']) !== undefined;
}

/** What a relay heard by ICMP of something that it sent to a peer (RFC 8656 §18.13). */
export interface RelayedIcmp {
  /** 0–127. */
  readonly type: number;
  /** 0–511. */
  readonly code: number;
  /** 32 bits: the MTU of "packet too big". */
  readonly data: number;
}

export function icmp({ type, code, data: extra }: RelayedIcmp): NewAttribute {
  const value = new Uint8Array(8);
  setUint16(value, 2, (type << 9) | code);
  setUint16(value, 4, extra >>> 16);
  setUint16(value, 6, extra & 0xffff);
  return { type: ATTRIBUTES.ICMP, value };
}

export function readIcmp(message: StunMessage): RelayedIcmp | undefined {
  const value = findAttribute(message, ATTRIBUTES.ICMP)?.value;
  if (value?.length !== 8) return undefined;
  const both = uint16At(value, 2);
  return { type: both >> 9, code: both & 0x1ff, data: uint32At(value, 4) };
}
