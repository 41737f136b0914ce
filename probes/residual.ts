import type { Ms } from '../src/base/time.js';
import { PLAIN_ARM } from '../src/mutation/names.js';
import { residualBlock, type ResidualFinding, TRIGGER_MS } from '../src/verdict/findings/residual.js';
import type { Trial } from '../src/verdict/trial.js';
import { type Direction, DIRECTIONS } from '../src/verdict/words.js';
import { behindControls, closeAll, inTurn, later } from './behind-control.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/** After the trigger: when the first look at what became of its tuple begins. */
const LOOK_MS: Ms = 200;
/** Tuples a direction with a trigger, and as many without. */
const TUPLES = 12;
const MOST_VOLLEYS = 3;
/** Burnt tuples that are watched, beside as many that were never triggered. */
const WATCHED = 10;
/** From one look to the next the time since the trigger grows by so much, over all tuples. */
const GROWTH = 1.06;
const SHORTEST_MS: Ms = 600;
/** So many looks in a row that find a tuple alive again. */
const CERTAIN = 3;
/** RFC 4787 REQ-5: a NAT may forget a mapping after two minutes; then nobody can tell what the tuple died of. */
export const RESIDUAL_LONGEST_MS: Ms = 200_000;

/**
 * Does a packet that is filtered take its tuple with it, and for how long? A trigger on tuples that controls opened,
 * nothing on others; then controls on both. Only where triggered tuples die beside living ones is the time measured:
 * several burnt tuples in turn, at growing intervals so that looking does not keep the block alive, each beside one
 * that was never triggered. Both ends go on asking the reference from the same sockets, which keeps their mappings.
 */
export function* residual(bench: PeerBench): Experiment<ResidualFinding | null> {
  const trials: Trial[] = [];
  const flows: Flow[] = [];
  for (let volley = 0; volley < MOST_VOLLEYS; volley += 1) {
    closeAll(bench, flows.splice(0));
    const kinds = DIRECTIONS.flatMap((direction) => [
      ...Array.from({ length: TUPLES }, () => (flow: Flow) => tuple(flow, direction, { arm: PLAIN_ARM })),
      ...Array.from({ length: TUPLES }, () => (flow: Flow) => tuple(flow, direction, {})),
    ]);
    trials.push(...(yield* inTurn(bench, kinds, (opened) => flows.push(...opened))));
    const finding = residualBlock(trials);
    if (finding && finding.blocks.length > 0) {
      const those = (numbers: readonly number[]): Flow[] =>
        flows.filter(({ number }) => numbers.includes(number)).slice(0, WATCHED);
      yield* watch(bench, those(finding.burnt), those(finding.living), trials);
      break;
    }
    if (finding && DIRECTIONS.every((direction) => finding.triggered[direction].k > TUPLES / 2)) break;
  }
  closeAll(bench, flows);
  return residualBlock(trials);
}

function tuple(flow: Flow, direction: Direction, packet: Shot['packet'] & object): Shot[] {
  return [...behindControls(flow, direction, packet), ...look(flow, TRIGGER_MS + LOOK_MS)];
}

function look(flow: Flow, afterMs: Ms): Shot[] {
  return later(afterMs, openers(flow, 2));
}

/** Looks at burnt tuples until they live again, and adds what it saw to `trials`. */
function* watch(bench: PeerBench, burnt: readonly Flow[], living: readonly Flow[], trials: Trial[]): Experiment<void> {
  const began = bench.now;
  bench.extend(RESIDUAL_LONGEST_MS);
  let alive = 0;
  for (let turn = 0, next = SHORTEST_MS; alive < CERTAIN && next <= RESIDUAL_LONGEST_MS; turn += 1) {
    yield bench.pause(Math.max(0, began + next - bench.now));
    const [watched, beside] = [burnt, living].map((flows) => flows[turn % flows.length]);
    if (!watched || !beside) return;
    const looked = yield* bench.fire([watched, beside].flatMap((flow) => [...look(flow, 0), ...refresh(flow)]));
    trials.push(...looked);
    const isAlive = looked.some(({ flow, to, received }) => flow === watched.number && to === 'peer' && received);
    alive = isAlive ? alive + 1 : 0;
    next = Math.max(bench.now - began + SHORTEST_MS, next * GROWTH);
  }
}

function refresh(flow: Flow): Shot[] {
  return (['client', 'server'] as const).map((from) => ({ flow, from, to: 'reference', afterMs: 0 }));
}
