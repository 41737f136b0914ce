import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCode, IcepathError } from '../base/errors.js';
import type { RecordEvent } from '../session/record.js';
import { differences } from '../world/expectation.js';
import { runKernel } from '../world/kernel/lab.js';
import { needKernel } from '../world/kernel/requirements.js';
import type { Backend, LabOptions, LabResult, Scenario } from '../world/scenario.js';
import { runVirtual } from '../world/virtual-lab.js';
import { RecordWriter } from './record-writer.js';
import { VERSION } from './version.js';

/** `lab run` and `demo`: a scenario did not give what it must (verdicts.md, Exit codes). */
export const EXIT_UNEXPECTED = 5;

export interface ScenarioRunOptions extends Pick<LabOptions, 'seed' | 'onEvent' | 'onWired' | 'signal' | 'profile'> {
  readonly backend: Backend;
  /** Where the record goes; `null`: nowhere. */
  readonly record: string | null;
}

/** One scenario, run and held against what it must give. */
export async function runScenario(
  scenario: Scenario,
  { backend, record, onEvent, ...options }: ScenarioRunOptions,
): Promise<LabResult> {
  const writer = record === null ? null : new RecordWriter(record, () => undefined);
  const labOptions = {
    ...options,
    version: VERSION,
    onEvent: (event: RecordEvent) => {
      writer?.event(event);
      onEvent?.(event);
    },
  };
  try {
    const { report } =
      backend === 'kernel'
        ? await runKernel(scenario, { ...labOptions, command: OWN_COMMAND })
        : runVirtual(scenario, labOptions);
    const unlike = differences(scenario, report);
    const { name, expect } = scenario;
    return { scenario: name, backend, passed: unlike.length === 0, expected: expect, report, differences: unlike };
  } finally {
    writer?.close();
    if (writer?.failure) throw writer.failure;
  }
}

/** icepath itself, for the hosts of a kernel lab: this program where it is one, else the built one. */
const OWN_COMMAND = [process.execPath, fileURLToPath(new URL('../cli.js', import.meta.url))];

/** Throws `scenario-backend` where none of `scenarios` can be expressed there, `lab-no-kernel` where it cannot run. */
export function demandBackend(backend: Backend, scenarios: readonly Scenario[]): void {
  if (!scenarios.some(({ backends }) => backends.includes(backend))) {
    const others = [...new Set(scenarios.flatMap(({ backends }) => backends))];
    throw new IcepathError(
      'scenario-backend',
      `the ${backend} back end cannot express ${scenarios.map(({ name }) => name).join(', ')}`,
      `Use --backend ${others.join(' or ')}.`,
    );
  }
  if (backend === 'kernel') needKernel();
}

export function recordFileOf(folder: string, scenario: Scenario, backend: Backend): string {
  return join(folder, `${scenario.name}.${backend}.jsonl`);
}

/** Makes the folder where it is missing, and sees that every record can be written. Throws before anything has run. */
export function prepareFolder(folder: string, scenarios: readonly Scenario[], backend: Backend): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new IcepathError(
      'folder-unwritable',
      `${folder} is no folder that can be written to: ${errorCode(cause)}`,
      'Give --record a folder of your own, or the name of a new one.',
      { cause },
    );
  }
  for (const scenario of scenarios) new RecordWriter(recordFileOf(folder, scenario, backend), () => undefined).close();
}
