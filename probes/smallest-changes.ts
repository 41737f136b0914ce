import { combinationsOf } from '../src/verdict/fields.js';
import type { Answer } from './kinds-lab.js';
import type { Experiment } from './probe.js';

/** How packets with a set of changes fare, wherever the unchanged one dies. */
export interface Tries<Change> {
  /** Quick answers, one a set. */
  readonly ask: (sets: readonly (readonly Change[])[]) => Experiment<readonly Answer[]>;
  /** Answers that may be told. */
  readonly prove: (sets: readonly (readonly Change[])[]) => Experiment<void>;
}

/**
 * The smallest sets of changes that let a packet pass: each change alone; if all that are not enough alone are enough
 * together, then these two by two, and so on. What holds a set that passes already is not asked. At the end each set that
 * passes is proven, and with it that no part of it does.
 *
 * A whole factorial of five fields has 32 packets. A filter that looks for several things at once, or for one of several,
 * passes more the more is changed, so most of them need not be sent; where one is not so, a set is missed, none is wrong.
 */
export function* smallestChanges<Change>(changes: readonly Change[], { ask, prove }: Tries<Change>): Experiment<void> {
  const passing: (readonly Change[])[] = [];
  const alone = changes.map((change) => [change]);
  const answers = yield* ask(alone);
  passing.push(...alone.filter((_, index) => answers[index] === 'passes'));
  const others = changes.filter((_, index) => answers[index] !== 'passes');
  const [together] = others.length > 1 ? yield* ask([others]) : [];
  for (let size = 2; together === 'passes' && size <= others.length; size += 1) {
    const sets = combinationsOf(others).filter(
      (set) => set.length === size && !passing.some((known) => known.every((change) => set.includes(change))),
    );
    const found = yield* ask(sets);
    passing.push(...sets.filter((_, index) => found[index] === 'passes'));
  }
  const parts = passing.flatMap((set) => combinationsOf(set)).filter((set) => set.length > 0);
  yield* prove(parts.filter((set, index) => parts.findIndex((other) => isSame(other, set)) === index));
}

function isSame<Item>(left: readonly Item[], right: readonly Item[]): boolean {
  return left.length === right.length && left.every((item) => right.includes(item));
}
