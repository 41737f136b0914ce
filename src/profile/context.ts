import type { TransportAddress } from '../base/address.js';
import { Queue } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import { transactionKey } from '../stun/message.js';
import { type Keys, newTransactionId } from './messages.js';
import type { Profile } from './schema.js';
import type { CallRole, PlayEvent, PlayOutput, ProfileBase } from './types.js';

interface Timer {
  readonly at: Ms;
  readonly run: () => void;
}

/** What the parts of a player share: the profile, the time, and what they want of the world. */
export class Context {
  readonly profile: Profile;
  readonly role: CallRole;
  readonly keys: Keys;
  readonly random: Random;
  readonly outputs = new Queue<PlayOutput>();
  now: Ms = 0;
  readonly #timers: Timer[] = [];

  constructor(options: Pick<Context, 'profile' | 'role' | 'keys' | 'random'>) {
    this.profile = options.profile;
    this.role = options.role;
    this.keys = options.keys;
    this.random = options.random;
  }

  /** In order of time; of one time in the order of asking. */
  at(at: Ms, run: () => void): void {
    let index = this.#timers.length;
    while (index > 0 && (this.#timers[index - 1]?.at ?? 0) > at) index -= 1;
    this.#timers.splice(index, 0, { at, run });
  }

  runDue(): void {
    for (let [next] = this.#timers; next && next.at <= this.now; [next] = this.#timers) {
      this.#timers.shift();
      next.run();
    }
  }

  deadline(): Ms {
    return this.#timers[0]?.at ?? NEVER;
  }

  clear(): void {
    this.#timers.length = 0;
  }

  send(base: ProfileBase, to: TransportAddress, bytes: Uint8Array): void {
    this.outputs.push({ type: 'send', base: base.id, to, bytes });
  }

  tell(
    what: PlayEvent['what'],
    base: ProfileBase | null,
    far: string | null = null,
    more: Pick<PlayEvent, 'on' | 'ms'> = {},
  ): void {
    const event = { what, interface: base?.interface ?? null, far, family: base?.address.family ?? null, ...more };
    this.outputs.push({ type: 'event', event });
  }

  transaction(): { readonly id: Uint8Array; readonly key: string } {
    const id = newTransactionId(this.random);
    return { id, key: transactionKey(id) };
  }
}
