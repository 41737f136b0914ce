import { describe, expect, it, test } from 'vitest';
import { firstPacketDecides } from '../../probes/first-packet.js';
import { firstPacket, type FirstPacketFinding } from '../../src/verdict/findings/first-packet.js';
import { PaperBench } from '../support/paper-bench.js';
import {
  byFirstPacket,
  hasCookie,
  LOSS_REGIMES,
  paperPath,
  type PaperPathOptions,
  residual,
} from '../support/paper-path.js';

function ask(options: Partial<PaperPathOptions>, seed: string | number = 1): FirstPacketFinding | null {
  const bench = new PaperBench('first-packet', paperPath({ seed, ...options }), { seed });
  const finding = bench.run(firstPacketDecides);
  // What the probe saw can be judged again from the record alone.
  expect(firstPacket(bench.trials)).toEqual(finding);
  return finding;
}

describe('what a filter on the cookie looks at', () => {
  const rows: [string, PaperPathOptions['drops'] & object, Pick<FirstPacketFinding, 'filtered' | 'decides'>][] = [
    ['nothing is filtered', () => false, { filtered: [], decides: [] }],
    ['every packet', hasCookie, { filtered: ['up', 'down'], decides: [] }],
    [
      'packets on their way out: down is open, though STUN alone never opens the NAT',
      (packet) => packet.from === 'client' && hasCookie(packet),
      { filtered: ['up'], decides: [] },
    ],
    [
      'packets on their way in',
      (packet) => packet.from === 'server' && hasCookie(packet),
      { filtered: ['down'], decides: [] },
    ],
    ['the first packet of a flow', byFirstPacket(hasCookie), { filtered: [], decides: ['up'] }],
    ['any packet, and then the flow', residual(120_000, hasCookie), { filtered: ['up', 'down'], decides: [] }],
  ];
  test.each(rows)('%s', (_, drops, expected) => {
    expect(ask({ drops })).toMatchObject(expected);
  });
});

// A stateful box keeps its state: each run needs a new one.
const BOXES: Readonly<Record<string, () => PaperPathOptions['drops'] & object>> = {
  packets: () => hasCookie,
  'first packets': () => byFirstPacket(hasCookie),
};

describe('loss is no filter', () => {
  for (const [regime, loss] of Object.entries(LOSS_REGIMES)) {
    it(`${regime}: none of 100 runs finds one`, () => {
      for (let seed = 0; seed < 100; seed += 1) {
        expect(ask(loss, seed), `seed ${seed}`).toMatchObject({ filtered: [], decides: [] });
      }
    });

    for (const [name, box] of Object.entries(BOXES)) {
      it(`${regime}: nor is a filter on ${name} taken for another`, () => {
        const expected =
          name === 'packets' ? { filtered: ['up', 'down'], decides: [] } : { filtered: [], decides: ['up'] };
        let found = 0;
        for (let seed = 0; seed < 20; seed += 1) {
          const finding = ask({ ...loss, drops: box() }, seed);
          for (const kind of ['filtered', 'decides'] as const) {
            for (const direction of finding?.[kind] ?? []) expect(expected[kind], `seed ${seed}`).toContain(direction);
          }
          if (
            JSON.stringify(finding?.filtered.concat(finding.decides)) ===
            JSON.stringify([...expected.filtered, ...expected.decides])
          )
            found += 1;
        }
        expect(found).toBeGreaterThanOrEqual(18);
      });
    }
  }
});
