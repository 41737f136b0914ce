import { paint, styleOf, type Style } from '../report/style.js';
import { columnsOf, widthOf } from '../report/table.js';
import { printable, wrap } from '../report/text.js';
import type { Outcome, Scenario } from '../world/scenario.js';
import { defineCommand, EXIT } from './command.js';
import { jsonOption } from './options.js';
import { loadScenarios } from './scenarios.js';

export const labListCommand = defineCommand({
  usage: 'list',
  summary: 'the scenarios that come with icepath, and what each must give',
  examples: [
    ['icepath lab list', 'a table'],
    ['icepath lab list --json', 'the same as one JSON document, with where each was observed'],
  ],
  options: { json: jsonOption },
  run({ json }, { stdout, env }) {
    const scenarios = loadScenarios(['all']).map(({ scenario }) => scenario);
    stdout.write(
      json ? `${JSON.stringify(scenarios.map(entryOf), null, 2)}\n` : render(scenarios, styleOf(stdout, env)),
    );
    return Promise.resolve(EXIT.ok);
  },
});

function entryOf({ name, title, observed, backends, expect }: Scenario): object {
  return { name, title, observed, backends, expected: expect };
}

function render(scenarios: readonly Scenario[], style: Style): string {
  const rows = scenarios.map(({ name, expect }) => [
    name,
    unique(expect.outcomes.map(outcomeText)).join('\nor '),
    unique(expect.outcomes.map(({ exit }) => String(exit))).join(', '),
  ]);
  const head = ['scenario', 'must give', 'exit'];
  const room = Math.max(30, style.columns - widthOf(columnsOf([head, ...rows])) - 2);
  const titles = scenarios.map(({ title, backends }) => {
    return wrap(printable(backends.includes('kernel') ? title : `${title} (${backends.join(', ')} only)`), room);
  });
  const table = columnsOf([
    [...head, 'what it is'].map((text) => paint(style, 'dim', text)),
    ...rows.map((row, index) => [...row, titles[index] ?? '']),
  ]);
  return `${table}\n\nicepath demo SCENARIO explains one while it runs; icepath lab run all runs them all.\n`;
}

function outcomeText({ state, cause }: Outcome): string {
  return cause === undefined || cause === null ? state : `${state}: ${cause}`;
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
