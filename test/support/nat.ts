import { formatTransportAddress, type TransportAddress } from '../../src/base/address.js';
import { integerBetween, type Random } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';

/** RFC 4787 behaviours; `linux`: conntrack, which an early inbound packet spoils unless such packets are dropped. */
export type NatBehaviour =
  | { readonly kind: 'none' }
  | { readonly kind: 'firewall'; readonly filtering: 'eif' | 'adf' | 'apdf' }
  | {
      readonly kind: 'rfc4787';
      readonly mapping: 'eim' | 'adm' | 'apdm';
      readonly filtering: 'eif' | 'adf' | 'apdf';
      readonly preserves: boolean;
      /** Each new mapping's port is so much above the last one's. */
      readonly step?: number;
      /** RFC 4787 §4.2.2. */
      readonly keepsParity?: boolean;
      /** Ports are drawn from here on, so many. */
      readonly block?: readonly [from: number, ports: number];
      /** Mappings to different destinations may have one outside port, as with Linux. */
      readonly overloads?: true;
      /** More outside addresses, any of which a mapping may get. */
      readonly pool?: readonly string[];
      readonly hairpin?: 'external' | 'internal';
      /** Mappings that have sent nothing for so long are gone. */
      readonly lifetimeMs?: Ms;
    }
  | { readonly kind: 'linux'; readonly guarded: boolean };

interface Flow {
  readonly inside: TransportAddress | null;
  readonly outside: TransportAddress;
  readonly contacted: TransportAddress[];
  usedAt: Ms;
}

/** A NAT in the few lines that its definition takes, so that what a probe says can be compared with what is so. */
export class SimulatedNat {
  readonly #behaviour: NatBehaviour;
  readonly #address: string;
  readonly #random: Random;
  readonly #flows = new Map<string, Flow>();
  readonly #now: () => Ms;
  #next = 30_000;

  constructor(behaviour: NatBehaviour, address: string, random: Random, now: () => Ms = () => 0) {
    this.#now = now;
    this.#behaviour = behaviour;
    this.#address = address;
    this.#random = random;
  }

  /** The source that the packet has outside. */
  outbound(from: TransportAddress, to: TransportAddress): TransportAddress {
    const behaviour = this.#behaviour;
    if (behaviour.kind === 'none') return from;
    const key = `${formatTransportAddress(from)} ${this.#part(to)}`;
    let flow = this.#flows.get(key);
    if (!flow || this.#isOver(flow)) {
      this.#flows.delete(key);
      this.#flows.set(key, (flow = { inside: from, outside: this.#allocate(from, to), contacted: [], usedAt: 0 }));
    }
    flow.usedAt = this.#now();
    if (!flow.contacted.some((address) => sameText(address, to))) flow.contacted.push(to);
    return flow.outside;
  }

  /** Where inside the packet goes; `null`: nowhere. */
  inbound(from: TransportAddress, to: TransportAddress): TransportAddress | null {
    const behaviour = this.#behaviour;
    if (behaviour.kind === 'none') return to;
    const flows = [...this.#flows.values()].filter(
      (flow) => !this.#isOver(flow) && flow.outside.address === to.address && flow.outside.port === to.port,
    );
    const known = flows.find(({ contacted }) => contacted.some((address) => this.#admits(address, from)));
    if (known) return known.inside;
    if (behaviour.kind === 'linux') {
      // Conntrack makes the packet a flow of the box's own, unless a rule on input drops it first.
      if (!behaviour.guarded) this.#flows.set(`early ${formatTransportAddress(from)} ${to.port}`, early(from, to));
      return null;
    }
    return behaviour.filtering === 'eif' ? (flows[0]?.inside ?? null) : null;
  }

  /** Where inside a packet from inside to one of its own outside addresses goes, and the source that it then has. */
  hairpin(
    from: TransportAddress,
    to: TransportAddress,
  ): readonly [from: TransportAddress, to: TransportAddress] | null {
    const behaviour = this.#behaviour;
    const outside = this.outbound(from, to);
    if (behaviour.kind !== 'rfc4787' || behaviour.hairpin === undefined) return null;
    const inside = this.inbound(outside, to);
    return inside && [behaviour.hairpin === 'external' ? outside : from, inside];
  }

  isOwn(address: string): boolean {
    const { pool = [] } = this.#behaviour.kind === 'rfc4787' ? this.#behaviour : {};
    return address === this.#address || pool.includes(address);
  }

  #isOver({ usedAt }: Flow): boolean {
    const { lifetimeMs } = this.#behaviour.kind === 'rfc4787' ? this.#behaviour : {};
    return lifetimeMs !== undefined && this.#now() - usedAt >= lifetimeMs;
  }

  #admits(contacted: TransportAddress, from: TransportAddress): boolean {
    const byPort =
      this.#behaviour.kind === 'linux' || ('filtering' in this.#behaviour && this.#behaviour.filtering === 'apdf');
    return contacted.address === from.address && (!byPort || contacted.port === from.port);
  }

  #part(to: TransportAddress): string {
    switch (this.#behaviour.kind) {
      case 'linux':
        return formatTransportAddress(to);
      case 'rfc4787':
        return { eim: '', adm: to.address, apdm: formatTransportAddress(to) }[this.#behaviour.mapping];
      default:
        return '';
    }
  }

  #allocate(from: TransportAddress, to: TransportAddress): TransportAddress {
    if (this.#behaviour.kind === 'firewall') return from;
    const preserved = { ...from, address: this.#address };
    const overloads = this.#behaviour.kind === 'linux' || 'overloads' in this.#behaviour;
    const free = (outside: TransportAddress): boolean =>
      ![...this.#flows.values()].some(
        (flow) =>
          flow.outside.port === outside.port && (!overloads || flow.contacted.some((address) => sameText(address, to))),
      );
    const preserves =
      this.#behaviour.kind === 'linux' || (this.#behaviour.kind === 'rfc4787' && this.#behaviour.preserves);
    const drawn = (): TransportAddress => this.#drawn(preserved);
    let outside = preserves ? preserved : drawn();
    while (!free(outside)) outside = drawn();
    return outside;
  }

  #drawn(preserved: TransportAddress): TransportAddress {
    const { step, keepsParity, block, pool = [] } = this.#behaviour.kind === 'rfc4787' ? this.#behaviour : {};
    const [from, ports] = block ?? [1024, 0xffff - 1023];
    const address = [this.#address, ...pool][integerBetween(this.#random, 0, pool.length)] ?? this.#address;
    if (step !== undefined) return { ...preserved, address, port: (this.#next += step) };
    let port = integerBetween(this.#random, from, from + ports - 1);
    while (keepsParity === true && port % 2 !== preserved.port % 2) {
      port = integerBetween(this.#random, from, from + ports - 1);
    }
    return { ...preserved, address, port };
  }
}

function early(from: TransportAddress, to: TransportAddress): Flow {
  return { inside: null, outside: to, contacted: [from], usedAt: 0 };
}

function sameText(left: TransportAddress, right: TransportAddress): boolean {
  return formatTransportAddress(left) === formatTransportAddress(right);
}
