import { basename } from 'node:path';
import { renderSeries } from '../report/series.js';
import { styleOf } from '../report/style.js';
import { printable } from '../report/text.js';
import { observeRun } from '../session/judge.js';
import { judgeSeries } from '../verdict/series.js';
import type { SeriesRunInput } from '../verdict/series-report.js';
import { defineCommand, EXIT } from './command.js';
import { argument, jsonOption } from './options.js';
import { readRecord } from './record-file.js';

export const seriesCommand = defineCommand({
  usage: 'series <record..>',
  summary: 'judge several recorded runs together: which count, whom they accuse, which run would tell more',
  examples: [
    ['icepath series *.jsonl', 'every run of a day: what is excluded and why, what the repeats agree on'],
    ['icepath series monday.jsonl tuesday.jsonl --json > series.json', 'the same as one JSON document'],
  ],
  options: {
    record: {
      ...argument('RECORD…', 'files that --record wrote'),
      repeatable: true,
      parse: (given: readonly string[]) => given,
    },
    json: jsonOption,
  },
  async run({ record: files, json }, { stdout, stderr, env }) {
    const inputs: SeriesRunInput[] = [];
    for (const file of files) {
      const { events, notes } = await readRecord(file);
      for (const note of notes) stderr.write(`icepath: ${printable(file)}: ${printable(note)}\n`);
      inputs.push({ name: nameOf(file, files), observation: observeRun(events) });
    }
    const series = judgeSeries(inputs);
    stdout.write(json ? `${JSON.stringify(series, null, 2)}\n` : renderSeries(series, styleOf(stdout, env)));
    return EXIT.ok;
  },
});

/** `runs/ice-02.virtual.jsonl` → `ice-02`; with its folder where a run in another folder is called so too. */
function nameOf(file: string, files: readonly string[]): string {
  const isAlone = files.filter((other) => shortName(basename(other)) === shortName(basename(file))).length === 1;
  return shortName(isAlone ? basename(file) : file);
}

function shortName(file: string): string {
  return file.replace(/(?:\.(?:virtual|kernel|icepath))?\.jsonl$/, '');
}
