import { CONTROL_ARM, PLAIN_ARM } from '../src/mutation/names.js';
import type { ByteRange } from '../src/mutation/differences.js';
import type { PacketSpec } from '../src/mutation/trial-packet.js';
import { combinationsOf } from '../src/verdict/fields.js';
import {
  compareKinds,
  joined,
  keptOf,
  nameOf,
  sizeOf,
  smallestChanges,
  triggerOf,
  type TriggerFinding,
  WHOLE,
  without,
} from '../src/verdict/findings/trigger.js';
import { type Direction, DIRECTIONS } from '../src/verdict/words.js';
import { type Kind, type KindRules, KindsLab } from './kinds-lab.js';
import type { PeerBench } from './peer-bench.js';
import type { Experiment } from './probe.js';

const MOST_VOLLEYS = 48;
/** Sets of bytes that are each enough. */
const MOST_SETS = 3;

/** STUN's header by fields (RFC 8489 §5), the attributes by quarters. */
const PIECES: readonly ByteRange[] = [
  { at: 0, end: 1 },
  { at: 1, end: 2 },
  { at: 2, end: 4 },
  { at: 4, end: 8 },
  { at: 8, end: 20 },
  { at: 20, end: 42 },
  { at: 42, end: 64 },
  { at: 64, end: 86 },
  { at: 86, end: WHOLE.end },
];

/**
 * Which bytes set a filter off? Begins with plain STUN that dies behind controls, and puts random bytes in the place of
 * one piece after another (delta debugging, Zeller and Hildebrandt 2002): what still dies without a piece does not need
 * it, what passes does, and is halved. STUN must then pass with random bytes in any piece of what was found; where it
 * still dies something else is enough as well, and is searched among the rest (dualize and advance, Gunopulos et al.
 * 2003). At the end both ways: random bytes with what was found in them, and STUN with random bytes there instead.
 */
export function* triggerBytes(bench: PeerBench): Experiment<TriggerFinding | null> {
  const lab = new KindsLab(bench, RULES);
  yield* lab.prove(DIRECTIONS.map((direction) => kindOf(direction, [WHOLE], { arm: PLAIN_ARM })));
  const first = triggerOf(lab.trials);
  if (!first) return null;
  const { direction, failing } = first;
  const sets: (readonly ByteRange[])[] = [];
  while (sets.length < MOST_SETS && lab.volleys < MOST_VOLLEYS) {
    const changes = smallestChanges(sets);
    const answers = yield* lab.ask(changes.map((gone) => randomised(direction, gone)));
    const vain = changes.find((_, index) => answers[index] === 'fails');
    const found = vain && (yield* smallest(lab, direction, without([WHOLE], vain)));
    if (!found) break;
    sets.push(found);
    yield* lab.prove([
      kindOf(direction, found, { arm: CONTROL_ARM, graft: { from: PLAIN_ARM, bytes: found } }),
      randomised(direction, sets.flat()),
    ]);
  }
  // What may be told of them, in both directions where STUN dies in both; and that less is not enough.
  const told = smallestChanges(sets).flatMap(combinationsOf);
  const once = new Map(told.filter(({ length }) => length > 0).map((gone) => [nameOf(gone), gone]));
  yield* lab.prove([...once.values()].flatMap((gone) => failing.map((there) => randomised(there, gone))));
  return triggerOf(lab.trials);
}

/** The smallest part of these bytes of STUN that still dies; `null` where that could not be told. */
function* smallest(
  lab: KindsLab,
  direction: Direction,
  start: readonly ByteRange[],
): Experiment<readonly ByteRange[] | null> {
  let kept = start;
  const elsewhere = without([WHOLE], start);
  let pieces = PIECES.flatMap((piece) => without([piece], elsewhere));
  /** What was left out together, each piece of which could be left out alone: from what, and which. */
  let last: {
    readonly kept: readonly ByteRange[];
    readonly pieces: readonly ByteRange[];
    readonly gone: readonly ByteRange[];
  } | null = null;
  while (lab.volleys < MOST_VOLLEYS) {
    const [whole, ...each] = yield* lab.ask(
      [kept, ...pieces.map((piece) => without(kept, [piece]))].map((those) =>
        randomised(direction, without([WHOLE], those)),
      ),
    );
    if (whole !== 'fails') {
      // Each was superfluous while the others were there: only one of them goes.
      const [first, ...others] = last?.gone ?? [];
      if (!last || !first || others.length === 0) return null;
      kept = without(last.kept, [first]);
      pieces = [...last.pieces, ...others];
      last = null;
      continue;
    }
    const gone = pieces.filter((_, index) => each[index] === 'fails');
    const needed = pieces.filter((_, index) => each[index] !== 'fails');
    last = { kept, pieces: needed, gone };
    kept = without(kept, gone);
    if (gone.length === 0 && needed.every((piece) => sizeOf([piece]) === 1)) return kept;
    pieces = needed.flatMap(halves);
  }
  return null;
}

function halves({ at, end }: ByteRange): ByteRange[] {
  if (end - at === 1) return [{ at, end }];
  const middle = (at + end) >> 1;
  return [
    { at, end: middle },
    { at: middle, end },
  ];
}

/** A packet in which these bytes of STUN are left. */
function kindOf(direction: Direction, bytes: readonly ByteRange[], packet: Partial<PacketSpec>): Kind {
  return { direction, name: nameOf(joined(bytes)), packet };
}

/** STUN with random bytes in these places. */
function randomised(direction: Direction, bytes: readonly ByteRange[]): Kind {
  return kindOf(
    direction,
    without([WHOLE], bytes),
    bytes.length === 0 ? { arm: PLAIN_ARM } : { arm: PLAIN_ARM, graft: { from: CONTROL_ARM, bytes } },
  );
}

const RULES: KindRules = {
  nameOf(packet) {
    const bytes = keptOf(packet);
    return bytes && nameOf(bytes);
  },
  outcome: (trials, direction, name) =>
    compareKinds(trials, direction).find((kind) => nameOf(kind.kept) === name)?.outcome ?? 'undecided',
};
