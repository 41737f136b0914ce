import { addressBytes, type Family, formatAddressBytes } from '../base/address.js';
import { concatBytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { across, type Box, type Emit, type Side } from './box.js';
import { Nat, type NatOptions } from './nat.js';
import { ICMP_ERRORS, type IcmpErrorName, IP_HEADER_BYTES, isIcmpError, type Packet } from './packet.js';

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
  readonly #prefix: string;
  readonly #nat: Nat;

  constructor(nat: NatOptions, random: Random, prefix = WELL_KNOWN_PREFIX) {
    this.#prefix = prefix;
    this.#nat = new Nat(nat, random);
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    const isOurs = packet.family === 'ipv4' || extract(packet.destination, this.#prefix) !== null;
    if (!isOurs) {
      emit(packet, across(from));
      return;
    }
    // The NAT sees IPv4 on both sides, with hosts inside that have IPv6 addresses: it does not look into them.
    const inner = from === 'inside' ? convert(packet, 'ipv4', (address) => extract(address, this.#prefix)) : packet;
    if (packet.family === 'ipv4' && from === 'inside') return;
    this.#nat.handle(inner, from, now, (translated, to) => {
      if (to === 'outside') emit(translated, to);
      else
        emit(
          convert(translated, 'ipv6', (address) => (isIPv4(address) ? embed(address, this.#prefix) : null)),
          to,
        );
    });
  }
}

function isIPv4(address: string): boolean {
  return !address.includes(':');
}

/** RFC 7915: the same packet in the other family; `map` gives the other form of an address, `null`: it stays. */
function convert(packet: Packet, family: Family, map: (address: string) => string | null): Packet {
  const converted = {
    ...packet,
    family,
    source: map(packet.source) ?? packet.source,
    destination: map(packet.destination) ?? packet.destination,
    sizeBytes: packet.sizeBytes - IP_HEADER_BYTES[packet.family] + IP_HEADER_BYTES[family],
  };
  if (!isIcmpError(packet)) {
    if (!packet.icmp) return converted;
    const type = ECHO_TYPES[family][packet.icmp.type] ?? packet.icmp.type;
    return { ...converted, icmp: { ...packet.icmp, type } };
  }
  const { type, code, mtuBytes, quoted } = packet.icmp;
  const [newType, newCode] = errorIn(packet.family, family, type, code);
  const growth = IP_HEADER_BYTES[family] - IP_HEADER_BYTES[packet.family];
  return {
    ...converted,
    sizeBytes: converted.sizeBytes + growth,
    icmp: {
      type: newType,
      code: newCode,
      mtuBytes: mtuBytes === null ? null : mtuBytes + growth,
      quoted: convert(quoted, family, map),
    },
  };
}

const ECHO_TYPES: Readonly<Record<Family, Readonly<Record<number, number>>>> = {
  ipv4: { 128: 8, 129: 0 },
  ipv6: { 8: 128, 0: 129 },
};

/** RFC 7915 §4.2 and §5.2 for the errors that this world knows; another unreachable is "no route" or "host". */
function errorIn(from: Family, to: Family, type: number, code: number): readonly [number, number] {
  for (const name of Object.keys(ICMP_ERRORS) as IcmpErrorName[]) {
    const [knownType, knownCode] = ICMP_ERRORS[name][from];
    if (knownType === type && knownCode === code) return ICMP_ERRORS[name][to];
  }
  return to === 'ipv6' ? ICMP_ERRORS['no-route'].ipv6 : ICMP_ERRORS['host-unreachable'].ipv4;
}
