import type { Family } from '../base/address.js';
import type { InterfaceKind } from '../base/interface.js';
import { SeededRandom } from '../base/random.js';
import { BoxChain } from './box-chain.js';
import type { Carrier } from './carriers.js';
import { DEFAULT_ROUTE, Host, type WorldInterface } from './host.js';
import type { LinkOptions } from './link.js';
import { type Cable, Network } from './network.js';
import { Router, type RouterRoute } from './router.js';
import type { PolicyRule, Route } from './routing-table.js';

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
}

export interface InternetOptions {
  readonly seed: string | number;
  readonly families?: readonly Family[];
  /** A network that eth0 of both hosts is in; its default route leads nowhere. */
  readonly lan?: { readonly metric?: number; readonly link?: LinkOptions; readonly rpFilter?: 0 | 1 | 2 } | null;
  readonly uplinks: readonly UplinkOptions[];
  readonly rules?: Readonly<Partial<Record<HostName, readonly PolicyRule[]>>>;
}

export interface Internet {
  readonly network: Network;
  readonly hosts: Readonly<Record<HostName, Host>>;
  readonly reference: Host;
  /** By `client.wwan0`, `server.eth0`, `reference`: what a person would unplug. */
  readonly cables: ReadonlyMap<string, Cable>;
}

/** Documentation networks beyond the carriers (RFC 5737, RFC 3849). */
export const SERVER_NETWORKS = ['192.0.2.0/24', '2001:db8:ff::/64'] as const;
export const REFERENCE_ADDRESSES = {
  ipv4: ['192.0.2.10', '192.0.2.11'],
  ipv6: ['2001:db8:ff::10', '2001:db8:ff::11'],
} as const;
export const LAN_ADDRESSES = {
  client: { ipv4: '192.168.77.1', ipv6: 'fd77::1' },
  server: { ipv4: '192.168.77.2', ipv6: 'fd77::2' },
} as const;
const ACCESS: LinkOptions = { delayMs: 20 };
const BACKBONE: LinkOptions = { delayMs: 2 };
const LAN: LinkOptions = { delayMs: 0.25 };
const PUBLIC = { client: '198.51.100', server: '203.0.113' } as const;
const ADDRESSES_EACH = 4;
const PREFIX_LENGTH: Readonly<Record<Family, number>> = { ipv4: 24, ipv6: 64 };

/** Two hosts with their uplinks, a LAN between them, and one public network with the reference in the middle. */
export function buildInternet(options: InternetOptions): Internet {
  const { seed, families = ['ipv4'], lan = {}, uplinks, rules = {} } = options;
  const random = (name: string): SeededRandom => new SeededRandom(`${name} ${seed}`);
  const network = new Network(random('network'));
  const sites = uplinks.map((uplink, index) => siteOf(uplink, index + 1, families));
  const cables = new Map<string, Cable>();

  const host = (name: HostName): Host => {
    const own = sites.filter(({ uplink }) => uplink.host === name);
    const eth0 = lan ? [lanInterface(name, families, lan.rpFilter ?? 0)] : [];
    return new Host({
      name,
      interfaces: [...eth0, ...own.map((site) => site.on)],
      routes: [
        ...(lan ? defaultRoutes('eth0', families, lan.metric ?? 100) : []),
        ...own.flatMap((site) => site.routes),
      ],
      rules: rules[name] ?? [],
      random: random(name),
    });
  };
  const hosts = { client: host('client'), server: host('server') };
  const reference = new Host({
    name: 'reference',
    interfaces: [referenceInterface(families)],
    routes: defaultRoutes('eth0', families, 0),
    random: random('reference'),
  });

  const core = new Router({
    addresses: { ipv4: '192.0.2.1', ipv6: '2001:db8:ff::1' },
    routes: SERVER_NETWORKS.map((to) => ({ to, via: 'reference' })),
  });
  const referencePlaces = [
    { node: core, port: 'reference' },
    { node: reference, port: 'eth0' },
  ] as const;
  cables.set('reference', network.connect(...referencePlaces, BACKBONE));
  if (lan) {
    // A switch, and behind it a gateway that takes what is for elsewhere and loses it.
    const away: RouterRoute[] = families.map((family) => ({
      to: DEFAULT_ROUTE[family],
      via: { discard: 'blackhole' },
    }));
    const wire = new Router({ addresses: {}, routes: away, keepsTtl: true });
    for (const name of ['client', 'server'] as const) {
      for (const family of families) wire.addRoute({ to: LAN_ADDRESSES[name][family], via: name });
      const ends = [
        { node: hosts[name], port: 'eth0' },
        { node: wire, port: name },
      ] as const;
      cables.set(`${name}.eth0`, network.connect(...ends, lan.link ?? LAN));
    }
  }
  for (const { uplink, pool, gateway, shared, networks } of sites) {
    const port = `${uplink.host}.${uplink.interface}`;
    const site = { gateway, pool, shared, servers: SERVER_NETWORKS, random: random(port) };
    const chain = new BoxChain(uplink.carrier.build(site), ({ family }, side) =>
      side === 'outside' && family === 'ipv4' ? pool[0] : (gateway[family] ?? pool[0]),
    );
    const up = uplink.up ?? ACCESS;
    cables.set(
      port,
      network.connect(
        { node: hosts[uplink.host], port: uplink.interface },
        { node: chain, port: 'inside' },
        up,
        uplink.down ?? up,
      ),
    );
    network.connect({ node: chain, port: 'outside' }, { node: core, port }, BACKBONE);
    for (const to of [...pool, ...networks]) core.addRoute({ to, via: port });
  }
  return { network, hosts, reference, cables };
}

