import { describe, expect, it } from 'vitest';
import { flowsDiffer } from '../../probes/flows.js';
import { flowDependent, type FlowsFinding } from '../../src/verdict/findings/flow-dependent.js';
import { PaperBench, type PaperPacket } from '../support/paper-bench.js';
import { hasCookie, LOSS_REGIMES, paperPath, type PaperPathOptions } from '../support/paper-path.js';

function ask(options: Partial<PaperPathOptions>, seed: string | number = 1): FlowsFinding | null {
  const bench = new PaperBench('flows', paperPath({ seed, ...options }), { seed });
  const finding = bench.run(flowsDiffer);
  expect(flowDependent(bench.trials)).toEqual(finding);
  return finding;
}

/** One of so many parallel ways drops whatever hashes to it: an avalanche of the flow's number. */
function member(of: number, seed: number): (packet: PaperPacket) => boolean {
  return ({ flow }) =>
    (Math.imul(Math.imul(flow + seed * 1009, 0x9e3779b1) ^ (flow << 7), 0x85ebca6b) >>> 8) % of === 0;
}

const REGIMES = { 'nothing lost': {}, ...LOSS_REGIMES };

describe('one of four ways drops everything', () => {
  for (const [regime, loss] of Object.entries(REGIMES)) {
    it(`${regime}: the share of dead flows within 10 points, in 19 of 20 runs at least`, () => {
      let within = 0;
      for (let seed = 0; seed < 20; seed += 1) {
        const finding = ask({ ...loss, drops: member(4, seed) }, seed);
        const share = finding ? finding.dead / finding.flows : 0;
        if (Math.abs(share - 0.25) <= 0.1) within += 1;
        if (finding) expect(finding.low < 0.25 + 0.1 && finding.high > 0.25 - 0.1).toBe(true);
      }
      expect(within).toBeGreaterThanOrEqual(19);
    });
  }

  it('out only, where the way back is never opened: both ways are dead', () => {
    const drops = member(4, 1);
    expect(ask({ drops: (packet) => packet.from === 'client' && drops(packet) })).not.toBeNull();
  });

  it('in only', () => {
    const drops = member(4, 1);
    expect(ask({ drops: (packet) => packet.from === 'server' && drops(packet) })?.direction).toBe('down');
  });
});

describe('what is none', () => {
  for (const [regime, loss] of Object.entries(REGIMES)) {
    it(`${regime}: none of 100 runs finds one`, () => {
      for (let seed = 0; seed < 100; seed += 1) expect(ask(loss, seed), `seed ${seed}`).toBeNull();
    });
  }

  it('nothing passes at all', () => {
    expect(ask({ drops: () => true })).toBeNull();
  });

  it('a filter on content that the control does not have', () => {
    expect(ask({ drops: hasCookie })).toBeNull();
  });
});
