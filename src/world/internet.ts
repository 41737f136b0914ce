import type { Family } from '../base/address.js';
import { type Random, SeededRandom } from '../base/random.js';
import { AccessPoint, UPSTREAM } from './access-point.js';
import { BoxChain } from './box-chain.js';
import { buildBoxes, SERVER_NETWORKS } from './box-description.js';
import { IPV4_ONLY, type Zone } from './dns.js';
import { DEFAULT_ROUTE, Host, type HostOptions, type WorldInterface } from './host.js';
import type { LinkOptions } from './link.js';
import { type Cable, Network, type NetworkNode, type Place } from './network.js';
import { Router, type RouterRoute } from './router.js';
import type { PolicyRule, Route } from './routing-table.js';
import { type Customer, type HostName, planSites, type Site, type UplinkOptions } from './site.js';

export type { HostName, UplinkOptions } from './site.js';

export interface InternetOptions {
  readonly seed: string | number;
  readonly families?: readonly Family[];
  /** A network that eth0 of both hosts is in; its default route leads nowhere. */
  readonly lan?: { readonly metric?: number; readonly link?: LinkOptions; readonly rpFilter?: 0 | 1 | 2 } | null;
  readonly uplinks: readonly UplinkOptions[];
  readonly rules?: Readonly<Partial<Record<HostName, readonly PolicyRule[]>>>;
}

/** A host before anything runs on it: what a model host, or a namespace of a kernel, is made from. */
export type HostDescription = Omit<HostOptions, 'random'>;

export interface Internet<Node extends NetworkNode = Host> {
  readonly network: Network;
  readonly hosts: Readonly<Record<HostName, Node>>;
  readonly reference: Node;
  /** By `client.wwan0`, `server.eth0`, `reference`: what a person would unplug. */
  readonly cables: ReadonlyMap<string, Cable>;
  /** By the same names: the interface of the host, as it is plugged in. */
  readonly places: ReadonlyMap<string, Place>;
  /** By the same names, what stands between an uplink and the rest of the world. */
  readonly carriers: ReadonlyMap<string, BoxChain>;
}

export const REFERENCE_ADDRESSES = {
  ipv4: ['192.0.2.10', '192.0.2.11'],
  ipv6: ['2001:db8:ff::10', '2001:db8:ff::11'],
} as const;
/** What carriers that have a resolver call it. */
export const REFERENCE_NAME = 'reference.icepath.example';
export const LAN_ADDRESSES = {
  client: { ipv4: '192.168.77.1', ipv6: 'fd77::1' },
  server: { ipv4: '192.168.77.2', ipv6: 'fd77::2' },
} as const;
/** Between a host and its carrier, where nothing else is said. */
export const ACCESS_LINK: LinkOptions = { delayMs: 20 };
const BACKBONE: LinkOptions = { delayMs: 2 };
const LAN: LinkOptions = { delayMs: 0.25 };
const PREFIX_LENGTH: Readonly<Record<Family, number>> = { ipv4: 24, ipv6: 64 };

/** Two hosts with their uplinks, a LAN between them, and one public network with the reference in the middle. */
export function buildInternet(options: InternetOptions): Internet {
  return wireInternet(options, (description, random) => new Host({ ...description, random }));
}