interface Site {
  readonly uplink: UplinkOptions;
  readonly on: WorldInterface;
  readonly routes: readonly Route[];
  readonly gateway: Readonly<Partial<Record<Family, string>>>;
  readonly pool: readonly [string, ...string[]];
  readonly shared: { readonly near: string; readonly far: string };
  /** The customer's own public networks. */
  readonly networks: readonly string[];
}

function siteOf(uplink: UplinkOptions, number: number, families: readonly Family[]): Site {
  const used = uplink.carrier.families.filter((family) => families.includes(family));
  const base = number * ADDRESSES_EACH;
  const publicAddress = (offset: number): string => `${PUBLIC[uplink.host]}.${base + offset}`;
  const near = { ipv4: `10.${number * 10}.0.2`, ipv6: `2001:db8:${number}::2` };
  const far = { ipv4: `10.${number * 10}.0.1`, ipv6: `2001:db8:${number}::1` };
  if (uplink.carrier.name === 'public') {
    near.ipv4 = publicAddress(2);
    far.ipv4 = publicAddress(1);
  }
  const on: WorldInterface = {
    name: uplink.interface,
    kind: uplink.kind,
    label: uplink.label,
    addresses: used.map((family) => ({ family, address: near[family], prefixLength: PREFIX_LENGTH[family] })),
    rpFilter: uplink.rpFilter ?? 0,
  };
  return {
    uplink,
    on,
    routes:
      uplink.gateway === false
        ? []
        : used.map((family) => ({
            to: DEFAULT_ROUTE[family],
            interface: uplink.interface,
            gateway: far[family],
            metric: uplink.metric,
          })),
    gateway: far,
    pool: [publicAddress(2)],
    shared: { near: `100.64.${number}.2`, far: `100.64.${number}.1` },
    networks: [`2001:db8:${number}::/64`],
  };
}

function lanInterface(host: HostName, families: readonly Family[], rpFilter: 0 | 1 | 2): WorldInterface {
  const addresses = families.map((family) => ({
    family,
    address: LAN_ADDRESSES[host][family],
    prefixLength: PREFIX_LENGTH[family],
  }));
  return { name: 'eth0', kind: 'ethernet', label: 'lan', addresses, rpFilter };
}

function referenceInterface(families: readonly Family[]): WorldInterface {
  const addresses = families.flatMap((family) =>
    REFERENCE_ADDRESSES[family].map((address) => ({ family, address, prefixLength: PREFIX_LENGTH[family] })),
  );
  return { name: 'eth0', kind: 'ethernet', label: 'reference', addresses };
}

function defaultRoutes(name: string, families: readonly Family[], metric: number): Route[] {
  return families.map((family) => ({ to: DEFAULT_ROUTE[family], interface: name, gateway: GATEWAY[family], metric }));
}

const GATEWAY: Readonly<Record<Family, string>> = { ipv4: '192.168.77.254', ipv6: 'fd77::fe' };
