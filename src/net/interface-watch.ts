import { spawn } from 'node:child_process';
import type { HostInterface } from '../base/interface.js';
import { type ListedInterface, listInterfaces } from './interfaces.js';

/** Addresses come in several steps, with a line each; what is gone is told with the first. */
const SETTLE_MS = 50;
/** How often it is looked whether the system has told of everything; all there is where nothing tells. */
const LOOK_MS = 1000;

export interface InterfaceWatchOptions {
  /** The interfaces of the run, as they are. */
  readonly interfaces: readonly HostInterface[];
  /** Which of this machine's a run would take that began now: those that are plugged in are told of, too. None where left out. */
  readonly joins?: (listed: readonly ListedInterface[]) => readonly HostInterface[];
  /** All of them, when an address came or went. */
  readonly onChange: (interfaces: readonly HostInterface[]) => void;
  /** Tests stand in. */
  readonly list?: () => readonly ListedInterface[];
}

/**
 * Tells when an interface of a run gains or loses an address, or goes up or down, and when there is another (`ip monitor`,
 * rtnetlink(7); where there is no `ip`, by looking every second). Gives how to end it.
 */
export function watchInterfaces(options: InterfaceWatchOptions): () => void {
  const { joins, onChange, list = listInterfaces } = options;
  let { interfaces } = options;
  // What the system does not know as the run has it (addresses of a test, say) cannot be watched.
  const first = asTheyAre(interfaces, list());
  const watched = new Set(
    interfaces.filter((on, n) => same(on.addresses, first[n]?.addresses)).map(({ name }) => name),
  );
  if (watched.size === 0 && !joins) return () => undefined;
  let known = interfaces;
  let settling: NodeJS.Timeout | null = null;
  const tell = (now: readonly HostInterface[]): void => {
    if (same(now, known)) return;
    known = now;
    onChange(now);
  };
  const listed = (): readonly HostInterface[] => {
    const all = list();
    for (const on of joins?.(all) ?? []) {
      if (on.addresses.length === 0 || interfaces.some(({ name }) => name === on.name)) continue;
      interfaces = [...interfaces, on];
      watched.add(on.name);
    }
    const present = asTheyAre(interfaces, all);
    return interfaces.map((on, index) => (watched.has(on.name) ? (present[index] ?? on) : on));
  };
  const look = (): void => {
    settling = null;
    tell(listed());
  };
  const monitor = spawn('ip', ['-o', 'monitor', 'link', 'address'], { stdio: ['ignore', 'pipe', 'ignore'] });
  // Without `ip` there is the timer.
  monitor.on('error', () => undefined);
  monitor.stdout.on('data', () => {
    if (settling) return;
    // Data that flow over an address that is gone should not wait.
    tell(stillThere(known, listed()));
    settling = setTimeout(look, SETTLE_MS);
  });
  monitor.unref();
  const timer = setInterval(look, LOOK_MS);
  return () => {
    clearInterval(timer);
    if (settling) clearTimeout(settling);
    monitor.stdout.destroy();
    monitor.kill();
  };
}

/** The run's interfaces with the addresses that they have now: none of what is down, or pulled out. */
function asTheyAre(interfaces: readonly HostInterface[], listed: readonly ListedInterface[]): readonly HostInterface[] {
  const present = new Map(listed.map((on) => [on.name, on.addresses]));
  return interfaces.map((on) => ({ ...on, addresses: present.get(on.name) ?? [] }));
}

/** Of what was known, what is there still: nothing that is new. */
export function stillThere(known: readonly HostInterface[], now: readonly HostInterface[]): readonly HostInterface[] {
  return known.map((on, index) => ({
    ...on,
    addresses: on.addresses.filter((address) => now[index]?.addresses.some((other) => same(address, other)) === true),
  }));
}

const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);
