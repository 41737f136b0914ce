import { type Backlog, fastest, type Scheduler, type SchedulablePath, usable } from './scheduler.js';

const one = (path: SchedulablePath | undefined): readonly number[] => (path === undefined ? [] : [path.id]);

/** The fastest path that has room. */
export class LowestRtt implements Scheduler {
  readonly name = 'lowest-rtt';

  choose(paths: readonly SchedulablePath[]): readonly number[] {
    return one(fastest(usable(paths).filter(({ canSend }) => canSend)));
  }
}

/** Each path that has room in its turn. */
export class RoundRobin implements Scheduler {
  readonly name = 'round-robin';
  #last = -1;

  choose(paths: readonly SchedulablePath[]): readonly number[] {
    const ready = usable(paths)
      .filter(({ canSend }) => canSend)
      .sort((left, right) => left.id - right.id);
    const next = ready.find(({ id }) => id > this.#last) ?? ready[0];
    this.#last = next?.id ?? this.#last;
    return one(next);
  }
}

/** The same datagram on every path that has room: the first to arrive counts. */
export class Redundant implements Scheduler {
  readonly name = 'redundant';

  choose(paths: readonly SchedulablePath[]): readonly number[] {
    return usable(paths)
      .filter(({ canSend }) => canSend)
      .map(({ id }) => id);
  }
}

/** One path alone, the one with the lowest id that works; the others wait until it may be dead. */
export class Backup implements Scheduler {
  readonly name = 'backup';

  choose(paths: readonly SchedulablePath[]): readonly number[] {
    const [first] = [...usable(paths)].sort((left, right) => left.id - right.id);
    return first?.canSend === true ? [first.id] : [];
  }
}

/**
 * As BLEST (Ferlin et al., IFIP Networking 2016): the fastest path, and a slower one only where what it takes will not
 * hold up the far end. While a datagram is under way on the slow path, the fast one could send X bytes; where they
 * do not fit into what the far end takes, the slow one would block it, and waiting for the fast one is better.
 */
export class Blest implements Scheduler {
  readonly name = 'blest';
  /** How much of the estimate is believed: the λ of the paper, without its correction. */
  readonly #weight: number;

  constructor(weight = 1) {
    this.#weight = weight;
  }

  choose(paths: readonly SchedulablePath[], { creditBytes }: Backlog): readonly number[] {
    const candidates = usable(paths);
    const best = fastest(candidates);
    if (best === undefined || best.canSend) return one(best);
    const second = fastest(candidates.filter(({ canSend }) => canSend));
    if (second === undefined) return [];
    const rounds = Math.max(1, second.smoothedRttMs / best.smoothedRttMs);
    // The window of the fast path grows by a datagram in each round trip.
    const sendable = (best.congestionWindowBytes + ((rounds - 1) / 2) * best.datagramBytes) * rounds;
    const free = creditBytes - second.bytesInFlight - second.datagramBytes;
    return this.#weight * sendable > free ? [] : [second.id];
  }
}
