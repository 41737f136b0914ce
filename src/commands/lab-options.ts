import { type Backend, BACKENDS } from '../world/scenario.js';
import type { Option } from './command.js';
import { badValue, parseFile, single } from './options.js';
import { type FoundScenario, loadScenario } from './scenarios.js';

/** What a run is repeated with where nothing else is asked for. */
export const DEFAULT_SEED = '1';

function parseBackend(text: string): Backend {
  const backend = BACKENDS.find((one) => one === text);
  if (backend === undefined) throw badValue('backend', text, 'virtual or kernel', 'virtual');
  return backend;
}

function parseSeed(text: string): string {
  if (text === '' || text.length > 100) throw badValue('seed', text, 'a number or a word', '7');
  return text;
}

export const backendOption = (otherwise: string): Option<Backend | undefined> =>
  single(
    'virtual|kernel',
    `model hosts on a virtual clock, or network namespaces with the kernel's own stack (root, Linux); ${otherwise}`,
    parseBackend,
  );

export const seedOption = single(
  'N',
  'what all randomness comes from; the same seed on the virtual clock gives the same run; 1 if left out',
  parseSeed,
);

export const recordFolderOption = (
  help = 'write the record to DIR/SCENARIO.BACKEND.jsonl, for icepath report',
): Option<string | undefined> => single('DIR', help, parseFile);

/** Where a command takes one scenario. */
export const scenarioOption = (otherwise?: string): Option<FoundScenario> => ({
  help: 'a name of icepath lab list, or the path of your own file',
  placeholder: 'SCENARIO',
  repeatable: false,
  parse: ([given = otherwise ?? '']) => loadScenario(given),
});
