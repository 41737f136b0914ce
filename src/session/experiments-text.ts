import { z } from 'zod';
import {
  LEAST_TRIAL_BYTES,
  MOST_FLOWS,
  MOST_OWN_EXPERIMENTS,
  MOST_PAIRS,
  type OwnExperiment,
} from '../verdict/own-experiment.js';
import { ROLES } from '../verdict/words.js';
import { type Finding, fields, listOf, word } from '../yaml/fields.js';
import type { Path } from '../yaml/located-yaml.js';
import { byteCount, duration, integer, readable } from '../yaml/quantities.js';

/** How people write experiments of their own: docs/experiments.md. */

const optional = z.exactOptional;
const MOST_BYTES = 1472;
const MOST_MS = 20_000;
/** Pairs a second: what `LIMITS.trialPacketsPerSecond` leaves room for. */
const MOST_PER_SECOND = 100;

const name = readable('a name of at most 24 small letters, digits and -, like "rtp-5004"', (text) =>
  /^[a-z][a-z0-9-]{0,23}$/.test(text) ? text : null,
);
const question = readable('a question of at most 200 characters', (text) =>
  text !== '' && text.length <= 200 ? text : null,
);
const range = readable('bytes of a packet like "0-3" or "8"', (text) => {
  const [, first = '', last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(text) ?? [];
  const [at, end] = [Number(first), Number(last) + 1];
  return first !== '' && at < end && end <= MOST_BYTES ? { at, end } : null;
});
/** Lower ones are not icepath's to use: docs/decisions/abuse.md. */
const port = integer(1024, 0xffff);
const length = byteCount.refine((count) => count >= LEAST_TRIAL_BYTES && count <= MOST_BYTES, {
  error: `takes ${LEAST_TRIAL_BYTES} to ${MOST_BYTES} bytes`,
});

function sideWith(arms: readonly string[]) {
  return fields({
    arm: word(arms).prefault('random'),
    length: optional(length),
    ttl: optional(integer(1, 255)),
    graft: optional(fields({ from: word(arms), bytes: listOf(range, 16) })),
    ports: fields({ client: optional(port), server: optional(port) }).prefault({}),
  }).transform(({ arm, length: lengthBytes = null, ttl = null, graft = null, ports }): OwnExperiment['test'] => ({
    arm,
    lengthBytes,
    graft,
    ttl,
    ports: { client: ports.client ?? null, server: ports.server ?? null },
  }));
}

/** By name, of a file whose arms have these names. */
export function ownExperimentsSchemaWith(arms: readonly string[]) {
  const experiment = fields({
    asks: question,
    test: sideWith(arms),
    control: sideWith(arms).prefault({}),
    from: word([...ROLES, 'both']).prefault('both'),
    flows: integer(1, MOST_FLOWS).prefault('4'),
    repeats: integer(1, MOST_PAIRS).prefault('12'),
    every: duration.prefault('200 ms'),
  });
  return z.record(name, experiment).refine((all) => Object.keys(all).length <= MOST_OWN_EXPERIMENTS, {
    error: `has more than ${MOST_OWN_EXPERIMENTS} experiments`,
  });
}
type OwnExperimentsText = z.output<ReturnType<typeof ownExperimentsSchemaWith>>;

/** As the record has them, and what does not fit together; `path` is where they stand. */
export function experimentsOf(
  text: OwnExperimentsText,
  path: Path,
): { readonly experiments: readonly OwnExperiment[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const experiments = Object.entries(text).map(([own, { asks, test, control, from, flows, repeats, every }]) => {
    const wrong = (field: string, what: string): void => void findings.push({ path: [...path, own, field], what });
    const fixed = [test, control].some(({ ports }) => ports.client !== null || ports.server !== null);
    if (JSON.stringify(test) === JSON.stringify(control))
      wrong('test', 'is the same as the control: nothing is compared');
    for (const role of ROLES) {
      if (test.ports[role] !== null && test.ports[role] === control.ports[role])
        wrong('control', `has the ${role}'s port of the test: give it another, or none`);
    }
    if (fixed && flows > 1) wrong('flows', 'is 1 where a port is given: it can be bound once');
    if (flows * repeats > MOST_PAIRS) wrong('repeats', `times flows are more than ${MOST_PAIRS} pairs`);
    if (every < 50 || every > 2000) wrong('every', 'takes 50 ms to 2 s');
    else if (repeats * every > MOST_MS) wrong('repeats', `take longer than ${MOST_MS / 1000} s`);
    else if (flows * 1000 > MOST_PER_SECOND * every) wrong('flows', `are more than ${MOST_PER_SECOND} pairs a second`);
    return {
      name: own,
      asks,
      from: from === 'both' ? [...ROLES] : [from],
      flows,
      repeats,
      everyMs: every,
      test,
      control,
    };
  });
  return { experiments, findings };
}
