import { beforeAll, describe, expect, test } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import type { Ms } from '../../../src/base/time.js';
import { CONTROLLERS } from '../../../src/quic/recovery/controllers.js';
import { DeliveryRate } from '../../../src/quic/recovery/delivery-rate.js';
import type { LinkOptions } from '../../../src/world/link.js';
import { Pair, type PairIdentities, pairIdentities } from '../../support/quic-pair.js';
import { packet } from './packets.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

type Name = keyof typeof CONTROLLERS;

/** A client that sends with one controller; `change`s are made to its link, in milliseconds from the start on. */
class Transfer {
  readonly pair: Pair;
  readonly start: Ms;
  /** Every 20 ms: what has arrived, and how long the queue was. */
  readonly samples: { readonly at: Ms; readonly bytes: number; readonly queueMs: Ms }[] = [];
  #stream = -1;
  readonly #delayMs: Ms;

  constructor(name: Name, link: LinkOptions & { readonly delayMs: Ms }, seed: string | number = 'bbr') {
    const client = { controller: CONTROLLERS[name], sendBufferBytes: 4e6 };
    this.pair = new Pair(identities, { seed, link, client }).complete();
    this.start = this.pair.now;
    this.#delayMs = link.delayMs;
    this.#sample();
  }

  /** Megabits a second, in all. */
  run(bytes: number): number {
    const data = new SeededRandom('data').bytes(bytes);
    this.#stream = this.pair.client.post(data);
    const isDone = () => this.pair.server.finished.has(this.#stream);
    if (!this.pair.run(this.start + 120_000, isDone)) throw new Error('it does not arrive');
    expect(equalBytes(this.pair.server.bytesOf(this.#stream), data)).toBe(true);
    return (bytes * 8) / (this.pair.now - this.start) / 1000;
  }

  /** Megabits a second, and the mean queue, between two times since the start. */
  between(from: Ms, to: Ms): { readonly megabits: number; readonly queueMs: Ms } {
    const part = this.samples.filter(({ at }) => at >= from && at <= to);
    const [first, last] = [part[0], part.at(-1)];
    if (first === undefined || last === undefined) throw new Error('the transfer was over before');
    const queueMs = part.reduce((sum, each) => sum + each.queueMs, 0) / part.length;
    return { megabits: ((last.bytes - first.bytes) * 8) / (last.at - first.at) / 1000, queueMs };
  }

  #sample(): void {
    this.pair.at(this.pair.now + 20, () => {
      const [path] = this.pair.client.it.paths;
      const bytes = this.pair.server.received.get(this.#stream)?.length ?? 0;
      const queueMs = (path?.latestRttMs ?? 0) - 2 * this.#delayMs;
      this.samples.push({ at: this.pair.now - this.start, bytes, queueMs });
      this.#sample();
    });
  }
}

const MBIT = 1e6;

describe('BBR on a link of 20 Mbit/s and 40 ms', () => {
  const LINK = { delayMs: 20, rateBps: 20 * MBIT, queueBytes: 500_000 };

  test('fills it although 1 % of the packets is lost at random, where CUBIC does not', () => {
    for (const seed of [1, 2, 3]) {
      const lossy = { ...LINK, loss: 0.01 };
      // The start included, and 3 % of headers.
      expect(new Transfer('bbr', lossy, seed).run(8_000_000)).toBeGreaterThan(15);
      // Mathis et al. 1997: 1472 bytes * 1.22 / (40 ms * sqrt(0.01)) = 3.6 Mbit/s.
      const cubic = new Transfer('cubic', lossy, seed);
      cubic.run(4_000_000);
      expect(cubic.between(1000, 4000).megabits).toBeLessThan(6);
    }
  });

  test('keeps the queue short where CUBIC fills it, and loses nothing', () => {
    const bbr = new Transfer('bbr', LINK);
    expect(bbr.run(10_000_000)).toBeGreaterThan(18);
    expect(bbr.between(1000, 4000).queueMs).toBeLessThan(10);
    expect(bbr.pair.client.it.paths[0]?.lostPackets).toBe(0);
    // 200 ms of queue are there to be filled.
    const cubic = new Transfer('cubic', LINK);
    cubic.run(10_000_000);
    expect(cubic.between(1000, 4000).queueMs).toBeGreaterThan(80);
  });

  test('follows the link when it becomes slower, and when it becomes faster again', () => {
    const transfer = new Transfer('bbr', LINK);
    const { up } = transfer.pair.wire(0);
    transfer.pair.at(transfer.start + 2000, () => {
      up.change({ ...LINK, rateBps: 5 * MBIT });
    });
    transfer.pair.at(transfer.start + 16_000, () => {
      up.change(LINK);
    });
    transfer.run(36_000_000);
    expect(transfer.between(1000, 2000).megabits).toBeGreaterThan(17);
    // The best of two cycles is believed; with the queue full, a cycle takes four seconds.
    const slow = transfer.between(13_000, 16_000);
    expect(slow.megabits).toBeGreaterThan(4.3);
    expect(slow.queueMs).toBeLessThan(60);
    // A probe every two to three seconds raises the bandwidth by a quarter or more.
    expect(transfer.between(21_500, 23_000).megabits).toBeGreaterThan(17);
  });

  test('finds the least round-trip time anew when the way becomes longer', () => {
    const transfer = new Transfer('bbr', LINK);
    transfer.pair.at(transfer.start + 2000, () => {
      transfer.pair.wire(0).up.change({ ...LINK, delayMs: 80 });
    });
    transfer.run(40_000_000);
    // 60 ms more; the filter of the least round-trip time holds 10 s.
    const later = transfer.between(13_500, 16_000);
    expect(later.megabits).toBeGreaterThan(16);
    expect(later.queueMs - 60).toBeLessThan(40);
  });

  test('a queue of a tenth of what is on its way costs it little', () => {
    const shallow = new Transfer('bbr', { ...LINK, queueBytes: 12_000 });
    expect(shallow.run(10_000_000)).toBeGreaterThan(15);
  });
});

describe('on two paths', () => {
  test('each has its own: both are filled', () => {
    const wires = [{ delayMs: 30, rateBps: 10 * MBIT, queueBytes: 200_000, loss: 0.01 }];
    const link = { delayMs: 10, rateBps: 20 * MBIT, queueBytes: 200_000, loss: 0.01 };
    const client = { controller: CONTROLLERS.bbr, sendBufferBytes: 4e6 };
    const pair = new Pair(identities, { link, wires, client }).complete();
    pair.open(1);
    const start = pair.now;
    const stream = pair.client.post(new SeededRandom('data').bytes(12_000_000));
    expect(pair.run(start + 60_000, () => pair.server.finished.has(stream))).toBe(true);
    expect(96_000 / (pair.now - start)).toBeGreaterThan(22);
  });
});

describe('delivery rate samples', () => {
  const sent = (number: number, sentAt: Ms) => packet(number, sentAt);

  test('one packet a millisecond to where it takes 20 ms: so many bytes a millisecond', () => {
    const rate = new DeliveryRate();
    const packets = Array.from({ length: 40 }, (_, index) => sent(index, index));
    let last = null;
    let inFlight = 0;
    for (let now = 0; now < 60; now += 1) {
      const arrived = packets[now - 20];
      if (arrived !== undefined) {
        rate.onAcked(arrived, now);
        inFlight -= arrived.bytes;
        last = rate.take(20);
      }
      const next = packets[now];
      if (next === undefined) continue;
      rate.onSent(next, inFlight, now);
      inFlight += next.bytes;
    }
    expect(last?.rate).toBeCloseTo(packets[0]?.bytes ?? 0, 6);
    expect(last?.isAppLimited).toBe(false);
  });

  test('ACKs that come in a heap do not make a path faster than the sender was', () => {
    const rate = new DeliveryRate();
    const packets = Array.from({ length: 10 }, (_, index) => sent(index, index * 10));
    for (const [index, each] of packets.entries()) rate.onSent(each, index * each.bytes, index * 10);
    for (const each of packets) rate.onAcked(each, 200);
    const sample = rate.take(50);
    // Ten packets in 200 ms since the first one left.
    expect(sample?.rate).toBeLessThanOrEqual((10 * (packets[0]?.bytes ?? 0)) / 100);
  });

  test('a sender that had nothing to send says so in the samples of what it sent then', () => {
    const rate = new DeliveryRate();
    rate.onAppLimited(0);
    const [first, second] = [sent(0, 0), sent(1, 50)];
    rate.onSent(first, 0, 0);
    rate.onAcked(first, 20);
    expect(rate.take(0)).toMatchObject({ isAppLimited: true, newlyAcked: first.bytes });
    rate.onSent(second, 0, 50);
    rate.onAcked(second, 70);
    expect(rate.take(0)?.isAppLimited).toBe(false);
  });

  test('what is lost since a packet left counts in its sample', () => {
    const rate = new DeliveryRate();
    const [first, second] = [sent(0, 0), sent(1, 1)];
    rate.onSent(first, 0, 0);
    rate.onSent(second, first.bytes, 1);
    expect(rate.onLost(first)).toEqual({ inFlight: first.bytes, lost: first.bytes });
    rate.onAcked(second, 30);
    expect(rate.take(0)).toMatchObject({ lost: first.bytes, inFlightAtSend: first.bytes + second.bytes });
  });
});
