import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { errorCode, IcepathError } from '../../base/errors.js';
import type { InterfaceAddress } from '../../base/interface.js';
import { inNetworkNamespace, type NetworkNamespace, newNetworkNamespace } from '../../os/namespace.js';
import { openTun, type Tun } from '../../os/tun.js';
import { Reassembler } from '../fragments.js';
import type { HostDescription } from '../internet.js';
import { encodePacket, parsePacket } from '../ip-codec.js';
import type { Network, NetworkNode, Plug } from '../network.js';
import type { Packet } from '../packet.js';
import {
  addressBatches,
  batchArguments,
  type Batches,
  defaultRouteBatches,
  hostBatches,
  interfaceBatches,
} from './host-setup.js';

const IP_TIMEOUT_MS = 10_000;

/** Where `ip` may be although PATH does not say so. */
export const ENVIRONMENT: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`,
  LC_ALL: 'C',
};

/**
 * A host of the world with a kernel's own stack behind it: a network namespace of this process alone, and a TUN device
 * for each interface. Nothing of it outlives the process.
 */
export class TunHost implements NetworkNode {
  readonly name: string;
  readonly interfaces: HostDescription['interfaces'];
  readonly tuns: readonly Tun[];
  #description: HostDescription;
  readonly #namespace: NetworkNamespace;
  readonly #plugs = new Map<string, Plug>();
  readonly #reassembler = new Reassembler();
  #network: Network | null = null;

  /** Throws an `IcepathError` where the machine does not allow it; then nothing is left of it. */
  constructor(description: HostDescription) {
    this.name = description.name;
    this.interfaces = description.interfaces;
    this.#description = description;
    this.#namespace = newNetworkNamespace();
    const tuns: Tun[] = [];
    this.tuns = tuns;
    try {
      for (const { name, pointToPoint = false } of description.interfaces)
        tuns.push(openTun(name, this.#namespace.path, pointToPoint ? 'ip' : 'ethernet'));
      this.run(() => {
        setReversePathFilter('all', 0);
        for (const { name, rpFilter = 0 } of description.interfaces) setReversePathFilter(name, rpFilter);
      });
      this.#configure(hostBatches(description));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Runs `run`, which must be synchronous, in the host's namespace: what it spawns belongs there. */
  run<Result>(run: () => Result): Result {
    return inNetworkNamespace(this.#namespace.path, run);
  }

  /** `ip link set … up|down`, and what a network manager does when it comes up again. */
  setUp(name: string, up: boolean): void {
    const down = { ipv4: [`link set dev ${name} down`], ipv6: [] };
    this.#configure(up ? interfaceBatches(this.#description, name) : down);
  }

  /** Other addresses from now on, with the routes that a network manager sets for them. */
  setAddresses(name: string, addresses: readonly InterfaceAddress[]): void {
    this.#description = {
      ...this.#description,
      interfaces: this.#description.interfaces.map((on) => (on.name === name ? { ...on, addresses } : on)),
    };
    this.#configure(addressBatches(this.#description, name));
  }

  /** Its default routes go, or are put back. */
  setDefaultRoutes(name: string, there: boolean): void {
    this.#configure(defaultRouteBatches(this.#description, name, there));
  }

  plugIn(port: string, plug: Plug, network: Network): void {
    this.#plugs.set(port, plug);
    this.#network = network;
  }

  /** From the world to the kernel. */
  receive(packet: Packet, port: string): void {
    this.#tun(port)?.write(encodePacket(packet));
  }

  /** From the kernel to the world; `false`: nothing waits on the device. What the world does not know is lost. */
  forward(tun: Tun): boolean {
    const bytes = tun.read();
    if (bytes === null) return false;
    const whole = this.#reassembler.push(bytes, this.#network?.now ?? 0);
    const packet = whole && parsePacket(whole);
    if (packet !== null && typeof packet !== 'string') this.#plugs.get(tun.name)?.send(packet);
    return true;
  }

  close(): void {
    for (const tun of this.tuns) tun.close();
    this.#namespace.close();
  }

  #tun(name: string): Tun | undefined {
    return this.tuns.find((tun) => tun.name === name);
  }

  #configure(batches: Batches): void {
    for (const family of ['ipv4', 'ipv6'] as const) {
      if (batches[family].length > 0)
        this.run(() => {
          ip(batchArguments(family), `${batches[family].join('\n')}\n`);
        });
    }
  }
}

function ip(args: readonly string[], input: string): void {
  try {
    execFileSync('ip', args, { input, env: ENVIRONMENT, timeout: IP_TIMEOUT_MS, stdio: 'pipe' });
  } catch (error) {
    const told = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new IcepathError(
      'lab-host-setup',
      `a host of the lab cannot be set up: ${told.replaceAll('\n', '; ')}`,
      'Use --backend virtual, which needs nothing of the kernel; icepath doctor tells what this machine has.',
      { cause: error },
    );
  }
}

/** The tree shows the namespace of whoever opens it. A container may have it read-only: often it is right already. */
function setReversePathFilter(name: string, value: 0 | 1 | 2): void {
  const file = `/proc/sys/net/ipv4/conf/${name}/rp_filter`;
  if (Number(readFileSync(file, 'utf8')) === value) return;
  try {
    writeFileSync(file, String(value));
  } catch (error) {
    throw new IcepathError(
      'lab-host-setup',
      `a host of the lab cannot be set up: ${file} cannot be written: ${errorCode(error)}`,
      'Give the container a writable /proc/sys (--privileged), or use --backend virtual.',
      { cause: error },
    );
  }
}
