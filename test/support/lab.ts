import { execFileSync, spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { carrierRules, publicRules } from './lab-nft.js';
import { LAN, SERVERS, wiresOf, type Family, type HostName, type Topology, type Uplink } from './lab-topology.js';

/** `L`, `D`, `R` (the reference host), `public` (the internet's router), or a carrier by its label. */
export type Node = string;

export type LabProcess = ChildProcessByStdio<null, Readable, Readable>;

/**
 * A lab of its own network namespaces: real ARP, routes, conntrack and ICMP, and no wire to the machine's own network.
 * Needs root, `ip` and `nft`. Any number may live at once. `destroy` ends its processes too; what a killed process left
 * behind is swept when the next lab is made.
 */
export interface Lab {
  readonly topology: Topology;
  /** Removed with the lab. */
  readonly directory: string;
  namespace(node: Node): string;
  /** The host's address on an interface. */
  address(host: HostName, name: string, family?: Family): string;
  /** A carrier's address on the public network: what its NAT shows. */
  publicAddress(label: string, family?: Family): string;
  /** Runs to its end; returns stdout. Throws when it fails. */
  exec(node: Node, file: string, args: readonly string[], input?: string): string;
  spawn(node: Node, file: string, args: readonly string[]): LabProcess;
  /** Packets so far, by `LABEL/counter` (lab-nft.ts names them). */
  counters(): Record<string, number>;
  destroy(): void;
}

const NAMESPACES = '/run/netns';
const PREFIX = 'ip-g-';
const live = new Set<Lab>();
let swept = false;

process.once('exit', destroyLabs);

/** What is left of this process's labs: a test that timed out does not get to its own `destroy`, and vitest may end a worker without an orderly exit. */
export function destroyLabs(): void {
  for (const lab of live) lab.destroy();
}

export function createLab(topology: Topology): Lab {
  if (!swept) sweepLabs();
  swept = true;
  const lab = new NamespaceLab(topology);
  live.add(lab);
  try {
    lab.build();
  } catch (error) {
    lab.destroy();
    throw error;
  }
  return lab;
}

/** Removes the namespaces, processes and files of labs whose maker is no more. */
export function sweepLabs(): void {
  const remains = (names: readonly string[]) => names.filter((name) => name.startsWith(PREFIX) && orphaned(name));
  removeNamespaces(remains(list(NAMESPACES)));
  for (const name of remains(list(tmpdir()))) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

function orphaned(name: string): boolean {
  const maker = Number(name.slice(PREFIX.length).split('-', 1)[0]);
  if (!Number.isSafeInteger(maker) || maker <= 0) return false;
  try {
    process.kill(maker, 0);
    return false;
  } catch {
    return true;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function removeNamespaces(names: readonly string[]): void {
  for (const pid of processesIn(names)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  for (const name of names) {
    try {
      execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    } catch {
      // Another process sweeps at the same time.
    }
  }
}

function processesIn(namespaces: readonly string[]): number[] {
  const inodes = new Set(namespaces.map((name) => statSync(join(NAMESPACES, name), { throwIfNoEntry: false })?.ino));
  return list('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false;
      try {
        return inodes.has(Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0]));
      } catch {
        return false;
      }
    });
}

class NamespaceLab implements Lab {
  readonly topology: Topology;
  readonly directory: string;
  readonly #prefix = `${PREFIX}${process.pid}-${randomBytes(4).toString('hex')}-`;
  readonly #processes = new Set<ChildProcess>();

  constructor(topology: Topology) {
    this.topology = topology;
    this.directory = mkdtempSync(join(tmpdir(), this.#prefix));
  }

  namespace(node: Node): string {
    return `${this.#prefix}${node}`;
  }

  address(host: HostName, name: string, family: Family = 'ipv4'): string {
    if (name === 'eth0' && this.topology.lan === 'shared') return LAN[family][host === 'L' ? 'near' : 'far'];
    return this.#wires((uplink) => uplink.host === host && uplink.interface === name).inside[family].far;
  }

  publicAddress(label: string, family: Family = 'ipv4'): string {
    return this.#wires((uplink) => uplink.label === label).outside[family].far;
  }

  exec(node: Node, file: string, args: readonly string[], input = ''): string {
    const inside = ['netns', 'exec', this.namespace(node), file, ...args];
    return execFileSync('ip', inside, { encoding: 'utf8', input, timeout: 20_000 });
  }

  spawn(node: Node, file: string, args: readonly string[]): LabProcess {
    // `ip netns exec` becomes the program, so that the child's pid is the program's.
    const inside = ['netns', 'exec', this.namespace(node), file, ...args];
    const child = spawn('ip', inside, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.directory });
    this.#processes.add(child);
    child.once('close', () => this.#processes.delete(child));
    return child;
  }

  counters(): Record<string, number> {
    const counters: Record<string, number> = {};
    for (const { label } of this.topology.uplinks) {
      for (const [name, packets] of this.#countersOf(label)) counters[`${label}/${name}`] = packets;
    }
    for (const [name, packets] of this.#countersOf('public')) counters[name] = packets;
    return counters;
  }

  destroy(): void {
    for (const child of this.#processes) child.kill('SIGKILL');
    removeNamespaces(list(NAMESPACES).filter((name) => name.startsWith(this.#prefix)));
    rmSync(this.directory, { recursive: true, force: true });
    live.delete(this);
  }

  build(): void {
    const { uplinks, lan, reference } = this.topology;
    for (const node of ['L', 'D', 'R', 'public', ...uplinks.map(({ label }) => label)]) this.#addNamespace(node);
    ip([
      ...(lan === 'shared' ? [this.#veth('L', 'eth0', 'D', 'eth0')] : []),
      this.#veth('R', 'eth0', 'public', 'servers'),
      ...uplinks.flatMap(({ host, interface: name, label }) => [
        this.#veth(label, 'lan', host, name),
        this.#veth('public', label, label, 'wan'),
      ]),
    ]);
    for (const [node, lines] of this.#configuration()) ip(lines, this.namespace(node));
    for (const [index, uplink] of uplinks.entries()) {
      this.#nft(uplink.label, carrierRules(uplink, wiresOf(uplink, index).inside.ipv4));
      this.#write(uplink.host, `net/ipv4/conf/${uplink.interface}/rp_filter`, String(uplink.rpFilter));
    }
    this.#nft('public', publicRules(uplinks));
    if (reference === 'unplugged') ip(['link set eth0 down'], this.namespace('R'));
  }

  #addNamespace(node: Node): void {
    execFileSync('ip', ['netns', 'add', this.namespace(node)]);
    const router = !['L', 'D', 'R'].includes(node);
    const v6 = this.topology.families.includes('ipv6');
    // Before any link is there, so that every one inherits it.
    this.#write(node, 'net/ipv4/conf/all/rp_filter net/ipv4/conf/default/rp_filter', '0');
    this.#write(node, 'net/ipv6/conf/all/disable_ipv6 net/ipv6/conf/default/disable_ipv6', v6 ? '0' : '1');
    this.#write(node, 'net/ipv6/conf/default/accept_dad net/ipv6/conf/default/accept_ra', '0');
    if (router) this.#write(node, 'net/ipv4/ip_forward net/ipv6/conf/all/forwarding', '1');
  }

  /** `ip` command lines of each namespace, in order. */
  #configuration(): Map<Node, string[]> {
    const lines = new Map<Node, string[]>();
    const add = (node: Node, ...more: string[]) =>
      lines.set(node, [...(lines.get(node) ?? ['link set lo up']), ...more]);
    const { uplinks, lan, families } = this.topology;
    const up = (name: string) => `link set ${name} up`;
    const address = (name: string, ip: string, length: number) => `address add ${ip}/${length} dev ${name}`;
    for (const host of ['L', 'D'] as const) {
      if (lan === 'shared') add(host, up('eth0'));
    }
    add('R', up('eth0'));
    add('public', up('servers'));
    for (const { host, interface: name, label } of uplinks) {
      add(host, up(name));
      add('public', up(label));
      add(label, up('lan'), up('wan'));
    }
    for (const family of families) {
      const route = (to: string, via: string, name: string, metric = 0) =>
        `route add ${to} via ${via} dev ${name}${metric === 0 ? '' : ` metric ${metric}`}`;
      if (lan === 'shared') {
        add('L', address('eth0', LAN[family].near, LAN[family].length));
        add('D', address('eth0', LAN[family].far, LAN[family].length));
      }
      const servers = SERVERS[family];
      for (const own of servers.addresses) add('R', address('eth0', own, servers.length));
      add('R', route('default', servers.gateway, 'eth0'));
      // What nobody owns (private addresses above all) vanishes, as it does on most real networks.
      add(
        'public',
        address('servers', servers.gateway, servers.length),
        `route add blackhole ${family === 'ipv4' ? '0.0.0.0/0' : '::/0'}`,
      );
      for (const [index, uplink] of uplinks.entries()) {
        const { label, host, interface: name, metric, gateway, nat } = uplink;
        const { inside, outside } = {
          inside: wiresOf(uplink, index).inside[family],
          outside: wiresOf(uplink, index).outside[family],
        };
        add(label, address('lan', inside.near, inside.length), address('wan', outside.far, outside.length));
        add(label, route('default', outside.near, 'wan'));
        add('public', address(label, outside.near, outside.length));
        if (family === 'ipv6' || nat === 'none')
          add('public', route(`${inside.prefix}/${inside.length}`, outside.far, label));
        add(host, address(name, inside.far, inside.length));
        if (gateway) add(host, route('default', inside.near, name, metric));
      }
    }
    return lines;
  }

  #wires(of: (uplink: Uplink) => boolean): ReturnType<typeof wiresOf> {
    const index = this.topology.uplinks.findIndex(of);
    const uplink = this.topology.uplinks[index];
    if (uplink === undefined) throw new RangeError('the topology has no such uplink');
    return wiresOf(uplink, index);
  }

  #veth(node: Node, name: string, farNode: Node, farName: string): string {
    return `link add ${name} netns ${this.namespace(node)} type veth peer name ${farName} netns ${this.namespace(farNode)}`;
  }

  /** One value into several files below /proc/sys, in the namespace. */
  #write(node: Node, settings: string, value: string): void {
    this.exec(
      node,
      'tee',
      settings.split(' ').map((setting) => `/proc/sys/${setting}`),
      value,
    );
  }

  #nft(node: Node, ruleset: string): void {
    this.exec(node, 'nft', ['-f', '-'], ruleset);
  }

  #countersOf(node: Node): [string, number][] {
    const { nftables } = JSON.parse(this.exec(node, 'nft', ['-j', 'list', 'counters'])) as {
      nftables: { counter?: { name: string; packets: number } }[];
    };
    return nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : []));
  }
}

/** Runs `ip` command lines as one batch. */
function ip(lines: readonly string[], namespace?: string): void {
  const where = namespace === undefined ? [] : ['-n', namespace];
  execFileSync('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'ignore', 'pipe'] });
}
