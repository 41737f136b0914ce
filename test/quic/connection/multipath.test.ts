import { beforeAll, describe, expect, test } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import type { Observed } from '../../../src/quic/connection/types.js';
import type { LinkOptions } from '../../../src/world/link.js';
import { Pair, type PairIdentities, pairIdentities } from '../../support/quic-pair.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

const data = (bytes: number) => new SeededRandom('data').bytes(bytes);

describe('further paths', () => {
  test('are opened by the client, proved by both, and used', () => {
    const pair = new Pair(identities, { link: { delayMs: 10 }, wires: [{ delayMs: 30 }] }).complete();
    expect(pair.open(1)).toBe(1);
    expect(pair.server.of('path-opened')).toMatchObject([{ path: 1, tuple: { remote: pair.wire(1).seenAs } }]);
    const sent = data(400_000);
    const stream = pair.client.post(sent);
    expect(pair.run(pair.now + 10_000, () => pair.server.finished.has(stream))).toBe(true);
    expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
    expect(pair.client.it.paths.map(({ path, state }) => [path, state])).toEqual([
      [0, 'open'],
      [1, 'open'],
    ]);
    for (const { sentBytes } of pair.client.it.paths) expect(sentBytes).toBeGreaterThan(20_000);
  });

  test('only a client opens them, and without multipath nobody', () => {
    const pair = new Pair(identities, { wires: [{ delayMs: 10 }] }).complete();
    expect(pair.server.it.openPath(pair.tuple(1), pair.now)).toBeNull();
    const plain = new Pair(identities, { server: { parameters: { initialMaxPathId: null } } }).complete();
    expect(plain.client.of('handshake-complete')[0]?.multipath).toBe(false);
    expect(plain.client.it.openPath(plain.tuple(0), plain.now)).toBeNull();
    const sent = data(50_000);
    const stream = plain.client.post(sent);
    expect(plain.run(5000, () => plain.server.finished.has(stream))).toBe(true);
  });

  test('sixteen at once', () => {
    const wires = Array.from({ length: 15 }, (_, index) => ({ delayMs: 5 + index, rateBps: 2e6 }));
    const parameters = { initialMaxPathId: 15 };
    const pair = new Pair(identities, {
      link: { delayMs: 10, rateBps: 2e6 },
      wires,
      client: { parameters },
      server: { parameters },
    }).complete();
    for (let index = 1; index < 16; index += 1) pair.open(index);
    expect(pair.client.it.paths).toHaveLength(16);
    const sent = data(2_000_000);
    const stream = pair.client.post(sent);
    // 2 MB at 16 times 2 Mbit/s is half a second; alone it would be eight.
    expect(pair.run(pair.now + 4000, () => pair.server.finished.has(stream))).toBe(true);
    expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
    // The next has to wait until one is left; then the far end allows another id.
    expect(pair.client.it.openPath(pair.tuple(0), pair.now)).toBeNull();
    expect(pair.client.it.abandonPath(3, pair.now)).toBe(true);
    expect(pair.run(pair.now + 1000, () => pair.client.of('paths-available').length > 0)).toBe(true);
    expect(pair.open(3)).toBe(16);
  });

  test('one that leads nowhere is given up, and nothing else suffers', () => {
    const pair = new Pair(identities, { wires: [{ delayMs: 10 }] }).complete();
    pair.setUp(1, false);
    pair.run(pair.now + 200);
    expect(pair.client.it.openPath(pair.tuple(1), pair.now)).toBe(1);
    const stream = pair.client.post(data(100_000));
    pair.run(pair.now + 10_000, () => pair.client.of('path-abandoned').length > 0);
    expect(pair.client.of('path-abandoned')).toMatchObject([{ path: 1, by: 'validation' }]);
    expect(pair.server.finished.has(stream)).toBe(true);
    // Nothing but challenges went there.
    expect(pair.wire(1).up.counts.down).toBeLessThanOrEqual(4);
    pair.setUp(1, true);
    expect(pair.open(1)).toBe(2);
  });
});

describe('status and end of a path', () => {
  test('backup: nothing is sent on it while another works', () => {
    const pair = new Pair(identities, { link: { delayMs: 30 }, wires: [{ delayMs: 5 }] }).complete();
    pair.open(1);
    pair.server.it.setPathStatus(1, 'backup');
    expect(pair.run(pair.now + 500, () => pair.client.of('path-status').length > 0)).toBe(true);
    expect(pair.client.of('path-status')).toMatchObject([{ path: 1, status: 'backup' }]);
    const before = pair.client.it.paths[1]?.sentBytes ?? 0;
    const stream = pair.client.post(data(200_000));
    expect(pair.run(pair.now + 10_000, () => pair.server.finished.has(stream))).toBe(true);
    expect((pair.client.it.paths[1]?.sentBytes ?? 0) - before).toBeLessThan(2000);
  });

  test.each(['client', 'server'] as const)(
    'abandoned by the %s: both leave it, its ids go, the transfer goes on',
    (side) => {
      const pair = new Pair(identities, { wires: [{ delayMs: 20 }] }).complete();
      pair.open(1);
      const sent = data(8_000_000);
      const stream = pair.client.post(sent);
      pair.run(pair.now + 150);
      // In the middle of it, whatever it takes the windows to grow.
      expect(pair.server.finished.has(stream)).toBe(false);
      expect(pair.end(side).it.abandonPath(0, pair.now)).toBe(true);
      expect(pair.run(pair.now + 20_000, () => pair.server.finished.has(stream))).toBe(true);
      expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
      for (const end of [pair.client, pair.server]) {
        expect(end.of('path-abandoned')).toMatchObject([{ path: 0, errorCode: 0x3e }]);
        expect(end.it.paths.map(({ path }) => path)).toEqual([1]);
        expect(end.closed).toBeUndefined();
      }
      // The last one is not left: that is what `close` is for.
      expect(pair.client.it.abandonPath(1, pair.now)).toBe(false);
    },
  );

  test('a path on which nothing comes is left', () => {
    const options = { pathIdleTimeoutMs: 3000, keepAliveMs: 1000 };
    const pair = new Pair(identities, { wires: [{ delayMs: 10 }], client: options, server: options }).complete();
    pair.open(1);
    pair.run(pair.now + 10_000);
    expect(pair.client.it.paths).toHaveLength(2);
    pair.setUp(1, false);
    pair.run(pair.now + 6000);
    expect(pair.client.of('path-abandoned')).toMatchObject([{ path: 1 }]);
    expect(pair.server.of('path-abandoned')).toMatchObject([{ path: 1 }]);
    expect(pair.client.closed).toBeUndefined();
  });
});

