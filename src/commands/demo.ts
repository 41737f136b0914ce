import { paint, styleOf, type Style } from '../report/style.js';
import { renderReport, renderShortReport } from '../report/terminal.js';
import { printable, wrap } from '../report/text.js';
import { whyNoKernel, whyNoRelay } from '../world/kernel/requirements.js';
import type { Backend, LabResult, Scenario } from '../world/scenario.js';
import { defineCommand, EXIT } from './command.js';
import { untilInterrupted } from './interrupt.js';
import { backendOption, DEFAULT_SEED, recordFolderOption, scenarioOption, seedOption } from './lab-options.js';
import { resultsJson } from './lab-results.js';
import { type Line, Narrator } from './narration.js';
import { flag, jsonOption } from './options.js';
import { demandBackend, EXIT_UNEXPECTED, prepareFolder, recordFileOf, runScenario } from './run-scenario.js';

const DEFAULT_SCENARIO = 'ice-14';

export const demoCommand = defineCommand({
  usage: 'demo [scenario]',
  summary: 'one run, explained while it goes on; needs no arguments, no root and no network',
  examples: [
    ['icepath demo', 'two hosts whose carriers are in the way, as in the lab notes of 2024'],
    ['icepath demo matrix-cookie', 'another scenario: icepath lab list has them all'],
    ['icepath demo --backend virtual --verbose', 'on the virtual clock, and the whole report'],
  ],
  options: {
    scenario: scenarioOption(DEFAULT_SCENARIO),
    backend: backendOption('kernel where it can run, else virtual'),
    seed: seedOption,
    record: recordFolderOption(),
    json: jsonOption,
    verbose: flag('the whole report'),
  },
  run: async ({ scenario: found, backend: given, seed = DEFAULT_SEED, record, json, verbose }, io) => {
    const { given: named, scenario } = found;
    const { backend, because } = chooseBackend(scenario, given);
    const style = styleOf(io.stdout, io.env);
    const file = record === undefined ? null : recordFileOf(record, scenario, backend);
    if (record !== undefined) prepareFolder(record, [scenario], backend);
    const say = (text: string): void => {
      if (!json) io.stdout.write(text);
    };
    say(introduction(scenario, backend, because, seed, style));
    const narrator = new Narrator();
    const { result, interrupted } = await untilInterrupted(io.stderr, (signal) =>
      runScenario(scenario, {
        backend,
        seed,
        record: file,
        signal,
        onEvent: (event) => {
          for (const line of narrator.tell(event)) say(`${lineText(line, style)}\n`);
        },
      }),
    );
    if (result === null) return EXIT.interrupted;
    if (json) io.stdout.write(resultsJson([result]));
    const { report } = result;
    say(
      `\n${title('What it found', style)}\n${verbose ? renderReport(report, style) : renderShortReport(report, style)}`,
    );
    if (interrupted) return EXIT.interrupted;
    say(conclusion(named, scenario, result, style));
    return result.passed ? EXIT.ok : EXIT_UNEXPECTED;
  },
});

/** The best that there is, and why; throws where what was asked for is not to be had. */
function chooseBackend(
  scenario: Scenario,
  given: Backend | undefined,
): { readonly backend: Backend; readonly because: string | null } {
  if (given !== undefined) {
    demandBackend(given, [scenario]);
    return { backend: given, because: null };
  }
  if (!scenario.backends.includes('kernel'))
    return { backend: 'virtual', because: 'only it can express this scenario' };
  const why = whyNoKernel() ?? whyNoRelay(scenario);
  return why === null
    ? { backend: 'kernel', because: null }
    : { backend: 'virtual', because: `the kernel one cannot run here: ${why}` };
}

const BACKEND_SENTENCES: Readonly<Record<Backend, string>> = {
  kernel:
    "icepath itself runs on both hosts, on this machine's kernel, in network namespaces; links, NATs and carriers are a model.",
  virtual: 'Hosts, NATs and carriers are a model, the times are virtual, and no packet leaves this process.',
};

function introduction(
  { name, title: what, story, observed }: Scenario,
  backend: Backend,
  because: string | null,
  seed: string,
  style: Style,
): string {
  const why = because === null ? '' : ` (${because})`;
  const where = `Back end ${backend}${why}, seed ${seed}. ${BACKEND_SENTENCES[backend]}`;
  return [
    paint(style, 'bold', wrap(printable(`icepath demo ${name}: ${what}`), style.columns)),
    ...paragraph(story, style),
    ...(observed === null ? [] : [wrap(printable(observed), style.columns, 'Seen: ')]),
    '',
    ...paragraph([where], style),
    '',
    title('What the program does', style),
    '',
  ].join('\n');
}

function conclusion(
  given: string,
  { meaning, name }: Scenario,
  { passed, differences, backend }: LabResult,
  style: Style,
): string {
  const verdict = passed
    ? `This is what ${name} must give.`
    : `This is not what ${name} must give: ${differences.join('; ')}.`;
  return [
    '',
    title('What it would mean on a real modem', style),
    ...paragraph(meaning, style),
    '',
    paint(style, passed ? 'green' : 'red', wrap(printable(verdict), style.columns)),
    ...paragraph([`All the evidence: icepath demo ${given} --backend ${backend} --verbose`], style),
    '',
  ].join('\n');
}

function title(text: string, style: Style): string {
  return paint(style, 'bold', printable(text));
}

function paragraph(sentences: readonly string[], style: Style): string[] {
  return sentences.length === 0 ? [] : [wrap(printable(sentences.join(' ')), style.columns)];
}

/** Seconds since the run's start, and the sentence beside them. */
function lineText({ atMs, text }: Line, style: Style): string {
  return wrap(printable(text), style.columns, `${(atMs / 1000).toFixed(1).padStart(5)} s  `);
}
