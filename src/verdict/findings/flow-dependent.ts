import type { Ms } from '../../base/time.js';
import { ALPHA, clopperPearson, deadByChance } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';
import { byFlow, isControl } from './behind-control.js';

/** Fewer packets on a flow do not tell whether it is dead. */
const LEAST_PACKETS = 4;
/** Flows that begin later than that after the one before belong to another volley, and to another time. */
const VOLLEY_GAP_MS: Ms = 1000;

/** Flows of which nothing arrived one way, beside others of the same rounds. */
export interface FlowsFinding {
  readonly direction: Direction;
  readonly flows: number;
  readonly dead: number;
  readonly share: number;
  /** Exact 95 % interval of the share of dead flows. */
  readonly low: number;
  readonly high: number;
  /** That so many flows die where all lose alike. */
  readonly p: number;
}

/**
 * Whether some 5-tuples die while others live (ECMP with a member that drops): of the trials of `probes/flows.ts`, the
 * direction in which that is surest; `null` where one rate of loss for all flows explains what was seen.
 *
 * A flow's packets share their fate where a member drops, and only there: in every round all flows are fired in an
 * order drawn anew, so whatever else happens falls on flows by lot.
 */
export function flowDependent(trials: readonly Trial[]): FlowsFinding | null {
  const found = DIRECTIONS.flatMap((direction): FlowsFinding[] => {
    const all = volleysOf(trials.filter((trial) => isControl(trial) && trial.direction === direction));
    const volleys = all.map((flows) => ({ flows: flows.length, ...deadOf(flows) }));
    const sure = volleys.filter(({ p }) => p * volleys.length * DIRECTIONS.length <= ALPHA);
    if (sure.length === 0) return [];
    const sum = (of: (volley: (typeof sure)[number]) => number): number =>
      sure.reduce((total, one) => total + of(one), 0);
    const [dead, flows] = [sum((volley) => volley.dead), sum((volley) => volley.flows)];
    const p = sure.reduce((least, volley) => Math.min(least, volley.p), 1) * volleys.length * DIRECTIONS.length;
    return [{ direction, flows, dead, share: dead / flows, ...clopperPearson(dead, flows), p }];
  });
  return found.sort((left, right) => left.p - right.p)[0] ?? null;
}

type Flow = readonly Trial[];

/** One direction's flows by the volley that they were fired in, each in the order of its packets. */
function volleysOf(trials: readonly Trial[]): Flow[][] {
  const flows = [...byFlow(trials).values()]
    .map((flow) => flow.filter(({ sent }) => sent).sort((left, right) => left.at - right.at))
    .filter((flow) => flow.length >= LEAST_PACKETS);
  const beginning = ([first]: Flow): Ms => first?.at ?? 0;
  const volleys: Flow[][] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const flow of flows.sort((left, right) => beginning(left) - beginning(right))) {
    if (beginning(flow) - last > VOLLEY_GAP_MS) volleys.push([]);
    volleys.at(-1)?.push(flow);
    last = beginning(flow);
  }
  return volleys;
}

function deadOf(flows: readonly Flow[]): { readonly dead: number; readonly p: number } {
  const dead = flows.filter((flow) => flow.every(({ received }) => !received)).length;
  if (dead === 0 || dead === flows.length) return { dead, p: 1 };
  const rounds = flows.reduce((least, { length }) => Math.min(least, length), Infinity);
  const arrivals = Array.from(
    { length: rounds },
    (_, round) => flows.filter((flow) => flow[round]?.received === true).length,
  );
  return { dead, p: deadByChance(dead, flows.length, arrivals) };
}

export function flowsWords({ direction, flows, dead, share, low, high }: FlowsFinding): string {
  const way = direction === 'up' ? 'client → server' : 'server → client';
  const percent = (value: number): string => (100 * value).toFixed(0);
  return `some 5-tuples are dead while others live: ${dead} of ${flows} ${way} let nothing through (${percent(share)} %, between ${percent(low)} and ${percent(high)}), so it depends on the ports`;
}
