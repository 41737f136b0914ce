import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CounterSnapshot } from '../session/io.js';
import { execute } from './execute.js';
import type { Execute } from './execute.js';
import { iptablesDrops, nftDrops } from './firewall.js';

/** The kernel's names of what can silently eat or refuse a UDP packet on this host. */
const EXPLAINING: ReadonlySet<string> = new Set([
  ...['TcpExtIPReversePathFilter', 'IpExtInNoRoutes', 'IpExtInCsumErrors'],
  ...[
    'IpInHdrErrors',
    'IpInAddrErrors',
    'IpInDiscards',
    'IpOutDiscards',
    'IpOutNoRoutes',
    'IpReasmFails',
    'IpFragFails',
  ],
  ...['UdpNoPorts', 'UdpInErrors', 'UdpRcvbufErrors', 'UdpSndbufErrors', 'UdpInCsumErrors', 'UdpMemErrors'],
  ...['Ip6InHdrErrors', 'Ip6InNoRoutes', 'Ip6InAddrErrors', 'Ip6InDiscards', 'Ip6OutDiscards', 'Ip6OutNoRoutes'],
  ...['Ip6ReasmFails', 'Ip6FragFails'],
  ...['Udp6NoPorts', 'Udp6InErrors', 'Udp6RcvbufErrors', 'Udp6SndbufErrors', 'Udp6InCsumErrors', 'Udp6MemErrors'],
]);

/** This host's counters; `null` where the kernel shows none (not Linux). Firewall rules need root and are left out without. */
export async function readCounters(procfs = '/proc', run: Execute = execute): Promise<CounterSnapshot | null> {
  const devices = readText(join(procfs, 'net/dev'));
  if (devices === null) return null;
  const files = ['net/snmp', 'net/netstat'].map((path) => parseProtocolTable(readText(join(procfs, path)) ?? ''));
  const kernel = Object.assign({}, ...files, parseNameValues(readText(join(procfs, 'net/snmp6')) ?? '')) as Record<
    string,
    number
  >;
  const host = Object.fromEntries(Object.entries(kernel).filter(([name]) => EXPLAINING.has(name)));
  return {
    interfaces: parseDevices(devices),
    host: { ...host, ...(await readFirewall(run)) },
    rpFilter: readRpFilter(join(procfs, 'sys/net/ipv4/conf')),
  };
}

async function readFirewall(run: Execute): Promise<Record<string, number>> {
  const nft = await run('nft', ['-j', 'list', 'ruleset']);
  if (nft) return nftDrops(nft.stdout);
  const tables = await Promise.all(
    ['iptables', 'ip6tables'].map(async (program) =>
      iptablesDrops(program, (await run(program, ['-nvxL', '-w', '2']))?.stdout ?? ''),
    ),
  );
  return Object.assign({}, ...tables) as Record<string, number>;
}

/** `/proc/net/dev`. */
export function parseDevices(text: string): CounterSnapshot['interfaces'] {
  const rows = text.split('\n').flatMap((line) => {
    const [, name, rest] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const [, rxPackets = 0, , rxDropped = 0, , , , , , txPackets = 0, , txDropped = 0] = (rest ?? '')
      .split(/\s+/)
      .map(Number);
    return [[name, { rxPackets, txPackets, rxDropped, txDropped }] as const];
  });
  return Object.fromEntries(rows);
}

/** `/proc/net/snmp` and `netstat`: a line of names, a line of values, the protocol before both. */
export function parseProtocolTable(text: string): Record<string, number> {
  const counters: Record<string, number> = {};
  const lines = text.split('\n');
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const [protocol = '', ...names] = (lines[index] ?? '').split(/\s+/);
    const values = (lines[index + 1] ?? '').split(/\s+/).slice(1).map(Number);
    names.forEach((name, column) => (counters[`${protocol.slice(0, -1)}${name}`] = values[column] ?? 0));
  }
  return counters;
}

/** `/proc/net/snmp6`. */
export function parseNameValues(text: string): Record<string, number> {
  return Object.fromEntries(
    [...text.matchAll(/^(\w+)\s+(\d+)$/gm)].map(([, name = '', value]) => [name, Number(value)]),
  );
}

function readRpFilter(folder: string): Record<string, number> {
  const setting = (name: string): number => Number(readText(join(folder, name, 'rp_filter')) ?? 0);
  const all = setting('all');
  const names = listFolder(folder).filter((name) => name !== 'all' && name !== 'default');
  return Object.fromEntries(names.map((name) => [name, Math.max(all, setting(name))]));
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
