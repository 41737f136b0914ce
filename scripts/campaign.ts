import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { cellName, isDeadWay, promptOf, type Shard, tableOf, TRUTHS, wrongOf } from './campaign-table.js';
import { type Cell, runTrial, seedOf, VARIANTS } from './campaign-world.js';

/**
 * `campaign [--runs N] [--ablation-runs N] [--jobs N] [--seed TEXT] [--only TEXT] [--minutes N] [--out FILE] [--table]`
 *
 * Whole runs on the virtual clock, N for each truth and loss, and fewer in the worse designs of the matrix (the
 * ablation). Writes each finished shard to FILE and goes on from there when called again with the same seed; prints the
 * Markdown table of what FILE holds. `--only` takes cells whose name holds the text (`filtered/0.25/interleaved`), or
 * one run by its whole name with `#INDEX`. Exits 5 after a false block or a false accusation of the usual design.
 */

const LOSSES = [0, 0.02, 0.12, 0.25];
const SHARD_RUNS = 10;

interface Job {
  readonly cell: Cell;
  readonly seed: string;
  readonly first: number;
  readonly runs: number;
}

function work({ cell, seed, first, runs }: Job, commit: string): Shard {
  const before = process.cpuUsage();
  const trials = Array.from({ length: runs }, (_, index) => runTrial(cell, seedOf(seed, cell, first + index)));
  const { user, system } = process.cpuUsage(before);
  return { ...cell, seed, commit, first, cpuMs: Math.round((user + system) / 1000), trials };
}

/** Cells in the order of the table. */
function cellsOf(only: string): Cell[] {
  const cells = Object.keys(VARIANTS).flatMap((variant) =>
    TRUTHS.flatMap((truth) => LOSSES.map((loss): Cell => ({ variant, truth, loss }))),
  );
  // Where one packet's flow is judged, the order of the arms is not the question.
  const asked = cells.filter(
    ({ variant, truth }) =>
      variant === 'interleaved' || (!isDeadWay(truth) && (variant !== 'by arm' || truth !== 'filtered by flow')),
  );
  return asked.filter((cell) => cellName(cell).includes(only));
}

function read(file: string, seed: string): Shard[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines
    .filter((line) => line !== '')
    .flatMap((line) => {
      const shard = JSON.parse(line) as Shard;
      return shard.seed === seed ? [shard] : [];
    });
}

function commitOf(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const changed =
    git('status', '--porcelain', '--', 'src', 'probes', 'scripts', 'scenarios') === '' ? '' : ' and changes';
  return `${git('rev-parse', '--short=10', 'HEAD')}${changed}`;
}

interface Wanted {
  readonly cells: readonly Cell[];
  readonly seed: string;
  readonly runsOf: (cell: Cell) => number;
}

/** What the campaign is for. */
function isUsual({ variant, truth }: Cell): boolean {
  return variant === 'interleaved' && truth !== 'filtered by flow' && !isDeadWay(truth);
}

/** How much of the time a cell gets: most goes to what the promise is about. */
function weightOf(cell: Cell): number {
  return isUsual(cell) ? 8 : cell.variant === 'by arm' ? 2 : 1;
}

/**
 * The next shard of the cell that has had the least of its share of the time: cheap cells get done, and what is left goes
 * to the others.
 */
function nextJob({ cells, seed, runsOf }: Wanted, done: readonly Shard[], underWay: readonly Job[]): Job | null {
  const open = cells.flatMap((cell) => {
    const own = done.filter((shard) => cellName(shard) === cellName(cell));
    const taken = [...own, ...underWay.filter((job) => cellName(job.cell) === cellName(cell))];
    const firsts = new Set(taken.map(({ first }) => first));
    let first = 0;
    while (firsts.has(first)) first += SHARD_RUNS;
    const runs = Math.min(SHARD_RUNS, runsOf(cell) - first);
    const spent = own.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
    return runs > 0
      ? [{ job: { cell, seed, first, runs }, spent: (spent + (taken.length - own.length) * 10_000) / weightOf(cell) }]
      : [];
  });
  return open.sort((left, right) => left.spent - right.spent)[0]?.job ?? null;
}

async function campaign(wanted: Wanted, file: string, jobs: number, untilMs: number): Promise<void> {
  const commit = commitOf();
  const done = read(file, wanted.seed);
  const others = new Set(done.flatMap((shard) => (shard.commit === commit ? [] : [shard.commit])));
  if (others.size > 0) process.stderr.write(`${file} also holds runs of ${[...others].join(', ')}\n`);
  mkdirSync(dirname(file), { recursive: true });
  const underWay: Job[] = [];
  const one = async (): Promise<void> => {
    const worker = new Worker(new URL(import.meta.url));
    for (;;) {
      const job = performance.now() < untilMs ? nextJob(wanted, done, underWay) : null;
      if (!job) break;
      underWay.push(job);
      const shard = await new Promise<Shard>((resolve, reject) => {
        worker.removeAllListeners();
        worker.on('message', resolve).on('error', reject);
        worker.postMessage({ job, commit });
      });
      underWay.splice(underWay.indexOf(job), 1);
      done.push(shard);
      appendFileSync(file, `${JSON.stringify(shard)}\n`);
      for (const line of wrongOf([shard])) process.stderr.write(`${line}\n`);
    }
    await worker.terminate();
  };
  await Promise.all(Array.from({ length: jobs }, one));
}

const OPTIONS = {
  runs: { type: 'string', default: '1500' },
  'ablation-runs': { type: 'string', default: '300' },
  jobs: { type: 'string', default: '1' },
  seed: { type: 'string', default: '1' },
  only: { type: 'string', default: '' },
  minutes: { type: 'string', default: 'Infinity' },
  out: { type: 'string', default: 'build/campaign.jsonl' },
  table: { type: 'boolean', default: false },
} as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  const [only = '', index] = values.only.split('#');
  const cells = cellsOf(only);
  if (index !== undefined) {
    for (const cell of cells) {
      process.stdout.write(
        `${cellName(cell)} ${JSON.stringify(runTrial(cell, seedOf(values.seed, cell, Number(index))))}\n`,
      );
    }
    return;
  }
  const runsOf = (cell: Cell): number => Number(isUsual(cell) ? values.runs : values['ablation-runs']);
  const untilMs = performance.now() + Number(values.minutes) * 60_000;
  if (!values.table) {
    await campaign({ cells, seed: values.seed, runsOf }, values.out, Number(values.jobs), untilMs);
  }
  const shards = read(values.out, values.seed).filter((shard) => cellName(shard).includes(only));
  process.stdout.write(`${tableOf(shards)}\n\n${promptOf(shards)}\n`);
  if (wrongOf(shards.filter(({ variant }) => variant === 'interleaved')).length > 0) process.exitCode = 5;
}

if (isMainThread) await main();
else {
  parentPort?.on('message', ({ job, commit }: { job: Job; commit: string }) => {
    parentPort?.postMessage(work(job, commit));
  });
}
