import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import { type CongestionController, initialWindow, NewReno } from '../../../src/quic/recovery/congestion.js';
import { Cubic } from '../../../src/quic/recovery/cubic.js';
import { MtuSearch } from '../../../src/quic/recovery/mtu.js';
import { Pacer } from '../../../src/quic/recovery/pacer.js';
import { PathRecovery } from '../../../src/quic/recovery/path-recovery.js';
import { RttEstimator } from '../../../src/quic/recovery/rtt.js';
import { EventQueue } from '../../../src/world/event-queue.js';
import { Link, type LinkOptions } from '../../../src/world/link.js';
import type { Packet } from '../../../src/world/packet.js';
import { ack, packet } from './packets.js';

function rttOf(ms: number): RttEstimator {
  const rtt = new RttEstimator();
  rtt.sample(ms, 0, 0);
  return rtt;
}

test('the initial window (RFC 9002 §7.2)', () => {
  expect(initialWindow(1200)).toBe(12_000);
  expect(initialWindow(1472)).toBe(14_720);
  expect(initialWindow(9000)).toBe(18_000);
});

describe('NewReno (RFC 9002 §7.3)', () => {
  test('doubles in a round trip of slow start, halves at a loss, then grows by a datagram in a round trip', () => {
    const reno = new NewReno(1200);
    const rtt = rttOf(50);
    for (let number = 0; number < 10; number += 1) reno.onAcked(packet(number, 0), rtt, true, 50);
    expect(reno.window).toBe(24_000);
    reno.onCongestion(60, 100);
    expect(reno.window).toBe(12_000);
    // Sent before the loss was noticed: the same event, and no growth.
    reno.onCongestion(90, 110);
    reno.onAcked(packet(20, 100), rtt, true, 120);
    expect(reno.window).toBe(12_000);
    for (let number = 30; number < 40; number += 1) reno.onAcked(packet(number, 150), rtt, true, 200);
    expect(reno.window).toBeGreaterThan(13_100);
    expect(reno.window).toBeLessThanOrEqual(13_200);
    reno.onCongestion(150, 210);
    expect(reno.window).toBeCloseTo(6600, -2);
  });

  test('does not grow while it is not in use (§7.8), and never falls under two datagrams', () => {
    const reno = new NewReno(1200);
    reno.onAcked(packet(0, 0), rttOf(50), false, 50);
    expect(reno.window).toBe(12_000);
    for (let at = 100; at < 2000; at += 100) reno.onCongestion(at, at);
    expect(reno.window).toBe(2400);
  });
});

describe('CUBIC (RFC 9438)', () => {
  /** From 100 segments at the loss on, one acknowledgment for each segment of the window in each round trip. */
  function after(seconds: number, rttMs: number, windowSegments = 100): number {
    const cubic = new Cubic(1200);
    cubic.window = windowSegments * 1200;
    cubic.onCongestion(1, 2);
    expect(cubic.window).toBeCloseTo(windowSegments * 0.7 * 1200, 6);
    const rtt = rttOf(rttMs);
    for (let at = 3; at < 3 + seconds * 1000; at += rttMs) {
      const segments = Math.floor(cubic.window / 1200);
      for (let index = 0; index < segments; index += 1) {
        cubic.onAcked(packet(index, at - 0.5), rtt, true, at + (index * rttMs) / segments);
      }
    }
    return cubic.window / 1200;
  }

  test('is back where it was after K = cbrt(30 / 0.4) = 4.22 s, hardly moves there, and then goes on', () => {
    expect(after(4.22, 200)).toBeGreaterThan(97);
    expect(after(4.22, 200)).toBeLessThan(103);
    expect(after(2.11, 200)).toBeGreaterThan(93);
    // W(t) = 0.4 (t − 4.22)³ + 100, a round trip ahead.
    expect(after(8.4, 200)).toBeGreaterThan(125);
    expect(after(8.4, 200)).toBeLessThan(135);
  });

  test('on a short path it is no slower than Reno with the same β (§4.3): 0.53 segments a round trip', () => {
    // 70 segments, 100 round trips of 10 ms: Reno is at 70 + 53, then one segment each.
    expect(after(1, 10)).toBeGreaterThan(118);
  });

  test('with less than before it makes room: fast convergence (§4.7)', () => {
    const cubic = new Cubic(1200);
    const rtt = rttOf(100);
    cubic.window = 120_000;
    cubic.onCongestion(1, 2);
    cubic.onCongestion(3, 4);
    // The second height is 70 · 0.85 segments: K = cbrt((59.5 − 49) / 0.4) = 2.97 s.
    for (let at = 5; at < 2975; at += 100) {
      for (let index = 0; index < Math.floor(cubic.window / 1200); index += 1) {
        cubic.onAcked(packet(index, at), rtt, true, at);
      }
    }
    expect(cubic.window / 1200).toBeGreaterThan(57.5);
    expect(cubic.window / 1200).toBeLessThan(66);
  });
});

