import type { Family } from '../base/address.js';
import type { InterfaceKind } from '../base/interface.js';
import { type BoxDescription, type CarrierSite, isBehindClat, translates } from './box-description.js';
import type { Carrier } from './carriers.js';
import { DEFAULT_ROUTE, type WorldInterface } from './host.js';
import type { LinkOptions } from './link.js';
import type { Route } from './routing-table.js';

export type HostName = 'client' | 'server';

/** An interface with a carrier behind it. */
export interface UplinkOptions {
  readonly host: HostName;
  readonly interface: string;
  readonly kind: InterfaceKind;
  readonly label: string;
  readonly carrier: Carrier;
  /** Of its default route; the lowest metric takes what is not pinned. */
  readonly metric: number;
  /** Between host and carrier, each way; by default 20 ms. */
  readonly up?: LinkOptions;
  readonly down?: LinkOptions;
  /** Whether there is a default route on the interface. */
  readonly gateway?: boolean;
  readonly rpFilter?: 0 | 1 | 2;
  readonly starts?: 'down' | 'absent';
  /** Uplinks of one site are on one LAN, behind the same boxes: one WiFi, one CGN. The site's carrier is the first's. */
  readonly site?: string;
  /** Further routers behind the carrier's own boxes. */
  readonly hops?: readonly HopKind[];
}

export const HOP_KINDS = ['answers', 'silent'] as const;
export type HopKind = (typeof HOP_KINDS)[number];

/** An uplink with its addresses. */
export interface Customer {
  readonly uplink: UplinkOptions;
  /** `client.wwan0`: what its cable is called. */
  readonly name: string;
  readonly on: WorldInterface;
  readonly routes: readonly Route[];
}

/** Where a carrier's boxes stand, with the customers that share them. */
export interface Site extends Pick<CarrierSite, 'gateway' | 'pool' | 'between' | 'router' | 'resolver' | 'clat'> {
  readonly carrier: Carrier;
  readonly hops: readonly HopKind[];
  readonly customers: readonly [Customer, ...Customer[]];
  /** The networks that lead there. */
  readonly networks: readonly string[];
}

const PUBLIC: Readonly<Record<HostName, string>> = { client: '198.51.100', server: '203.0.113' };
/** Of a site's public network, a /28: as many sites as customers that one site can have. */
const ADDRESSES_EACH = 16;
const PREFIX_LENGTH: Readonly<Record<Family, number>> = { ipv4: 24, ipv6: 64 };
const PUBLIC_PREFIX_LENGTH = 28;
/** RFC 7335: 192.0.0.4 is what a CLAT stands for. */
const BEHIND_CLAT = { network: '192.0.0', gateway: 1, first: 4, prefixLength: 29 } as const;

/** Numbers and addresses for every site, in the order of its first uplink. */
export function planSites(uplinks: readonly UplinkOptions[], families: readonly Family[]): Site[] {
  const sites = new Map<string, [UplinkOptions, ...UplinkOptions[]]>();
  for (const uplink of uplinks) {
    const name = uplink.site === undefined ? `of ${nameOf(uplink)}` : `site ${uplink.site}`;
    const there = sites.get(name);
    if (there) there.push(uplink);
    else sites.set(name, [uplink]);
  }
  return [...sites.values()].map((members, index) => planSite(members, index + 1, families));
}

function planSite(
  members: readonly [UplinkOptions, ...UplinkOptions[]],
  number: number,
  families: readonly Family[],
): Site {
  const [{ carrier, host }] = members;
  const hops = members.flatMap((member) => member.hops ?? []);
  const base = number * ADDRESSES_EACH;
  const own = addressesOf(carrier, (offset) => `${PUBLIC[host]}.${base + offset}`, number);
  const used = carrier.families.filter((family) => families.includes(family));
  const near = (member: number) => used.map((family) => ({ family, ...own(family, member) }));
  const everybody = members.flatMap((_member, index) => near(index).map(({ address }) => address));
  const gateway = { ipv4: own('ipv4', -1).address, ipv6: own('ipv6', -1).address };
  // In none of the customers' networks: there they would look for it on their own wire.
  const resolver = { ipv4: `198.18.${number}.53`, ipv6: `2001:db8:53::${number}` };
  const has = (type: BoxDescription['type']): boolean => carrier.boxes.some((box) => box.type === type);
  // Behind a CLAT there is only IPv6, and nobody there has the resolver's IPv4 address.
  const asked = used.filter((family) => has('resolver') && (family === 'ipv6' || !has('clat')));
  const [first, ...others] = members;
  const customer = (uplink: UplinkOptions, index: number): Customer => {
    const addresses = near(index);
    const neighbours = everybody.filter((one) => !addresses.some(({ address }) => address === one));
    return {
      uplink,
      name: nameOf(uplink),
      on: {
        name: uplink.interface,
        kind: uplink.kind,
        label: uplink.label,
        addresses,
        rpFilter: uplink.rpFilter ?? 0,
        ...(uplink.starts === undefined ? {} : { starts: uplink.starts }),
        ...(neighbours.length > 0 ? { neighbours } : {}),
        ...(asked.length > 0 ? { nameservers: asked.map((family) => resolver[family]) } : {}),
      },
      routes: uplink.gateway === false ? [] : used.map((family) => defaultRoute(uplink, family, gateway[family])),
    };
  };
  return {
    carrier,
    hops,
    customers: [customer(first, 0), ...others.map((uplink, index) => customer(uplink, index + 1))],
    gateway,
    pool: [`${PUBLIC[host]}.${base + 2}`],
    between: (nat) => ({ near: `100.64.${number}.${nat * 4 - 2}`, far: `100.64.${number}.${nat * 4 - 3}` }),
    router: (hop) => ({ ipv4: `198.18.${number}.${hop + 1}`, ipv6: `2001:db8:${number}::1:${hop + 1}` }),
    resolver,
    clat: `2001:db8:${number}::c1a7`,
    networks: [`${PUBLIC[host]}.${base}/${PUBLIC_PREFIX_LENGTH}`, `2001:db8:${number}::/64`],
  };
}

/** Of the n-th customer; of the gateway, -1. */
function addressesOf(
  carrier: Carrier,
  publicAddress: (offset: number) => string,
  number: number,
): (family: Family, member: number) => { readonly address: string; readonly prefixLength: number } {
  return (family, member) => {
    const prefixLength = PREFIX_LENGTH[family];
    if (family === 'ipv6') return { address: `2001:db8:${number}::${(2 + member).toString(16)}`, prefixLength };
    if (isBehindClat(carrier.boxes)) {
      const { network, gateway, first, prefixLength: length } = BEHIND_CLAT;
      return { address: `${network}.${member < 0 ? gateway : first + member}`, prefixLength: length };
    }
    if (translates(carrier.boxes)) return { address: `10.${number * 10}.0.${2 + member}`, prefixLength };
    return { address: publicAddress(2 + member), prefixLength: PUBLIC_PREFIX_LENGTH };
  };
}

function defaultRoute({ interface: name, metric }: UplinkOptions, family: Family, gateway: string): Route {
  return { to: DEFAULT_ROUTE[family], interface: name, gateway, metric };
}

function nameOf({ host, interface: name }: Pick<UplinkOptions, 'host' | 'interface'>): string {
  return `${host}.${name}`;
}
