import type { SeriesCarrier, SeriesPair, SeriesReport, SeriesRun } from '../verdict/series-report.js';
import { paint, type Style } from './style.js';
import { columnsOf } from './table.js';
import { printableAll, wrap } from './text.js';
import { familyName, STATE_PAINT, when } from './words.js';

/** Several runs for people: what counts, what they agree on, who it falls on, and what to run next. Ends with a line break. */
export function renderSeries(given: SeriesReport, style: Style): string {
  const series = printableAll(given);
  const excluded = series.runs.filter(({ excluded: reason }) => reason !== null);
  const sections = [
    paint(style, 'bold', `icepath series · ${series.runs.length} runs, ${excluded.length} excluded`),
    columnsOf(series.runs.map((run) => runRow(run, style))),
    section(
      'Excluded',
      excluded.map((run) => wrap(run.excluded ?? '', style.columns, `  ${run.name}: `)),
      style,
    ),
    section('Pairs', [columnsOf(series.pairs.map((pair) => pairRow(pair)))], style),
    section(
      'Content',
      series.content.map(({ family, verdict, because }) =>
        wrap(`content-${verdict}: ${because}`, style.columns, `  ${familyName(family)} `),
      ),
      style,
    ),
    section(
      'Who',
      series.carriers.map((carrier) => carrierLines(carrier, style)),
      style,
    ),
    section(
      'Not separable',
      series.suspects.map((text) => wrap(text, style.columns, '  ')),
      style,
    ),
    section(
      'Next',
      series.next.map((text) => wrap(text, style.columns, '  → ')),
      style,
    ),
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

function section(title: string, lines: readonly string[], style: Style): string {
  return lines.length === 0 ? '' : `${paint(style, 'bold', title)}\n${lines.join('\n')}`;
}

function runRow({ name, started, arms, wanted, excluded }: SeriesRun, style: Style): string[] {
  const [first] = wanted;
  const state = first === undefined ? '–' : `${first.state}${first.cause === null ? '' : `: ${first.cause}`}`;
  return [
    excluded === null ? ' ' : '✗',
    name,
    when(started),
    [...new Set(wanted.map(({ pair }) => pair))].join(', '),
    first === undefined ? '–' : familyName(first.family),
    first === undefined ? state : paint(style, STATE_PAINT[first.state], state),
    arms.join(' '),
  ];
}

function pairRow({ pair, family, runs, valid, outcomes, arms }: SeriesPair): string[] {
  const told = outcomes.map(
    ({ state, cause, runs: times }) => `${state}${cause === null ? '' : ` (${cause})`} ${times} of ${valid}`,
  );
  const left = runs === valid ? '' : `, ${runs - valid} excluded`;
  return ['', pair, familyName(family), `${runs} runs${left}`, told.join(', ') || 'nothing proven', arms.join(' ')];
}

function carrierLines({ label, family, verdict, because, remaining, runs }: SeriesCarrier, style: Style): string {
  const colour = verdict === 'open' ? 'green' : verdict === 'inconclusive' ? 'yellow' : 'red';
  const head = `  ${label} ${familyName(family)}: ${paint(style, colour, verdict)} (${runs} valid runs)`;
  const reasons = because.slice(0, REASONS_SHOWN).map((text) => wrap(text, style.columns, '      '));
  const more = because.length - REASONS_SHOWN;
  return [
    head,
    ...reasons,
    ...(more > 0 ? [`      … and ${more} more (--json has them all)`] : []),
    ...remaining.map((text) => wrap(text, style.columns, '    → ')),
  ].join('\n');
}

const REASONS_SHOWN = 3;
