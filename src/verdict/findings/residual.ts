import type { Ms } from '../../base/time.js';
import { FILTERED_SHARE } from '../direction.js';
import { boundary, fisher } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';
import { byFlow, isControl } from './behind-control.js';

/** When the trigger leaves, and from when controls count as sent after it: from the first packet of the same end on. */
export const TRIGGER_MS: Ms = 270;
const AFTER_MS: Ms = TRIGGER_MS + 50;
/** A dead tuple counts where one that was never triggered lived within so much of the same moment. */
const BESIDE_MS: Ms = 500;

interface Lived {
  readonly n: number;
  readonly k: number;
}

/** Whether a trigger takes what follows on its tuple with it, and for how long. */
export interface ResidualFinding {
  /** Tuples that lived on, after a trigger and without one, by the direction that the trigger went. */
  readonly triggered: Readonly<Record<Direction, Lived>>;
  readonly untouched: Readonly<Record<Direction, Lived>>;
  /** Where it does. */
  readonly blocks: readonly Direction[];
  /** Flows that a trigger killed there, and flows that lived without one. */
  readonly burnt: readonly number[];
  readonly living: readonly number[];
  /**
   * The last time that a triggered tuple was dead beside a living one, and the first that one lived again; both after
   * the trigger. `null`: never.
   */
  readonly deadAtMs: Ms | null;
  readonly aliveAtMs: Ms | null;
  /** The middle between the two. */
  readonly seconds: number | null;
}

/** Of the trials of `probes/residual.ts`; `null` where there are none. */
export function residualBlock(trials: readonly Trial[]): ResidualFinding | null {
  if (trials.length === 0) return null;
  const tuples = [...byFlow(trials).values()].flatMap((flow) => tupleOf(flow) ?? []);
  const count = (isTriggered: boolean): Record<Direction, Lived> => {
    const of = (direction: Direction): Lived => {
      const own = tuples.filter((tuple) => tuple.direction === direction && tuple.isTriggered === isTriggered);
      return { n: own.length, k: own.filter(({ livedAtFirst }) => livedAtFirst).length };
    };
    return { up: of('up'), down: of('down') };
  };
  const triggered = count(true);
  const untouched = count(false);
  const blocks = DIRECTIONS.filter((direction) => {
    const [burnt, fresh] = [triggered[direction], untouched[direction]];
    const p = fisher(burnt, fresh) * DIRECTIONS.length;
    return p <= boundary(burnt.n) && burnt.k <= FILTERED_SHARE * fresh.k;
  });
  const burnt = tuples.filter((one) => one.isTriggered && !one.livedAtFirst && blocks.includes(one.direction));
  const living = tuples.filter((one) => !one.isTriggered && one.livedAtFirst);
  const numbers = (of: readonly Tuple[]): number[] => of.map(({ flow }) => flow);
  return { triggered, untouched, blocks, burnt: numbers(burnt), living: numbers(living), ...spanOf(burnt, living) };
}

/** A look at a tuple: the controls of both ends at about one moment. */
interface Look {
  readonly afterMs: Ms;
  /** On the clock of whoever sent the first of them. */
  readonly at: Ms;
  readonly from: Direction;
  readonly lived: boolean;
}

interface Tuple {
  readonly flow: number;
  readonly direction: Direction;
  readonly isTriggered: boolean;
  readonly livedAtFirst: boolean;
  readonly looks: readonly Look[];
}

/** `null` where the kernel did not take the trigger, or nothing was sent after it. */
function tupleOf(flow: readonly Trial[]): Tuple | null {
  const began = new Map<Direction, Ms>();
  for (const { direction, at } of flow) began.set(direction, Math.min(at, began.get(direction) ?? Infinity));
  // The two ends' clocks begin apart; what they sent first on the flow they sent together.
  const since = ({ direction, at }: Trial): Ms => at - (began.get(direction) ?? 0);
  // The trigger, or the control in its place, is the last that was sent before the first look.
  const tried = flow
    .filter((trial) => trial.to === 'peer' && since(trial) < AFTER_MS)
    .reduce<Trial | null>((last, trial) => (last && since(last) > since(trial) ? last : trial), null);
  if (!tried?.sent) return null;
  const triggerMs = since(tried);
  const looks: (Omit<Look, 'lived'> & { lived: boolean })[] = [];
  const after = flow.filter((trial) => isControl(trial) && trial.sent && since(trial) >= AFTER_MS);
  for (const trial of after.sort((left, right) => since(left) - since(right))) {
    const last = looks.at(-1);
    const afterMs = since(trial) - triggerMs;
    if (last && afterMs - last.afterMs < BESIDE_MS / 2) last.lived ||= trial.received;
    else looks.push({ afterMs, at: trial.at, from: trial.direction, lived: trial.received });
  }
  const [first] = looks;
  if (!first) return null;
  return {
    flow: tried.flow,
    direction: tried.direction,
    isTriggered: !isControl(tried),
    livedAtFirst: first.lived,
    looks,
  };
}

function spanOf(
  burnt: readonly Tuple[],
  living: readonly Tuple[],
): Pick<ResidualFinding, 'deadAtMs' | 'aliveAtMs' | 'seconds'> {
  const beside = living.flatMap((tuple) => tuple.looks.filter(({ lived }) => lived));
  const isBeside = ({ at, from }: Look): boolean =>
    beside.some((look) => look.from === from && Math.abs(look.at - at) <= BESIDE_MS);
  const looks = burnt.flatMap((tuple) => tuple.looks);
  const alive = looks.filter(({ lived }) => lived).map(({ afterMs }) => afterMs);
  const aliveAtMs = alive.length > 0 ? alive.reduce((least, ms) => Math.min(least, ms)) : null;
  const dead = looks
    .filter((look) => !look.lived && look.afterMs < (aliveAtMs ?? Infinity) && isBeside(look))
    .map(({ afterMs }) => afterMs);
  const deadAtMs = dead.length > 0 ? dead.reduce((most, ms) => Math.max(most, ms)) : null;
  return { deadAtMs, aliveAtMs, seconds: aliveAtMs === null ? null : ((deadAtMs ?? 0) + aliveAtMs) / 2000 };
}
