import type { Family, TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { Host } from './host.js';
import { firstAddresses, type PresentInterfaces } from './near-interfaces.js';
import { NatMeasurement } from './nat.js';

export interface NatsOptions {
  readonly interfaces: PresentInterfaces;
  readonly references: readonly TransportAddress[];
  readonly pin: boolean;
  readonly deep: boolean;
}

/**
 * The NAT models of this host's interfaces: one for each address that the matrix uses. Behind another address there may be
 * another NAT, and behind one that came back, too: it is measured anew, and what was measured before speaks for no
 * verdict any more.
 */
export class Nats {
  readonly #host: Host;
  readonly #options: NatsOptions;
  readonly #measured = new Map<string, { readonly address: string; readonly nat: NatMeasurement }>();

  constructor(host: Host, options: NatsOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Measures what is there and is not measured yet, and leaves alone what is gone. */
  change(): void {
    const { interfaces, references, pin, deep } = this.#options;
    const present = interfaces.all.flatMap((on) =>
      firstAddresses(on).map((own) => ({ on, own, key: `${on.name} ${own.family}` })),
    );
    for (const [key, { address, nat }] of this.#measured) {
      if (present.some((one) => one.key === key && one.own.address === address)) continue;
      nat.stop();
      this.#measured.delete(key);
    }
    for (const { on, own, key } of present) {
      if (this.#measured.has(key)) continue;
      const nat = new NatMeasurement(this.#host, on, own, references, pin, deep);
      this.#measured.set(key, { address: own.address, nat });
      nat.begin();
    }
  }

  /** Whether nothing is left that a verdict waits for; with `deep`, nothing at all. */
  get done(): boolean {
    const { deep } = this.#options;
    return this.#all.every(({ done, busy }) => done && !(deep && busy));
  }

  portsOf(on: HostInterface, family: Family): readonly number[] {
    return this.#all.flatMap((nat) => nat.portsOf(on, family));
  }

  /** The TTL of openers from there, where they help. */
  openerTtl(on: string, family: Family): number | null {
    return this.#all.find((nat) => nat.measures(on, family))?.openerTtl ?? null;
  }

  deadline(): Ms {
    return this.#all.reduce((first, nat) => earliest(first, nat.deadline()), NEVER);
  }

  timeout(): void {
    for (const nat of this.#all) nat.timeout();
  }

  get #all(): readonly NatMeasurement[] {
    return [...this.#measured.values()].map(({ nat }) => nat);
  }
}
