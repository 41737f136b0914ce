import type { Family } from '../base/address.js';
import type { Random } from '../base/random.js';
import type { Box } from './box.js';
import { Filter, type FilterRule } from './filter.js';
import { Firewall } from './firewall.js';
import { Hop } from './hop.js';
import { LinuxNat } from './linux-nat.js';
import { Nat, type NatOptions } from './nat.js';
import { Nat64 } from './nat64.js';

/** Where a carrier is built: what it has been given, from its customer's gateway to its outside addresses. */
export interface CarrierSite {
  /** The customer's gateway. */
  readonly gateway: Readonly<Partial<Record<Family, string>>>;
  /** Public IPv4 addresses. */
  readonly pool: readonly [string, ...string[]];
  /** An address between two NATs of the carrier's, RFC 6598. */
  readonly shared: { readonly near: string; readonly far: string };
  /** The public server networks: what a carrier that drops peer-to-peer UDP lets through. */
  readonly servers: readonly string[];
  readonly random: Random;
}

/** A named composition of boxes. */
export interface Carrier {
  readonly name: string;
  /** Where it was seen to behave so, or that nobody has. */
  readonly observed: string;
  readonly families: readonly Family[];
  /** The customer's nearest box first. */
  build(site: CarrierSite): readonly Box[];
}

/** What the notes' carriers do by the reading of their rows; `verdicts.md` makes it the scenarios' definition. */
export function dropsPeerUdp(servers: readonly string[], family?: Family): FilterRule {
  return { match: { remoteExcept: servers, ...(family ? { family } : {}) }, action: { type: 'drop' } };
}

const EIM_APDF = { mapping: 'eim', filtering: 'apdf', ports: 'preserving' } as const;

/** A router that translates IPv4 as `nat` says and lets IPv6 in where its customer spoke first. */
export function natCarrier(
  name: string,
  observed: string,
  nat: Omit<NatOptions, 'pool'> | 'linux-guarded' | 'linux-unguarded' | 'none',
  rules: (site: CarrierSite) => readonly FilterRule[] = () => [],
  outsideRules: (site: CarrierSite) => readonly FilterRule[] = () => [],
): Carrier {
  return {
    name,
    observed,
    families: ['ipv4', 'ipv6'],
    build: (site) => [
      new Hop({ addresses: site.gateway }),
      ...filters(rules(site)),
      new Firewall({ families: ['ipv6'] }),
      ...translator(nat, site),
      ...filters(outsideRules(site)),
    ],
  };
}

function filters(rules: readonly FilterRule[]): Box[] {
  return rules.length > 0 ? [new Filter(rules)] : [];
}

function translator(nat: Parameters<typeof natCarrier>[2], { pool, random }: CarrierSite): Box[] {
  switch (nat) {
    case 'none':
      return [];
    case 'linux-guarded':
    case 'linux-unguarded':
      return [new LinuxNat({ outside: pool[0], guarded: nat === 'linux-guarded' }, random)];
    default:
      return [new Nat({ ...nat, pool }, random)];
  }
}

/** A phone that tethers: its own Linux NAT behind the carrier's. */
function tethered(
  name: string,
  observed: string,
  guarded: boolean,
  rules: (site: CarrierSite) => FilterRule[],
): Carrier {
  return {
    name,
    observed,
    families: ['ipv4'],
    build: (site) => [
      new Hop({ addresses: site.gateway }),
      new LinuxNat({ outside: site.shared.near, guarded }, site.random),
      new Hop({ addresses: { ipv4: site.shared.far } }),
      ...filters(rules(site)),
      new Nat({ ...EIM_APDF, pool: site.pool }, site.random),
    ],
  };
}

const NOTES = 'ICE prototype rows of the lab notes, 6 June 2024';

export const CARRIERS = {
  /** Nothing is in the way but a well-behaved NAT. */
  open: natCarrier('open', 'RFC 4787 with all that it requires; no carrier in particular', EIM_APDF),
  /** A cable and a public address. */
  public: natCarrier('public', 'an office with routed addresses; no carrier in particular', 'none'),
  home: natCarrier(
    'home',
    'Linux home router: nft masquerade, unasked UDP dropped on input; kernel 6.18',
    'linux-guarded',
  ),
  o2: natCarrier(
    'o2',
    `${NOTES}: laptop modem (sim.de on o2); STUN left, none arrived; that o2 was the one to drop it is their reading, unproven`,
    EIM_APDF,
    ({ servers }) => [dropsPeerUdp(servers)],
  ),
  telekom: tethered(
    'telekom',
    `${NOTES}: desktop behind a tethering Pixel 2 XL on Telekom; STUN left, none arrived; that Telekom dropped it is their reading, unproven`,
    true,
    ({ servers }) => [dropsPeerUdp(servers)],
  ),
  hhg: natCarrier('hhg', `${NOTES}: campus WiFi "HHG", private IPv4; that it blocks nothing is assumed`, EIM_APDF),
  /** The phone as measured Linux NATs are: an early packet spoils it. */
  android: tethered(
    'android',
    'a phone that tethers, read as the unguarded Linux NAT measured with nft on kernel 6.18; not tried on a phone',
    false,
    () => [],
  ),
  /** Every destination another port: what hole punching cannot get through from both sides. */
  symmetric: natCarrier('symmetric', 'nft "masquerade random", kernel 6.18', {
    mapping: 'apdm',
    filtering: 'apdf',
    ports: 'random',
  }),
  'ipv6-only': {
    name: 'ipv6-only',
    observed: 'RFC 6146 NAT64 with the well-known prefix; no carrier in particular',
    families: ['ipv6'],
    build: ({ gateway, pool, random }) => [
      new Hop({ addresses: gateway }),
      new Firewall({ families: ['ipv6'] }),
      new Nat64({ ...EIM_APDF, pool }, random),
    ],
  },
} as const satisfies Record<string, Carrier>;
