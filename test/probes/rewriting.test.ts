import { describe, expect, it } from 'vitest';
import { fraction, SeededRandom } from '../../src/base/random.js';
import { rewritingFinding, rewritingWords } from '../../src/verdict/findings/rewriting.js';
import type { Trial } from '../../src/verdict/trial.js';
import { rewriting } from '../../probes/rewriting.js';
import { type Fate, PaperBench, type PaperPacket } from '../support/paper-bench.js';

function trialsOf(fate: (packet: PaperPacket) => Fate, seed: number | string = 1): readonly Trial[] {
  const bench = new PaperBench('rewriting', fate, { seed });
  bench.run(rewriting);
  return bench.trials;
}
const alg = ({ from, spec }: PaperPacket): Fate =>
  from === 'client' && spec.carries === 'address' ? { changed: [{ at: 40, end: 44 }] } : 'arrives';

describe('what is rewritten on the way', () => {
  it('is nothing where every byte arrives as it was sent', () => {
    expect(rewritingFinding(trialsOf(() => 'arrives'))).toEqual([]);
    expect(rewritingFinding([])).toBeNull();
  });

  it('names direction, kind and bytes: a gateway that exchanges the address', () => {
    const found = rewritingFinding(trialsOf(alg)) ?? [];
    expect(found).toMatchObject([{ direction: 'up', arm: 'random', hasAddress: true, bytes: [{ at: 40, end: 44 }] }]);
    expect(rewritingWords(found)).toBe(
      'up bytes 40-43 of random packets, which hold the address of their sender, are rewritten on the way (12 of 12 that arrived)',
    );
  });

  it('tells the arms apart: STUN alone, both ways', () => {
    const found = rewritingFinding(
      trialsOf(({ spec }) =>
        spec.arm === 'stun'
          ? {
              changed: [
                { at: 20, end: 22 },
                { at: 30, end: 31 },
              ],
            }
          : 'arrives',
      ),
    );
    expect(found?.map(({ direction, arm, hasAddress, bytes }) => [direction, arm, hasAddress, bytes.length])).toEqual([
      ['up', 'stun', false, 2],
      ['down', 'stun', false, 2],
    ]);
  });

  /** A way of five hops; what comes to hop `changedFrom` and beyond has other bytes. */
  const quoting =
    (changedFrom: number, liar = 0) =>
    (packet: PaperPacket): Fate => {
      const { ttl } = packet.spec;
      const fate = alg(packet);
      if (ttl === null || ttl > 5) return fate;
      const isChanged = (fate !== 'arrives' && ttl >= changedFrom) || ttl === liar;
      const changed = isChanged ? [{ at: 40, end: 44 }] : [];
      return { icmp: { type: 11, code: 0, from: `10.0.0.${String(ttl)}`, changed } };
    };

  it.each([1, 3, 5])('is placed by what routers quote: before hop %i', (changedFrom) => {
    const [found] = rewritingFinding(trialsOf(quoting(changedFrom))) ?? [];
    expect([found?.place?.after.hop, found?.place?.before]).toEqual([
      changedFrom - 1,
      { hop: changedFrom, address: `10.0.0.${String(changedFrom)}` },
    ]);
  });

  it('is beyond the last router where none quotes other bytes', () => {
    const [found] = rewritingFinding(trialsOf(quoting(6))) ?? [];
    expect(found?.place).toEqual({ after: { hop: 5, address: '10.0.0.5' }, before: null });
  });

  it('is placed nowhere where one router alone quotes other bytes than those behind it, or none quotes enough', () => {
    const [spoilt] = rewritingFinding(trialsOf(quoting(5, 2))) ?? [];
    expect(spoilt).toMatchObject({ direction: 'up', place: null });
    const mute = (packet: PaperPacket): Fate =>
      packet.spec.ttl === null ? alg(packet) : { icmp: { type: 11, code: 0, from: '10.0.0.1' } };
    expect(rewritingFinding(trialsOf(mute))).toMatchObject([{ direction: 'up', place: null }]);
  });

  it('is not said of single packets, nor of lost ones', () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const random = new SeededRandom(`accident ${String(seed)}`);
      let isBroken = false;
      const fate = (): Fate => {
        if (fraction(random) < 0.02) isBroken = !isBroken;
        // One packet in a thousand arrives broken.
        if (fraction(random) < 1e-3) return { changed: [{ at: 7, end: 8 }] };
        return isBroken ? 'lost' : 'arrives';
      };
      expect(rewritingFinding(trialsOf(fate, seed)), String(seed)).toEqual([]);
    }
  });

  it('is found through 25 in a hundred lost', () => {
    let found = 0;
    for (let seed = 0; seed < 100; seed += 1) {
      const random = new SeededRandom(`lossy ${String(seed)}`);
      const fate = (packet: PaperPacket): Fate => (fraction(random) < 0.25 ? 'lost' : alg(packet));
      if (rewritingFinding(trialsOf(fate, seed))?.length === 1) found += 1;
    }
    expect(found).toBeGreaterThanOrEqual(95);
  });
});
