import { formatTransportAddress, type TransportAddress } from '../../src/base/address.js';
import { integerBetween, type Random } from '../../src/base/random.js';

/** RFC 4787 behaviours; `linux`: conntrack, which an early inbound packet spoils unless such packets are dropped. */
export type NatBehaviour =
  | { readonly kind: 'none' }
  | { readonly kind: 'firewall'; readonly filtering: 'eif' | 'adf' | 'apdf' }
  | {
      readonly kind: 'rfc4787';
      readonly mapping: 'eim' | 'adm' | 'apdm';
      readonly filtering: 'eif' | 'adf' | 'apdf';
      readonly preserves: boolean;
    }
  | { readonly kind: 'linux'; readonly guarded: boolean };

interface Flow {
  readonly inside: TransportAddress | null;
  readonly outside: TransportAddress;
  readonly contacted: TransportAddress[];
}

/** A NAT in the few lines that its definition takes, so that what a probe says can be compared with what is so. */
export class SimulatedNat {
  readonly #behaviour: NatBehaviour;
  readonly #address: string;
  readonly #random: Random;
  readonly #flows = new Map<string, Flow>();

  constructor(behaviour: NatBehaviour, address: string, random: Random) {
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
    if (!flow) this.#flows.set(key, (flow = { inside: from, outside: this.#allocate(from, to), contacted: [] }));
    if (!flow.contacted.some((address) => sameText(address, to))) flow.contacted.push(to);
    return flow.outside;
  }

  /** Where inside the packet goes; `null`: nowhere. */
  inbound(from: TransportAddress, to: TransportAddress): TransportAddress | null {
    const behaviour = this.#behaviour;
    if (behaviour.kind === 'none') return to;
    const flows = [...this.#flows.values()].filter(
      ({ outside }) => outside.address === to.address && outside.port === to.port,
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
    const free = (outside: TransportAddress): boolean =>
      ![...this.#flows.values()].some(
        (flow) =>
          flow.outside.port === outside.port &&
          (this.#behaviour.kind !== 'linux' || flow.contacted.some((address) => sameText(address, to))),
      );
    const preserves =
      this.#behaviour.kind === 'linux' || (this.#behaviour.kind === 'rfc4787' && this.#behaviour.preserves);
    const drawn = (): TransportAddress => ({ ...preserved, port: integerBetween(this.#random, 1024, 0xffff) });
    let outside = preserves ? preserved : drawn();
    while (!free(outside)) outside = drawn();
    return outside;
  }
}

function early(from: TransportAddress, to: TransportAddress): Flow {
  return { inside: null, outside: to, contacted: [from] };
}

function sameText(left: TransportAddress, right: TransportAddress): boolean {
  return formatTransportAddress(left) === formatTransportAddress(right);
}
