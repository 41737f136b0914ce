import type { IcepathError } from '../base/errors.js';
import { reportJson } from '../report/json.js';
import { paint, type Paint, type Style } from '../report/style.js';
import { columnsOf } from '../report/table.js';
import { printable, wrap } from '../report/text.js';
import type { Backend, LabResult } from '../world/scenario.js';
import { EXIT } from './command.js';
import type { FoundScenario } from './scenarios.js';

/** What came of one scenario. */
export interface LabOutcome extends FoundScenario {
  readonly result: LabResult | null;
  /** Why it could not run. */
  readonly failure: IcepathError | null;
}

export interface LabSettings {
  readonly backend: Backend;
  readonly seed: string;
}

/** The contract of `--json` (design.md, Report). */
export function resultsJson(results: readonly LabResult[]): string {
  const documents = results.map(({ report, ...result }) => {
    return { ...result, report: JSON.parse(reportJson(report)) as unknown };
  });
  return `${JSON.stringify(documents, null, 2)}\n`;
}

/** The wanted paths' states and causes, each once. */
function stateOf({ report }: LabResult): string {
  const wanted = report.paths.filter((path) => path.wanted);
  return [...new Set(wanted.map(({ state, cause }) => (cause === null ? state : `${state}: ${cause}`)))].join(', ');
}

/** The table, and below it where reports and expectations differ. Ends with a line break. */
export function renderOutcomes(outcomes: readonly LabOutcome[], settings: LabSettings, style: Style): string {
  const { backend, seed } = settings;
  const head = ['scenario', 'back end', 'state: cause', 'exit', ''].map((text) => paint(style, 'dim', text));
  const rows = outcomes.map((outcome) => {
    const { scenario, result } = outcome;
    const verdict = verdictOf(outcome);
    return [
      scenario.name,
      backend,
      result === null ? '–' : stateOf(result),
      result === null ? '–' : String(result.report.exit.code),
      paint(style, VERDICT_PAINT[verdict] ?? 'red', verdict),
    ];
  });
  const passed = outcomes.filter(({ result }) => result?.passed).length;
  const sections = [
    columnsOf([head, ...rows]),
    ...outcomes
      .filter(({ result }) => result === null || !(result.passed || isInterrupted(result)))
      .map((outcome) => explain(outcome, settings, style)),
    `${passed} of ${outcomes.length} as they must be · ${backend} · seed ${printable(seed)}`,
  ];
  return `${sections.join('\n\n')}\n`;
}

function isInterrupted({ report }: LabResult): boolean {
  return report.exit.code === EXIT.interrupted;
}

/** In a word or three; painted in the table, plain while runs go on. */
export function verdictOf({ result }: LabOutcome): string {
  if (result === null) return 'could not run';
  if (isInterrupted(result)) return 'interrupted';
  return result.passed ? 'as it must' : 'differs';
}

const VERDICT_PAINT: Readonly<Record<string, Paint>> = { 'as it must': 'green', interrupted: 'yellow' };

function explain(
  { given, scenario, result, failure }: LabOutcome,
  { backend, seed }: LabSettings,
  style: Style,
): string {
  const sentences =
    result?.differences ?? (failure ? [`${failure.message} → ${failure.nextStep} [${failure.code}]`] : []);
  return [
    paint(style, 'bold', scenario.name),
    ...sentences.map((sentence) => wrap(printable(sentence), style.columns, '  - ')),
    `  again: icepath lab run ${shellWord(given)} --backend ${backend} --seed ${shellWord(seed)} --verbose`,
  ].join('\n');
}

/** As a shell takes it back. */
function shellWord(text: string): string {
  return /^[\w.,:/+-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", String.raw`'\''`)}'`;
}
