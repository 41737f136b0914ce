import { describe, expect, it, test } from 'vitest';
import { residual } from '../../probes/residual.js';
import { residualBlock, type ResidualFinding } from '../../src/verdict/findings/residual.js';
import { PaperBench } from '../support/paper-bench.js';
import {
  byFirstPacket,
  hasCookie,
  LOSS_REGIMES,
  paperPath,
  type PaperPathOptions,
  residual as residualFilter,
} from '../support/paper-path.js';

function ask(options: Partial<PaperPathOptions>, seed: string | number = 1): ResidualFinding {
  const bench = new PaperBench('residual', paperPath({ seed, ...options }), { seed });
  const finding = bench.run(residual);
  if (!finding) throw new Error('nothing was sent');
  expect(residualBlock(bench.trials)).toEqual(finding);
  return finding;
}

/** The seconds between which the tuple came back to life. */
function seconds({ deadAtMs, aliveAtMs }: ResidualFinding): [number, number] {
  return [(deadAtMs ?? NaN) / 1000, (aliveAtMs ?? NaN) / 1000];
}

describe('a trigger that takes its tuple with it', () => {
  // verdicts.md, matrix-residual: seconds ± 10.
  test.each([5, 30, 60, 120, 180])('for %d s', (forSeconds) => {
    const finding = ask({ drops: residualFilter(forSeconds * 1000, hasCookie) });
    expect(finding.blocks).toEqual(['up', 'down']);
    const [dead, alive] = seconds(finding);
    expect(dead).toBeLessThanOrEqual(forSeconds);
    expect(alive).toBeGreaterThanOrEqual(forSeconds);
    expect(alive - dead).toBeLessThan(20);
  });

  it('for longer than is waited', () => {
    const finding = ask({ drops: residualFilter(3_600_000, hasCookie) });
    expect(finding.blocks).toEqual(['up', 'down']);
    expect(finding.aliveAtMs).toBeNull();
    expect(finding.deadAtMs).toBeGreaterThan(180_000);
  });

  it('one way only', () => {
    const drops = residualFilter(20_000, (packet) => packet.from === 'server' && hasCookie(packet));
    expect(ask({ drops }).blocks).toEqual(['down']);
  });

  for (const [regime, loss] of Object.entries(LOSS_REGIMES)) {
    it(`for 120 s, with ${regime} lost`, () => {
      for (let seed = 0; seed < 10; seed += 1) {
        const finding = ask({ ...loss, drops: residualFilter(120_000, hasCookie) }, seed);
        expect(finding.blocks.length, `seed ${seed}`).toBeGreaterThan(0);
        const [dead, alive] = seconds(finding);
        expect(dead, `seed ${seed}`).toBeLessThanOrEqual(120);
        expect((dead + alive) / 2, `seed ${seed}`).toBeGreaterThan(110);
        expect((dead + alive) / 2, `seed ${seed}`).toBeLessThan(130);
      }
    });
  }
});

describe('what is none', () => {
  test.each<[string, () => PaperPathOptions['drops'] & object]>([
    ['nothing is filtered', () => () => false],
    ['packets alone are filtered', () => hasCookie],
    ['the first packet decides, and triggers come after it', () => byFirstPacket(hasCookie)],
  ])('%s', (_, box) => {
    const { blocks, deadAtMs, aliveAtMs } = ask({ drops: box() });
    expect({ blocks, deadAtMs, aliveAtMs }).toEqual({ blocks: [], deadAtMs: null, aliveAtMs: null });
  });

  for (const [regime, loss] of Object.entries(LOSS_REGIMES)) {
    it(`${regime}: none of 100 runs finds one`, () => {
      for (let seed = 0; seed < 100; seed += 1) {
        expect(ask({ ...loss, ...(seed % 2 === 0 ? { drops: hasCookie } : {}) }, seed).blocks, `seed ${seed}`).toEqual(
          [],
        );
      }
    });
  }
});