describe('pacing (RFC 9002 §7.7)', () => {
  test('after a burst of the initial window packets leave at 5/4 of window over round trip', () => {
    const controller = new NewReno(1200);
    controller.onCongestion(0, 0);
    controller.window = 12_000;
    const rtt = rttOf(100);
    const pacer = new Pacer(1200);
    let now = 1000;
    for (let burst = 0; burst < 10; burst += 1) {
      expect(pacer.releaseAt(1200, controller, rtt, now)).toBe(now);
      pacer.onSent(1200, controller, rtt, now);
    }
    const start = now;
    for (let index = 0; index < 50; index += 1) {
      now = pacer.releaseAt(1200, controller, rtt, now);
      pacer.onSent(1200, controller, rtt, now);
    }
    // 150 bytes a millisecond: 8 ms a packet.
    expect(now - start).toBeCloseTo(50 * 8, 6);
  });

  test('idle time is not saved up beyond a burst', () => {
    const controller = new NewReno(1200);
    const pacer = new Pacer(1200);
    const rtt = rttOf(10);
    pacer.onSent(1200, controller, rtt, 0);
    let burst = 0;
    while (pacer.releaseAt(1200, controller, rtt, 60_000) === 60_000) {
      pacer.onSent(1200, controller, rtt, 60_000);
      burst += 1;
    }
    expect(burst).toBe(10);
  });
});

describe('DPLPMTUD (RFC 8899)', () => {
  test('finds what a path takes, to 8 bytes, in few probes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1200, max: 1472 }), (limit) => {
        const search = new MtuSearch(1472);
        let probes = 0;
        for (let size = search.nextProbe; size !== null; size = search.nextProbe) {
          probes += 1;
          expect(search.nextProbe).toBe(size);
          search.onProbeSent(size);
          expect(search.nextProbe).toBeNull();
          if (size <= limit) search.onProbeAcked(size, 0);
          else search.onProbeLost(size, 0);
        }
        expect(search.datagramBytes).toBeLessThanOrEqual(limit);
        expect(search.datagramBytes).toBeGreaterThan(limit - 8);
        expect(probes).toBeLessThanOrEqual(24);
        expect(search.deadline()).toBe(search.datagramBytes === 1472 ? Infinity : 600_000);
      }),
    );
  });

  test('a link that takes more than Ethernet: first what most paths take, then what the link does, and no halves between', () => {
    const probesUntil = (limit: number) => {
      const search = new MtuSearch(8972, 1472);
      const probes: number[] = [];
      for (let size = search.nextProbe; size !== null; size = search.nextProbe) {
        probes.push(size);
        search.onProbeSent(size);
        if (size <= limit) search.onProbeAcked(size, 0);
        else search.onProbeLost(size, 0);
      }
      return { probes, bytes: search.datagramBytes };
    };
    expect(probesUntil(65_507)).toEqual({ probes: [1472, 8972], bytes: 8972 });
    expect(probesUntil(1472)).toEqual({ probes: [1472, 8972, 8972, 8972], bytes: 1472 });
    const { probes, bytes } = probesUntil(1300);
    expect(probes.slice(0, 3)).toEqual([1472, 1472, 1472]);
    expect(Math.max(...probes)).toBe(1472);
    expect(bytes).toBeGreaterThan(1292);
  });

  test('the far end takes less than the link: that is the most that is tried', () => {
    const search = new MtuSearch(8972, 1472);
    search.limit(1350);
    search.onProbeSent(search.nextProbe ?? 0);
    search.onProbeAcked(1350, 0);
    expect(search.datagramBytes).toBe(1350);
    expect(search.nextProbe).toBeNull();
  });

  test('one lost probe says nothing, and asks again after ten minutes', () => {
    const search = new MtuSearch(1472);
    search.onProbeSent(1472);
    search.onProbeLost(1472, 0);
    expect(search.nextProbe).toBe(1472);
    for (let size = search.nextProbe; size !== null; size = search.nextProbe) {
      search.onProbeSent(size);
      search.onProbeLost(size, 0);
    }
    expect(search.datagramBytes).toBe(1200);
    search.onTimeout(600_000);
    expect(search.nextProbe).toBe(1472);
  });

  test('a path that becomes smaller: six full datagrams lost in a row bring it back to 1200', () => {
    const search = new MtuSearch(1472);
    search.onProbeSent(1472);
    search.onProbeAcked(1472, 0);
    for (let at = 0; at < 5; at += 1) expect(search.onLost(1472, at)).toBe(false);
    search.onAcked(1472, 5);
    for (let at = 6; at < 11; at += 1) expect(search.onLost(1472, at)).toBe(false);
    expect(search.onLost(1200, 11)).toBe(false);
    expect(search.onLost(1472, 12)).toBe(true);
    expect(search.datagramBytes).toBe(1200);
    expect(search.nextProbe).toBeLessThan(1472);
  });
});

