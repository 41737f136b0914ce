import type { Family } from '../../base/address.js';
import { FAR_ADDRESS } from '../../os/tun.js';
import type { WorldInterface } from '../host.js';
import type { HostDescription } from '../internet.js';
import type { Route } from '../routing-table.js';

const DEFAULT_MTU_BYTES = 1500;
/** Queues are the links' to have: what waits for this process, which is not always on, must not be lost. */
const QUEUE_PACKETS = 10_000;
/** Numbers of routing tables (rtnetlink(7)): `main` is 254, ours begin here. */
const FIRST_TABLE = 1000;
const MAIN_TABLE = 254;
const FLAGS: Readonly<Record<Family, string>> = { ipv4: '-4', ipv6: '-6' };

/** Lines of `ip -batch` by family: what has none stands with IPv4. A batch of one family ends where one fails. */
export type Batches = Readonly<Record<Family, readonly string[]>>;

/** The whole host: its interfaces, which exist and are down (some are to stay so), and its policy rules. */
export function hostBatches(host: HostDescription): Batches {
  const started = host.interfaces.filter(({ starts }) => starts === undefined);
  const perInterface = started.map(({ name }) => interfaceBatches(host, name));
  const rules = (host.rules ?? []).flatMap(({ priority, from, to, oif, table }) => {
    const families = (['ipv4', 'ipv6'] as const).filter((family) =>
      [from, to].every((prefix) => prefix === undefined || familyOf(prefix) === family),
    );
    const selectors = [from && `from ${from}`, to && `to ${to}`, oif && `oif ${oif}`].filter(Boolean).join(' ');
    const line = `rule add priority ${priority} ${selectors} table ${tableNumber(host, table)}`;
    return families.map((family) => ({ family, line }));
  });
  const batch = (family: Family): string[] => [
    ...(family === 'ipv4' ? ['link set lo up'] : []),
    ...perInterface.flatMap((batches) => batches[family]),
    ...rules.filter((rule) => rule.family === family).map(({ line }) => line),
  ];
  return { ipv4: batch('ipv4'), ipv6: batch('ipv6') };
}

/** What it takes to bring an interface up, also again: on its way down the kernel drops addresses, neighbours and routes. */
export function interfaceBatches(host: HostDescription, name: string): Batches {
  const on = host.interfaces.find((one) => one.name === name);
  if (!on) throw new RangeError(`${host.name} has no interface ${name}`);
  const own = host.routes.filter((route) => route.interface === name);
  const batch = (family: Family): string[] => [
    // IPv6 detects duplicates and asks for routers unless told not to: nobody is there to answer.
    ...on.addresses
      .filter((one) => one.family === family)
      .map(
        ({ address, prefixLength }) =>
          `address replace ${address}/${prefixLength} dev ${name}${family === 'ipv6' ? ' nodad' : ''}`,
      ),
    ...neighboursOf(on, own, family).map(
      (neighbour) => `neighbour replace ${neighbour} lladdr ${FAR_ADDRESS} nud permanent dev ${name}`,
    ),
    ...own.filter(({ to }) => familyOf(to) === family).map((route) => routeLine(host, route)),
  ];
  // In one line the device would be up, and have a link-local address, before it is told to have none.
  const up = [
    `link set dev ${name} mtu ${on.mtuBytes ?? DEFAULT_MTU_BYTES} txqueuelen ${QUEUE_PACKETS} addrgenmode none`,
    `link set dev ${name} up`,
  ];
  return { ipv4: [...up, ...batch('ipv4')], ipv6: batch('ipv6') };
}

/** Other addresses on an interface that is up: with the old ones go the routes that stand on it. */
export function addressBatches(host: HostDescription, name: string): Batches {
  const { ipv4, ipv6 } = interfaceBatches(host, name);
  const flush = [`address flush dev ${name}`, `route flush dev ${name}`];
  return { ipv4: [...flush, ...ipv4], ipv6: ipv6.length > 0 ? [...flush, ...ipv6] : [] };
}

/** Its default routes alone: gone, or as they were. */
export function defaultRouteBatches(host: HostDescription, name: string, there: boolean): Batches {
  const own = host.routes.filter((route) => route.interface === name && route.to.endsWith('/0'));
  const batch = (family: Family): string[] =>
    own
      .filter(({ to }) => familyOf(to) === family)
      .map((route) => (there ? routeLine(host, route) : routeLine(host, route).replace(/^route append/, 'route del')));
  return { ipv4: batch('ipv4'), ipv6: batch('ipv6') };
}

/** `ip` and its flag, for one family. */
export function batchArguments(family: Family): readonly string[] {
  return [FLAGS[family], '-batch', '-'];
}

/** `onlink`: a gateway need not be in the interface's own network, and on a point-to-point link never is. */
function routeLine(host: HostDescription, { to, interface: name, gateway, metric = 0, table = 'main' }: Route): string {
  const via = gateway === undefined ? '' : ` via ${gateway}`;
  const onLink = gateway === undefined ? '' : ' onlink';
  // IPv6 takes 0 for 1024.
  const priority = familyOf(to) === 'ipv6' ? Math.max(1, metric) : metric;
  return `route append ${to}${via} dev ${name}${onLink} metric ${priority} table ${tableNumber(host, table)}`;
}

/** Who answers on the wire: gateways, and other hosts. */
function neighboursOf(on: WorldInterface, routes: readonly Route[], family: Family): string[] {
  if (on.pointToPoint === true) return [];
  const gateways = routes.map(({ gateway }) => gateway).filter((gateway) => gateway !== undefined);
  return [...new Set([...gateways, ...(on.neighbours ?? [])])].filter((address) => familyOf(address) === family);
}

function tableNumber({ routes, rules = [] }: HostDescription, name: string): number {
  if (name === 'main') return MAIN_TABLE;
  const names = [...new Set([...routes, ...rules].map(({ table }) => table))];
  return FIRST_TABLE + names.indexOf(name);
}

function familyOf(address: string): Family {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}
