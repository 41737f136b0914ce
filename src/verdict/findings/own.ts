import { type OwnExperiment, packetOfSide, trialNameOf } from '../own-experiment.js';
import { ALPHA, clopperPearson, mcnemar } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';

/** Pairs of one direction: of `n` packets `k` arrived, with the exact 95 % interval; `p` of McNemar's test. */
export interface OwnTally {
  readonly n: number;
  readonly k: number;
  readonly low: number;
  readonly high: number;
  /** Of the exact paired test against the control: how likely it is that chance alone made it fare worse. */
  readonly p: number;
  readonly control: { readonly n: number; readonly k: number };
  /** 5-tuples that the packets of the question had: packets of one may share a fate. */
  readonly flows: number;
  /** ICMP errors that came for packets of the question. */
  readonly icmp: readonly { readonly type: number; readonly code: number; readonly from: string }[];
  /**
   * `worse`: it arrives at most a fifth as often, and that is no chance (α = 10⁻⁴); `as-well`: never worse where the
   * control came; `undecided` else. Without a control that arrives nothing is said.
   */
  readonly outcome: 'worse' | 'as-well' | 'undecided';
}

/** What a user's experiment found on one path. */
export interface OwnFinding {
  readonly experiment: string;
  readonly asks: string;
  /** One sentence. */
  readonly summary: string;
  readonly up: OwnTally | null;
  readonly down: OwnTally | null;
}

const WORSE_SHARE = 0.2;

/** `null` where it was not put. */
export function ownFinding(experiment: OwnExperiment, trials: readonly Trial[]): OwnFinding | null {
  const own = trials.filter((trial) => trial.experiment === trialNameOf(experiment) && trial.sent);
  if (own.length === 0) return null;
  const [up, down] = DIRECTIONS.map((direction) => tallyOf(experiment, own, direction));
  const ways = { up: up ?? null, down: down ?? null };
  return { experiment: experiment.name, asks: experiment.asks, summary: wordsOf(experiment.asks, ways), ...ways };
}

function tallyOf(experiment: OwnExperiment, trials: readonly Trial[], direction: Direction): OwnTally | null {
  const pairs = pairsOf(experiment, trials, direction);
  if (pairs.length === 0) return null;
  const n = pairs.length;
  const k = pairs.filter(([test]) => test.received).length;
  const controls = pairs.filter(([, control]) => control.received).length;
  const worse = pairs.filter(([test, control]) => control.received && !test.received).length;
  const better = pairs.filter(([test, control]) => !control.received && test.received).length;
  const p = mcnemar(worse, better);
  const errors = pairs.flatMap(([{ icmp }]) => (icmp ? [icmp] : []));
  return {
    n,
    k,
    ...clopperPearson(k, n),
    p,
    control: { n, k: controls },
    flows: new Set(pairs.map(([test]) => test.flow)).size,
    icmp: [...new Map(errors.map((one) => [`${one.type}/${one.code} ${one.from}`, one])).values()],
    outcome:
      p <= ALPHA && k <= WORSE_SHARE * controls ? 'worse' : controls > 0 && worse === 0 ? 'as-well' : 'undecided',
  };
}

/** The packets of the question, each with the control that was sent in the same turn: flow by flow, turn by turn. */
function pairsOf(
  experiment: OwnExperiment,
  trials: readonly Trial[],
  direction: Direction,
): (readonly [Trial, Trial])[] {
  const packets = { test: specOf(experiment.test), control: specOf(experiment.control) };
  const byFlow = (side: 'test' | 'control'): Trial[][] => {
    const flows = new Map<number, Trial[]>();
    for (const trial of trials) {
      if (trial.direction !== direction || trialSpec(trial) !== packets[side]) continue;
      flows.set(trial.flow, [...(flows.get(trial.flow) ?? []), trial]);
    }
    return [...flows].sort(([left], [right]) => left - right).map(([, own]) => own.sort((a, b) => a.at - b.at));
  };
  const controls = byFlow('control');
  return byFlow('test').flatMap((own, flow) =>
    own.flatMap((test) => {
      const control = nearestTo(test, controls[flow] ?? []);
      return control ? [[test, control] as const] : [];
    }),
  );
}

/** One that the host could not send has no pair: its neighbour is a turn away. */
const SAME_TURN_MS = 25;

function nearestTo({ at }: Trial, controls: readonly Trial[]): Trial | undefined {
  return controls.find((control) => Math.abs(control.at - at) <= SAME_TURN_MS);
}

/** Packet and ports: what makes a side of the comparison. */
function specOf(side: OwnExperiment['test']): string {
  return JSON.stringify([packetOfSide(side), side.ports.client, side.ports.server]);
}

function trialSpec({ packet: { arm, lengthBytes, graft, ttl }, ports }: Trial): string {
  return JSON.stringify([{ arm, lengthBytes, graft, ttl }, ports.client, ports.server]);
}

/** `up 0 of 24 (control 24 of 24): worse, p = 1.2e-7`. */
function wordsOf(asks: string, { up, down }: Pick<OwnFinding, 'up' | 'down'>): string {
  const ways = [
    ['up', up],
    ['down', down],
  ] as const;
  const told = ways.flatMap(([way, tally]) => {
    if (!tally) return [];
    const { n, k, control, p, outcome, icmp } = tally;
    const errors = icmp.map(({ type, code, from }) => `, ICMP ${String(type)}/${String(code)} from ${from}`).join('');
    return [
      `${way} ${String(k)} of ${String(n)} (control ${String(control.k)} of ${String(control.n)}): ${WORDS[outcome]}, p = ${p.toExponential(1)}${errors}`,
    ];
  });
  return `${asks} ${told.length > 0 ? told.join('; ') : 'no pair of packets could be sent'}`;
}

const WORDS: Readonly<Record<OwnTally['outcome'], string>> = {
  worse: 'worse',
  'as-well': 'as well as the control',
  undecided: 'undecided',
};
