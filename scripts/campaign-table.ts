import type { RecordEvent } from '../src/session/record.js';
import type { PathReport, Report } from '../src/verdict/report.js';
import { clopperPearson } from '../src/verdict/statistics.js';

/** Parallel ways by which the flows of o2's customers go, one of them dead: nobody filters anything. */
export const DEAD_WAYS = { 'dead way of 10': 10, 'dead way of 4': 4, 'dead way of 2': 2 } as const;
type DeadWay = keyof typeof DEAD_WAYS;

/** What is in the way of the wanted path. */
export const TRUTHS = [
  'open',
  'filtered',
  'peers dropped',
  'filtered by flow',
  'dead way of 10',
  'dead way of 4',
  'dead way of 2',
] as const;
export type Truth = (typeof TRUTHS)[number];

export function isDeadWay(truth: Truth): truth is DeadWay {
  return truth in DEAD_WAYS;
}

export interface Trial {
  readonly seed: string;
  /** Whether the report says what is so. */
  readonly detected: boolean;
  /** `PATH: state / cause`, of paths that nobody blocks. */
  readonly falseBlocks: readonly string[];
  /** `LABEL: verdict`, of carriers that do not do that. */
  readonly falseAccusations: readonly string[];
  /** From the run's first packet to the wanted path's last change, which is to what the report says; `null`: never. */
  readonly verdictMs: number | null;
  /** Of the two ends' legs to the reference, what the worse one lost: above 2 % the rule asks for 30 s. */
  readonly referenceLoss: number;
  /** What the report says of the wanted path, in short. */
  readonly outcome: string;
  /** The whole sentence, where that is not what is so. */
  readonly says: string | null;
}

/** Runs of one cell, one after the other. */
export interface Shard {
  readonly variant: string;
  readonly truth: Truth;
  readonly loss: number;
  readonly seed: string;
  readonly commit: string;
  readonly first: number;
  readonly cpuMs: number;
  readonly trials: readonly Trial[];
}

type Named = Pick<Shard, 'variant' | 'truth' | 'loss'>;

export function cellName({ variant, truth, loss }: Named): string {
  return `${truth}/${String(loss)}/${variant}`;
}

const WANTED = 'wwan0-usb0-v4';
const GUILTY = 'o2';

export function judgeTrial(truth: Truth, seed: string, report: Report, events: readonly RecordEvent[]): Trial {
  const path = report.paths.find(({ id }) => id === WANTED);
  const detected = path !== undefined && isFound(truth, path, report);
  return {
    seed,
    detected,
    falseBlocks: report.paths.filter((one) => !mayBeBlocked(truth, one)).map(told),
    falseAccusations: report.carriers
      .filter(({ verdict }) => /^(?:blocks|filters)-/.test(verdict))
      .filter(({ label, verdict }) => label !== GUILTY || verdict !== ACCUSATION[truth])
      .map(({ label, verdict }) => `${label}: ${verdict}`),
    verdictMs: path ? keptSince(path, events) : null,
    referenceLoss: path ? lossBeside(path, report) : 0,
    outcome: path ? told(path) : 'missing',
    says: detected || !path ? null : path.summary,
  };
}

const ACCUSATION: Readonly<Record<Truth, string | null>> = {
  open: null,
  filtered: 'filters-stun',
  'filtered by flow': 'filters-stun',
  'peers dropped': 'blocks-peer-udp',
  'dead way of 10': null,
  'dead way of 4': null,
  'dead way of 2': null,
};

function isFound(truth: Truth, { state, cause }: PathReport, { carriers }: Report): boolean {
  // Without experiments nobody finds out that it depends on the flow.
  if (truth === 'open' || isDeadWay(truth)) return state === 'established' && cause === null;
  const accused = carriers.find(({ label }) => label === GUILTY)?.verdict === ACCUSATION[truth];
  if (truth === 'peers dropped') return state === 'blocked' && cause === 'peer-udp-blocked' && accused;
  return state === 'established' && cause === 'stun-filtered' && accused;
}

/**
 * Over the guilty carrier peers may be called blocked where it drops them all, and STUN filtered where it filters that;
 * never the one for the other, and nothing on other paths. A changed packet gets through a filter on STUN: no block.
 */
function mayBeBlocked(truth: Truth, { state, cause, client }: PathReport): boolean {
  const isShut = ['blocked', 'rejected', 'one-way'].includes(state);
  if (!isShut && cause !== 'stun-filtered') return true;
  if (truth === 'open' || isDeadWay(truth) || client.label !== GUILTY) return false;
  return truth === 'peers dropped' ? state === 'blocked' && cause === 'peer-udp-blocked' : !isShut;
}

