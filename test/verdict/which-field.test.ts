import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerFields } from '../../probes/header-fields.js';
import type { PeerBench } from '../../probes/peer-bench.js';
import type { Experiment } from '../../probes/probe.js';
import { triggerBytes } from '../../probes/trigger-bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { type HeaderField } from '../../src/mutation/arm.js';
import { mutate } from '../../src/mutation/header.js';
import { buildProbe } from '../../src/mutation/probe.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { PathReport } from '../../src/verdict/report.js';
import type { Trial } from '../../src/verdict/trial.js';
import { mesh, observe, type World } from '../support/observation.js';
import { PaperBench } from '../support/paper-bench.js';
import { paperPath, type PaperPathOptions } from '../support/paper-path.js';

type Payload = Uint8Array;

const has =
  (at: number, ...values: number[]) =>
  (payload: Payload): boolean =>
    values.every((value, index) => payload[at + index] === value);

/** What a filter may look at, none of which random bytes have; after RFC 8489 §5, §14. */
const ATOMS: Readonly<Record<string, (payload: Payload) => boolean>> = {
  'top bits': (payload) => (payload[0] ?? 0xff) < 0x40,
  'Binding, top bits aside': (payload) => ((payload[0] ?? 0) & 0x3f) === 0 && payload[1] === 1,
  length: (payload) => (payload[2] ?? 0) * 256 + (payload[3] ?? 0) === payload.length - 20,
  cookie: has(4, 0x21, 0x12, 0xa4, 0x42),
  // No mutation changes the first of these, and only without attributes the others are not there.
  'lower cookie': has(6, 0xa4, 0x42),
  USERNAME: has(20, 0x00, 0x06),
  FINGERPRINT: has(100, 0x80, 0x28),
};

/** Terms of which one is enough, each of things all of which are needed. */
type Terms = readonly (readonly string[])[];

const dropsOf =
  (terms: Terms) =>
  (payload: Payload): boolean =>
    terms.some((term) => term.every((atom) => ATOMS[atom]?.(payload) === true));

const KEY = new Uint8Array(32).fill(3);
const FIELDS: readonly HeaderField[] = ['first-byte', 'cookie', 'length', 'type', 'attributes'];

function stun(fields: readonly HeaderField[], counter = 1): Payload {
  const random = new SeededRandom(`stun ${String(counter)}`);
  return mutate({ name: 'stun', stun: true, fields }, buildProbe('stun', { key: KEY, counter, random }).bytes, KEY);
}

/** By all 32 packets. */
function smallestThatPass(drops: (payload: Payload) => boolean): string[] {
  const sets = FIELDS.reduce<HeaderField[][]>((all, field) => [...all, ...all.map((set) => [...set, field])], [[]]);
  const passing = sets.filter((set) => !drops(stun(set)));
  return passing
    .filter((set) => !passing.some((other) => other !== set && other.every((field) => set.includes(field))))
    .map((set) => set.join('+'))
    .sort();
}

interface Filter {
  readonly up: (payload: Payload) => boolean;
  readonly down?: (payload: Payload) => boolean;
}

/** A run whose matrix is cut down by a filter before the client, and what icepath then asks of the path. */
function judged(
  { up, down = up }: Filter,
  loss: Partial<PaperPathOptions> = {},
  seed: string | number = 1,
  arms?: World['arms'],
): PathReport & { readonly advice: readonly string[] } {
  const dies = (filter: (payload: Payload) => boolean, arm: string): boolean =>
    filter(buildProbe(arm, { key: KEY, counter: 1, random: new SeededRandom(arm) }).bytes);
  const world = mesh(
    { o2: { drops: ({ arm, heading }) => dies(heading === 'out' ? up : down, arm) } },
    // With few arms there are few flows, and a run goes on until enough have died (docs/decisions/statistics.md): 7 blocks of 8.
    arms ? { arms, rounds: 56 } : {},
  );
  const judge = (trials: readonly Trial[]): ReturnType<typeof judged> => {
    const report = judgeRun(observe(world, { 'wwan0-usb0-v4': () => ({ trials }) }));
    const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
    if (!path) throw new Error('not reported');
    return { ...path, advice: report.advice };
  };
  const path = judge([]);
  const probes: Readonly<Record<string, (bench: PeerBench) => Experiment<unknown>>> = {
    'header-fields': (bench) => headerFields(bench, path),
    'trigger-bytes': triggerBytes,
  };
  const trials = Object.entries(probes).flatMap(([name, probe], index) => {
    const drops: PaperPathOptions['drops'] = ({ from, bytes }) => (from === 'client' ? up : down)(bytes);
    const bench = new PaperBench(name, paperPath({ seed, drops, ...loss }), { seed });
    bench.run(probe);
    return bench.trials.map((trial) => ({ ...trial, flow: trial.flow + index * 10_000 }));
  });
  return judge(trials);
}

function namesOf(fields: PathReport['fields']): string[] {
  return fields.map((set) => FIELDS.filter((field) => set.includes(field)).join('+')).sort();
}

