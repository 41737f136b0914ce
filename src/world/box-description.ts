import type { Family } from '../base/address.js';
import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import type { Box } from './box.js';
import { Clat } from './clat.js';
import { Resolver, type Zone } from './dns.js';
import { Ecmp } from './ecmp.js';
import { Filter, type FilterAction, type FilterRule, type Predicate } from './filter.js';
import { Firewall, type FirewallOptions } from './firewall.js';
import { Hop } from './hop.js';
import { LinuxNat } from './linux-nat.js';
import { Nat, type NatOptions } from './nat.js';
import { Nat64, WELL_KNOWN_PREFIX } from './nat64.js';

/** What carriers are composed of, as data: what a scenario file can say, in the model's units. */
export type BoxDescription =
  | { readonly type: 'hop'; readonly silent?: boolean }
  | { readonly type: 'nat'; readonly nat: NatDescription }
  | {
      readonly type: 'firewall';
      readonly families: readonly Family[];
      readonly filtering?: NonNullable<FirewallOptions['filtering']>;
      readonly lifetimeMs?: Ms;
    }
  | { readonly type: 'filter'; readonly rules: readonly RuleDescription[] }
  /** The prefix, /96, is the well-known one unless the carrier has its own; its CLAT and its resolver go by it. */
  | { readonly type: 'nat64'; readonly nat: TranslatorDescription; readonly prefix?: string }
  /** The customer's half of 464XLAT; the size is the largest packet of the IPv6 network behind it. */
  | { readonly type: 'clat'; readonly mtuBytes?: number }
  /** Answers for the names of the world; with DNS64 it sends IPv6-only customers to the NAT64. */
  | { readonly type: 'resolver'; readonly dns64?: boolean }
  /** Parallel ways, one of them with a filter. */
  | { readonly type: 'ecmp'; readonly members: number; readonly rules: readonly RuleDescription[] };

/** RFC 4787's words; the outside addresses are the carrier's. */
export type TranslatorDescription = Omit<NatOptions, 'pool'>;
/** Or the NAT of Linux, with and without a rule that drops what comes unasked. */
export type NatDescription = TranslatorDescription | 'linux-guarded' | 'linux-unguarded';

export interface RuleDescription {
  readonly match: Predicate;
  readonly action: ActionDescription;
}

type Reject = Extract<FilterAction, { type: 'reject' }>;
type Translate = Extract<FilterAction, { type: 'translate' }>;
/** A reject comes from the customer's gateway where nobody else is named; an ALG knows the next NAT's address. */
export type ActionDescription =
  Exclude<FilterAction, Reject | Translate> | (Omit<Reject, 'from'> & Partial<Reject>) | Omit<Translate, 'outside'>;

/** The public server networks (RFC 5737, RFC 3849): what a carrier that drops peer-to-peer UDP lets through. */
export const SERVER_NETWORKS = ['192.0.2.0/24', '2001:db8:ff::/64'] as const;

/** What the notes' carriers do by the reading of their rows; `verdicts.md` makes it the scenarios' definition. */
export function dropsPeerUdp(family?: Family): FilterRule {
  return { match: { remoteExcept: SERVER_NETWORKS, ...(family ? { family } : {}) }, action: { type: 'drop' } };
}

type Addresses = Readonly<Partial<Record<Family, string>>>;

/** Where boxes are built: what their carrier has been given, from its customer's gateway to its outside addresses. */
export interface CarrierSite {
  readonly customer: Addresses;
  /** The customer's gateway. */
  readonly gateway: Addresses;
  /** Public IPv4 addresses. */
  readonly pool: readonly [string, ...string[]];
  /** The addresses of the network behind the n-th NAT from the customer, where another NAT follows (RFC 6598). */
  readonly between: (nat: number) => { readonly near: string; readonly far: string };
  /** Of routers that are nobody's gateway, by number. */
  readonly router: (number: number) => Addresses;
  readonly resolver: Addresses;
  /** An IPv6 address that stands for the customer's IPv4 one. */
  readonly clat: string;
  readonly zone: Zone;
  readonly random: Random;
}

