import { IcepathError } from '../base/errors.js';
import { type Finding, findingsOf } from '../yaml/fields.js';
import { namesIn } from '../session/arms-file.js';
import { isMapping, type Located, merged, type Mistake, readYaml } from '../yaml/located-yaml.js';
import { linesOf, mistakesOf } from '../yaml/mistakes.js';
import { quoted } from '../yaml/quantities.js';
import type { Scenario } from './scenario.js';
import { compose } from './scenario-composition.js';
import { scenarioSchemaWith } from './scenario-schema.js';

/** Finds the text of the scenario that `like` names; `null`: there is none. */
export type Resolve = (name: string) => string | null;

/** As many scenarios may be like another in a row. */
const MOST_ALIKE = 8;
/** What a scenario says for itself, whatever other it is like. */
const OWN_FIELDS = ['title', 'observed', 'expect'];

/**
 * Reads a scenario file (docs/scenarios.md). Throws `scenario-invalid` with a line for each mistake:
 * `FILE:LINE: FIELD: what is wrong`.
 */
export function parseScenario(text: string, file: string, resolve: Resolve = () => null): Scenario {
  const located = inherit(text, file, resolve, []);
  const parsed = scenarioSchemaWith(namesIn(located.value, 'own-arms')).safeParse(located.value);
  if (!parsed.success)
    throw invalid(
      parsed.error.issues.flatMap((one) => findingsOf(one, located.value)),
      located,
    );
  const name = file.replace(/^.*\//, '').replace(/\.yaml$/, '');
  const { scenario, findings } = compose(parsed.data, name);
  if (findings.length > 0) throw invalid(findings, located);
  return scenario;
}

function inherit(text: string, file: string, resolve: Resolve, seen: readonly string[]): Located {
  const own = readYaml(text, file);
  if (!('value' in own)) throw failure(own);
  if (!isMapping(own.value)) throw invalid([{ path: [], what: 'the file holds no fields' }], own);
  const { like } = own.value;
  if (typeof like !== 'string') return own;
  const wrong = (what: string): IcepathError => invalid([{ path: ['like'], what }], own);
  if (seen.includes(like)) throw wrong(`${[...seen, like].join(' is like ')}: that has no end`);
  if (seen.length >= MOST_ALIKE) throw wrong(`more than ${MOST_ALIKE} scenarios are like one another`);
  const base = /^[\w-]{1,64}$/.test(like) ? resolve(like) : null;
  if (base === null) throw wrong(`no scenario is called ${quoted(like)}`);
  const inherited = inherit(base, `scenarios/${like}.yaml`, resolve, [...seen, like]);
  const world = Object.entries(isMapping(inherited.value) ? inherited.value : {}).filter(
    ([name]) => !OWN_FIELDS.includes(name),
  );
  return merged({ ...inherited, value: Object.fromEntries(world) }, own);
}

function invalid(findings: readonly Finding[], located: Located): IcepathError {
  return failure(mistakesOf(findings, located));
}

function failure(mistakes: readonly Mistake[]): IcepathError {
  return new IcepathError(
    'scenario-invalid',
    linesOf(mistakes),
    'Mend the file; docs/scenarios.md tells what may stand in it.',
  );
}
