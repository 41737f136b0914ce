import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Scenario } from '../../src/world/scenario.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { ROOT } from '../support/sources.js';

const FOLDER = join(ROOT, 'scenarios');

export const SCENARIO_NAMES = readdirSync(FOLDER)
  .map((file) => basename(file, '.yaml'))
  .sort();

export function textOf(name: string): string | null {
  return SCENARIO_NAMES.includes(name) ? readFileSync(join(FOLDER, `${name}.yaml`), 'utf8') : null;
}

/** One that comes with the package. */
export function scenario(name: string): Scenario {
  return parseScenario(textOf(name) ?? '', `${name}.yaml`, textOf);
}
