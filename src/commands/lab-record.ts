import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, IcepathError } from '../base/errors.js';
import { styleOf } from '../report/style.js';
import { renderShortReport } from '../report/terminal.js';
import { columnsOf } from '../report/table.js';
import { printable, wrap } from '../report/text.js';
import { captureInterfaces, type CaptureSink } from '../world/capture.js';
import { STARTED_AT } from '../world/virtual-run.js';
import { defineCommand, EXIT } from './command.js';
import { untilInterrupted } from './interrupt.js';
import { backendOption, DEFAULT_SEED, recordFolderOption, scenarioOption, seedOption } from './lab-options.js';
import { demandBackend, EXIT_UNEXPECTED, prepareFolder, recordFileOf, runScenario } from './run-scenario.js';

export const labRecordCommand = defineCommand({
  usage: 'record <scenario>',
  summary: 'run one scenario and keep captures of every interface, for tshark and Wireshark',
  examples: [
    ['icepath lab record matrix-cookie', 'into ./matrix-cookie-capture'],
    ['icepath lab record ice-14 --backend kernel --record captures', 'what the kernel sent, into ./captures'],
  ],
  options: {
    scenario: scenarioOption(),
    backend: backendOption('virtual if left out'),
    seed: seedOption,
    record: recordFolderOption('where the captures and the record go; SCENARIO-capture if left out'),
  },
  run: async ({ scenario: { scenario }, backend = 'virtual', seed = DEFAULT_SEED, record }, io) => {
    demandBackend(backend, [scenario]);
    const folder = record ?? `${scenario.name}-capture`;
    const recordFile = recordFileOf(folder, scenario, backend);
    prepareFolder(folder, [scenario], backend);
    const captures = new CaptureFiles(folder);
    const startedAtMs = backend === 'virtual' ? Date.parse(STARTED_AT) : Date.now();
    const { result, interrupted } = await untilInterrupted(io.stderr, (signal) =>
      runScenario(scenario, {
        backend,
        seed,
        record: recordFile,
        signal,
        onWired: (internet) => {
          captures.endWith(captureInterfaces(internet, startedAtMs, (host) => captures.open(host)));
        },
      }),
    ).finally(() => {
      captures.close();
    });
    if (result === null) return EXIT.interrupted;
    if (captures.failure) throw captures.failure;
    const style = styleOf(io.stdout, io.env);
    const rows = [
      ...captures.files.map((file) => [`  ${file}`, `tshark -r ${file}`]),
      [`  ${recordFile}`, `icepath report ${recordFile}`],
    ];
    io.stdout.write(
      [
        renderShortReport(result.report, style),
        `Written, ${scenario.name} on the ${backend} back end, seed ${printable(seed)}, and how to read it:`,
        columnsOf(rows.map((row) => row.map(printable))),
        wrap(
          'tshark takes random bytes and changed headers for plain UDP; its filter stun shows the rest.',
          style.columns,
        ),
        '',
      ].join('\n'),
    );
    if (interrupted) return EXIT.interrupted;
    return result.passed ? EXIT.ok : EXIT_UNEXPECTED;
  },
});

/** A pcapng file for each host. A disk that fills up ends the writing, not the run. */
class CaptureFiles {
  readonly #folder: string;
  readonly #descriptors = new Map<string, number>();
  #end: () => void = () => undefined;
  /** The first thing that could not be written, and why. */
  failure: IcepathError | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get files(): readonly string[] {
    return [...this.#descriptors.keys()];
  }

  open(host: string): CaptureSink {
    const file = join(this.#folder, `${host}.pcapng`);
    this.#attempt(file, () => this.#descriptors.set(file, openSync(file, 'w', 0o600)));
    return {
      write: (bytes) => {
        this.#attempt(file, () => {
          const descriptor = this.#descriptors.get(file) ?? -1;
          for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
        });
      },
    };
  }

  /** What is written when the run is over. */
  endWith(end: () => void): void {
    this.#end = end;
  }

  close(): void {
    this.#end();
    for (const descriptor of this.#descriptors.values()) closeSync(descriptor);
  }

  #attempt(file: string, act: () => unknown): void {
    if (this.failure) return;
    try {
      act();
    } catch (cause) {
      this.failure = new IcepathError(
        'capture-unwritable',
        `${file} cannot be written: ${errorCode(cause)}`,
        'Make room, or give --record another folder, and run it again.',
        { cause },
      );
    }
  }
}
