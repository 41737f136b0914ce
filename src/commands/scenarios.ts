import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IcepathError } from '../base/errors.js';
import { nearest } from '../base/nearest.js';
import type { Scenario } from '../world/scenario.js';
import { parseScenario } from '../world/scenario-file.js';
import { readTextFile } from './text-file.js';

const EXTENSION = '.yaml';

/** The folder that comes with the package: beside `src/` as well as beside `dist/`. */
const FOLDER = findUp(fileURLToPath(new URL('.', import.meta.url)), 'scenarios');

export interface FoundScenario {
  /** The name or the path that the user gave. */
  readonly given: string;
  readonly scenario: Scenario;
  /** One of `all`, and not asked for by itself. */
  readonly isAmongAll: boolean;
}

/** The names of those that come with the package, sorted. */
export function scenarioNames(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => basename(file, EXTENSION))
    .sort();
}

/**
 * By name, one that comes with the package; by path (with a `/` or the extension), the user's own file. Throws
 * `scenario-unknown`, `scenario-unreadable`, and what is wrong in the file.
 */
export function loadScenario(given: string): FoundScenario {
  if (given.includes('/') || given.endsWith(EXTENSION)) {
    return { given, scenario: parseScenario(read(given), given, builtIn), isAmongAll: false };
  }
  const text = builtIn(given);
  if (text !== null) {
    const scenario = parseScenario(text, `scenarios/${given}${EXTENSION}`, builtIn);
    return { given, scenario, isAmongAll: false };
  }
  const near = nearest(given, scenarioNames());
  throw new IcepathError(
    'scenario-unknown',
    `no scenario is called ${JSON.stringify(given)}${near.length > 0 ? `; near to it: ${near.join(', ')}` : ''}`,
    'Run icepath lab list for all names, or give the path of a file of your own.',
  );
}

/** `all`, `slow` (those of all that take minutes where time is real), names and paths, in the order given; each once. */
export function loadScenarios(given: readonly string[]): readonly FoundScenario[] {
  const found = given.flatMap((one): FoundScenario[] => {
    if (one !== 'all' && one !== 'slow') return [loadScenario(one)];
    const all = scenarioNames().map((name) => ({ ...loadScenario(name), isAmongAll: one === 'all' }));
    return one === 'all' ? all : all.filter(({ scenario }) => scenario.slow);
  });
  const names = found.map(({ scenario }) => scenario.name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice === undefined) return found;
  throw new IcepathError(
    'scenario-twice',
    `two scenarios are called ${twice}`,
    'Name each once; where a file of your own has the name of a built-in one, give it another.',
  );
}

/** The text of one that comes with the package. */
function builtIn(name: string): string | null {
  return scenarioNames().includes(name) ? read(join(FOLDER, name + EXTENSION)) : null;
}

function read(file: string): string {
  return readTextFile(file, (why, cause) => unreadable(file, why, cause));
}

function unreadable(file: string, why: string, cause?: unknown): IcepathError {
  return new IcepathError(
    'scenario-unreadable',
    `${file} cannot be read: ${why}`,
    'Check the name; icepath lab list tells the scenarios that need no file.',
    { cause },
  );
}

function findUp(from: string, folder: string): string {
  const here = join(from, folder);
  return existsSync(here) || dirname(from) === from ? here : findUp(dirname(from), folder);
}
