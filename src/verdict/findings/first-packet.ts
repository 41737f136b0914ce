import { FILTERED_SHARE, passesOften } from '../direction.js';
import { boundary, fisher } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';
import { behindControls, byFlow, type Compared, compareBehind, isControl } from './behind-control.js';

/** Flows that began with STUN, or with a control: how many of `n` let later controls through. */
interface Lived {
  readonly n: number;
  readonly k: number;
}

/** What plain STUN does behind a control, and what it does to a flow that it begins; by the direction that it goes. */
export interface FirstPacketFinding {
  readonly behind: Readonly<Record<Direction, Compared>>;
  readonly first: Readonly<
    Record<
      Direction,
      {
        readonly stun: Lived;
        readonly control: Lived;
        readonly p: number;
        readonly outcome: 'kills' | 'lives' | 'undecided';
      }
    >
  >;
  /** Where plain STUN itself dies, whoever opened the flow. */
  readonly filtered: readonly Direction[];
  /** Where it passes behind a control, and a flow that it begins is dead: a flow is judged by its first packet. */
  readonly decides: readonly Direction[];
}

/** Of the trials of `probes/first-packet.ts`; `null` where there are none. */
export function firstPacket(trials: readonly Trial[]): FirstPacketFinding | null {
  if (trials.length === 0) return null;
  const samples = behindControls(trials);
  const beginnings = [...byFlow(trials).values()].flatMap((flow) => beginningOf(flow) ?? []);
  const behind = both((direction) =>
    compareBehind(
      samples.filter((sample) => sample.direction === direction),
      DIRECTIONS.length,
    ),
  );
  const first = both((direction) => {
    const of = (isStun: boolean): Lived => {
      const flows = beginnings.filter((one) => one.direction === direction && one.isStun === isStun);
      return { n: flows.length, k: flows.filter(({ lived }) => lived).length };
    };
    const stun = of(true);
    const control = of(false);
    const p = Math.min(1, fisher(stun, control) * DIRECTIONS.length);
    const kills = p <= boundary(stun.n) && stun.k <= FILTERED_SHARE * control.k;
    const lives = passesOften({ sent: stun.n, received: stun.k });
    const outcome = kills ? 'kills' : lives ? 'lives' : 'undecided';
    return { stun, control, p, outcome } as const;
  });
  return {
    behind,
    first,
    filtered: DIRECTIONS.filter((direction) => behind[direction].outcome === 'fails'),
    decides: DIRECTIONS.filter(
      (direction) => behind[direction].outcome === 'passes' && first[direction].outcome === 'kills',
    ),
  };
}

function both<Value>(of: (direction: Direction) => Value): Record<Direction, Value> {
  return { up: of('up'), down: of('down') };
}

/** Of a flow that began with one packet of one end, before the controls of both; `null` for the others. */
function beginningOf(
  flow: readonly Trial[],
): { readonly direction: Direction; readonly isStun: boolean; readonly lived: boolean } | null {
  const [up, down] = DIRECTIONS.map((direction) => flow.filter((trial) => trial.direction === direction));
  if (!up || !down || up.length === down.length || behindControls(flow).length > 0) return null;
  const direction = up.length > down.length ? 'up' : 'down';
  const first = (direction === 'up' ? up : down).reduce((least, trial) => (trial.at < least.at ? trial : least));
  if (!first.sent) return null;
  return {
    direction,
    isStun: !isControl(first),
    lived: flow.some((trial) => trial !== first && isControl(trial) && trial.received),
  };
}
