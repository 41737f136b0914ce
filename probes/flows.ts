import type { Ms } from '../src/base/time.js';
import { flowDependent, type FlowsFinding } from '../src/verdict/findings/flow-dependent.js';
import type { Trial } from '../src/verdict/trial.js';
import { type Direction, DIRECTIONS, ROLES } from '../src/verdict/words.js';
import { closeAll } from './behind-control.js';
import { planRound } from './header-mutations.js';
import type { Flow, PeerBench, Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/**
 * Few flows show that something is amiss, many how much: 288 in all give a share of a quarter within 10 points in 999 of
 * 1000 runs, also where the worse of the two directions is told. All at once they would be a flood.
 */
const VOLLEYS = [32, 128, 128] as const;
/** One packet each way a flow and round; the first opens the NATs. */
const ROUNDS = 7;
const INTERVAL_MS: Ms = 400;

/**
 * Do some 5-tuples die where others live? Packets of the control alone, a handful on each of many fresh flows, in
 * rounds: every flow once each way in an order drawn anew. A burst of loss falls on all flows of a round; a flow that
 * loses everything in all of them has another reason than loss.
 */
export function* flowsDiffer(bench: PeerBench): Experiment<FlowsFinding | null> {
  const trials: Trial[] = [];
  for (const count of VOLLEYS) {
    const flows = yield* bench.open(count);
    const shots = Array.from({ length: ROUNDS }, (_, round) =>
      planRound(
        bench.random,
        flows.flatMap((flow) => ROLES.map((from) => ({ flow, from }))),
        INTERVAL_MS,
      ).map(({ packet, afterMs }): Shot => ({ ...packet, afterMs: round * INTERVAL_MS + afterMs })),
    ).flat();
    trials.push(...(yield* bench.fire(shots)));
    closeAll(bench, flows);
    const lives = ({ number }: Flow, direction: Direction): boolean =>
      trials.some((trial) => trial.flow === number && trial.direction === direction && trial.received);
    if (flows.every((flow) => DIRECTIONS.every((direction) => lives(flow, direction)))) break;
  }
  return flowDependent(trials);
}
