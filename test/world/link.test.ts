import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { Link, type LinkOptions } from '../../src/world/link.js';
import { udp } from './packets.js';

/** 1228 bytes of IP, of which 1200 are payload. */
const PACKET = udp('10.0.0.2:5000', '192.0.2.1:3478', 1200);

function link(options: LinkOptions, seed = 1): Link {
  return new Link(options, new SeededRandom(seed));
}

/** Arrivals of `count` packets, one every `everyMs`. */
function arrivals(options: LinkOptions, count: number, everyMs: number, seed = 1): number[][] {
  const one = link(options, seed);
  return Array.from({ length: count }, (_, index) => {
    const times: number[] = [];
    one.transmit(PACKET, index * everyMs, (at) => times.push(at));
    return times;
  });
}

/** Four standard deviations of a binomial share: one in 16 000 falls outside. */
const bound = (p: number, n: number): number => 4 * Math.sqrt((p * (1 - p)) / n);

describe('a link', () => {
  it('delays by exactly its delay when it has no rate', () => {
    expect(arrivals({ delayMs: 20 }, 3, 10)).toEqual([[20], [30], [40]]);
  });

  it('takes the time that the bytes need: 1228 bytes at 1 Mbit/s are 9.824 ms', () => {
    const [first, second] = arrivals({ delayMs: 20, rateBps: 1e6 }, 2, 0);
    expect(first?.[0]).toBeCloseTo(29.824, 9);
    expect(second?.[0]).toBeCloseTo(39.648, 9);
  });

  it.each([1e6, 10e6, 100e6])('delivers %d bit/s ± 3 % when it is given twice as much', (rateBps) => {
    const everyMs = (PACKET.sizeBytes * 8000) / rateBps / 2;
    const seconds = 5;
    const times = arrivals({ delayMs: 20, rateBps, queueBytes: 64_000 }, (seconds * 1000) / everyMs, everyMs).flat();
    const bits = times.filter((at) => at <= seconds * 1000).length * PACKET.sizeBytes * 8;
    expect(bits / seconds / rateBps).toBeGreaterThan(0.97);
    expect(bits / seconds / rateBps).toBeLessThan(1.03);
  });

  it('drops at the tail once the queue is full: ten packets fit into 12 280 bytes', () => {
    const one = link({ rateBps: 1e6, queueBytes: 12_280 });
    const fates = Array.from({ length: 12 }, () => one.transmit(PACKET, 0, () => undefined));
    expect(fates).toEqual([...Array<string>(10).fill('sent'), 'queue-full', 'queue-full']);
    // 9.824 ms later one has left.
    expect(one.transmit(PACKET, 9.824, () => undefined)).toBe('sent');
  });

  it.each([0.01, 0.3])('loses %d of the packets, within binomial bounds, for each of 20 seeds', (loss) => {
    for (let seed = 0; seed < 20; seed += 1) {
      const lost = arrivals({ loss }, 10_000, 1, seed).filter((times) => times.length === 0).length;
      expect(Math.abs(lost / 10_000 - loss)).toBeLessThan(bound(loss, 10_000));
    }
  });

  it('loses in bursts: the share and the mean length are what they should be', () => {
    const bursts = { loss: 0.25, burstMs: 2000 };
    // 20 000 s in steps of 10 ms: a burst every 8 s, about 2500 of them.
    const runs: number[] = [];
    let lost = 0;
    for (let seed = 0; seed < 20; seed += 1) {
      let length = 0;
      for (const times of arrivals({ bursts }, 100_000, 10, seed)) {
        if (times.length === 0) {
          lost += 1;
          length += 1;
        } else if (length > 0) {
          runs.push(length * 10);
          length = 0;
        }
      }
    }
    // The standard error of the mean of n exponential times is mean / √n; the share's is about that of its bursts.
    const mean = runs.reduce((sum, one) => sum + one, 0) / runs.length;
    expect(Math.abs(mean - 2000)).toBeLessThan((4 * 2000) / Math.sqrt(runs.length));
    expect(Math.abs(lost / 2_000_000 - 0.25)).toBeLessThan((4 * 0.25 * 1.5) / Math.sqrt(runs.length));
  });

  it('duplicates the share that it is told to', () => {
    const twice = arrivals({ duplicates: 0.1 }, 10_000, 1).filter((times) => times.length === 2).length;
    expect(Math.abs(twice / 10_000 - 0.1)).toBeLessThan(bound(0.1, 10_000));
  });

  it('jitter stays within its bounds, and puts packets out of order only where it may', () => {
    const delays = { delayMs: 20, jitterMs: 30 };
    const isOrdered = (times: number[]): boolean => times.every((at, index) => at >= (times[index - 1] ?? 0));
    const inOrder = arrivals(delays, 1000, 5).flat();
    const outOfOrder = arrivals({ ...delays, reorders: true }, 1000, 5).flat();
    expect(isOrdered(inOrder)).toBe(true);
    expect(isOrdered(outOfOrder)).toBe(false);
    outOfOrder.forEach((at, index) => {
      expect(at - index * 5).toBeGreaterThanOrEqual(20);
      expect(at - index * 5).toBeLessThan(50);
    });
  });

  it('takes nothing larger than its MTU, and nothing while it is down', () => {
    const one = link({ mtuBytes: 1228 });
    expect(one.transmit(PACKET, 0, () => undefined)).toBe('sent');
    expect(one.transmit(udp('10.0.0.2:5000', '192.0.2.1:3478', 1201), 0, () => undefined)).toBe('too-big');
    one.up = false;
    expect(one.transmit(PACKET, 0, () => undefined)).toBe('down');
    one.up = true;
    expect(one.transmit(PACKET, 0, () => undefined)).toBe('sent');
  });
});