function told({ id, state, cause }: PathReport): string {
  return `${id}: ${state} / ${cause ?? '–'}`;
}

function keptSince(path: PathReport, events: readonly RecordEvent[]): number | null {
  const changes = events.flatMap((event) =>
    event.type === 'path.state' && event.host === 'client' && event.path === path.id ? [event] : [],
  );
  const first = events.find(({ type, host }) => type === 'sent' && host === 'client');
  const last = changes.at(-1);
  return first && last?.to === path.state && last.cause === path.cause ? last.t - first.t : null;
}

function lossBeside({ client, server, family }: PathReport, { reference }: Report): number {
  const legs = reference.filter(
    (leg) => leg.family === family && leg.interface === (leg.host === 'client' ? client : server).interface,
  );
  return Math.max(0, ...legs.map(({ udp: { n, k } }) => (n > 0 ? 1 - k / n : 0)));
}

const HEAD = [
  '| design | truth | lost of the time | runs | found | false blocks | false accusations | verdict after: median, 95 % | else |',
  '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
].join('\n');

/** A row a cell, in the order in which they came first. */
export function tableOf(shards: readonly Shard[]): string {
  const cells = new Map<string, Shard[]>();
  for (const shard of shards) cells.set(cellName(shard), [...(cells.get(cellName(shard)) ?? []), shard]);
  const rows = [...cells.values()].flatMap((own) =>
    own[0]
      ? [
          rowOf(
            own[0],
            own.flatMap(({ trials }) => trials),
          ),
        ]
      : [],
  );
  return [HEAD, ...rows].join('\n');
}

export function rowOf({ variant, truth, loss }: Named, trials: readonly Trial[]): string {
  const found = trials.filter(({ detected }) => detected);
  const tally = new Map<string, number>();
  for (const { detected, outcome } of trials) if (!detected) tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
  const cells = [
    variant,
    truth,
    `${String(Math.round(loss * 100))} %`,
    String(trials.length),
    `${String(found.length)} (${((100 * found.length) / trials.length).toFixed(1)} %)`,
    zeroOf(trials.filter(({ falseBlocks }) => falseBlocks.length > 0).length, trials.length),
    zeroOf(trials.filter(({ falseAccusations }) => falseAccusations.length > 0).length, trials.length),
    timesOf(found),
    [...tally].map(([outcome, times]) => `${String(times)} × ${outcome}`).join(', '),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Median and 95th percentile. */
function timesOf(trials: readonly Trial[]): string {
  const times = trials.flatMap(({ verdictMs }) => verdictMs ?? []).sort((a, b) => a - b);
  const at = (share: number): string => {
    const ms = times[Math.min(times.length - 1, Math.floor(share * times.length))];
    return ms === undefined ? '–' : `${(ms / 1000).toFixed(1)} s`;
  };
  return `${at(0.5)}, ${at(0.95)}`;
}

/** Where the rule asks for no more, the first word is due: of the usual design. */
const LOSS_THAT_NEEDS_TIME = 0.02;
const PROMPT_MS = 15_000;

/** How soon the verdict came where no leg to the reference lost more than 2 %, whatever the link does in the long run. */
export function promptOf(shards: readonly Shard[]): string {
  const lines = TRUTHS.flatMap((truth) => {
    const trials = shards
      .filter((shard) => shard.truth === truth && shard.variant === 'interleaved')
      .flatMap((shard) => shard.trials)
      .filter(({ detected, referenceLoss }) => detected && referenceLoss <= LOSS_THAT_NEEDS_TIME);
    const within = trials.filter(({ verdictMs }) => (verdictMs ?? Infinity) <= PROMPT_MS).length;
    return trials.length > 0
      ? [`| ${truth} | ${String(trials.length)} | ${timesOf(trials)} | ${String(within)} |`]
      : [];
  });
  const head = [
    '| no leg to the reference lost over 2 % | runs that found it | verdict after: median, 95 % | within 15 s |',
    '| --- | --- | --- | --- |',
  ];
  return [...head, ...lines].join('\n');
}

/** With the upper end of the 95 % Clopper–Pearson interval. */
function zeroOf(k: number, n: number): string {
  return `${String(k)} (≤ ${(100 * clopperPearson(k, n).high).toFixed(2)} %)`;
}

/** A line for each run that says what is not so. */
export function wrongOf(shards: readonly Shard[]): string[] {
  return shards.flatMap(({ variant, trials }) =>
    trials.flatMap(({ seed, falseBlocks, falseAccusations }) => {
      const wrong = [...falseBlocks, ...falseAccusations];
      return wrong.length > 0 ? [`wrong: ${variant}: ${seed}: ${wrong.join('; ')}`] : [];
    }),
  );
}