/** `bytes:4-7`: whether plain STUN with random bytes in all these places is let through, whatever they are. */
function passesRandomised(drops: (payload: Payload) => boolean, names: readonly string[]): boolean {
  const random = new SeededRandom(names.join());
  return Array.from({ length: 20 }, (_, counter) => {
    const packet = stun([], counter);
    const other = buildProbe('random', { key: KEY, counter, random }).bytes;
    for (const name of names) {
      const [first = 0, last = first] = name.replace('bytes:', '').split('-').map(Number);
      packet.set(other.subarray(first, last + 1), first);
    }
    return drops(packet);
  }).every((dropped) => !dropped);
}

describe('a filter on one thing', () => {
  it.each([
    ['top bits', ['first-byte']],
    ['Binding, top bits aside', ['type']],
    ['length', ['length']],
    ['cookie', ['cookie']],
    ['USERNAME', ['attributes']],
    ['FINGERPRINT', ['attributes']],
  ])('%s', (atom, fields) => {
    expect(namesOf(judged({ up: dropsOf([[atom]]) }).fields)).toEqual(fields);
  });
});

describe('a filter on several things', () => {
  it('all of which it asks for: any one change passes', () => {
    const up = dropsOf([['cookie', 'length', 'USERNAME']]);
    expect(namesOf(judged({ up }).fields)).toEqual(['attributes', 'cookie', 'length']);
  });

  it('one of which is enough: both must change, though no arm of the matrix does that', () => {
    const path = judged({ up: dropsOf([['cookie'], ['Binding, top bits aside']]) });
    expect(path.fields).toEqual([['cookie', 'type']]);
    expect(path.summary).toContain('it passes once cookie and type change');
    // Which arm of one's own would get through: docs/experiments.md.
    expect(path.advice.join()).toContain('arms: { mine: { stun: [cookie, type] } }');
  });

  it('one of three: all of them', () => {
    expect(namesOf(judged({ up: dropsOf([['cookie'], ['length'], ['USERNAME']]) }).fields)).toEqual([
      'cookie+length+attributes',
    ]);
  });

  it('bytes that no arm changes: an arm of one’s own does', () => {
    const path = judged({ up: dropsOf([['lower cookie']]) });
    expect(path).toMatchObject({ state: 'blocked', fields: [['bytes:6-7']] });
    expect(path.advice.join()).toContain('arms: { mine: { bytes: { at: 6, xor: ff ff } } }');
  });

  it('sets that share a byte: its change is enough, or that of both others', () => {
    // No arm of the matrix changes these bytes.
    const up = (payload: Payload): boolean => payload[7] === 0x42 && (payload[2] === 0 || payload[20] === 0);
    expect(judged({ up }).fields).toEqual([['bytes:7'], ['bytes:2', 'bytes:20']]);
  });

  it('another thing each way: what passes both ways, or nothing', () => {
    const [up, down] = [dropsOf([['cookie']]), dropsOf([['length']])];
    expect(judged({ up, down }).fields).toEqual([['cookie', 'length']]);
    const half = { up: dropsOf([['lower cookie']]), down: has(3, 0x58) };
    expect(judged({ up: half.up, down: (payload) => half.down(payload) || has(21, 0x06)(payload) }).fields).toEqual([]);
  });
});

it('which arms the user asked for does not matter: nothing smaller was left untried', () => {
  const path = judged({ up: dropsOf([['cookie']]) }, {}, 1, ['random', 'stun', 'stun~40~cookie']);
  expect(path.arm).toBe('stun~40~cookie');
  expect(path.fields).toEqual([['cookie']]);
});

const RUNS = 12;
const names = Object.keys(ATOMS);
const terms = fc.uniqueArray(fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: 3,
  selector: (term) => [...term].sort().join(),
});

/** Each set lets STUN pass, and nothing less than it does. */
function expectRight(drops: (payload: Payload) => boolean, fields: PathReport['fields']): void {
  const truth = smallestThatPass(drops);
  for (const set of fields) {
    if (!set.some((name) => name.startsWith('bytes:'))) expect(truth).toContain(namesOf([set])[0]);
    else {
      expect(passesRandomised(drops, set), set.join()).toBe(true);
      const parts = set.map((gone) => set.filter((name) => name !== gone));
      for (const part of parts) expect(passesRandomised(drops, part), part.join()).toBe(false);
    }
  }
}

describe('any filter of up to three terms of up to three things', () => {
  it('the fields are those that all 32 packets show; where none of these pass, bytes that do, and no part of them', () => {
    fc.assert(
      fc.property(terms, (those) => {
        const up = dropsOf(those);
        const { fields } = judged({ up });
        const truth = smallestThatPass(up);
        if (truth.length > 0) expect(namesOf(fields)).toEqual(truth);
        else expectRight(up, fields);
      }),
      { numRuns: RUNS },
    );
  });

  it('at 25 % loss in bursts of 2 s some may be left out, and none is wrong', () => {
    let found = 0;
    fc.assert(
      fc.property(terms, fc.nat(), (those, seed) => {
        const up = dropsOf(those);
        const { fields } = judged({ up }, { bursts: { share: 0.25, meanMs: 2000 } }, seed);
        expectRight(up, fields);
        found += fields.length > 0 ? 1 : 0;
      }),
      { numRuns: RUNS },
    );
    expect(found).toBeGreaterThanOrEqual(RUNS / 2);
  });
});
