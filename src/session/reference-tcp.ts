import type { TransportAddress } from '../base/address.js';
import type { Ms } from '../base/time.js';
import type { Host } from './host.js';
import type { PresentInterfaces } from './near-interfaces.js';

const TIMEOUT_MS: Ms = 3000;

/** Whether TCP to the reference works from each interface: what tells "no UDP at all" from "no network" (verdicts.md, `udp-blocked`). */
export class ReferenceTcp {
  readonly #host: Host;
  readonly #interfaces: PresentInterfaces;
  readonly #references: readonly TransportAddress[];
  readonly #pin: boolean;
  #waiting = 0;

  constructor(host: Host, interfaces: PresentInterfaces, references: readonly TransportAddress[], pin: boolean) {
    this.#host = host;
    this.#pin = pin;
    this.#interfaces = interfaces;
    this.#references = references;
  }

  get done(): boolean {
    return this.#waiting === 0;
  }

  /** Once at the beginning, and again with every block of rounds: what UDP and TCP say must be of the same time. */
  try(): void {
    for (const leg of this.#legs()) this.#try(leg);
  }

  /** From the addresses that are there now. */
  #legs(): { readonly interface: string; readonly from: string; readonly to: TransportAddress }[] {
    return (['ipv4', 'ipv6'] as const).flatMap((family) => {
      const to = this.#references.find((reference) => reference.family === family);
      if (!to) return [];
      return this.#interfaces.all.flatMap((on) => {
        const from = on.addresses.find((address) => address.family === family);
        return from ? [{ interface: on.name, from: from.address, to }] : [];
      });
    });
  }

  #try(leg: { readonly interface: string; readonly from: string; readonly to: TransportAddress }): void {
    this.#waiting += 1;
    this.#host.connectTcp({ ...leg, pin: this.#pin, timeoutMs: TIMEOUT_MS }, (code, afterMs) => {
      this.#waiting -= 1;
      const { family } = leg.to;
      this.#host.record({ type: 'tcp', interface: leg.interface, family, to: { ...leg.to }, code, afterMs });
    });
  }
}
