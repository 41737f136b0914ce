import type { PolicyReport } from '../verdict/policies.js';
import { paint, type Style } from './style.js';
import { columnsOf, widthOf } from './table.js';
import { printableAll, wrap } from './text.js';
import { duration } from './words.js';

const NOTHING = '–';

/**
 * What each policy makes of a run: a table, and below it the orders of checks, the times of each kind, and what cannot
 * be told. Empty where nothing was checked.
 */
export function policiesStory(policies: readonly PolicyReport[], style: Style): string {
  if (policies.length === 0) return '';
  const head = ['', 'policy', 'first path', 'selected', 'checks', ''].map((text) => paint(style, 'dim', text));
  const rows = policies.map(({ policy, source, first, selected, probes }) => [
    ' ',
    policy,
    first[0] ? `${duration(first[0].atMs)} ${first[0].path}` : NOTHING,
    selected ?? NOTHING,
    String(probes),
    source === 'run' ? 'this run' : 'replayed',
  ]);
  const tables = [6, 5, 4].map((count) => columnsOf([head, ...rows].map((row) => row.slice(0, count))));
  const table = tables.find((text) => widthOf(text) <= style.columns) ?? tables.at(-1) ?? '';
  return [table, ...policies.flatMap((policy) => details(policy, style))].join('\n');
}

/** The same as a document of its own. Ends with a line break. */
export function policiesText(policies: readonly PolicyReport[], style: Style): string {
  return `${policiesStory(printableAll([...policies]), style)}\n`;
}

function details({ policy, order, first, unknown }: PolicyReport, style: Style): string[] {
  const kinds = first.map(({ client, server, atMs }) => `${client} ↔ ${server} ${duration(atMs)}`);
  return [
    order.length === 0 ? '' : `checked ${order.map(({ path }) => path).join(', ')}`,
    kinds.length === 0 ? '' : `up ${kinds.join(', ')}`,
    ...unknown.map((sentence) => `not known: ${sentence}`),
  ]
    .filter((text) => text !== '')
    .map((text) => paint(style, 'dim', wrap(text, style.columns, `     ${policy}: `)));
}
