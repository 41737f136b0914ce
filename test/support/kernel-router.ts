import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { inNetworkNamespace, type NetworkNamespace, newNetworkNamespace } from '../../src/os/namespace.js';
import { type Tun, openTun } from '../../src/os/tun.js';
import { across, type Side } from '../../src/world/box.js';
import { encodePacket, parsePacket } from '../../src/world/ip-codec.js';
import type { Packet } from '../../src/world/packet.js';
import { type Emission, MTU_BYTES } from './packet-script.js';

export interface KernelRouterOptions {
  /** `ip` commands that give addresses and routes to the devices `inside` and `outside`. */
  readonly ip: readonly string[];
  /** By their names under /proc/sys. */
  readonly sysctls: Readonly<Record<string, number>>;
  /** In nft's own language. */
  readonly ruleset: string;
}

/** The kernel as a router between two TUN devices that this process holds. Nothing of it outlives the process. */
export class KernelRouter {
  readonly #namespace: NetworkNamespace = newNetworkNamespace();
  readonly #tuns: Readonly<Record<Side, Tun>>;

  constructor({ ip, sysctls, ruleset }: KernelRouterOptions) {
    const { path } = this.#namespace;
    this.#tuns = { inside: openTun('inside', path), outside: openTun('outside', path) };
    try {
      for (const family of ['ipv4', 'ipv6']) this.#sysctl(`net/${family}/conf/all/forwarding`, 1);
      for (const which of ['all', 'inside', 'outside']) this.#sysctl(`net/ipv4/conf/${which}/rp_filter`, 0);
      // No link-local addresses: nobody is there to talk to about the link.
      for (const side of ['inside', 'outside'])
        this.#run('ip', `link set ${side} mtu ${MTU_BYTES} addrgenmode none up`);
      for (const command of ip) this.#run('ip', command);
      this.#run('nft', '-f -', ruleset);
      for (const [name, value] of Object.entries(sysctls)) this.#sysctl(name, value);
      this.#drain('inside');
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A TUN device hands a packet to the kernel and gets it back within one system call: whatever is not there now is dropped. */
  pass(packet: Packet, from: Side): Emission[] {
    if (!this.#tuns[from].write(encodePacket(packet))) throw new Error(`the kernel does not take ${packet.protocol}`);
    return this.#drain(from);
  }

  #drain(from: Side): Emission[] {
    const emissions: Emission[] = [];
    for (const to of [across(from), from]) {
      for (let bytes = this.#tuns[to].read(); bytes; bytes = this.#tuns[to].read()) {
        const packet = parsePacket(bytes);
        if (typeof packet !== 'string') emissions.push({ packet, to });
        else if (packet !== 'unsupported')
          throw new Error(`${packet} from the kernel: ${Buffer.from(bytes).toString('hex')}`);
      }
    }
    return emissions;
  }

  #run(program: string, words: string, input = ''): void {
    inNetworkNamespace(this.#namespace.path, () => execFileSync(program, words.split(' '), { input, stdio: 'pipe' }));
  }

  #sysctl(name: string, value: number): void {
    inNetworkNamespace(this.#namespace.path, () => {
      writeFileSync(`/proc/sys/${name}`, String(value));
    });
  }

  close(): void {
    for (const tun of Object.values(this.#tuns)) tun.close();
    this.#namespace.close();
  }
}
