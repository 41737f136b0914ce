import { describe, expect, it } from 'vitest';
import { plainFails } from '../../probes/experiments.js';
import { type ArmFlows, armFlows, deadAlikeByChance, flowTest } from '../../src/verdict/arm-flows.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { DirectionObservation, RoundObservation } from '../../src/verdict/observation.js';
import { ALPHA } from '../../src/verdict/statistics.js';
import { undecided } from '../../src/session/decide.js';
import { mesh, observe } from '../support/observation.js';

/** Rounds of an arm, `x` arrived: a block of eight a word. */
const rounds = (...blocks: readonly string[]): RoundObservation[] =>
  Array.from(blocks.join(''), (mark, round) => ({ round, at: round * 250, sent: true, received: mark === 'x' }));
const ALL = 'xxxxxxxx';
const NONE = '........';

function direction(arms: Readonly<Record<string, readonly string[]>>): Pick<DirectionObservation, 'arms'> {
  return { arms: Object.entries(arms).map(([arm, blocks]) => ({ arm, rounds: rounds(...blocks) })) };
}

const uniform = (arms: number, blocks: number): ArmFlows => ({
  blocks,
  alive: blocks,
  dead: blocks,
  lived: 0,
  others: Array.from({ length: arms }, () => ({ flows: blocks, dead: 0 })),
});

describe('the chance that whole flows die like that', () => {
  // Without other arms the bound is max q^n (1 − q)^n = 4^−n, at q = ½.
  it.each([1, 3, 6, 7, 11])('%d flows of plain STUN dead, as many of the control alive: 4^−n', (blocks) => {
    const p = deadAlikeByChance(uniform(0, blocks));
    expect(p).toBeGreaterThanOrEqual(4 ** -blocks);
    expect(p).toBeLessThan(4 ** -blocks * 1.03);
  });

  // q³(1 − q)³(q³ + (1 − q)³)^m: by hand 8.2e-5 at q = 0.11 for m = 7, and 1.8e-4 at q = 0.14 for m = 5.
  it('three blocks are enough with seven other arms, each alive or dead as a whole, not with five', () => {
    const at = (q: number, arms: number): number => (q * (1 - q)) ** 3 * (q ** 3 + (1 - q) ** 3) ** arms;
    const p = deadAlikeByChance(uniform(7, 3));
    expect(p).toBeGreaterThanOrEqual(at(0.11, 7));
    expect(p).toBeLessThan(ALPHA);
    expect(deadAlikeByChance(uniform(5, 3))).toBeGreaterThan(ALPHA);
    // It does not matter which arms are the dead ones.
    const others = uniform(7, 3).others.map((arm, index) => ({ ...arm, dead: index < 4 ? 3 : 0 }));
    expect(deadAlikeByChance({ ...uniform(7, 3), others })).toBe(p);
  });

  it('no share of dead ways makes it likelier than the bound: drawn at every tenth', () => {
    const flows = uniform(2, 2);
    const bound = deadAlikeByChance(flows);
    for (let q = 0; q <= 1; q += 0.1) {
      expect((q * (1 - q)) ** 2 * (q ** 2 + (1 - q) ** 2) ** 2).toBeLessThanOrEqual(bound);
    }
  });

  it('flows of one arm that fare differently make it likelier', () => {
    const mixed = uniform(7, 3).others.map((arm, index) => (index === 0 ? { ...arm, dead: 1 } : arm));
    expect(deadAlikeByChance({ ...uniform(7, 3), others: mixed })).toBeGreaterThan(deadAlikeByChance(uniform(7, 3)));
  });

  it('a flow of plain STUN that let anything through: nothing is proven', () => {
    expect(deadAlikeByChance({ ...uniform(9, 9), lived: 1 })).toBe(1);
    expect(deadAlikeByChance({ ...uniform(9, 9), dead: 0 })).toBe(1);
  });
});

describe('the fates of flows', () => {
  it('blocks in which the control arrived fewer than four times say nothing', () => {
    const observed = direction({
      random: [ALL, 'xxx.....', 'xxxx....'],
      stun: [NONE, NONE, NONE],
      dtls: [ALL, NONE, 'x.......'],
      quic: [NONE, ALL, 'xx......'],
    });
    expect(armFlows(observed)).toEqual({
      blocks: 3,
      alive: 2,
      dead: 2,
      lived: 0,
      others: [
        { flows: 1, dead: 0 },
        { flows: 2, dead: 1 },
      ],
    });
  });

  it('more blocks can prove it, unless a flow of plain STUN lived', () => {
    const dead = direction({ random: [ALL, ALL, ALL], stun: [NONE, NONE, NONE] });
    expect(flowTest(dead)).toMatchObject({ dead: 3, proves: false, needsTime: true });
    const lived = direction({ random: [ALL, ALL, ALL], stun: [NONE, NONE, 'x.......'] });
    expect(flowTest(lived)).toMatchObject({ dead: 2, proves: false, needsTime: false });
  });
});

describe('a run of two arms and three flows of each', () => {
  const world = (rounds: number) =>
    mesh({ o2: { drops: ({ arm }) => arm === 'stun' } }, { arms: ['random', 'stun'], rounds });
  const judged = (rounds: number) => {
    const observation = observe(world(rounds), { 'wwan0-usb0-v4': () => ({ valid: { at: 900, arm: 'stun~40' } }) });
    const report = judgeRun(observation);
    const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
    const o2 = report.carriers.find(({ label }) => label === 'o2');
    if (!path || !o2) throw new Error('not reported');
    return { path, o2, ...undecided(observation, report) };
  };

  it('accuses nobody, says what is lacking, asks for more rounds, and for many flows', () => {
    const { path, o2, decided, needsTime } = judged(24);
    expect(path).toMatchObject({ state: 'established', cause: null });
    expect(path.conditions[0]).toMatchObject({ met: false, needsTime: true });
    expect(path.conditions[0]?.detail).toMatch(/^3 flows of it, p = 1\.6e-2, at most 1\.0e-4$/);
    expect(o2.verdict).not.toMatch(/^(?:filters|blocks)-/);
    expect([decided, needsTime]).toEqual([false, true]);
    expect(plainFails(path)).toBe(true);
  });

  it('seven blocks prove it: 4^−7 = 6.1e-5', () => {
    const { path, o2 } = judged(56);
    expect(path).toMatchObject({ state: 'established', cause: 'stun-filtered', conditions: [] });
    expect(o2.verdict).toBe('filters-stun');
  });
});
