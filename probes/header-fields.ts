import { BUILT_IN } from '../src/mutation/registry.js';
import type { HeaderField } from '../src/mutation/arm.js';
import { CONTROL_ARM, PLAIN_ARM } from '../src/mutation/names.js';
import { fieldsFindings, fieldsName, type FieldsFinding } from '../src/verdict/findings/header-fields.js';
import type { PathReport } from '../src/verdict/report.js';
import { type Direction, DIRECTIONS } from '../src/verdict/words.js';
import { type Answer, type Kind, KindsLab } from './kinds-lab.js';
import type { PeerBench } from './peer-bench.js';
import type { Experiment } from './probe.js';
import { smallestChanges } from './smallest-changes.js';

/** The factors, in the header's order. */
export const FACTORS: readonly HeaderField[] = ['first-byte', 'type', 'length', 'cookie', 'attributes'];

/**
 * Which header fields must change for STUN to pass? The arm matrix has each of them alone, and two together, because
 * ICE can go on with those; a single mutation misleads where one of two things is enough for a filter. This tries the
 * rest of the factorial, as far as it can still tell something, behind controls that opened the flow.
 */
export function* headerFields(bench: PeerBench, path: PathReport): Experiment<readonly FieldsFinding[]> {
  const outcome: ConstructorParameters<typeof KindsLab>[1]['outcome'] = (trials, direction, name) =>
    fieldsFindings(trials).find((one) => one.direction === direction && ['stun', ...one.fields].join(' ') === name)
      ?.outcome ?? 'undecided';
  const lab = new KindsLab(bench, { nameOf: fieldsName, outcome });
  const directions = DIRECTIONS.filter((direction) => seen(path, [], direction) === 'fails');
  if (directions.length === 0) return [];
  // What judges a flow by its first packet lets it pass here: then nothing is to be learnt.
  const plain = yield* lab.ask(kindsOf([[]], directions));
  if (plain.includes('passes')) return fieldsFindings(lab.trials);
  yield* smallestChanges(FACTORS, {
    *ask(sets) {
      const known = sets.map((set) => together(directions.map((direction) => seen(path, set, direction))));
      const open = sets.filter((_, index) => known[index] === 'unknown');
      const answers = open.length > 0 ? yield* lab.ask(kindsOf(open, directions)) : [];
      let next = 0;
      return known.map((one) => {
        if (one !== 'unknown') return one;
        const own = answers.slice(next, next + directions.length);
        next += directions.length;
        return together(own);
      });
    },
    *prove(sets) {
      const open = sets.filter((set) => directions.some((direction) => seen(path, set, direction) === 'unknown'));
      yield* lab.prove(kindsOf(open, directions));
    },
  });
  return fieldsFindings(lab.trials);
}

function kindsOf(sets: readonly (readonly HeaderField[])[], directions: readonly Direction[]): Kind[] {
  return sets.flatMap((set) =>
    directions.map((direction) => ({
      direction,
      name: ['stun', ...set].join(' '),
      packet: set.length === 0 ? { arm: PLAIN_ARM } : { arm: PLAIN_ARM, fields: set },
    })),
  );
}

function together(answers: readonly Answer[]): Answer {
  if (answers.includes('fails')) return 'fails';
  return answers.every((answer) => answer === 'passes') ? 'passes' : 'unknown';
}

/** What the matrix shows of STUN with exactly these fields changed: a look that only spares packets. */
function seen({ arms }: PathReport, fields: readonly HeaderField[], direction: Direction): Answer {
  const arm = BUILT_IN.stunArms.find(
    (one) => one.fields.length === fields.length && fields.every((field) => one.fields.includes(field)),
  );
  const of = (name: string): number | undefined => arms.find((one) => one.arm === name)?.[direction].received;
  const received = arm && of(arm.name);
  const control = of(CONTROL_ARM);
  if (received === undefined || control === undefined || control === 0) return 'unknown';
  return received * 2 < control ? 'fails' : 'passes';
}
