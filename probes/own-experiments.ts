import {
  OPENER_BYTES,
  type OwnExperiment,
  type OwnSide,
  packetOfSide,
  sends,
  trialNameOf,
} from '../src/verdict/own-experiment.js';
import type { PathReport } from '../src/verdict/report.js';
import { ROLES } from '../src/verdict/words.js';
import type { ExperimentDefinition } from './experiments.js';
import { type Flow, type FlowOptions, openers, type PeerBench, type Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/** The way of a flow is open by then, however late the openers are. */
const OPENED_MS = 800;
/** A packet and its control leave one right after the other, so that an outage takes both. */
const BESIDE_MS = 5;

/**
 * A question of the user's: does this packet arrive more rarely than that one? Every turn sends both, each on a flow of
 * its own whose way is open in both directions, one right after the other and in an order drawn anew (exact McNemar
 * over the pairs: `verdict/findings/own`).
 */
export function ownExperiments(own: readonly OwnExperiment[], deep: boolean): ExperimentDefinition[] {
  return own.map((experiment) => ({
    name: trialNameOf(experiment),
    arises: controlPasses,
    run: (bench) => ownExperiment(bench, experiment, deep ? DEEP_TIMES : 1),
  }));
}

/** `--deep`: so many times the turns that the file asks for. */
const DEEP_TIMES = 3;

/** Where nothing at all passes there is nothing to compare with. */
function controlPasses({ state, arms }: PathReport): boolean {
  return state === 'established' || arms.some(({ up, down }) => up.received + down.received > 0);
}

export function* ownExperiment(bench: PeerBench, experiment: OwnExperiment, times = 1): Experiment<void> {
  const { flows, repeats, everyMs, test, control } = experiment;
  const tests = yield* bench.open(flows, portsOf(test));
  const controls = yield* bench.open(flows, portsOf(control));
  const pairs = tests.flatMap((flow, index) => {
    const other = controls[index];
    return other ? [[flow, other] as const] : [];
  });
  if (pairs.length === 0) return;
  yield* bench.fire(
    [...tests, ...controls].flatMap((flow) => openers(flow).map(short)),
    OPENED_MS,
  );
  for (let time = 0; time < times; time += 1) {
    const shots: Shot[] = [];
    for (let turn = 0; turn < repeats; turn += 1) {
      for (const [index, pair] of pairs.entries()) {
        const afterMs = turn * everyMs + (index * everyMs) / pairs.length;
        shots.push(...turnOf(bench, experiment, pair, afterMs));
      }
    }
    yield* bench.fire(shots);
  }
}

function short(shot: Shot): Shot {
  return { ...shot, packet: { lengthBytes: OPENER_BYTES } };
}

function turnOf(
  { random }: PeerBench,
  experiment: OwnExperiment,
  [flow, other]: readonly [Flow, Flow],
  afterMs: number,
): Shot[] {
  return ROLES.filter((role) => sends(experiment, role)).flatMap((from) => {
    const first = random.uint32() % 2 === 0;
    return [
      { flow, from, afterMs: afterMs + (first ? 0 : BESIDE_MS), packet: packetOfSide(experiment.test) },
      { flow: other, from, afterMs: afterMs + (first ? BESIDE_MS : 0), packet: packetOfSide(experiment.control) },
    ];
  });
}

function portsOf({ ports: { client, server } }: OwnSide): FlowOptions {
  return { ports: { ...(client !== null && { client }), ...(server !== null && { server }) } };
}
