import { type Family, inPrefix } from '../base/address.js';
import type { InterfaceAddress } from '../base/interface.js';
import type { CounterSnapshot, EgressResult } from '../session/io.js';
import { readCounters } from './counters.js';
import { checkEgress } from './egress.js';
import { type Execute, execute } from './execute.js';
import { nftClosed } from './firewall.js';
import { listInterfaces, type ListedInterface } from './interfaces.js';
import { findMissing, type Missing } from './missing.js';
import { type Modem, readModems } from './modem-manager.js';
import { type NetworkManager, readNetworkManager } from './network-manager.js';

/** Everything that `doctor` looks at. `null`: there is nobody to ask, or no right to. */
export interface HostFacts {
  readonly interfaces: readonly ListedInterface[];
  readonly missing: readonly Missing[];
  /** Where packets to the public network would leave, an entry an address. */
  readonly routes: readonly { readonly pinned: EgressResult; readonly unpinned: EgressResult }[];
  readonly counters: CounterSnapshot | null;
  readonly modems: readonly Modem[] | null;
  readonly networkManager: NetworkManager | null;
  readonly firewall: FirewallFacts;
  /** Programs that were asked and are not there. */
  readonly absent: readonly string[];
  /** Whether this host's clock is set from the network. */
  readonly clockSynchronised: boolean | null;
}

export interface FirewallFacts {
  /** Whether its rules could be read; `null`: neither nft nor iptables is here. */
  readonly isReadable: boolean | null;
  /** Chains that drop what no rule lets through. */
  readonly closed: readonly string[];
}

/** Documentation addresses (RFC 5737, RFC 3849, RFC 9637): the tables are asked about them, nothing is sent. */
const SOMEWHERE = {
  ipv4: ['192.0.2.1', '198.51.100.1', '203.0.113.1'],
  ipv6: ['2001:db8::1', '3fff::1'],
} as const;

/** `to`: IP addresses that a run will send to; elsewhere, where there are none of a family. */
export async function readHostFacts(run: Execute = execute, to: readonly string[] = []): Promise<HostFacts> {
  const interfaces = listInterfaces();
  const networks = interfaces.flatMap(({ addresses }) => addresses);
  const beyond = (family: Family): readonly string[] => {
    const named = to.filter((address) => address.includes(':') === (family === 'ipv6'));
    const nowhere = SOMEWHERE[family].find((address) => !networks.some((own) => isOnLink(own, address)));
    return named.length > 0 ? named : [nowhere ?? SOMEWHERE[family][0]];
  };
  const checks = interfaces
    .filter(({ kind, up }) => up && kind !== 'loopback')
    .flatMap(({ name, addresses }) =>
      addresses.flatMap(({ address, family }) =>
        beyond(family).map((far) => ({ interface: name, from: address, to: far })),
      ),
    );
  const [pinned, unpinned, missing, counters, modems, networkManager, firewall, absent, clock] = await Promise.all([
    checkEgress(checks, true, run),
    checkEgress(checks, false, run),
    findMissing(run),
    readCounters('/proc', run),
    readModems(run),
    readNetworkManager(run),
    readFirewall(run),
    findAbsent(run),
    run('timedatectl', ['show', '-p', 'NTPSynchronized', '--value']),
  ]);
  const word = clock?.stdout.trim();
  return {
    interfaces,
    missing,
    routes: pinned.flatMap((one, index) => {
      const other = unpinned[index];
      return other ? [{ pinned: one, unpinned: other }] : [];
    }),
    counters,
    modems,
    networkManager,
    firewall,
    absent,
    clockSynchronised: word === 'yes' ? true : word === 'no' ? false : null,
  };
}

async function readFirewall(run: Execute): Promise<FirewallFacts> {
  const nft = await run('nft', ['-j', 'list', 'ruleset']);
  // It exits with an error, and prints no list, where it lacks the right.
  if (nft) return { isReadable: nft.stdout.trim() !== '', closed: nftClosed(nft.stdout) };
  const iptables = await run('iptables', ['-nL']);
  return { isReadable: iptables ? iptables.stdout.trim() !== '' : null, closed: [] };
}

/** Each is asked for something above; without it that stays unknown. */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  mmcli: ['--version'],
  nmcli: ['--version'],
  timedatectl: ['--version'],
};

async function findAbsent(run: Execute): Promise<string[]> {
  const found = await Promise.all(Object.entries(TOOLS).map(([tool, args]) => run(tool, args)));
  return Object.keys(TOOLS).filter((_, index) => found[index] === null);
}

function isOnLink({ family, address, prefixLength }: InterfaceAddress, to: string): boolean {
  return (family === 'ipv6') === to.includes(':') && inPrefix(to, address, prefixLength);
}
