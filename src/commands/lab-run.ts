import { setImmediate } from 'node:timers/promises';
import { IcepathError } from '../base/errors.js';
import { styleOf } from '../report/style.js';
import { renderReport } from '../report/terminal.js';
import { whyNoRelay } from '../world/kernel/requirements.js';
import type { Backend } from '../world/scenario.js';
import { type CommandIo, defineCommand, EXIT } from './command.js';
import { untilInterrupted } from './interrupt.js';
import { backendOption, DEFAULT_SEED, recordFolderOption, seedOption } from './lab-options.js';
import { type LabOutcome, renderOutcomes, resultsJson, verdictOf } from './lab-results.js';
import { flag, jsonOption } from './options.js';
import {
  demandBackend,
  EXIT_UNEXPECTED,
  prepareFolder,
  recordFileOf,
  runScenario,
  type ScenarioRunOptions,
} from './run-scenario.js';
import { profileOption } from './profiles.js';
import { type FoundScenario, loadScenarios } from './scenarios.js';

/** Kernel labs at once: they mostly wait, but on two busy cores packets come too late for their rounds. */
const AT_ONCE: Readonly<Record<Backend, number>> = { virtual: 1, kernel: 2 };

export const labRunCommand = defineCommand({
  usage: 'run <scenario..>',
  summary: 'run scenarios, and hold what comes out against what each must give',
  examples: [
    ['icepath lab run all', 'every scenario, on the virtual clock'],
    ['icepath lab run ice-14 --verbose', 'one, with the whole report'],
    ['icepath lab run ice-02 matrix-cookie --backend kernel', 'two, in network namespaces (root)'],
    ['icepath lab run ./office.yaml --seed 7 --record runs', 'a scenario of your own (docs/scenarios.md)'],
    ['icepath lab run all --json', 'one JSON document: a list of scenario, backend, passed, expected, report'],
  ],
  options: {
    scenario: {
      help: 'names of icepath lab list, paths of your own files, all, or slow',
      placeholder: 'SCENARIO',
      repeatable: true,
      parse: loadScenarios,
    },
    backend: backendOption('virtual if left out'),
    seed: seedOption,
    profile: profileOption,
    record: recordFolderOption('write each record to DIR/SCENARIO.BACKEND.jsonl, for icepath report'),
    json: jsonOption,
    verbose: flag('the whole report of each run'),
  },
  run: async (
    { scenario: asked, backend = 'virtual', seed = DEFAULT_SEED, profile = null, record, json, verbose },
    io,
  ) => {
    const scenarios = asked.map(({ scenario }) => scenario);
    demandBackend(backend, scenarios);
    const reasons = asked.map((one) => ({ one, reason: reasonToSkip(one, backend) }));
    const found = reasons.flatMap(({ one, reason }) => (reason === null ? [one] : []));
    if (record !== undefined) prepareFolder(record, scenarios, backend);
    for (const { one, reason } of reasons) {
      if (reason !== null) io.stderr.write(`icepath: ${one.scenario.name} is skipped: ${reason}\n`);
    }

    const style = styleOf(io.stdout, io.env);
    const progress = new Progress(io, found.length);
    const runOne = async (one: FoundScenario, signal: AbortSignal): Promise<LabOutcome> => {
      progress.begin(one.scenario.name);
      const file = record === undefined ? null : recordFileOf(record, one.scenario, backend);
      const outcome = await tryScenario(one, { backend, seed, signal, profile, record: file });
      progress.end(outcome);
      return outcome;
    };
    const { result, interrupted } = await untilInterrupted(io.stderr, (signal) =>
      inTurn(found, AT_ONCE[backend], signal, runOne),
    );
    progress.clear();
    const outcomes = result ?? [];

    const results = outcomes.flatMap((outcome) => outcome.result ?? []);
    const [failure] = outcomes.flatMap(({ failure: why }) => why ?? []);
    if (results.length === 0 && failure && !interrupted) throw failure;
    if (json) io.stdout.write(resultsJson(results));
    else {
      if (verbose) for (const { report } of results) io.stdout.write(`${renderReport(report, style)}\n`);
      io.stdout.write(renderOutcomes(outcomes, { backend, seed }, style));
    }
    if (interrupted) return EXIT.interrupted;
    return outcomes.every((outcome) => outcome.result?.passed) ? EXIT.ok : EXIT_UNEXPECTED;
  },
});

async function tryScenario(found: FoundScenario, options: ScenarioRunOptions): Promise<LabOutcome> {
  try {
    return { ...found, result: await runScenario(found.scenario, options), failure: null };
  } catch (error) {
    if (!(error instanceof IcepathError)) throw error;
    return { ...found, result: null, failure: error };
  }
}

/** At most so many at once; what has not begun when `stop` comes is left out. Results in the order of `items`. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  stop: AbortSignal,
  run: (item: Item, stop: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const results = new Map<Item, Result>();
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      // A run on the virtual clock does not give way: Ctrl-C is heard between two.
      await setImmediate();
      if (stop.aborted) return;
      results.set(item, await run(item, stop));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return items.flatMap((item) => results.get(item) ?? []);
}

function reasonToSkip({ scenario, isAmongAll }: FoundScenario, backend: Backend): string | null {
  const { name, backends, slow } = scenario;
  if (!backends.includes(backend)) return `the ${backend} back end cannot express it, only ${backends.join(' and ')}`;
  if (backend === 'virtual') return null;
  const noRelay = whyNoRelay(scenario);
  if (noRelay !== null) return noRelay;
  if (!slow || !isAmongAll) return null;
  return `it takes minutes on the ${backend} back end: icepath lab run ${name} --backend ${backend}`;
}

/** A line on stderr for each run that ends; on a terminal one line that changes. */
class Progress {
  readonly #stderr: CommandIo['stderr'];
  readonly #total: number;
  #done = 0;

  constructor({ stderr }: CommandIo, total: number) {
    this.#stderr = stderr;
    this.#total = total;
  }

  begin(name: string): void {
    if (this.#stderr.isTTY === true) this.#stderr.write(`\r\u001b[K${this.#done + 1} of ${this.#total}: ${name} …`);
  }

  end(outcome: LabOutcome): void {
    this.#done += 1;
    if (this.#stderr.isTTY === true || this.#total === 1) return;
    this.#stderr.write(`${this.#done} of ${this.#total}: ${outcome.scenario.name}: ${verdictOf(outcome)}\n`);
  }

  clear(): void {
    if (this.#stderr.isTTY === true) this.#stderr.write('\r\u001b[K');
  }
}
