import type { TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { NEVER, type Ms } from '../base/time.js';
import type { Host } from './host.js';

/** Tries lie apart, so that they fall into the same seconds as the rounds of the matrix. */
const TRIES = 3;
const EVERY_MS: Ms = 2000;
const TIMEOUT_MS: Ms = 3000;

/** Whether TCP to the reference works from each interface: what tells "no UDP at all" from "no network" (verdicts.md, `udp-blocked`). */
export class ReferenceTcp {
  readonly #host: Host;
  readonly #legs: readonly { readonly interface: string; readonly from: string; readonly to: TransportAddress }[];
  readonly #pin: boolean;
  #left = TRIES;
  #waiting = 0;
  #next: Ms = NEVER;

  constructor(host: Host, interfaces: readonly HostInterface[], references: readonly TransportAddress[], pin: boolean) {
    this.#host = host;
    this.#pin = pin;
    this.#legs = (['ipv4', 'ipv6'] as const).flatMap((family) => {
      const to = references.find((reference) => reference.family === family);
      if (!to) return [];
      return interfaces.flatMap((on) => {
        const from = on.addresses.find((address) => address.family === family);
        return from ? [{ interface: on.name, from: from.address, to }] : [];
      });
    });
  }

  get done(): boolean {
    return this.#legs.length === 0 || (this.#left === 0 && this.#waiting === 0);
  }

  begin(): void {
    if (this.#legs.length > 0) this.#next = this.#host.now;
  }

  deadline(): Ms {
    return this.#next;
  }

  timeout(): void {
    if (this.#next > this.#host.now) return;
    this.#left -= 1;
    this.#next = this.#left > 0 ? this.#host.now + EVERY_MS : NEVER;
    for (const leg of this.#legs) this.#try(leg);
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
