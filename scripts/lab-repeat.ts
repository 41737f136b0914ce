import { readdirSync } from 'node:fs';
import { loadScenarios } from '../src/commands/scenarios.js';
import { runScenario as runFile } from '../src/commands/run-scenario.js';
import type { Report } from '../src/verdict/report.js';
import { SCENARIOS } from '../test/lab/scenarios.js';
import { runScenario } from '../test/support/lab-scenario.js';

// npm run lab:repeat -- [TIMES] [PARALLEL] [NAME…]: each kernel lab TIMES times (10), PARALLEL at once. A NAME that is
// one of scenarios/ is that scenario, one run at a time, each with another seed; any other stands for the labs on kernel
// NATs whose name contains it, four at once; no NAME: all of those. Prints the verdicts of each, and ends with 5 unless
// all runs of every scenario gave what they must, and gave it alike.

interface Repeated {
  readonly name: string;
  readonly run: (number: number) => Promise<{ readonly verdict: string; readonly mismatches: readonly string[] }>;
}

const FILES = readdirSync(new URL('../../scenarios', import.meta.url)).map((file) => file.replace(/\.yaml$/, ''));

const numbers = process.argv.slice(2).filter((word) => /^\d+$/.test(word));
const names = process.argv.slice(2).filter((word) => !/^\d+$/.test(word));
const files = names.filter((name) => FILES.includes(name));
const parts = names.filter((name) => !FILES.includes(name));
const labs = SCENARIOS.filter(({ name }) => names.length === 0 || parts.some((part) => name.includes(part)));
const chosen: Repeated[] = [
  ...files.map((name): Repeated => ({ name, run: (number) => repeat(name, number) })),
  ...labs.map((lab): Repeated => ({ name: lab.name, run: () => runScenario(lab) })),
];
const times = Number(numbers[0] ?? 10);
const atOnce = Number(numbers[1] ?? (files.length > 0 ? 1 : 4));
const queue = chosen.flatMap((scenario) => Array.from({ length: times }, (_, index) => ({ scenario, index })));
const verdicts = new Map(chosen.map(({ name }) => [name, new Map<string, number>()]));
const failures: string[] = [];
const print = (line: string) => process.stdout.write(`${line}\n`);
const started = Date.now();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // An orderly exit takes the labs with it.
  process.once(signal, () => process.exit(130));
}

async function repeat(name: string, number: number): ReturnType<Repeated['run']> {
  const [found] = loadScenarios([name]);
  if (!found) throw new Error(`no scenario ${name}`);
  const { report, differences } = await runFile(found.scenario, { backend: 'kernel', seed: number, record: null });
  return { verdict: verdictOf(report), mismatches: differences.map((one) => `seed ${String(number)}: ${one}`) };
}

/** What the issue asks to be alike: state, cause, arm and fields of every path, carriers, exit code. */
function verdictOf({ paths, carriers, exit }: Report): string {
  const states = paths.map(({ id, wanted, state, cause, arm, fields }) => {
    const found = fields.length > 0 ? ` ${JSON.stringify(fields)}` : '';
    // Arm and fields are asked about on the wanted paths; elsewhere they follow from how soon a path came up.
    return wanted ? `${id} ${state} / ${cause ?? '–'} (${arm ?? '–'})${found}` : `${id} ${state} / ${cause ?? '–'}`;
  });
  const blamed = carriers.map(({ label, family, verdict }) => `${label}.${family} ${verdict}`);
  return `${[...states, ...blamed].join(', ')}; exit ${String(exit.code)}`;
}

async function work(): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { scenario, index } = next;
    const { verdict, mismatches } = await scenario.run(index + 1).catch((error: unknown) => ({
      verdict: 'no report',
      mismatches: [String(error)],
    }));
    const seen = verdicts.get(scenario.name);
    seen?.set(verdict, (seen.get(verdict) ?? 0) + 1);
    for (const mismatch of mismatches) failures.push(`${scenario.name}: ${mismatch}`);
    const word = mismatches.length === 0 ? 'as expected' : 'NOT AS EXPECTED';
    process.stderr.write(`${word}  ${scenario.name}: ${verdict}\n`);
  }
}

await Promise.all(Array.from({ length: atOnce }, work));

for (const [name, seen] of verdicts) {
  print(name);
  for (const [verdict, count] of [...seen].sort((left, right) => right[1] - left[1])) print(`  ${count} × ${verdict}`);
}
for (const failure of failures) print(`\n${failure}`);
const unequal = [...verdicts].filter(([, seen]) => seen.size > 1).map(([name]) => name);
if (unequal.length > 0) print(`\nnot the same verdict in every run: ${unequal.join(', ')}`);
print(`\n${times} runs of ${chosen.length} scenarios in ${Math.round((Date.now() - started) / 1000)} s`);
process.exitCode = failures.length > 0 || unequal.length > 0 ? 5 : 0;
