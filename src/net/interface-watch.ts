import { type ChildProcess, spawn } from 'node:child_process';
import type { HostInterface } from '../base/interface.js';
import { type ListedInterface, listInterfaces } from './interfaces.js';

/** Addresses come in several steps, with a line each; what is gone is told with the first. */
const SETTLE_MS = 50;
/** How often it is looked whether the system has told of everything; all there is where nothing tells. */
const LOOK_MS = 1000;

const MONITOR = ['ip', '-o', 'monitor', 'link', 'address'];
/** util-linux: so that it ends with us, also where we are killed; by itself it notes that only when it has more to tell. */
const WITH_US = ['setpriv', '--pdeathsig', 'KILL'];

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
  const endMonitor = monitor(() => {
    if (settling) return;
    // Data that flow over an address that is gone should not wait.
    tell(stillThere(known, listed()));
    settling = setTimeout(look, SETTLE_MS);
  });
  const timer = setInterval(look, LOOK_MS);
  return () => {
    clearInterval(timer);
    if (settling) clearTimeout(settling);
    endMonitor();
  };
}

/** Calls back when the system tells of a change; gives how to end that. Without `ip` it never does: there is the timer. */
function monitor(onData: () => void): () => void {
  let hasEnded = false;
  let child: ChildProcess;
  const start = (commands: readonly (readonly string[])[]): void => {
    const [[program = '', ...args] = [], ...others] = commands;
    const one = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    child = one;
    const next = (): void => {
      if (!hasEnded && child === one && others.length > 0) start(others);
    };
    one.on('error', next).on('exit', next);
    one.stdout.on('data', onData);
    one.unref();
  };
  start([[...WITH_US, ...MONITOR], MONITOR]);
  return () => {
    hasEnded = true;
    child.stdout?.destroy();
    child.kill();
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
