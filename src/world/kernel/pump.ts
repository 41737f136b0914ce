import { getPriority, setPriority } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Ms } from '../../base/time.js';
import { pollTuns, type Tun } from '../../os/tun.js';
import type { Network } from '../network.js';
import type { TunHost } from './tun-host.js';

/** So long the loop may wait before children's output, signals and timers of this process get their turn. */
const MOST_WAIT_MS: Ms = 4;
/** From one device before the others get their turn. */
const BATCH = 64;
/** Of nice(2), -20 to 19. */
const FIRST = -10;

/** The worlds that are moved now. One loop for all: each would wait for its own devices while others' packets come. */
const pumps = new Set<Pump>();
let isTurning = false;
let ownPriority = 0;

/** Moves packets between the kernel and the world, whose clock goes with the real one. */
export class Pump {
  readonly tuns: readonly Tun[];
  readonly #network: Network;
  readonly #devices: readonly { readonly host: TunHost; readonly tun: Tun }[];
  readonly #startedAt: Ms;
  #failed: (error: unknown) => void = () => undefined;

  constructor(network: Network, hosts: readonly TunHost[]) {
    this.#network = network;
    this.#devices = hosts.flatMap((host) => host.tuns.map((tun) => ({ host, tun })));
    this.tuns = this.#devices.map(({ tun }) => tun);
    this.#startedAt = performance.now() - network.now;
  }

  /** Rejects when the world threw; settles in no other way. */
  run(): Promise<never> {
    return new Promise<never>((_resolve, reject) => {
      this.#failed = reject;
      pumps.add(this);
      if (!isTurning) start();
    });
  }

  stop(): void {
    pumps.delete(this);
  }

  /** How long nothing happens in the world by itself. */
  get restMs(): Ms {
    return this.#network.nextAt - this.#now();
  }

  /** Lets happen what is due, and takes what the devices in `ready` have. */
  move(ready: ReadonlySet<Tun>): void {
    try {
      this.#network.runUntil(this.#now());
      for (const { host, tun } of this.#devices) {
        for (let count = 0; ready.has(tun) && count < BATCH && host.forward(tun); count += 1);
      }
      this.#network.runUntil(this.#now());
    } catch (error) {
      this.stop();
      this.#failed(error);
    }
  }

  #now(): Ms {
    return performance.now() - this.#startedAt;
  }
}

function start(): void {
  isTurning = true;
  ownPriority = getPriority();
  putFirst(process.pid);
  setImmediate(turn);
}

/**
 * Packets must not wait for other programs: on a busy machine a cable of half a millisecond would take fifty. For the
 * main thread of a process; where it is not allowed, things go on without.
 */
export function putFirst(pid: number, priority = FIRST): void {
  try {
    setPriority(pid, priority);
  } catch {
    // A container may forbid it.
  }
}

function turn(): void {
  isTurning = pumps.size > 0;
  if (!isTurning) {
    putFirst(process.pid, ownPriority);
    return;
  }
  const all = [...pumps];
  const waitMs = Math.min(MOST_WAIT_MS, ...all.map(({ restMs }) => restMs));
  const ready = new Set(
    pollTuns(
      all.flatMap(({ tuns }) => tuns),
      waitMs,
    ),
  );
  for (const pump of all) pump.move(ready);
  setImmediate(turn);
}
