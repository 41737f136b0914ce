import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Role } from '../verdict/words.js';
import { pathFamily } from './nat64.js';
import { LATE_INTERFACES_MAX, pathId } from './record.js';

/** What came of telling of an interface: it was not known, or not with all those families; or there are too many. */
export type Learnt = 'new' | 'more' | 'nothing' | 'refused';

/** Which path packets between two interfaces belong to, by what both ends said of their interfaces. */
export class PathNames {
  readonly #role: Role;
  readonly #known: Readonly<Record<'near' | 'far', Map<string, HostInterface>>>;
  readonly #late = { near: 0, far: 0 };

  /** The interfaces as they are: without the addresses that NAT64 lends them. */
  constructor(role: Role, near: readonly HostInterface[], far: readonly HostInterface[]) {
    this.#role = role;
    this.#known = {
      near: new Map(near.map((on) => [on.name, on])),
      far: new Map(far.map((on) => [on.name, on])),
    };
  }

  /** An interface has these addresses now. A family that it had keeps its paths, also while it has no address of it. */
  learn(side: 'near' | 'far', on: HostInterface): Learnt {
    const all = this.#known[side];
    const before = all.get(on.name);
    if (!before) {
      if (this.#late[side] >= LATE_INTERFACES_MAX) return 'refused';
      this.#late[side] += 1;
    } else if (before.addresses.length > 0) {
      const more = on.addresses.filter(({ family }) => !before.addresses.some((own) => own.family === family));
      if (more.length === 0) return 'nothing';
      all.set(on.name, { ...before, addresses: [...before.addresses, ...more] });
      return 'more';
    } else if (on.addresses.length === 0) return 'nothing';
    all.set(on.name, on);
    return before ? 'more' : 'new';
  }

  /** `family`: of the packets as our sockets have them. `null`: these two have no such path. */
  idOf(near: string, far: string, family: Family): string | null {
    const [left, right] = [this.#known.near.get(near), this.#known.far.get(far)];
    // What the far end did not name cannot be through NAT64 either.
    const of = left && right ? pathFamily(left, right, family) : family;
    if (of === null) return null;
    return this.#role === 'client' ? pathId(near, far, of) : pathId(far, near, of);
  }
}