test('many datagrams lost in a row before one that arrived are a queue that overflowed, and no smaller path', () => {
  const recovery = new PathRecovery<number>({ controller: new NewReno(1472), isServer: true });
  recovery.setState({ isConfirmed: true, hasHandshakeKeys: true, maxAckDelayMs: 0 });
  recovery.onSent('application', packet(0, 0, { bytes: 1472, mtuProbe: true }));
  recovery.onAck('application', ack(0), 0, 10);
  expect(recovery.mtu.datagramBytes).toBe(1472);
  for (let number = 1; number <= 12; number += 1) {
    recovery.onSent('application', packet(number, 10 + number, { bytes: 1472 }));
  }
  const result = recovery.onAck('application', ack(12), 0, 30);
  expect(result).toMatchObject({ lost: { length: 9 } });
  expect(recovery.mtu.datagramBytes).toBe(1472);
});

/** A sender with endless data over the world's link, whose far end acknowledges every packet at once. */
function transfer(
  controller: CongestionController,
  options: LinkOptions,
  untilMs: number,
): PathRecovery<number> & { delivered: number } {
  const recovery = Object.assign(new PathRecovery<number>({ controller, isServer: true }), { delivered: 0 });
  recovery.setState({ isConfirmed: true, hasHandshakeKeys: true, maxAckDelayMs: 0 });
  const random = new SeededRandom(`${controller.name} ${JSON.stringify(options)}`);
  const link = new Link(options, random);
  const queue = new EventQueue();
  let now = 0;
  let next = 0;
  const seen = new Set<number>();
  const send = () => {
    const number = next;
    next += 1;
    recovery.onSent('application', packet(number, now));
    link.transmit({ sizeBytes: 1228 } as Packet, now, (at) => {
      queue.push(at, () => {
        if (!seen.has(number)) recovery.delivered += 1200;
        seen.add(number);
        queue.push(at + (options.delayMs ?? 0), () => {
          const result = recovery.onAck('application', ack(number), 0, now);
          if ('code' in result) throw new Error(result.reason);
        });
      });
    });
  };
  for (let steps = 0; now < untilMs; steps += 1) {
    if (steps > 500_000) throw new Error('no progress');
    while (recovery.hasRoom(1200) && recovery.releaseAt(1200, now) <= now) send();
    const paced = recovery.hasRoom(1200) ? recovery.releaseAt(1200, now) : Infinity;
    now = Math.max(now, Math.min(queue.nextAt, recovery.deadline(), paced));
    while (queue.nextAt <= now) queue.pop()?.run();
    if (recovery.deadline() <= now && recovery.onTimeout(now).probe !== null) send();
  }
  return recovery;
}

describe.each([
  ['newreno', () => new NewReno(1200)],
  ['cubic', () => new Cubic(1200)],
] as const)('%s over a link', (_, controller) => {
  test('10 Mbit/s, 20 ms each way, a queue of a bandwidth-delay product: more than 90 % of it', () => {
    const { delivered, bytesInFlight } = transfer(
      controller(),
      { rateBps: 1e7, delayMs: 20, queueBytes: 50_000 },
      10_000,
    );
    // 1200 of 1228 bytes are payload.
    const most = (1e7 / 8) * 10 * (1200 / 1228);
    expect(delivered).toBeGreaterThan(0.9 * most);
    expect(delivered).toBeLessThanOrEqual(most);
    expect(bytesInFlight).toBeGreaterThan(0);
  });

  test('loss, bursts, reordering and duplicates do not bring it to a stop, and the books balance', () => {
    const bad = {
      rateBps: 1e7,
      delayMs: 20,
      jitterMs: 10,
      reorders: true,
      loss: 0.05,
      duplicates: 0.05,
      bursts: { loss: 0.05, burstMs: 200 },
    };
    const recovery = transfer(controller(), bad, 20_000);
    expect(recovery.delivered).toBeGreaterThan(1_000_000);
    expect(recovery.bytesInFlight).toBe(1200 * recovery.ackElicitingInFlight('application'));
  });
});
