import { describe, expect, it } from 'vitest';
import { cellName, promptOf, rowOf, type Shard, tableOf, type Trial, wrongOf } from '../../scripts/campaign-table.js';
import { type Cell, runTrial, seedOf, VARIANTS } from '../../scripts/campaign-world.js';

/** A few runs of what `npm run campaign` makes thousands of (docs/campaign.md). */
const run = (cell: Cell): Trial => runTrial(cell, seedOf('test', cell, 0));

describe('a run of the campaign', () => {
  it.each([
    ['open', 0.02, 'established / –'],
    ['filtered', 0, 'established / stun-filtered'],
    ['peers dropped', 0, 'blocked / peer-udp-blocked'],
  ] as const)('%s, %d lost: found, nobody else accused, within 15 s', (truth, loss, outcome) => {
    const trial = run({ variant: 'interleaved', truth, loss });
    expect(trial).toMatchObject({ detected: true, falseBlocks: [], falseAccusations: [], says: null });
    expect(trial.outcome).toBe(`wwan0-usb0-v4: ${outcome}`);
    expect(trial.verdictMs).toBeGreaterThan(0);
    expect(trial.verdictMs).toBeLessThanOrEqual(15_000);
  });

  it('is the same run again from its seed, and another from another', () => {
    const cell: Cell = { variant: 'interleaved', truth: 'open', loss: 0.12 };
    const trial = run(cell);
    expect(run(cell)).toEqual(trial);
    expect(runTrial(cell, seedOf('test', cell, 1)).verdictMs).not.toBe(trial.verdictMs);
  });

  it('a filter that burns the flow of what it drops: on one 5-tuple nothing is left to compare with', () => {
    const burnt = { truth: 'filtered by flow', loss: 0 } as const;
    expect(run({ ...burnt, variant: 'interleaved' }).detected).toBe(true);
    expect(run({ ...burnt, variant: 'one 5-tuple' }).detected).toBe(false);
  });
});

describe('the table', () => {
  const trial = (
    detected: boolean,
    verdictMs: number | null,
    wrong: readonly string[] = [],
    referenceLoss = 0,
  ): Trial => ({
    seed: 's',
    detected,
    falseBlocks: wrong,
    falseAccusations: [],
    verdictMs,
    referenceLoss,
    outcome: detected ? 'a: blocked' : 'a: inconclusive',
    says: null,
  });
  const shard = (trials: readonly Trial[]): Shard => ({
    variant: 'interleaved',
    truth: 'peers dropped',
    loss: 0.25,
    seed: '1',
    commit: 'c',
    first: 0,
    cpuMs: 1,
    trials,
  });

  it('counts, and says how sure its zeros are', () => {
    const trials = [...Array.from({ length: 9 }, (_, index) => trial(true, 1000 * (index + 1))), trial(false, null)];
    // The upper end of the 95 % interval of 0 in 10 is 1 − 0.025^(1/10) = 30.85 %.
    expect(rowOf(shard(trials), trials)).toBe(
      '| interleaved | peers dropped | 25 % | 10 | 9 (90.0 %) | 0 (≤ 30.85 %) | 0 (≤ 30.85 %) | 5.0 s, 9.0 s | 1 × a: inconclusive |',
    );
  });

  it('says how soon the verdict came where the rule asks for no more time', () => {
    const trials = [trial(true, 8000), trial(true, 16_000), trial(true, 34_000, [], 0.1), trial(false, null)];
    expect(
      promptOf([shard(trials)])
        .split('\n')
        .at(-1),
    ).toBe('| peers dropped | 2 | 16.0 s, 16.0 s | 1 |');
  });

  it('shards of one cell are one row, and whoever is wrong is named by seed', () => {
    const shards = [shard([trial(true, 1)]), { ...shard([trial(true, 1, ['b: blocked'])]), first: 1 }];
    expect(tableOf(shards).split('\n')).toHaveLength(3);
    expect(wrongOf(shards)).toEqual(['wrong: interleaved: s: b: blocked']);
    expect(Object.keys(VARIANTS).map((variant) => cellName({ ...shard([]), variant }))).toEqual([
      'peers dropped/0.25/interleaved',
      'peers dropped/0.25/by arm',
      'peers dropped/0.25/one 5-tuple',
    ]);
  });
});
