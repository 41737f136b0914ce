import { type Family, scopeOf, type TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { embedIPv4, extractIPv4, WELL_KNOWN_PREFIX } from '../base/nat64.js';
import type { EgressCheck, EgressResult, IcmpError } from './io.js';

/**
 * IPv4 on an interface that has IPv6 alone, behind a NAT64 (RFC 6146): as a CLAT in the host would give it (RFC 6877),
 * for our own sockets. To all above, the interface has an IPv4 address of RFC 7335's; `Host` writes what they send to as
 * the prefix has it, and reads it back. docs/decisions/nat64.md.
 */

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
/** RFC 7335: 192.0.0.0/29, for the IPv4 end of a translator in a host. */
const OWN_ADDRESSES = 6;

function has(on: HostInterface, family: Family): boolean {
  return on.addresses.some((address) => address.family === family);
}

function isIPv6Only(on: HostInterface): boolean {
  return !has(on, 'ipv4') && on.addresses.some(({ address }) => scopeOf(address) === 'global');
}

/** Where no resolver told of a prefix, the one that most networks have is tried: an answer of the reference proves it. */
export function withPrefix(on: HostInterface): HostInterface {
  const { nat64, ...plain } = on;
  if (!isIPv6Only(on)) return plain;
  return { ...plain, nat64: nat64 ?? { prefix: WELL_KNOWN_PREFIX, source: 'well-known' } };
}

/** The interfaces with an IPv4 address of their own each, where there is a prefix; `lent`: how many others have one. */
export function translated(interfaces: readonly HostInterface[], lent = 0): HostInterface[] {
  let next = lent;
  return interfaces.map((on) => {
    if (!on.nat64 || has(on, 'ipv4')) return on;
    next += 1;
    const address = `192.0.0.${((next - 1) % OWN_ADDRESSES) + 1}`;
    return { ...on, addresses: [...on.addresses, { family: 'ipv4', address, prefixLength: 32 }] };
  });
}

/** An interface of the run with what it has now; the address that NAT64 lent it stays while it has IPv6 alone. */
export function withAddresses(known: HostInterface, now: HostInterface['addresses']): HostInterface {
  const lent = known.nat64 && now.length > 0 && !has({ ...known, addresses: now }, 'ipv4') ? known.addresses : [];
  return { ...known, addresses: [...now, ...lent.filter(({ family }) => family === 'ipv4')] };
}

/**
 * The family of the path between two interfaces on which packets of `family` travel, as either end has them; `null`
 * where there is none: verdicts.md, "A family makes a path only where both interfaces have it; a path through NAT64 is
 * `ipv6`". It is made only for a pair that has no family in common.
 */
export function pathFamily(left: HostInterface, right: HostInterface, family: Family): Family | null {
  if (has(left, family) && has(right, family)) return family;
  return family === 'ipv4' && translatorOf(left, right) ? 'ipv6' : null;
}

/** Of two interfaces without a family in common, the one that reaches the other through NAT64. */
export function translatorOf(left: HostInterface, right: HostInterface): HostInterface | null {
  if (FAMILIES.some((family) => has(left, family) && has(right, family))) return null;
  const pairs = [
    [left, right],
    [right, left],
  ] as const;
  return pairs.find(([near, far]) => near.nat64 !== undefined && has(far, 'ipv4'))?.[0] ?? null;
}

/** Both forms of the addresses that one interface sends to and hears from. */
export class Translator {
  readonly #prefix: string;
  /** Its own addresses, as it has them and as all above know it. */
  readonly #real: string;
  readonly #own: string;

  /** `null`: the interface needs none. */
  static of(on: HostInterface): Translator | null {
    const own = on.addresses.find(({ family }) => family === 'ipv4');
    const real = on.addresses.find(({ address }) => address.includes(':') && scopeOf(address) === 'global');
    return on.nat64 && own && real ? new Translator(on.nat64.prefix, real.address, own.address) : null;
  }

  private constructor(prefix: string, real: string, own: string) {
    this.#prefix = prefix;
    this.#real = real;
    this.#own = own;
  }

  owns(address: string): boolean {
    return address === this.#own;
  }

  /** To bind at. */
  base(port: number): TransportAddress {
    return { family: 'ipv6', address: this.#real, port };
  }

  local(port: number): TransportAddress {
    return { family: 'ipv4', address: this.#own, port };
  }

  out({ address, port }: TransportAddress): TransportAddress {
    return { family: 'ipv6', address: embedIPv4(this.#prefix, address), port };
  }

  /** `null`: it came from a host with IPv6, which is none of ours. */
  in({ address, port }: TransportAddress): TransportAddress | null {
    const plain = extractIPv4(this.#prefix, address);
    return plain === null ? null : { family: 'ipv4', address: plain, port };
  }

  check(check: EgressCheck): EgressCheck {
    return { ...check, from: this.#real, to: embedIPv4(this.#prefix, check.to) };
  }

  result(result: EgressResult): EgressResult {
    return { ...result, from: this.#own, to: extractIPv4(this.#prefix, result.to) ?? result.to };
  }

  /** RFC 7915 §5.2, §4.2 as far as a path asks: who forbids, whose port is closed, what cannot be reached. */
  icmp({ type, code, from }: IcmpError): IcmpError {
    const [ipv4Type, ipv4Code] =
      type === 1 ? [3, { 1: 10, 4: 3 }[code] ?? 1] : type === 2 ? [3, 4] : type === 3 ? [11, code] : [type, code];
    return { family: 'ipv4', type: ipv4Type, code: ipv4Code, from: extractIPv4(this.#prefix, from) ?? from };
  }
}