/** Milliseconds that a transfer of so many bytes takes. */
function timeOf(links: readonly LinkOptions[], bytes: number, seed: string): number {
  const [link = {}, ...wires] = links;
  const pair = new Pair(identities, { seed, link, wires }).complete();
  for (let index = 1; index < links.length; index += 1) pair.open(index);
  const start = pair.now;
  const sent = data(bytes);
  const stream = pair.client.post(sent);
  if (!pair.run(start + 120_000, () => pair.server.finished.has(stream))) throw new Error('it does not arrive');
  if (!equalBytes(pair.server.bytesOf(stream), sent)) throw new Error('it does not arrive whole');
  return pair.now - start;
}

describe('two paths of 20 and 60 ms', () => {
  const FAST: LinkOptions = { delayMs: 10, rateBps: 10e6, queueBytes: 60_000, loss: 0.01 };
  const SLOW: LinkOptions = { delayMs: 30, rateBps: 10e6, queueBytes: 100_000, loss: 0.01 };

  test('with 1 % of loss: at least 90 % of the sum of each alone', () => {
    const bytes = 6_000_000;
    const rate = (links: readonly LinkOptions[]) => (bytes * 8) / timeOf(links, bytes, 'sum');
    const both = rate([FAST, SLOW]);
    const sum = rate([FAST]) + rate([SLOW]);
    expect(both / sum).toBeGreaterThanOrEqual(0.9);
  });

  test.each([
    ['the fast one', 0, 1],
    ['the slow one', 1, 0],
  ])('when %s dies, the stream stands still for 3 PTO of the other at most', (_, dying, surviving) => {
    const pair = new Pair(identities, { link: FAST, wires: [SLOW] }).complete();
    pair.open(1);
    const sent = data(4_000_000);
    const stream = pair.client.post(sent);
    pair.run(pair.now + 1000);
    const death = pair.now;
    const pto = pair.client.it.paths[surviving]?.ptoMs ?? 0;
    pair.setUp(dying, false);
    expect(pair.run(death + 60_000, () => pair.server.finished.has(stream))).toBe(true);
    expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
    const { at = [] } = pair.server.received.get(stream) ?? {};
    const times = at.filter((time) => time > death - 100);
    const pause = Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? 0)));
    expect(pause).toBeLessThanOrEqual(3 * pto);
  });
});

describe('links of 100 and 50 Mbit/s with 20 ms of queue, as npm run bench:quic shapes them', () => {
  test.each([
    ['both short', 0.2, 0.2],
    ['1 and 3 ms', 0.5, 1.5],
  ])('%s: at least 0.93 of their sum', (_, first, second) => {
    const link = { delayMs: first, rateBps: 100e6, queueBytes: 250_000 };
    const pair = new Pair(identities, { link, wires: [{ delayMs: second, rateBps: 50e6, queueBytes: 125_000 }] });
    pair.complete().open(1);
    const start = pair.now;
    const bytes = 25_000_000;
    const stream = pair.client.post(new Uint8Array(bytes));
    expect(pair.run(start + 60_000, () => pair.server.finished.has(stream))).toBe(true);
    // Of 1500 bytes 1430 are the stream's: 95.3 % is the most that there is.
    expect((bytes * 8) / (pair.now - start)).toBeGreaterThanOrEqual(0.93 * 150_000);
  });

  test('a gap at the start does not make the window of the stream the limit: ways of 20 and 40 ms', () => {
    const link = { delayMs: 10, rateBps: 100e6, queueBytes: 250_000 };
    const blocked: string[] = [];
    const observe = (observed: Observed) => {
      if (observed.type !== 'packet-sent') return;
      for (const { type } of observed.frames) if (type.endsWith('data-blocked')) blocked.push(type);
    };
    const wires = [{ delayMs: 20, rateBps: 50e6, queueBytes: 125_000 }];
    const pair = new Pair(identities, { link, wires, client: { observe } }).complete();
    pair.open(1);
    const sent = data(15_000_000);
    const stream = pair.client.post(sent);
    expect(pair.run(pair.now + 60_000, () => pair.server.finished.has(stream))).toBe(true);
    expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
    // Packets were lost, so there was one.
    expect(pair.client.it.paths[0]?.lostPackets).toBeGreaterThan(50);
    expect(blocked).toEqual([]);
  });
});
