import { z } from 'zod';
import { toHex } from '../base/bytes.js';
import { IcepathError } from '../base/errors.js';
import { HEADER_FIELDS } from '../mutation/arm.js';
import {
  type ArmDefinition,
  CHANGEABLE_BYTES,
  LEAST_LENGTH_BYTES,
  MOST_CHOSEN_BYTES,
  MOST_LENGTH_BYTES,
  MOST_OWN_ARMS,
  OWN_ARM_NAME,
} from '../mutation/definition.js';
import { ARM_NAMES } from '../mutation/names.js';
import { mistakesIn } from '../mutation/own-arms.js';
import type { OwnExperiment } from '../verdict/own-experiment.js';
import { type Finding, fields, findingsOf, listOf, word } from '../yaml/fields.js';
import { isMapping, type Mistake, type Path, readYaml } from '../yaml/located-yaml.js';
import { linesOf, mistakesOf } from '../yaml/mistakes.js';
import { experimentsOf, ownExperimentsSchemaWith } from './experiments-text.js';
import { byteCount, hexBytes, integer, readable } from '../yaml/quantities.js';

/** How people write arms of their own: docs/experiments.md. */

const optional = z.exactOptional;

const name = readable('a name of at most 24 small letters, digits, - and ~, like "rtp" or "stun~early"', (text) =>
  OWN_ARM_NAME.test(text) ? text : null,
);
const bytes = hexBytes.transform((given, context) => {
  if (given.length <= MOST_CHOSEN_BYTES) return toHex(Uint8Array.from(given));
  context.addIssue({ code: 'custom', message: `takes at most ${MOST_CHOSEN_BYTES} bytes` });
  return z.NEVER;
});
const length = byteCount.refine((count) => count >= LEAST_LENGTH_BYTES && count <= MOST_LENGTH_BYTES, {
  error: `takes ${LEAST_LENGTH_BYTES} to ${MOST_LENGTH_BYTES} bytes`,
});
const change = fields({
  at: integer(0, CHANGEABLE_BYTES - 1),
  xor: optional(bytes),
  to: optional(bytes),
}).transform(({ at, xor, to }, context): ArmDefinition['changes'][number] => {
  if (xor !== undefined && to === undefined) return { at, how: 'xor', bytes: xor };
  if (to !== undefined && xor === undefined) return { at, how: 'to', bytes: to };
  context.addIssue({ code: 'custom', message: 'takes either xor or to' });
  return z.NEVER;
});
const arm = fields({
  stun: optional(listOf(word(HEADER_FIELDS), HEADER_FIELDS.length)),
  bytes: optional(listOf(change, MOST_CHOSEN_BYTES)),
  starts: optional(bytes),
  length: optional(length),
}).refine((given) => Object.keys(given).some((field) => field !== 'length'), {
  error: 'takes stun, bytes or starts: what tells it from the other arms',
});

/** By name. */
export const ownArmsSchema = z.record(name, arm).refine((arms) => Object.keys(arms).length <= MOST_OWN_ARMS, {
  error: `has more than ${MOST_OWN_ARMS} arms`,
});
type OwnArmsText = z.output<typeof ownArmsSchema>;

/** As the plan has them, and what does not fit together; `path` is where they stand. */
export function definitionsOf(
  text: OwnArmsText,
  path: Path,
): { readonly definitions: readonly ArmDefinition[]; readonly findings: readonly Finding[] } {
  const definitions = Object.entries(text).map(
    ([own, { stun = [], bytes: changes = [], starts = null, length: lengthBytes = null }]): ArmDefinition => ({
      name: own,
      fields: HEADER_FIELDS.filter((field) => stun.includes(field)),
      changes,
      starts,
      lengthBytes,
    }),
  );
  const findings = mistakesIn(definitions).map(({ index, field, what }): Finding => {
    const own = [...path, definitions[index]?.name ?? ''];
    return { path: field === 'name' ? own : [...own, field], what };
  });
  return { definitions, findings };
}

function fileSchemaWith(ownArms: readonly string[]) {
  return fields({
    arms: ownArmsSchema.prefault({}),
    experiments: ownExperimentsSchemaWith([...ARM_NAMES, ...ownArms]).prefault({}),
  });
}

/** What a user adds. */
export interface OwnFile {
  readonly arms: readonly ArmDefinition[];
  readonly experiments: readonly OwnExperiment[];
}

/** Reads a file of arms and experiments. Throws `arms-invalid` with a line for each mistake: `FILE:LINE: FIELD: what is wrong`. */
export function parseArmsFile(text: string, file: string): OwnFile {
  const located = readYaml(text, file);
  if (!('value' in located)) throw invalid(located);
  const parsed = fileSchemaWith(namesIn(located.value, 'arms')).safeParse(located.value);
  if (!parsed.success) {
    const found = parsed.error.issues.flatMap((one) => findingsOf(one, located.value));
    throw invalid(mistakesOf(found, located));
  }
  const own = definitionsOf(parsed.data.arms, ['arms']);
  const { experiments, findings } = experimentsOf(parsed.data.experiments, ['experiments']);
  const found = [...own.findings, ...findings];
  if (found.length > 0) throw invalid(mistakesOf(found, located));
  return { arms: own.definitions, experiments };
}

/** The names under a field of a file that is not understood yet: what else it says may speak of them. */
export function namesIn(value: unknown, field: string): string[] {
  const named = isMapping(value) ? value[field] : undefined;
  return isMapping(named) ? Object.keys(named) : [];
}

/** The same arms as a file, for an icepath that is started with them. */
export function armsFileOf(definitions: readonly ArmDefinition[]): string {
  const arms = definitions.map(({ name: own, fields: stun, changes, starts, lengthBytes }) => [
    own,
    {
      ...(stun.length > 0 && { stun }),
      ...(changes.length > 0 && { bytes: changes.map(({ at, how, bytes: given }) => ({ at, [how]: given })) }),
      ...(starts !== null && { starts }),
      ...(lengthBytes !== null && { length: `${lengthBytes} bytes` }),
    },
  ]);
  // JSON is YAML.
  return JSON.stringify({ arms: Object.fromEntries(arms) as unknown }, null, 2);
}

function invalid(mistakes: readonly Mistake[]): IcepathError {
  return new IcepathError(
    'arms-invalid',
    linesOf(mistakes),
    'Mend the file; docs/experiments.md tells what may stand in it.',
  );
}
