import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { basename, join } from 'node:path';
import { formatAddressBytes, addressBytes, scopeOf } from '../base/address.js';
import { fromHex } from '../base/bytes.js';
import { IcepathError } from '../base/errors.js';
import { INTERFACE_KINDS } from '../base/interface.js';
import type { HostInterface, InterfaceAddress, InterfaceKind } from '../base/interface.js';
import { classify, isContainerPlumbing } from './classify.js';
import type { InterfaceFacts } from './classify.js';

/** An interface of this machine, used or not. */
export interface ListedInterface extends HostInterface {
  /** Administratively up and with a carrier, as far as the machine says. */
  readonly up: boolean;
  readonly driver: string | null;
}

/** What the user says of an interface: `NAME[=KIND[:LABEL]]`. */
export interface InterfaceOption {
  readonly name: string;
  readonly kind: InterfaceKind | null;
  readonly label: string | null;
}

/** Where the kernel tells of its interfaces; tests give recorded trees. */
export interface KernelTrees {
  readonly sysfs: string;
  readonly procfs: string;
}

export const KERNEL_TREES: KernelTrees = { sysfs: '/sys', procfs: '/proc' };

/** Every interface of this machine. Link-local IPv6 addresses are left out: a peer cannot use them without a zone. */
export function listInterfaces(trees: KernelTrees = KERNEL_TREES): ListedInterface[] {
  const addresses = networkInterfaces();
  const flags = ipv6Flags(readText(join(trees.procfs, 'net/if_inet6')) ?? '');
  return interfaceNames(trees, Object.keys(addresses)).map((name) => {
    const { facts, up } = readInterface(trees.sysfs, name);
    const found = (addresses[name] ?? []).map(({ address, family, cidr }) => ({
      family: family === 'IPv4' ? ('ipv4' as const) : ('ipv6' as const),
      address: formatAddressBytes(addressBytes(address)),
      prefixLength: Number(cidr?.split('/')[1] ?? (family === 'IPv4' ? 32 : 128)),
    }));
    return {
      name,
      kind: classify(facts),
      label: name,
      addresses: usableAddresses(found, (address) => flags.get(address) ?? 0),
      up: up ?? name in addresses,
      driver: facts.driver,
    };
  });
}

/** `/proc/net/dev` is that of our own network namespace even where `/sys` is another's. */
function interfaceNames(trees: KernelTrees, withAddress: readonly string[]): string[] {
  const lines = (readText(join(trees.procfs, 'net/dev')) ?? '').split('\n').slice(2);
  const names = lines.map((line) => line.split(':', 1)[0]?.trim() ?? '').filter((name) => name !== '');
  return [...new Set([...names, ...withAddress])];
}

const IFF_UP = 1;

/** What `sysfs` says of one interface. `up` is `null` where it says nothing. */
export function readInterface(sysfs: string, name: string): { facts: InterfaceFacts; up: boolean | null } {
  const folder = join(sysfs, 'class/net', name);
  const attribute = (path: string): string | null => readText(join(folder, path))?.trim() ?? null;
  const type = attribute('type');
  const flags = attribute('flags');
  const carrierDown = /^(?:down|lowerlayerdown|notpresent)$/.test(attribute('operstate') ?? '');
  return {
    facts: {
      name,
      type: type === null ? null : Number(type),
      hardware: existsSync(join(folder, 'device')),
      wireless: existsSync(join(folder, 'wireless')) || existsSync(join(folder, 'phy80211')),
      devtype: /^DEVTYPE=(.*)$/m.exec(attribute('uevent') ?? '')?.[1] ?? null,
      driver: linkTarget(join(folder, 'device/driver')),
      modalias: attribute('device/modalias'),
    },
    up: flags === null ? null : (Number(flags) & IFF_UP) !== 0 && !carrierDown,
  };
}

const IFA_TEMPORARY = 0x01;
const IFA_DAD_FAILED = 0x08;
const IFA_DEPRECATED = 0x20;
const IFA_TENTATIVE = 0x40;

