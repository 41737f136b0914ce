import { reportJson } from '../report/json.js';
import { styleOf } from '../report/style.js';
import { renderReport } from '../report/terminal.js';
import { printable } from '../report/text.js';
import { judge } from '../session/judge.js';
import { defineCommand, EXIT } from './command.js';
import { argument, jsonOption } from './options.js';
import { readRecord } from './record-file.js';

export const reportCommand = defineCommand({
  usage: 'report <record>',
  summary: 'judge a recorded run again, offline',
  examples: [
    ['icepath report run.icepath.jsonl', 'the table and the sentences of that run'],
    ['icepath report run.icepath.jsonl --json > run.json', 'the same as one JSON document'],
  ],
  options: { record: argument('RECORD', 'the file that --record wrote'), json: jsonOption },
  async run({ record, json }, { stdout, stderr, env }) {
    const { events, notes } = await readRecord(record);
    for (const note of notes) stderr.write(`icepath: ${printable(record)}: ${printable(note)}\n`);
    const report = judge(events);
    stdout.write(json ? reportJson(report) : renderReport(report, styleOf(stdout, env)));
    return EXIT.ok;
  },
});
