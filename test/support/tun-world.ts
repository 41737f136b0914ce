import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { SeededRandom } from '../../src/base/random.js';
import type { HostDescription } from '../../src/world/internet.js';
import { Pump } from '../../src/world/kernel/pump.js';
import { TunHost } from '../../src/world/kernel/tun-host.js';
import { Network } from '../../src/world/network.js';

export interface ProgramOutput {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A world of a test's own between hosts with a kernel's stack each, and programs that run on them. */
export class TunWorld {
  readonly network = new Network(new SeededRandom('tun world'));
  readonly #hosts: TunHost[] = [];
  readonly #children = new Set<ChildProcess>();
  #pump: Pump | null = null;

  /** With one interface, `net0`, and a default route there. */
  host(name: string, ...addresses: readonly string[]): TunHost {
    const family = addresses[0]?.includes(':') === true ? 'ipv6' : 'ipv4';
    const prefixLength = family === 'ipv4' ? 32 : 128;
    const description: HostDescription = {
      name,
      interfaces: [
        {
          name: 'net0',
          kind: 'other',
          label: name,
          pointToPoint: true,
          addresses: addresses.map((address) => ({ family, address, prefixLength })),
        },
      ],
      routes: [{ to: family === 'ipv4' ? '0.0.0.0/0' : '::/0', interface: 'net0' }],
    };
    const host = new TunHost(description);
    this.#hosts.push(host);
    return host;
  }

  /** Call it when everything is wired. */
  start(): void {
    this.#pump = new Pump(this.network, this.#hosts);
    this.#pump.run().catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  }

  /** Starts a program, which ends with the world, and with this process, however that ends. */
  spawn(host: TunHost, program: string, ...args: readonly string[]): ChildProcess {
    const child = host.run(() =>
      spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  /** Runs a program to its end. */
  async run(host: TunHost, program: string, ...args: readonly string[]): Promise<ProgramOutput> {
    const child = this.spawn(host, program, ...args);
    const told = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream]?.setEncoding('utf8').on('data', (text: string) => (told[stream] += text));
    const [exit] = (await once(child, 'close')) as [number | null];
    return { exit, ...told };
  }

  async close(): Promise<void> {
    const ended = [...this.#children].map((child) => once(child, 'close'));
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(ended);
    this.#pump?.stop();
    for (const host of this.#hosts) host.close();
  }
}