/** Flags by canonical address, from `/proc/net/if_inet6`. */
export function ipv6Flags(table: string): Map<string, number> {
  const flags = new Map<string, number>();
  for (const line of table.split('\n')) {
    const [hex = '', , , , flag = ''] = line.trim().split(/\s+/);
    if (!/^[0-9a-f]{32}$/.test(hex)) continue;
    flags.set(formatAddressBytes(fromHex(hex)), Number.parseInt(flag, 16));
  }
  return flags;
}

/** One address for each family and scope, a stable one before a temporary or deprecated one. */
export function usableAddresses(
  addresses: readonly InterfaceAddress[],
  flagsOf: (address: string) => number,
): InterfaceAddress[] {
  const chosen = new Map<string, InterfaceAddress>();
  for (const candidate of addresses) {
    const scope = scopeOf(candidate.address);
    if (scope === 'link-local' && candidate.family === 'ipv6') continue;
    if ((flagsOf(candidate.address) & (IFA_DAD_FAILED | IFA_TENTATIVE)) !== 0) continue;
    const key = `${candidate.family} ${scope}`;
    const present = chosen.get(key);
    if (!present || transience(flagsOf(candidate.address)) < transience(flagsOf(present.address))) {
      chosen.set(key, candidate);
    }
  }
  return [...chosen.values()];
}

function transience(flags: number): number {
  return flags & (IFA_TEMPORARY | IFA_DEPRECATED);
}

/** Throws `interface-option` when `text` is not `NAME[=KIND[:LABEL]]`. */
export function parseInterfaceOption(text: string): InterfaceOption {
  const match = /^([^=\s/]{1,64})(?:=([^:]*)(?::(.*))?)?$/.exec(text);
  if (!match) throw optionError(text, 'it is not NAME, NAME=KIND or NAME=KIND:LABEL');
  const [, name = '', word, label] = match;
  const kind = INTERFACE_KINDS.find((candidate) => candidate === word);
  if (word !== undefined && !kind) throw optionError(text, `"${word}" is no kind`);
  if (label !== undefined && !/^[^\p{C}\s](?:[^\p{C}]{0,62}[^\p{C}\s])?$/u.test(label)) {
    throw optionError(text, 'a label has 1 to 64 printable characters');
  }
  return { name, kind: kind ?? null, label: label ?? null };
}

function optionError(text: string, why: string): IcepathError {
  return new IcepathError(
    'interface-option',
    `--interface ${JSON.stringify(text)}: ${why}`,
    `Write for example --interface wwan0=cellular:o2; the kinds are ${INTERFACE_KINDS.join(', ')}.`,
  );
}

/**
 * The interfaces of a run. Where the user names some, those and no others, also when they are down or have no address;
 * else all that are up, without loopback and what containers made. Throws `interface-unknown`, `interface-twice`.
 */
export function selectInterfaces(
  all: readonly ListedInterface[],
  options: readonly InterfaceOption[],
): HostInterface[] {
  if (options.length === 0) {
    return all.filter(({ name, kind, up }) => up && kind !== 'loopback' && !isContainerPlumbing(name)).map(plain);
  }
  const taken = new Set<string>();
  return options.map(({ name, kind, label }) => {
    const found = all.find((candidate) => candidate.name === name);
    if (!found) {
      const names = all.map((candidate) => candidate.name).join(', ');
      throw new IcepathError(
        'interface-unknown',
        `this machine has no interface ${JSON.stringify(name)}`,
        `Name one of: ${names || 'none was found'}.`,
      );
    }
    if (taken.has(name)) {
      throw new IcepathError('interface-twice', `interface ${name} is named twice`, 'Give each --interface once.');
    }
    taken.add(name);
    return { ...plain(found), kind: kind ?? found.kind, label: label ?? found.label };
  });
}

function plain({ name, kind, label, addresses }: ListedInterface): HostInterface {
  return { name, kind, label, addresses };
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function linkTarget(path: string): string | null {
  try {
    return basename(readlinkSync(path));
  } catch {
    return null;
  }
}
