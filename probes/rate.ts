import type { Ms } from '../src/base/time.js';
import { findRates, isSlow, type RateFinding, trainsOf } from '../src/verdict/findings/rate.js';
import type { Trial } from '../src/verdict/trial.js';
import type { Role } from '../src/verdict/words.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import { type Experiment, together } from './probe.js';

/**
 * Is what is sent too fast dropped, and from how many packets a second on?
 *
 * Trains of packets, slow and fast in turns, so that loss falls on both: where fast ones lose packets and slow ones of
 * the same seconds do not, and what arrives has one rate whatever the pace, there is a limit. A train of large packets
 * tells a limit on packets (a policer) from one on bytes (a link that is full, a shaper). At most 400 packets a second
 * from one end, for less than a second (docs/decisions/abuse.md); nothing else may run beside it, and nothing after it
 * that a full queue or an empty bucket would spoil.
 */
export const RATE = {
  slow: { perSecond: 16, packets: 8, bytes: 100 },
  fast: { perSecond: 200, packets: 200, bytes: 100 },
  faster: { perSecond: 400, packets: 320, bytes: 100 },
  large: { perSecond: 200, packets: 200, bytes: 500 },
  pauseMs: 400,
  /** Two trains that lose less than this tell that there is nothing to look for. */
  lostShare: 0.15,
} as const;

type TrainSpec = (typeof RATE)['slow' | 'fast' | 'faster' | 'large'];

/** Both directions of a path that is open both ways: a look at both at once, and a closer one where packets were lost. */
export function* rate(bench: PeerBench): Experiment<readonly RateFinding[]> {
  const { slow, fast, faster, large } = RATE;
  const looks = yield* together(look(bench, 'client'), look(bench, 'server'));
  const trials = looks.flatMap((one) => one?.trials ?? []);
  for (const one of looks) {
    if (!one) continue;
    // Loss alone can do that too; only then more is asked, one direction after the other.
    const isLossy = trainsOf(one.trials).some((train) => !isSlow(train) && train.share < 1 - RATE.lostShare);
    if (isLossy) {
      trials.push(...(yield* fireTrains(bench, one.flow, one.from, [slow, fast, slow, large, slow, faster, slow])));
    }
    bench.close(one.flow);
  }
  return findRates(trials);
}

interface Look {
  readonly from: Role;
  readonly flow: Flow;
  readonly trials: readonly Trial[];
}

function* look(bench: PeerBench, from: Role): Experiment<Look | null> {
  const [flow] = yield* bench.open(1);
  if (!flow) return null;
  yield* bench.fire(openers(flow));
  return { from, flow, trials: yield* fireTrains(bench, flow, from, [RATE.slow, RATE.faster]) };
}

function* fireTrains(
  bench: PeerBench,
  flow: Flow,
  from: Role,
  trains: readonly TrainSpec[],
): Experiment<readonly Trial[]> {
  let begin: Ms = RATE.pauseMs;
  const shots = trains.flatMap(({ perSecond, packets, bytes }): Shot[] => {
    const everyMs = 1000 / perSecond;
    const started = begin;
    begin += packets * everyMs + RATE.pauseMs;
    return Array.from({ length: packets }, (_, index) => ({
      flow,
      from,
      afterMs: started + index * everyMs,
      packet: { lengthBytes: bytes },
    }));
  });
  return yield* bench.fire(shots);
}
