/**
 * What a kernel lab is made of, as values: two hosts, their uplinks, the carriers behind them, and the public network
 * with the reference host in the middle. `lab.ts` builds it from namespaces, veth and nft.
 *
 *     L.eth0 ─────────────── LAN ─────────────── D.eth0          (or, routed: each behind a router, no shared LAN)
 *     L.wlan0 ─ lan[hhg]wan ─┐           ┌─ wan[hh2]lan ─ D.wlan0
 *     L.wwan0 ─ lan[o2]wan ──┴─ public ──┴─ wan[telekom]lan ─ D.usb0
 *                                 │
 *                             R (two addresses)
 */

export type HostName = 'L' | 'D';
export type Family = 'ipv4' | 'ipv6';

/**
 * Kernel NATs as `facts.md` measured them. `guarded`: one port for all destinations, unsolicited UDP dropped. `unguarded`: the
 * same without the drop, so an early packet spoils it. `symmetric`: a port per destination, guarded. `none`: routed.
 */
export type Nat = 'guarded' | 'unguarded' | 'symmetric' | 'none';

/** Seen from the carrier's customer. */
export type Heading = 'out' | 'in';

export interface Filter {
  /** `peer-udp`: to and from everything but the public servers' network. `loss30`: 30 % of UDP, independently. */
  readonly match: 'stun-cookie' | 'stun-two-bits' | 'udp' | 'peer-udp' | 'loss30';
  readonly action?: 'drop' | 'admin-prohibited';
  /** Both by default. */
  readonly heading?: Heading;
  /** Both by default. */
  readonly family?: Family;
  /** `inside` (before the carrier's NAT sees it; no mapping comes to be), or `outside`, beyond the NAT. */
  readonly at?: 'inside' | 'outside';
}

export interface Uplink {
  readonly host: HostName;
  readonly interface: string;
  readonly kind: 'ethernet' | 'wifi' | 'cellular';
  /** The carrier's name: names its namespace and its counters too. */
  readonly label: string;
  readonly metric: number;
  readonly nat: Nat;
  readonly filters: readonly Filter[];
  /** Whether the host has a default route on this interface. */
  readonly gateway: boolean;
  readonly rpFilter: 0 | 1 | 2;
  /** The carrier lets IPv6 in only where its customer spoke first. */
  readonly statefulV6: boolean;
}

export interface Topology {
  /** `shared`: eth0 of both hosts on one wire. `none`: no such wire. */
  readonly lan: 'shared' | 'none';
  readonly families: readonly Family[];
  readonly uplinks: readonly Uplink[];
  /** `unplugged`: the reference host's cable is out. */
  readonly reference: 'up' | 'unplugged';
}

/** Changes to the uplinks of a topology, by label. */
export type Changes = Readonly<Record<string, Partial<Omit<Uplink, 'host' | 'interface' | 'label'>>>>;

const PLAIN = { nat: 'guarded', filters: [], gateway: true, rpFilter: 0, statefulV6: false } as const;

const MESH_UPLINKS: readonly Uplink[] = [
  { ...PLAIN, host: 'L', interface: 'wlan0', kind: 'wifi', label: 'hhg', metric: 100 },
  { ...PLAIN, host: 'L', interface: 'wwan0', kind: 'cellular', label: 'o2', metric: 700 },
  { ...PLAIN, host: 'D', interface: 'wlan0', kind: 'wifi', label: 'hh2', metric: 100 },
  { ...PLAIN, host: 'D', interface: 'usb0', kind: 'cellular', label: 'telekom', metric: 700 },
];

const OFFICES: readonly Uplink[] = [
  { ...PLAIN, host: 'L', interface: 'eth0', kind: 'ethernet', label: 'office1', metric: 50, nat: 'none' },
  { ...PLAIN, host: 'D', interface: 'eth0', kind: 'ethernet', label: 'office2', metric: 50, nat: 'none' },
];

/** verdicts.md, "Controls and matrix": each host with a shared LAN, WiFi and a modem, IPv4 only. */
export function mesh(changes: Changes = {}): Topology {
  return { lan: 'shared', families: ['ipv4'], uplinks: changed(MESH_UPLINKS, changes), reference: 'up' };
}

/** The mesh without a shared LAN: eth0 of each host has a public address behind a router of its own. */
export function routed(changes: Changes = {}): Topology {
  return { ...mesh(), lan: 'none', uplinks: changed([...OFFICES, ...MESH_UPLINKS], changes) };
}

/** The mesh with both families: NATs for IPv4, public addresses for IPv6. */
export function dualStack(changes: Changes = {}): Topology {
  return { ...mesh(changes), families: ['ipv4', 'ipv6'] };
}

function changed(uplinks: readonly Uplink[], changes: Changes): Uplink[] {
  const unknown = Object.keys(changes).find((label) => !uplinks.some((uplink) => uplink.label === label));
  if (unknown !== undefined) throw new RangeError(`no uplink is labelled ${unknown}`);
  return uplinks.map((uplink) => ({ ...uplink, ...changes[uplink.label] }));
}

/** Addresses of one family on one wire. */
export interface Wire {
  readonly near: string;
  readonly far: string;
  readonly prefix: string;
  readonly length: number;
}

/** Public test networks only (RFC 5737, RFC 3849) beyond the carriers, RFC 1918 behind their NATs. */
export const LAN: Readonly<Record<Family, Wire>> = {
  ipv4: { near: '192.168.77.1', far: '192.168.77.2', prefix: '192.168.77.0', length: 24 },
  ipv6: { near: 'fd77::1', far: 'fd77::2', prefix: 'fd77::', length: 64 },
};

/** The reference host's two addresses, and the network that "everything but the public servers" excepts. */
export const SERVERS = {
  ipv4: { prefix: '192.0.2.0', length: 24, gateway: '192.0.2.1', addresses: ['192.0.2.10', '192.0.2.11'] },
  ipv6: {
    prefix: '2001:db8:ff::',
    length: 64,
    gateway: '2001:db8:ff::1',
    addresses: ['2001:db8:ff::10', '2001:db8:ff::11'],
  },
} as const;

/** host (`far`) ↔ carrier (`near`), and carrier (`far`) ↔ public network (`near`) of the `index`-th uplink. */
export function wiresOf(uplink: Uplink, index: number): Record<'inside' | 'outside', Record<Family, Wire>> {
  const number = index + 1;
  const public4 = uplink.host === 'L' ? '198.51.100' : '203.0.113';
  const inside4 = uplink.nat === 'none' ? wire4(public4, 128 + 8 * number, 29) : wire4(`10.${number * 10}.0`, 0, 24);
  return {
    inside: { ipv4: inside4, ipv6: wire6(`2001:db8:${number}::`) },
    outside: { ipv4: wire4(public4, 4 * number, 30), ipv6: wire6(`2001:db8:${number}00::`) },
  };
}

function wire4(network: string, base: number, length: number): Wire {
  return { near: `${network}.${base + 1}`, far: `${network}.${base + 2}`, prefix: `${network}.${base}`, length };
}

function wire6(prefix: string): Wire {
  return { near: `${prefix}1`, far: `${prefix}2`, prefix, length: 64 };
}
