import { describe, expect, it, test } from 'vitest';
import { triggerBytes } from '../../probes/trigger-bytes.js';
import { nameOf, triggerOf, type TriggerFinding } from '../../src/verdict/findings/trigger.js';
import { CLASSIFIERS } from '../../src/world/classifiers.js';
import { PaperBench, type PaperPacket } from '../support/paper-bench.js';
import { hasCookie, LOSS_REGIMES, paperPath, type PaperPathOptions, residual } from '../support/paper-path.js';

interface Asked {
  readonly finding: TriggerFinding | null;
  readonly flows: number;
  readonly tookMs: number;
}

function ask(options: Partial<PaperPathOptions>, seed: string | number = 1): Asked {
  const bench = new PaperBench('trigger-bytes', paperPath({ seed, ...options }), { seed });
  const finding = bench.run(triggerBytes);
  expect(triggerOf(bench.trials)).toEqual(finding);
  return { finding, flows: new Set(bench.trials.map(({ flow }) => flow)).size, tookMs: bench.now };
}

const has =
  (at: number, ...values: number[]) =>
  ({ bytes }: PaperPacket): boolean =>
    values.every((value, index) => bytes[at + index] === value);

describe('a filter on certain bytes', () => {
  const rows: [string, (packet: PaperPacket) => boolean, string][] = [
    ['the cookie', hasCookie, '4-7'],
    // No built-in arm changes these.
    ['the lower half of the cookie', has(6, 0xa4, 0x42), '6-7'],
    // RFC 8489 §5: the two most significant bits of every STUN message are zero; the control begins with 0x60–0x7f.
    ['the two bits at the top', ({ bytes }) => (bytes[0] ?? 0) < 0x40, '0'],
    // RFC 8489 §14.3: USERNAME is 0x0006; it is the first attribute.
    ['the type of the first attribute', has(20, 0x00, 0x06), '20-21'],
    // RFC 8489 §14.7: FINGERPRINT is 0x8028, four bytes long, the last attribute.
    ['the fingerprint’s type', has(100, 0x80, 0x28), '100-101'],
    ['type and cookie', (packet) => has(0, 0, 1)(packet) && hasCookie(packet), '0-1,4-7'],
    // Length 88 and what RFC 3489 has as a type: nDPI then needs no cookie.
    ['nDPI', ({ bytes }) => CLASSIFIERS.ndpi(bytes), '0-3'],
    // Any method, any length that is a multiple of four and fits: the second byte does not matter.
    ['zapret', ({ bytes }) => CLASSIFIERS.zapret(bytes), '0,2-7'],
  ];
  test.each(rows)('%s', (_, drops, bytes) => {
    const { finding, flows, tookMs } = ask({ drops });
    expect(finding?.sets.map((set) => nameOf(set.bytes))).toEqual([bytes]);
    expect(finding).toMatchObject({ direction: 'up', confirmed: true, without: { outcome: 'passes' } });
    expect(finding?.sets[0]).toMatchObject({ smallest: true, alone: { outcome: 'fails' } });
    expect(flows).toBeLessThan(1000);
    expect(tookMs).toBeLessThan(30_000);
  });

  it('only on the way in', () => {
    const { finding } = ask({ drops: (packet) => packet.from === 'server' && hasCookie(packet) });
    expect(finding).toMatchObject({ direction: 'down', confirmed: true });
  });

  it('that takes the tuple with it: every packet is tried on a tuple of its own', () => {
    const { finding } = ask({ drops: residual(120_000, hasCookie) });
    expect(finding?.sets.map((set) => nameOf(set.bytes))).toEqual(['4-7']);
    expect(finding?.confirmed).toBe(true);
  });
});

describe('a filter that one of two things sets off', () => {
  it('names both, each enough by itself, and that STUN without the two passes', () => {
    const { finding } = ask({ drops: (packet) => hasCookie(packet) || has(20, 0, 6)(packet) });
    expect(finding?.sets.map((set) => nameOf(set.bytes)).sort()).toEqual(['20-21', '4-7']);
    expect(finding?.confirmed).toBe(true);
  });
});

describe('what has no trigger', () => {
  it('nothing is filtered', () => {
    expect(ask({}).finding).toBeNull();
  });

  for (const [regime, loss] of Object.entries(LOSS_REGIMES)) {
    it(`${regime}: none of 100 runs finds one`, () => {
      for (let seed = 0; seed < 100; seed += 1) expect(ask(loss, seed).finding, `seed ${seed}`).toBeNull();
    });

    it(`${regime}: a cookie is found in 9 of 10 runs, and nothing else is confirmed`, () => {
      let found = 0;
      for (let seed = 0; seed < 10; seed += 1) {
        const { finding } = ask({ ...loss, drops: hasCookie }, seed);
        if (!finding?.confirmed) continue;
        expect(
          finding.sets.map((set) => nameOf(set.bytes)),
          `seed ${seed}`,
        ).toEqual(['4-7']);
        found += 1;
      }
      expect(found).toBeGreaterThanOrEqual(9);
    });
  }
});