/** Whether IPv4 leaves with other addresses than the customer's. */
export function translates(boxes: readonly BoxDescription[]): boolean {
  return boxes.some(isNat);
}

/** Whether the customer's own IPv4 address is the one that a CLAT stands for: no NAT of the customer's comes before it. */
export function isBehindClat(boxes: readonly BoxDescription[]): boolean {
  return boxes.find((box) => isNat(box) || box.type === 'clat')?.type === 'clat';
}

function isNat({ type }: BoxDescription): boolean {
  return type === 'nat' || type === 'nat64';
}

/** The boxes themselves, with addresses for each. */
export function buildBoxes(boxes: readonly BoxDescription[], site: CarrierSite): Box[] {
  const nats = boxes.filter(isNat).length;
  const prefix = boxes.find((box) => box.type === 'nat64')?.prefix ?? WELL_KNOWN_PREFIX;
  const passed = { nats: 0, hops: 0, hopsSinceNat: 0 };
  const isBetween = (): boolean => passed.nats > 0 && passed.nats < nats;
  const outside = (): readonly [string, ...string[]] =>
    passed.nats + 1 < nats ? [site.between(passed.nats + 1).near] : site.pool;
  return boxes.map((box) => {
    switch (box.type) {
      case 'hop': {
        const isFirst = passed.hopsSinceNat === 0;
        const addresses =
          isFirst && isBetween()
            ? { ipv4: site.between(passed.nats).far }
            : isFirst && passed.nats === 0
              ? site.gateway
              : site.router(passed.hops);
        passed.hops += 1;
        passed.hopsSinceNat += 1;
        return new Hop({ addresses, silent: box.silent ?? false });
      }
      case 'nat':
      case 'nat64': {
        const built = buildNat(box, outside(), prefix, site.random);
        passed.nats += 1;
        passed.hopsSinceNat = 0;
        return built;
      }
      case 'clat': {
        const { near, far } = isBetween()
          ? site.between(passed.nats)
          : { near: site.customer.ipv4 ?? '', far: site.gateway.ipv4 ?? '' };
        const { mtuBytes } = box;
        const size = mtuBytes === undefined ? {} : { mtuBytes };
        return new Clat({ inside: near, outside: site.clat, gateway: far, prefix, ...size });
      }
      case 'firewall':
        return new Firewall(box);
      case 'filter':
        return buildFilter(box.rules, outside()[0], site);
      case 'resolver':
        return new Resolver({
          addresses: site.resolver,
          zone: site.zone,
          dns64Prefix: box.dns64 === true ? prefix : null,
        });
      case 'ecmp': {
        const others = Array.from({ length: box.members - 1 }, () => []);
        return new Ecmp([[buildFilter(box.rules, outside()[0], site)], ...others]);
      }
    }
  });
}

function buildFilter(rules: readonly RuleDescription[], outside: string, site: CarrierSite): Filter {
  return new Filter(rules.flatMap((rule) => filterRules(rule, outside, site)));
}

function buildNat(
  box: Extract<BoxDescription, { type: 'nat' | 'nat64' }>,
  pool: readonly [string, ...string[]],
  prefix: string,
  random: Random,
): Box {
  if (box.type === 'nat64') return new Nat64({ ...box.nat, pool }, random, prefix);
  const { nat } = box;
  return typeof nat === 'string'
    ? new LinuxNat({ outside: pool[0], guarded: nat === 'linux-guarded' }, random)
    : new Nat({ ...nat, pool }, random);
}

/** A gateway has an address in each family, and its rejects come from the one of the packet's. */
function filterRules({ match, action }: RuleDescription, outside: string, { gateway }: CarrierSite): FilterRule[] {
  if (action.type === 'translate') return [{ match, action: { ...action, outside } }];
  if (action.type !== 'reject') return [{ match, action }];
  if (action.from !== undefined) return [{ match, action: { ...action, from: action.from } }];
  return (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const from = gateway[family];
    const applies = from !== undefined && (match.family ?? family) === family;
    return applies ? [{ match: { ...match, family }, action: { ...action, from } }] : [];
  });
}
