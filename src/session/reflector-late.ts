import type { TransportAddress } from '../base/address.js';
import { NEVER, type Ms } from '../base/time.js';
import type { SocketId } from './io.js';
import { prefixOf } from './reflector-limits.js';

/** docs/decisions/reflector.md: a promise costs memory, so there are few, and few to one customer. */
export const LATE_LIMITS = { all: 4096, perPrefix: 256 } as const;

/** An answer that is due later. */
export interface LateAnswer {
  readonly at: Ms;
  readonly socket: SocketId;
  readonly to: TransportAddress;
  readonly bytes: Uint8Array;
}

/** The answers that a reflector owes, soonest first. */
export class LateAnswers {
  readonly #owed: LateAnswer[] = [];
  readonly #perPrefix = new Map<string, number>();

  get size(): number {
    return this.#owed.length;
  }

  hasRoomFor({ address }: TransportAddress): boolean {
    return this.#owed.length < LATE_LIMITS.all && (this.#perPrefix.get(prefixOf(address)) ?? 0) < LATE_LIMITS.perPrefix;
  }

  add(answer: LateAnswer): void {
    let [low, high] = [0, this.#owed.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#owed[middle]?.at ?? NEVER) <= answer.at) low = middle + 1;
      else high = middle;
    }
    this.#owed.splice(low, 0, answer);
    this.#count(answer, 1);
  }

  deadline(): Ms {
    return this.#owed[0]?.at ?? NEVER;
  }

  /** Takes those that are due. */
  due(now: Ms): LateAnswer[] {
    const later = this.#owed.findIndex(({ at }) => at > now);
    const due = this.#owed.splice(0, later < 0 ? this.#owed.length : later);
    for (const answer of due) this.#count(answer, -1);
    return due;
  }

  #count({ to }: LateAnswer, by: 1 | -1): void {
    const prefix = prefixOf(to.address);
    const left = (this.#perPrefix.get(prefix) ?? 0) + by;
    if (left > 0) this.#perPrefix.set(prefix, left);
    else this.#perPrefix.delete(prefix);
  }
}
