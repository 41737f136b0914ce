import { SCENARIOS } from '../test/lab/scenarios.js';
import { runScenario } from '../test/support/lab-scenario.js';

// npm run lab:repeat -- [TIMES] [PARALLEL] [NAME…]: each lab scenario TIMES times (10), PARALLEL labs at once (4), only
// those whose name contains a NAME. Prints the verdicts of each, and ends with 5 unless all runs of every scenario
// gave what they must, and gave it alike.

const [times = '10', parallel = '4', ...names] = process.argv.slice(2);
const chosen = SCENARIOS.filter(({ name }) => names.length === 0 || names.some((part) => name.includes(part)));
const queue = chosen.flatMap((scenario) => Array.from({ length: Number(times) }, () => scenario));
const verdicts = new Map(chosen.map(({ name }) => [name, new Map<string, number>()]));
const failures: string[] = [];
const print = (line: string) => process.stdout.write(`${line}\n`);
const started = Date.now();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // An orderly exit takes the labs with it.
  process.once(signal, () => process.exit(130));
}

async function work(): Promise<void> {
  for (let scenario = queue.shift(); scenario !== undefined; scenario = queue.shift()) {
    const { name } = scenario;
    const { verdict, mismatches } = await runScenario(scenario).catch((error: unknown) => ({
      verdict: 'no report',
      mismatches: [String(error)],
    }));
    const seen = verdicts.get(name);
    seen?.set(verdict, (seen.get(verdict) ?? 0) + 1);
    for (const mismatch of mismatches) failures.push(`${name}: ${mismatch}`);
    process.stderr.write(`${mismatches.length === 0 ? 'as expected' : 'NOT AS EXPECTED'}  ${name}: ${verdict}\n`);
  }
}

await Promise.all(Array.from({ length: Number(parallel) }, work));

for (const [name, seen] of verdicts) {
  print(name);
  for (const [verdict, count] of [...seen].sort((left, right) => right[1] - left[1])) print(`  ${count} × ${verdict}`);
}
for (const failure of failures) print(`\n${failure}`);
const unequal = [...verdicts].filter(([, seen]) => seen.size > 1).map(([name]) => name);
if (unequal.length > 0) print(`\nnot the same verdict in every run: ${unequal.join(', ')}`);
print(`\n${times} runs of ${chosen.length} scenarios in ${Math.round((Date.now() - started) / 1000)} s`);
process.exitCode = failures.length > 0 || unequal.length > 0 ? 5 : 0;
