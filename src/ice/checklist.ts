import { NEVER, type Ms } from '../base/time.js';
import type { Pair } from './pair.js';
import { backoff, type IceTiming } from './timing.js';
import type { PairState } from './types.js';

export interface ChecklistOptions {
  /** RFC 8445 §6.1.2.5. */
  readonly mostPairs: number;
  /** Requests on a pair before it is given up. */
  readonly checksPerPair: number;
  /** Whether a pair that is valid gets the rest of its checks too. */
  readonly sampling: boolean;
  readonly timing: IceTiming;
  /** Told of every change of state, after it. */
  readonly moved: (pair: Pair, from: PairState) => void;
}

/** Checks that the far end's own checks may trigger on a pair that does not come up, as a multiple of its share. */
const TRIGGERED_SHARE = 3;
/** Sends refused in a row after which a pair is given up. */
const MOST_REFUSALS = 3;

/** The pairs in order of priority, and which of them is checked next (RFC 8445 §6.1.2 and §6.1.4.2). */
export class Checklist {
  readonly #options: ChecklistOptions;
  readonly #byId = new Map<string, Pair>();
  readonly #triggered = new Set<Pair>();
  #pairs: Pair[] = [];
  #closed = false;

  constructor(options: ChecklistOptions) {
    this.#options = options;
  }

  /** Highest priority first. */
  pairs(): readonly Pair[] {
    return this.#pairs;
  }

  find(id: string): Pair | undefined {
    return this.#byId.get(id);
  }

