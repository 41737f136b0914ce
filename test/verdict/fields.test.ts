import { describe, expect, it } from 'vitest';
import { directionEvidence } from '../../src/verdict/direction.js';
import { filteredFields, smallestSets, stunFailsIn } from '../../src/verdict/fields.js';
import type { DirectionObservation, RoundObservation } from '../../src/verdict/observation.js';
import { SILENT } from '../support/observation.js';

const ROUNDS = 24;

/** Which of 24 rounds arrive: all, none, or the first `n`. */
function rounds(arrived: number): RoundObservation[] {
  return Array.from({ length: ROUNDS }, (_, round) => ({
    round,
    at: round * 250,
    sent: true,
    received: round < arrived,
  }));
}

function direction(arms: Readonly<Record<string, number>>): DirectionObservation {
  return { ...SILENT, arms: Object.entries(arms).map(([arm, arrived]) => ({ arm, rounds: rounds(arrived) })) };
}

function outcomes(arms: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(directionEvidence('up', direction(arms)).arms.map(({ arm, outcome }) => [arm, outcome]));
}

describe('an arm against the control', () => {
  it('fails where it never arrives and the control always does; passes where both do', () => {
    expect(outcomes({ random: 24, stun: 0, 'stun~40': 24 })).toEqual({ stun: 'fails', 'stun~40': 'passes' });
  });

  it('says nothing where the control is silent', () => {
    const [stun] = directionEvidence('up', direction({ random: 0, stun: 0 })).arms;
    expect(stun).toMatchObject({ outcome: 'undecided', p: null });
  });

  it('does not fail above a fifth of the control, however significant', () => {
    // 19 discordant rounds: p = 2^-19, but 5 of 24 is more than 20 %.
    expect(outcomes({ random: 24, stun: 5 })).toEqual({ stun: 'undecided' });
    expect(outcomes({ random: 24, stun: 4 })).toEqual({ stun: 'fails' });
  });

  it('is not decided by too few rounds: 2^-10 is more than the boundary', () => {
    expect(outcomes({ random: 10, stun: 0 })).toEqual({ stun: 'undecided' });
  });

  it('carries the uncorrected p of the paired test', () => {
    const [stun] = directionEvidence('up', direction({ random: 24, stun: 0 })).arms;
    expect((stun?.p ?? 0) / 2 ** -24).toBeCloseTo(1, 9);
  });

  it('leaves out packets that the kernel refused', () => {
    const refused = rounds(0).map((round) => ({ ...round, sent: false }));
    const { arms } = directionEvidence('up', {
      ...SILENT,
      arms: [
        { arm: 'random', rounds: rounds(24) },
        { arm: 'stun', rounds: refused },
      ],
    });
    expect(arms[0]).toMatchObject({ sent: 0, p: null, outcome: 'undecided' });
  });
});

describe('filteredFields', () => {
  const evidence = (arms: Readonly<Record<string, number>>): ReturnType<typeof directionEvidence> =>
    directionEvidence('up', direction({ random: 24, ...arms }));
  const named = (...directions: ReturnType<typeof directionEvidence>[]): string[][] =>
    filteredFields(stunFailsIn(directions));

  it('names nothing where plain STUN passes', () => {
    expect(named(evidence({ stun: 24, 'stun~40': 0 }))).toEqual([]);
  });

  it('asks for what passes in every direction in which plain STUN fails', () => {
    const up = evidence({ stun: 0, 'stun~40': 24, 'stun~cookie': 24 });
    const down = { ...evidence({ stun: 0, 'stun~40': 0, 'stun~cookie': 24 }), direction: 'down' as const };
    expect(named(up, down)).toEqual([['cookie']]);
  });

  it('knows a mutation of two fields by its parts', () => {
    expect(named(evidence({ stun: 0, 'stun~40': 0, 'stun~cookie': 0, 'stun~40~cookie': 24 }))).toEqual([
      ['first-byte', 'cookie'],
    ]);
    expect(named(evidence({ stun: 0, 'stun~40': 24, 'stun~cookie': 0, 'stun~40~cookie': 24 }))).toEqual([
      ['first-byte'],
    ]);
  });

  it('does not call a set smallest while a part of it is undecided', () => {
    const tried = [
      { fields: [], outcome: 'fails' },
      { fields: ['cookie'], outcome: 'undecided' },
      { fields: ['first-byte', 'cookie'], outcome: 'passes' },
    ] as const;
    expect(smallestSets(tried)).toEqual([]);
  });
});
