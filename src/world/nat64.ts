import { addressBytes, type Family, formatAddressBytes } from '../base/address.js';
import { concatBytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { across, type Box, type Emit, type Side } from './box.js';
import { Nat, type NatOptions } from './nat.js';
import { icmpError, IP_HEADER_BYTES, isIcmpError, type Packet } from './packet.js';

/** The well-known prefix, /96 (RFC 6052 §2.1). */
export const WELL_KNOWN_PREFIX = '64:ff9b::';

/** `192.0.2.33` → `64:ff9b::c000:221` (RFC 6052 §2.2, prefixes of 96 bits). */
export function embed(address: string, prefix = WELL_KNOWN_PREFIX): string {
  return formatAddressBytes(concatBytes(addressBytes(prefix).subarray(0, 12), addressBytes(address)));
}

/** The IPv4 address in an address of the prefix; `null` when it has another. */
export function extract(address: string, prefix = WELL_KNOWN_PREFIX): string | null {
  const [bytes, wanted] = [addressBytes(address), addressBytes(prefix)];
  if (bytes.length !== 16 || wanted.some((byte, index) => index < 12 && byte !== bytes[index])) return null;
  return formatAddressBytes(bytes.subarray(12));
}

/** Stateful NAT64 (RFC 6146): an IPv6-only inside, IPv4 outside; IPv6 to other addresses passes untouched. */
export class Nat64 implements Box {
  readonly #outside: string;
  readonly #prefix: string;
  readonly #mtuBytes: number;
  readonly #nat: Nat;

  /** `mtuBytes`: of the IPv6 network inside. */
  constructor(nat: NatOptions, random: Random, prefix = WELL_KNOWN_PREFIX, mtuBytes = IPV6_MTU_BYTES) {
    this.#outside = nat.pool[0] ?? '';
    this.#prefix = prefix;
    this.#mtuBytes = mtuBytes;
    this.#nat = new Nat(nat, random);
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    const isOurs = packet.family === 'ipv4' || extract(packet.destination, this.#prefix) !== null;
    if (!isOurs) {
      emit(packet, across(from));
      return;
    }
    // The NAT sees IPv4 on both sides, with hosts inside that have IPv6 addresses: it does not look into them.
    if (packet.family === 'ipv4' && from === 'inside') return;
    const toIPv4 = (address: string): string => extract(address, this.#prefix) ?? address;
    const toIPv6 = (address: string): string => (address.includes(':') ? address : embed(address, this.#prefix));
    const inner = from === 'inside' ? convert(packet, 'ipv4', toIPv4) : packet;
    if (!inner) return;
    this.#nat.handle(inner, from, now, (translated, to) => {
      if (to === 'outside') {
        emit(translated, to);
        return;
      }
      const error = tooBigForIPv6(packet, this.#outside, this.#mtuBytes);
      const converted = convert(translated, 'ipv6', toIPv6);
      if (error) emit(error, from);
      else if (converted) emit(converted, to);
    });
  }

  restart(): void {
    this.#nat.restart();
  }
}

/** What links have where nothing else is known. */
export const IPV6_MTU_BYTES = 1500;

/** What `from` says of an IPv4 packet that no longer fits once it has an IPv6 header, 20 bytes more (RFC 7915 §4). */
export function tooBigForIPv6(packet: Packet, from: string, mtuBytes: number): Packet | null {
  const most = mtuBytes - (IP_HEADER_BYTES.ipv6 - IP_HEADER_BYTES.ipv4);
  // One that may be fragmented is, and is put together again at its end: here it travels whole.
  if (packet.family !== 'ipv4' || !packet.dontFragment || packet.sizeBytes <= most) return null;
  return icmpError(packet, from, 'too-big', most);
}

/** An IPv6 packet of up to 1280 bytes gets through anywhere, so that IPv4 may fragment it (RFC 7915 §5.1). */
const MAY_BE_FRAGMENTED_BYTES = 1260;

/**
 * RFC 7915, stateless: the same packet in the other family. `map` gives an address's other form. `null`: an ICMP error
 * that has none, and is dropped. The hop limit is a router's business: a box of its own.
 */
export function convert(packet: Packet, family: Family, map: (address: string) => string): Packet | null {
  const sizeBytes = packet.sizeBytes - IP_HEADER_BYTES[packet.family] + IP_HEADER_BYTES[family];
  const converted = {
    ...packet,
    family,
    source: map(packet.source),
    destination: map(packet.destination),
    dontFragment: family === 'ipv6' || sizeBytes > MAY_BE_FRAGMENTED_BYTES,
    sizeBytes,
  };
  if (!isIcmpError(packet)) {
    if (!packet.icmp) return converted;
    const type = ECHO_TYPES[family][packet.icmp.type] ?? packet.icmp.type;
    return { ...converted, icmp: { ...packet.icmp, type } };
  }
  const { type, code, mtuBytes } = packet.icmp;
  const translated = ERRORS_IN[family](type, code);
  const quoted = convert(packet.icmp.quoted, family, map);
  if (!translated || !quoted) return null;
  const growth = IP_HEADER_BYTES[family] - IP_HEADER_BYTES[packet.family];
  return {
    ...converted,
    sizeBytes: converted.sizeBytes + growth,
    icmp: {
      ...packet.icmp,
      type: translated[0],
      code: translated[1],
      mtuBytes: mtuBytes === null ? null : mtuBytes + growth,
      quoted,
    },
  };
}

const ECHO_TYPES: Readonly<Record<Family, Readonly<Record<number, number>>>> = {
  ipv4: { 128: 8, 129: 0 },
  ipv6: { 8: 128, 0: 129 },
};

type TypeAndCode = readonly [type: number, code: number];

/** RFC 7915 §4.2 and §5.2: destination unreachable by code; what is not there is dropped. */
const UNREACHABLE: Readonly<Record<Family, Readonly<Record<number, TypeAndCode>>>> = {
  ipv6: {
    ...Object.fromEntries([0, 1, 5, 6, 7, 8, 11, 12].map((code) => [code, [1, 0]])),
    ...Object.fromEntries([9, 10, 13, 15].map((code) => [code, [1, 1]])),
    2: [4, 1],
    3: [1, 4],
    4: [2, 0],
  },
  ipv4: { 0: [3, 1], 1: [3, 10], 2: [3, 1], 3: [3, 1], 4: [3, 3] },
};

const ERRORS_IN: Readonly<Record<Family, (type: number, code: number) => TypeAndCode | undefined>> = {
  ipv6: (type, code) => (type === 3 ? UNREACHABLE.ipv6[code] : type === 11 ? [3, code] : undefined),
  ipv4: (type, code) =>
    type === 1 ? UNREACHABLE.ipv4[code] : type === 2 ? [3, 4] : type === 3 ? [11, code] : undefined,
};
