import { describe, expect, it } from 'vitest';
import { fraction, SeededRandom } from '../../src/base/random.js';
import { filteredSize, type SizeFinding, sizeFinding } from '../../src/verdict/findings/size.js';
import { packetSize } from '../../probes/packet-size.js';
import { type Fate, PaperBench, type PaperPacket } from '../support/paper-bench.js';

function findingOf(fate: (packet: PaperPacket) => Fate, seed: number | string = 1): SizeFinding | null {
  const bench = new PaperBench('packet-size', fate, { seed });
  bench.run(packetSize);
  return sizeFinding(bench.trials, 'ipv4');
}
const bytesOf = ({ spec }: PaperPacket): number => spec.lengthBytes ?? 108;
const above = (limit: number, fate: Fate) => (packet: PaperPacket) => (bytesOf(packet) > limit ? fate : 'arrives');

describe('how large a packet may be', () => {
  it('is as large as anything, where everything passes', () => {
    expect(findingOf(() => 'arrives')).toEqual({ up: null, down: null });
  });

  it.each([300, 576, 999, 1000, 1001, 1180, 1224])('a filter at %i bytes is found within 16', (limit) => {
    const found = findingOf(above(limit, 'lost'));
    for (const direction of ['up', 'down'] as const) {
      expect(found?.[direction]).toMatchObject({ kind: 'filter' });
      const { passesBytes = 0, failsBytes = 0 } = found?.[direction] ?? {};
      expect(passesBytes).toBeLessThanOrEqual(limit);
      expect(failsBytes).toBeGreaterThan(limit);
      expect(Math.max(limit - passesBytes, failsBytes - limit)).toBeLessThanOrEqual(16);
    }
  });

  it('one that filters one way is not said of the other', () => {
    const found = findingOf((packet) => (packet.from === 'client' ? above(1000, 'lost')(packet) : 'arrives'));
    expect(found?.up?.kind).toBe('filter');
    expect(found?.down).toBeNull();
  });

  it('silence where a tunnel may begin, a router that says so, and the own kernel are no filter', () => {
    expect(findingOf(above(1372, 'lost'))?.up?.kind).toBe('black-hole');
    const tooBig = { icmp: { type: 3, code: 4, from: '203.0.113.1' } };
    expect(findingOf(above(900, tooBig))?.up?.kind).toBe('path-mtu');
    expect(filteredSize(findingOf(above(1372, 'lost')))).toBeNull();
    expect(filteredSize(findingOf(above(1000, 'refused')))).toBeNull();
  });

  it('is not said of loss, even of 25 in a hundred in bursts', () => {
    for (const [share, burstMs] of [
      [0.25, 2000],
      [0.25, 300],
      [0.25, 40],
      [0.5, 20],
      [0.25, 0],
    ] as const) {
      for (let seed = 0; seed < 150; seed += 1) {
        const random = new SeededRandom(`${String(burstMs)} ${String(seed)}`);
        const bursts = new Map<number, boolean>();
        const fate = ({ at }: PaperPacket): Fate => {
          if (burstMs === 0) return fraction(random) < share ? 'lost' : 'arrives';
          const slot = Math.floor(at / burstMs);
          const isLost = bursts.get(slot) ?? fraction(random) < share;
          bursts.set(slot, isLost);
          return isLost ? 'lost' : 'arrives';
        };
        expect(findingOf(fate, seed), `${String(burstMs)} ms, seed ${String(seed)}`).toEqual({ up: null, down: null });
      }
    }
  });
});
