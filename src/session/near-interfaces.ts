import type { HostInterface } from '../base/interface.js';
import type { Host } from './host.js';
import { withAddresses } from './nat64.js';

/** What a run's parts ask before they open a socket: addresses come and go under a run. */
export interface PresentInterfaces {
  readonly all: readonly HostInterface[];
}

/** This host's interfaces of a run, with the addresses that they have now. */
export class NearInterfaces implements PresentInterfaces {
  readonly #host: Host;
  #all: readonly HostInterface[];

  constructor(host: Host, interfaces: readonly HostInterface[]) {
    this.#host = host;
    this.#all = interfaces;
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
    const told = new Map(now.map((on) => [on.name, on.addresses]));
    let changed = false;
    this.#all = this.#all.map((known) => {
      const addresses = told.get(known.name) ?? [];
      const on = withAddresses(known, addresses);
      if (textOf(on) === textOf(known)) return known;
      changed = true;
      this.#host.record({ type: 'interface', interface: on.name, addresses: [...addresses] });
      this.#host.log('info', 'interface.changed', { interface: on.name, addresses: textOf(on) });
      return on;
    });
    this.#host.translated = this.#all;
    return changed;
  }

  /** Whether an interface still has an address. */
  has(name: string, address: string): boolean {
    return this.#all.some((on) => on.name === name && on.addresses.some((own) => own.address === address));
  }
}

/** One address a family: what the matrix, the NAT model and the reference are tried from. */
export function firstAddresses(on: HostInterface): HostInterface['addresses'] {
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => on.addresses.find((address) => address.family === family) ?? [],
  );
}

const textOf = ({ addresses }: HostInterface): string => addresses.map(({ address }) => address).join(' ');
