import { describe, expect, test } from 'vitest';
import { rate, RATE } from '../../probes/rate.js';
import { SeededRandom } from '../../src/base/random.js';
import { findRates, isQueued, RATE_EXPERIMENT, type RateFinding } from '../../src/verdict/findings/rate.js';
import { Filter } from '../../src/world/filter.js';
import { Link, type LinkOptions } from '../../src/world/link.js';
import { udpPacket } from '../../src/world/packet.js';
import { type Fate, PaperBench, type PaperPacket } from '../support/paper-bench.js';

const HERE = { family: 'ipv4', address: '10.0.0.1', port: 4000 } as const;
const THERE = { family: 'ipv4', address: '203.0.113.1', port: 4000 } as const;

/** Packets of the client go through the world's own link and throttle, those of the server through the same link. */
function through(
  link: LinkOptions,
  throttle: number | null,
  seed: number,
): { readonly fate: (packet: PaperPacket) => Fate; readonly links: readonly Link[] } {
  const links = ['up', 'down'].map((name) => new Link(link, new SeededRandom(`${name} ${String(seed)}`)));
  const filter =
    throttle === null
      ? null
      : new Filter([{ match: { heading: 'out' }, action: { type: 'throttle', perSecond: throttle } }]);
  const fate = ({ from, spec, at }: PaperPacket): Fate => {
    const packet = udpPacket(HERE, THERE, new Uint8Array(spec.lengthBytes ?? 100));
    const lost = links[from === 'client' ? 0 : 1]?.transmit(packet, at, () => undefined) !== 'sent';
    if (lost) return 'lost';
    let passed = filter === null || from === 'server';
    if (!passed) {
      filter?.handle(packet, 'inside', at, () => {
        passed = true;
      });
    }
    return passed ? 'arrives' : 'lost';
  };
  return { fate, links };
}

function rates(link: LinkOptions, throttle: number | null, seed = 1): readonly RateFinding[] {
  return new PaperBench(RATE_EXPERIMENT, through(link, throttle, seed).fate, { seed }).run(rate);
}

const BURSTS_25 = { bursts: { loss: 0.25, burstMs: 2000 } };

describe('a policer', () => {
  test.each([40, 50, 100, 150])(
    'that lets %i packets a second through is found, to a fifth, where it is',
    (perSecond) => {
      const found = rates({}, perSecond);
      expect(found).toMatchObject([{ direction: 'up', unit: 'packets' }]);
      expect(Math.abs((found[0]?.perSecond ?? 0) / perSecond - 1)).toBeLessThanOrEqual(0.2);
    },
  );

  test('of 300 packets a second shows in the faster trains alone', () => {
    const found = rates({}, 300);
    expect(found).toMatchObject([{ direction: 'up', unit: 'packets' }]);
    expect(Math.abs((found[0]?.perSecond ?? 0) / 300 - 1)).toBeLessThanOrEqual(0.2);
  });

  test('beyond the fastest train is not found', () => {
    expect(rates({}, 450)).toEqual([]);
  });

  test('is found at 2 % loss', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const found = rates({ loss: 0.02 }, 50, seed);
      expect(Math.abs((found[0]?.perSecond ?? 0) / 50 - 1), `seed ${String(seed)}`).toBeLessThanOrEqual(0.2);
    }
  });
});

describe('loss', () => {
  test.each([
    ['25 % in bursts of 2 s', BURSTS_25, 300],
    ['25 % in bursts of 100 ms', { bursts: { loss: 0.25, burstMs: 100 } }, 300],
    ['25 % at random', { loss: 0.25 }, 100],
    ['12 % at random and 25 % in bursts', { loss: 0.12, ...BURSTS_25 }, 100],
  ])('of %s is no limit, in any run', (_, link, runs) => {
    for (let seed = 1; seed <= runs; seed += 1) expect(rates(link, null, seed), `seed ${String(seed)}`).toEqual([]);
  });

  test('none is no limit either, and ends after the first trains', () => {
    const bench = new PaperBench(RATE_EXPERIMENT, () => 'arrives');
    expect(bench.run(rate)).toEqual([]);
    expect(bench.trials.filter(({ packet }) => packet.lengthBytes === RATE.large.bytes)).toEqual([]);
  });
});

describe('a link that is full', () => {
  test('is told from a policer: it counts bytes', () => {
    // 100 kbit/s: 97 packets a second of 128 bytes, 23 of 528.
    const found = rates({ rateBps: 100_000, queueBytes: 2000 }, null);
    expect(found.map(({ direction, unit }) => [direction, unit])).toEqual([
      ['up', 'bytes'],
      ['down', 'bytes'],
    ]);
    for (const { perSecond } of found) expect(Math.abs((perSecond * 8) / 100_000 - 1)).toBeLessThanOrEqual(0.2);
  });
});

describe('what it costs', () => {
  test('never more than 400 packets in a second from one end', () => {
    const bench = new PaperBench(RATE_EXPERIMENT, through({}, 50, 1).fate);
    bench.run(rate);
    for (const { at, direction } of bench.trials) {
      expect(
        bench.trials.filter((one) => one.direction === direction && one.at >= at && one.at < at + 1000).length,
      ).toBeLessThanOrEqual(400);
    }
  });
});

describe('an old record', () => {
  const bench = new PaperBench(RATE_EXPERIMENT, through({}, 50, 1).fate);
  const found = bench.run(rate);

  test('gives the same finding', () => {
    expect(findRates(bench.trials)).toEqual(found);
    expect(found.some(isQueued)).toBe(false);
  });

  test('in which nothing arrived says nothing', () => {
    expect(findRates(bench.trials.map((trial) => ({ ...trial, received: false })))).toEqual([]);
  });
});
