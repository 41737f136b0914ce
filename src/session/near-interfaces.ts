import type { HostInterface } from '../base/interface.js';
import type { Host } from './host.js';
import { translated, withAddresses, withPrefix } from './nat64.js';
import type { PathNames } from './path-names.js';

/** What a run's parts ask before they open a socket: addresses come and go under a run. */
export interface PresentInterfaces {
  readonly all: readonly HostInterface[];
}

/**
 * This host's interfaces of a run, with the addresses that they have now. Those that are plugged in under way are of the
 * run from then on; the far end, which knows others from the greeting, is told of them.
 */
export class NearInterfaces implements PresentInterfaces {
  readonly #host: Host;
  readonly #paths: PathNames;
  #all: readonly HostInterface[];
  /** Those that have had an address. */
  readonly #had: Set<string>;

  constructor(host: Host, interfaces: readonly HostInterface[], paths: PathNames) {
    this.#host = host;
    this.#paths = paths;
    this.#all = interfaces;
    this.#had = new Set(interfaces.filter(({ addresses }) => addresses.length > 0).map(({ name }) => name));
  }

  get all(): readonly HostInterface[] {
    return this.#all;
  }

  /** Tells the record of interfaces that have nothing to begin with. */
  begin(): void {
    for (const { name, addresses } of this.#all) {
      if (addresses.length > 0) continue;
      const detail = `${name} has no usable address`;
      this.#host.record({ type: 'not-gathered', interface: name, family: 'ipv4', reason: 'no-address', detail });
    }
  }

  /** Takes what the interfaces have from now on; whether anything is other than it was. */
  change(now: readonly HostInterface[]): boolean {
    const before = this.#all;
    const told = new Map(now.map((on) => [on.name, on]));
    this.#all = before.map((known) => this.#changed(known, told.get(known.name)?.addresses ?? []));
    for (const on of now) if (!before.some(({ name }) => name === on.name)) this.#meet(on);
    this.#host.translated = this.#all;
    return this.#all.length > before.length || this.#all.some((on, index) => on !== before[index]);
  }

  /** Whether an interface still has an address. */
  has(name: string, address: string): boolean {
    return this.#all.some((on) => on.name === name && on.addresses.some((own) => own.address === address));
  }

  #changed(known: HostInterface, addresses: HostInterface['addresses']): HostInterface {
    // The first addresses that an interface gets say whether it is one behind NAT64.
    const isFirst = !this.#had.has(known.name);
    const plain = isFirst ? withPrefix({ ...known, addresses }) : { ...known, addresses };
    const on = isFirst ? this.#lend(plain) : withAddresses(known, addresses);
    if (textOf(on) === textOf(known)) return known;
    this.#tell(plain, isFirst && plain.nat64 !== undefined);
    return on;
  }

  /** One that was not there; without an address it is not worth a word yet. */
  #meet(on: HostInterface): void {
    if (on.addresses.length === 0) return;
    const plain = withPrefix(on);
    if (this.#tell(plain, true)) this.#all = [...this.#all, this.#lend(plain)];
  }

  /** Both records, and the far end: first what there is, then its candidates. False where a run has too many already. */
  #tell(plain: HostInterface, isNew: boolean): boolean {
    const { name, kind, label, addresses, nat64 } = plain;
    this.#had.add(name);
    const learnt = this.#paths.learn('near', plain);
    if (learnt === 'refused') {
      this.#host.complain('interface.refused', { interface: name });
      return false;
    }
    const added = isNew ? { added: { kind, label, ...(nat64 && { nat64 }) } } : {};
    this.#host.record({ type: 'interface', interface: name, addresses: [...addresses], ...added });
    this.#host.log('info', learnt === 'new' ? 'interface.added' : 'interface.changed', {
      interface: name,
      addresses: textOf(plain),
    });
    if (learnt !== 'nothing') this.#host.message({ type: 'interface', interface: plain });
    return true;
  }

  #lend(plain: HostInterface): HostInterface {
    const lent = this.#all.filter(({ nat64 }) => nat64 !== undefined).length;
    return translated([plain], lent)[0] ?? plain;
  }
}

/** One address a family: what the matrix, the NAT model and the reference are tried from. */
export function firstAddresses(on: HostInterface): HostInterface['addresses'] {
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => on.addresses.find((address) => address.family === family) ?? [],
  );
}

const textOf = ({ addresses }: HostInterface): string => addresses.map(({ address }) => address).join(' ');
