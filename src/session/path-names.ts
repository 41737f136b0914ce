import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Role } from '../verdict/words.js';
import { pathFamily } from './nat64.js';
import { pathId } from './record.js';

/** Which path packets between two interfaces belong to, by what both ends said of their interfaces. */
export class PathNames {
  readonly #role: Role;
  readonly #near: ReadonlyMap<string, HostInterface>;
  readonly #far: ReadonlyMap<string, HostInterface>;

  /** The interfaces as they are: without the addresses that NAT64 lends them. */
  constructor(role: Role, near: readonly HostInterface[], far: readonly HostInterface[]) {
    this.#role = role;
    this.#near = new Map(near.map((on) => [on.name, on]));
    this.#far = new Map(far.map((on) => [on.name, on]));
  }

  /** `family`: of the packets as our sockets have them. `null`: these two have no such path. */
  idOf(near: string, far: string, family: Family): string | null {
    const [left, right] = [this.#near.get(near), this.#far.get(far)];
    // What the far end did not name cannot be through NAT64 either.
    const of = left && right ? pathFamily(left, right, family) : family;
    if (of === null) return null;
    return this.#role === 'client' ? pathId(near, far, of) : pathId(far, near, of);
  }
}