  /**
   * Takes a pair in, or refuses it: RFC 8445 §6.1.2.5 leaves the lowest priorities out. An `urgent` pair, one that the
   * far end was heard on, displaces any other that was not.
   */
  add(pair: Pair, urgent: boolean): boolean {
    if (this.#byId.has(pair.id)) return false;
    if (this.#pairs.length >= this.#options.mostPairs) {
      const displaced = this.#pairs.findLast((other) => isIdle(other) || (urgent && other.state === 'failed'));
      if (!displaced || (!urgent && displaced.priority >= pair.priority)) return false;
      this.remove(displaced);
    }
    this.#byId.set(pair.id, pair);
    this.#pairs.push(pair);
    pair.stopped = this.#closed;
    this.sort();
    this.#settle(pair.foundation);
    return true;
  }

  remove(pair: Pair): void {
    this.#byId.delete(pair.id);
    this.#triggered.delete(pair);
    this.#pairs = this.#pairs.filter((other) => other !== pair);
  }

  /** To be called when priorities have changed. */
  sort(): void {
    this.#pairs.sort((left, right) => (left.priority < right.priority ? 1 : left.priority > right.priority ? -1 : 0));
  }

  /** Only `pair` goes on (RFC 8445 §8.1.2); the others keep the state that they have. */
  close(pair: Pair): void {
    this.#closed = true;
    this.#triggered.clear();
    for (const other of this.#pairs) other.stopped = other !== pair;
  }

  move(pair: Pair, to: PairState): void {
    const from = pair.move(to);
    if (from === null) return;
    if (to === 'failed') {
      this.#triggered.delete(pair);
      pair.dueAt = NEVER;
    }
    this.#options.moved(pair, from);
    if (to === 'succeeded') this.#settle(pair.foundation);
  }

  /** RFC 8445 §7.3.1.4: the pair is checked before all others. */
  trigger(pair: Pair): void {
    const share = TRIGGERED_SHARE * this.#options.checksPerPair;
    if (pair.stopped || pair.lost || (!pair.valid && (pair.checks >= share || pair.refusals >= MOST_REFUSALS))) return;
    if (pair.state === 'frozen' || pair.state === 'failed') this.move(pair, 'waiting');
    this.#triggered.add(pair);
  }

  get hasTriggered(): boolean {
    return this.#triggered.size > 0;
  }

  /** Whether {@link next} has a pair that the far end was just heard on, or that was never checked. */
  get isUrgent(): boolean {
    return this.#triggered.size > 0 || this.#fresh() !== undefined;
  }

  /** The pair whose check goes out now: triggered, then never checked, then unanswered for long enough. */
  next(now: Ms): Pair | undefined {
    for (const pair of this.#triggered) {
      this.#triggered.delete(pair);
      return pair;
    }
    const fresh = this.#fresh();
    if (fresh?.state === 'frozen') this.move(fresh, 'waiting');
    if (fresh) return fresh;
    return this.#pairs
      .filter((pair) => pair.dueAt <= now && this.#wantsMore(pair))
      .reduce<Pair | undefined>((first, pair) => (first && first.dueAt <= pair.dueAt ? first : pair), undefined);
  }

  /** When {@link next} will have something. */
  due(): Ms {
    if (this.isUrgent) return 0;
    return this.#earliest((pair) => this.#wantsMore(pair));
  }

  /** A check of this pair went out. */
  sent(pair: Pair, now: Ms): void {
    const { timing } = this.#options;
    pair.checks += 1;
    pair.requestsSent += 1;
    if (pair.nominating) pair.nominations += 1;
    if (!pair.valid) this.move(pair, 'in-progress');
    const patience = backoff(timing.rtoMs, timing.rtoMaxMs, pair.nominating ? pair.nominations : pair.checks);
    pair.dueAt = now + (pair.valid && !pair.nominating ? timing.sampleMs : patience);
  }

  /** The kernel refused a check. */
  refused(pair: Pair): void {
    pair.checks -= 1;
    pair.requestsSent -= 1;
    pair.refusals += 1;
    if (!pair.valid && pair.state === 'in-progress' && pair.refusals >= MOST_REFUSALS) this.move(pair, 'failed');
  }

  /** Gives up the pairs that had all their checks, and the time to answer the last. */
  expire(now: Ms): Pair[] {
    const expired = this.#pairs.filter((pair) => this.#isExhausted(pair) && pair.dueAt <= now);
    for (const pair of expired) this.move(pair, 'failed');
    return expired;
  }

  /** When {@link expire} will have something. */
  expiry(): Ms {
    return this.#earliest((pair) => this.#isExhausted(pair));
  }

  /** How many checks are still to be sent. */
  remaining(): number {
    const share = this.#options.checksPerPair;
    return this.#pairs.reduce((sum, pair) => sum + (isUndecided(pair) ? Math.max(0, share - pair.checks) : 0), 0);
  }

  /** Whether every pair has had its checks. */
  isDone(): boolean {
    return this.#pairs.every((pair) => pair.stopped || (!isUndecided(pair) && !this.#wantsMore(pair)));
  }

  #earliest(counts: (pair: Pair) => boolean): Ms {
    let first = NEVER;
    for (const pair of this.#pairs) if (pair.dueAt < first && counts(pair)) first = pair.dueAt;
    return first;
  }

  #fresh(): Pair | undefined {
    return (
      this.#pairs.find((pair) => pair.state === 'waiting' && !pair.stopped) ??
      this.#pairs.find((pair) => pair.state === 'frozen' && !pair.stopped && !this.#isHeldBack(pair))
    );
  }

  #wantsMore(pair: Pair): boolean {
    if (pair.stopped || pair.lost) return false;
    if (pair.nominating) return true;
    const started = pair.state === 'in-progress' || (pair.state === 'succeeded' && this.#options.sampling);
    return started && pair.checks < this.#options.checksPerPair && pair.refusals < MOST_REFUSALS;
  }

  #isExhausted(pair: Pair): boolean {
    return pair.state === 'in-progress' && !pair.stopped && !this.#triggered.has(pair) && !this.#wantsMore(pair);
  }

  #mates(pair: Pair): Pair[] {
    return this.#pairs.filter((other) => other !== pair && other.foundation === pair.foundation);
  }

  /**
   * A frozen pair waits for the pair of its foundation that is being checked (§6.1.4.2), but not for its end, which is
   * seconds away when that one is dead: only until it was checked twice.
   */
  #isHeldBack(pair: Pair): boolean {
    return this.#mates(pair).some(
      ({ state, checks }) => state === 'waiting' || (state === 'in-progress' && checks < 2),
    );
  }

  /** §6.1.2.6 and §7.2.5.3.3: the best of a foundation waits and the others are frozen, until one has succeeded. */
  #settle(foundation: string): void {
    const mates = this.#pairs.filter((pair) => pair.foundation === foundation);
    const succeeded = mates.some(({ state }) => state === 'succeeded');
    const active = mates.some((pair) => pair.state === 'in-progress' || this.#triggered.has(pair));
    mates
      .filter((pair) => isIdle(pair) && !this.#triggered.has(pair))
      .forEach((pair, rank) => {
        this.move(pair, succeeded || (rank === 0 && !active) ? 'waiting' : 'frozen');
      });
  }
}

/** Neither asked nor heard. */
function isIdle(pair: Pair): boolean {
  return (pair.state === 'frozen' || pair.state === 'waiting') && !pair.probed && pair.requestsReceived === 0;
}

export function isUndecided({ state }: Pair): boolean {
  return state === 'frozen' || state === 'waiting' || state === 'in-progress';
}