/** The same with hosts of another make: what the kernel back end puts there has the kernel's own stack behind it. */
export function wireInternet<Node extends NetworkNode>(
  options: InternetOptions,
  makeHost: (description: HostDescription, random: Random) => Node,
): Internet<Node> {
  const { seed, families = ['ipv4'], lan = {}, uplinks, rules = {} } = options;
  const random = (name: string): SeededRandom => new SeededRandom(`${name} ${seed}`);
  const network = new Network(random('network'));
  const sites = planSites(uplinks, families);
  const zone = zoneOf(families);
  const cables = new Map<string, Cable>();
  const places = new Map<string, Place>();
  const carriers = new Map<string, BoxChain>();

  const host = (name: HostName): Node => {
    const own = sites.flatMap(({ customers }) => customers).filter(({ uplink }) => uplink.host === name);
    const eth0 = lan ? [lanInterface(name, families, lan.rpFilter ?? 0)] : [];
    const description: HostDescription = {
      name,
      interfaces: [...eth0, ...own.map(({ on }) => on)],
      routes: [
        ...(lan ? defaultRoutes('eth0', families, lan.metric ?? 100) : []),
        ...own.flatMap(({ routes }) => routes),
      ],
      rules: rules[name] ?? [],
    };
    return makeHost(description, random(name));
  };
  const hosts = { client: host('client'), server: host('server') };
  const onReference: HostDescription = {
    name: 'reference',
    interfaces: [referenceInterface(families)],
    routes: defaultRoutes('eth0', families, 0),
  };
  const reference = makeHost(onReference, random('reference'));

  const core = new Router({
    addresses: { ipv4: '192.0.2.1', ipv6: '2001:db8:ff::1' },
    routes: SERVER_NETWORKS.map((to) => ({ to, via: 'reference' })),
  });
  const referencePlaces = [
    { node: core, port: 'reference' },
    { node: reference, port: 'eth0' },
  ] as const;
  places.set('reference', referencePlaces[1]);
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
      places.set(`${name}.eth0`, ends[0]);
      cables.set(`${name}.eth0`, network.connect(...ends, lan.link ?? LAN));
    }
  }
  for (const site of sites) {
    const [first, ...others] = site.customers;
    const chain = chainOf(site, { zone, random: random(first.name) });
    const inside = { node: chain, port: 'inside' };
    for (const { name } of site.customers) carriers.set(name, chain);
    const plug = ({ uplink, name }: Customer, there: Place): void => {
      const up = uplink.up ?? ACCESS_LINK;
      const place = { node: hosts[uplink.host], port: uplink.interface };
      places.set(name, place);
      cables.set(name, network.connect(place, there, up, uplink.down ?? up));
    };
    if (others.length === 0) plug(first, inside);
    else {
      const portOf = site.customers.flatMap(({ name, on }) =>
        on.addresses.map(({ address }) => [address, name] as const),
      );
      const node = new AccessPoint(new Map(portOf), site.carrier.isolates ?? false);
      for (const customer of site.customers) plug(customer, { node, port: customer.name });
      network.connect({ node, port: UPSTREAM }, inside);
    }
    network.connect({ node: chain, port: 'outside' }, { node: core, port: first.name }, BACKBONE);
    for (const to of site.networks) core.addRoute({ to, via: first.name });
  }
  return { network, hosts, reference, cables, places, carriers };
}

function chainOf(site: Site, more: { readonly zone: Zone; readonly random: Random }): BoxChain {
  const { carrier, customers, hops, gateway, pool } = site;
  const own = Object.fromEntries(customers[0].on.addresses.map(({ family, address }) => [family, address]));
  const boxes = [...carrier.boxes, ...hops.map((kind) => ({ type: 'hop', silent: kind === 'silent' }) as const)];
  return new BoxChain(buildBoxes(boxes, { ...site, ...more, customer: own }), ({ family }, side) =>
    side === 'outside' && family === 'ipv4' ? pool[0] : (gateway[family] ?? pool[0]),
  );
}

/** The names of the world: the reference's, also by its IPv4 address alone, which IPv6-only carriers have to translate. */
function zoneOf(families: readonly Family[]): Zone {
  const ipv4 = families.includes('ipv4') ? [REFERENCE_ADDRESSES.ipv4[0]] : [];
  const ipv6 = families.includes('ipv6') ? [REFERENCE_ADDRESSES.ipv6[0]] : [];
  return { ...IPV4_ONLY, [REFERENCE_NAME]: { ipv4, ipv6 }, [`ipv4.${REFERENCE_NAME}`]: { ipv4 } };
}

function lanInterface(host: HostName, families: readonly Family[], rpFilter: 0 | 1 | 2): WorldInterface {
  const addresses = families.map((family) => ({
    family,
    address: LAN_ADDRESSES[host][family],
    prefixLength: PREFIX_LENGTH[family],
  }));
  const other = LAN_ADDRESSES[host === 'client' ? 'server' : 'client'];
  const neighbours = families.map((family) => other[family]);
  return { name: 'eth0', kind: 'ethernet', label: 'lan', addresses, neighbours, rpFilter };
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
