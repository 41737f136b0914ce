import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ms } from '../../src/base/time.js';
import type { LinkOptions } from '../../src/world/link.js';
import type { NetworkNode } from '../../src/world/network.js';
import type { TunHost } from '../../src/world/kernel/tun-host.js';
import { TunWorld } from './tun-world.js';

export const NEAR = '10.0.0.2';
export const FAR = '192.0.2.10';

/** Two hosts, `near` and `far`, and a cable, or two cables and a box between them. */
export interface LinkWorld {
  readonly world: TunWorld;
  readonly near: TunHost;
  readonly far: TunHost;
}

/** Runs `measure` on two hosts with a link between them, and takes everything down afterwards. */
export async function onLink<Result>(
  there: LinkOptions,
  back: LinkOptions,
  measure: (between: LinkWorld) => Promise<Result>,
  box?: NetworkNode,
): Promise<Result> {
  const world = new TunWorld();
  try {
    const [near, far] = [world.host('near', NEAR), world.host('far', FAR)];
    const [first, last] = [
      { node: near, port: 'net0' },
      { node: far, port: 'net0' },
    ];
    if (box) {
      world.network.connect(first, { node: box, port: 'inside' }, there, back);
      world.network.connect({ node: box, port: 'outside' }, last);
    } else world.network.connect(first, last, there, back);
    world.start();
    return await measure({ world, near, far });
  } finally {
    await world.close();
  }
}

export interface Pings {
  readonly sent: number;
  readonly received: number;
  /** Of round trips: a tenth of them took no longer, half of them took no longer. */
  readonly quickMs: Ms;
  readonly medianMs: Ms;
}

/** `ping`, as the kernel of `near` times it. */
export async function ping({ world, near }: LinkWorld, count: number, intervalMs: Ms): Promise<Pings> {
  const { stdout } = await world.run(
    near,
    'ping',
    ...['-n', '-c', `${count}`, '-i', `${intervalMs / 1000}`, '-W', '1', FAR],
  );
  const times = [...stdout.matchAll(/ time=([\d.]+) ms/g)].map(([, time]) => Number(time)).sort((a, b) => a - b);
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  const [quickMs = Number.NaN, medianMs = Number.NaN] = [0.1, 0.5].map(
    (part) => times[Math.floor(times.length * part)],
  );
  return { sent: Number(sent), received: Number(received), quickMs, medianMs };
}

export interface Iperf {
  /** Payload that arrived, in bits a second. */
  readonly receivedBps: number;
  /** UDP: of so many packets that were sent. */
  readonly packets: number;
  readonly lost: number;
}

interface IperfResult {
  readonly error?: string;
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number };
    readonly sum?: { readonly packets: number; readonly lost_packets: number };
  };
}

/** `iperf3` from `near` to `far`, with these options besides. */
export async function iperf({ world, near, far }: LinkWorld, ...options: readonly string[]): Promise<Iperf> {
  world.spawn(far, 'iperf3', '--server', '--one-off');
  await listens(far, 'tcp6', 5201);
  const { stdout } = await world.run(near, 'iperf3', '--client', FAR, '--json', ...options);
  const { error, end } = JSON.parse(stdout) as IperfResult;
  if (error !== undefined) throw new Error(error);
  const { packets = 0, lost_packets: lost = 0 } = end.sum ?? {};
  return { receivedBps: end.sum_received.bits_per_second, packets, lost };
}

/** Until a socket on that port is there, as the kernel tells it of the host's namespace. */
export async function listens(host: TunHost, table: 'tcp6' | 'udp' | 'udp6', port: number): Promise<void> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  for (let tries = 0; tries < 500; tries += 1) {
    if (host.run(() => readFileSync(`/proc/thread-self/net/${table}`, 'utf8')).includes(wanted)) return;
    await sleep(20);
  }
  throw new Error(`nobody listens on port ${port}`);
}
