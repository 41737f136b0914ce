import type { Family } from '../base/address.js';
import { type BoxDescription, dropsPeerUdp, type NatDescription, type RuleDescription } from './box-description.js';

/** A named composition of boxes. */
export interface Carrier {
  readonly name: string;
  /** Where it was seen to behave so, or that nobody has. */
  readonly observed: string;
  readonly families: readonly Family[];
  /** Whether customers of one site do not reach each other directly. */
  readonly isolates?: boolean;
  /** The customer's nearest box first. */
  readonly boxes: readonly BoxDescription[];
}

const HOP: BoxDescription = { type: 'hop' };
/** RFC 4787 with all that it requires. */
const WELL_BEHAVED: BoxDescription = {
  type: 'nat',
  nat: { mapping: 'eim', filtering: 'apdf', ports: 'preserving' },
};
const GUARDED: BoxDescription = { type: 'nat', nat: 'linux-guarded' };
const UNGUARDED: BoxDescription = { type: 'nat', nat: 'linux-unguarded' };
/** IPv6 gets in where its customer spoke first. */
const STATEFUL_V6: BoxDescription = { type: 'firewall', families: ['ipv6'] };
const NAT64: BoxDescription = { type: 'nat64', nat: { mapping: 'eim', filtering: 'apdf', ports: 'preserving' } };
const DNS64: BoxDescription = { type: 'resolver', dns64: true };
const CLAT: BoxDescription = { type: 'clat' };
const NO_PEERS: BoxDescription = { type: 'filter', rules: [dropsPeerUdp()] };

/** A router that translates IPv4 as `nat` says, with filters on both sides of that. */
export function natCarrier(
  name: string,
  observed: string,
  nat: NatDescription | 'none',
  inside: readonly RuleDescription[] = [],
  outside: readonly RuleDescription[] = [],
): Carrier {
  return {
    name,
    observed,
    families: ['ipv4', 'ipv6'],
    boxes: [
      HOP,
      ...filters(inside),
      STATEFUL_V6,
      ...(nat === 'none' ? [] : [{ type: 'nat', nat } as const]),
      ...filters(outside),
    ],
  };
}

function filters(rules: readonly RuleDescription[]): BoxDescription[] {
  return rules.length > 0 ? [{ type: 'filter', rules }] : [];
}

const NOTES = 'ICE prototype rows of the lab notes, 6 June 2024';

export const CARRIERS = {
  open: {
    name: 'open',
    observed: 'RFC 4787 with all that it requires, and nothing else in the way; no carrier in particular',
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, STATEFUL_V6, WELL_BEHAVED],
  },
  public: {
    name: 'public',
    observed: 'an office with routed addresses; no carrier in particular',
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, STATEFUL_V6],
  },
  home: {
    name: 'home',
    observed: 'Linux home router: nft masquerade, unasked UDP dropped on input; kernel 6.18',
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, STATEFUL_V6, GUARDED],
  },
  o2: {
    name: 'o2',
    observed: `${NOTES}: laptop modem (sim.de on o2); STUN left, none arrived; that o2 was the one to drop it is their reading, unproven`,
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, NO_PEERS, STATEFUL_V6, WELL_BEHAVED],
  },
  telekom: {
    name: 'telekom',
    observed: `${NOTES}: desktop behind a tethering Pixel 2 XL on Telekom, a NAT behind a NAT; STUN left, none arrived; that Telekom dropped it is their reading, unproven`,
    families: ['ipv4'],
    boxes: [HOP, GUARDED, HOP, NO_PEERS, WELL_BEHAVED],
  },
  hhg: {
    name: 'hhg',
    observed: `${NOTES}: campus WiFi "HHG", private IPv4; that it blocks nothing is assumed`,
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, STATEFUL_V6, WELL_BEHAVED],
  },
  'hhg-phone': {
    name: 'hhg-phone',
    observed: `${NOTES}: desktop behind the same phone, now on the WiFi "HHG": the phone's NAT behind the WiFi's; that neither blocks is assumed`,
    families: ['ipv4'],
    boxes: [HOP, GUARDED, HOP, WELL_BEHAVED],
  },
  tethered: {
    name: 'tethered',
    observed:
      'a phone that tethers, on a carrier that blocks nothing: a guarded Linux NAT behind a CGNAT; no carrier in particular',
    families: ['ipv4'],
    boxes: [HOP, GUARDED, HOP, WELL_BEHAVED],
  },
  android: {
    name: 'android',
    observed:
      'a phone that tethers, read as the unguarded Linux NAT measured with nft on kernel 6.18, where an early packet spoils the mapping; not tried on a phone',
    families: ['ipv4'],
    boxes: [HOP, UNGUARDED, HOP, WELL_BEHAVED],
  },
  symmetric: {
    name: 'symmetric',
    observed:
      'nft "masquerade random", kernel 6.18: every destination another port, which hole punching from both sides cannot get through',
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, STATEFUL_V6, { type: 'nat', nat: { mapping: 'apdm', filtering: 'apdf', ports: 'random' } }],
  },
  'ipv6-only': {
    name: 'ipv6-only',
    observed:
      'RFC 6146 NAT64 with the well-known prefix and RFC 6147 DNS64, without a CLAT, as RFC 8683 §3.1 describes such carriers; none in particular',
    families: ['ipv6'],
    boxes: [HOP, STATEFUL_V6, DNS64, NAT64],
  },
  'ipv6-only-464xlat': {
    name: 'ipv6-only-464xlat',
    observed:
      'RFC 6877 464XLAT, NAT64 with the well-known prefix and a CLAT in the modem, 192.0.0.4 inside as RFC 7335 has it; read, not tried on a phone, and no carrier in particular',
    families: ['ipv4', 'ipv6'],
    boxes: [HOP, CLAT, HOP, STATEFUL_V6, DNS64, NAT64],
  },
} satisfies Record<string, Carrier>;
