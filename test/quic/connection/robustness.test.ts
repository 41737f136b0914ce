import { beforeAll, describe, expect, test } from 'vitest';
import { transportAddress } from '../../../src/base/address.js';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { parsePacket } from '../../../src/quic/wire/header.js';
import { Redundant, RoundRobin } from '../../../src/quic/schedulers/schedulers.js';
import type { LinkOptions } from '../../../src/world/link.js';
import { Pair, type PairIdentities, pairIdentities, type PairOptions } from '../../support/quic-pair.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

const data = (bytes: number) => new SeededRandom('data').bytes(bytes);

/** Sends so many bytes each way, and says whether they came as they were. */
function exchanges(pair: Pair, bytes: number, withinMs = 120_000): boolean {
  const sent = data(bytes);
  const up = pair.client.post(sent);
  const down = pair.server.post(sent);
  const end = pair.now + withinMs;
  if (!pair.run(end, () => pair.server.finished.has(up) && pair.client.finished.has(down))) return false;
  return equalBytes(pair.server.bytesOf(up), sent) && equalBytes(pair.client.bytesOf(down), sent);
}

describe('whatever the network does: everything arrives, complete and identical', () => {
  const links: [string, LinkOptions][] = [
    ['loss of 10 %', { delayMs: 15, loss: 0.1 }],
    ['bursts', { delayMs: 15, bursts: { loss: 0.05, burstMs: 60 } }],
    ['reordering', { delayMs: 10, jitterMs: 25, reorders: true }],
    ['duplicates', { delayMs: 10, duplicates: 0.5 }],
    ['a slow link with a short queue', { delayMs: 20, rateBps: 2e6, queueBytes: 12_000 }],
    ['no more than 1300 bytes', { delayMs: 10, mtuBytes: 1300 }],
    [
      'all of it',
      { delayMs: 20, jitterMs: 15, reorders: true, loss: 0.05, duplicates: 0.1, rateBps: 5e6, queueBytes: 30_000 },
    ],
  ];

  test.each(links)('%s', (_, link) => {
    for (let seed = 0; seed < 3; seed += 1) {
      const pair = new Pair(identities, { seed, link, client: { handshakeTimeoutMs: 60_000 } }).complete();
      expect(exchanges(pair, 150_000)).toBe(true);
    }
  });

  test.each(links)('%s, on two paths of which one has it', (_, link) => {
    const pair = new Pair(identities, { link: { delayMs: 20, rateBps: 5e6 }, wires: [link] }).complete();
    pair.open(1);
    expect(exchanges(pair, 150_000)).toBe(true);
  });

  test('a blackout of ten seconds: the connection lives, and goes on within twice that', () => {
    const pair = new Pair(identities, { link: { delayMs: 20, rateBps: 5e6 } }).complete();
    const sent = data(2_000_000);
    const stream = pair.client.post(sent);
    pair.run(pair.now + 500);
    pair.setUp(0, false);
    pair.run(pair.now + 10_000);
    pair.setUp(0, true);
    expect(pair.run(pair.now + 30_000, () => pair.server.finished.has(stream))).toBe(true);
    expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
  });

  test('a blackout for ever: both ends say that it is over', () => {
    const pair = new Pair(identities).complete();
    pair.client.post(data(500_000));
    pair.server.post(data(500_000));
    pair.run(pair.now + 30);
    pair.setUp(0, false);
    pair.run(pair.now + 200_000);
    for (const end of [pair.client, pair.server]) {
      expect(end.closed).toMatchObject({ by: 'timeout' });
      expect(end.events.at(-1)?.type).toBe('drained');
      expect(end.ids.live.size).toBe(0);
    }
  });

  test('a path that dies and comes back is used again', () => {
    const link = { delayMs: 10, rateBps: 5e6 };
    const pair = new Pair(identities, { link, wires: [link] }).complete();
    pair.open(1);
    const sent = data(6_000_000);
    const stream = pair.client.post(sent);
    pair.run(pair.now + 500);
    pair.setUp(1, false);
    pair.run(pair.now + 2000);
    pair.setUp(1, true);
    const before = pair.wire(1).up.counts.sent;
    expect(pair.run(pair.now + 30_000, () => pair.server.finished.has(stream))).toBe(true);
    expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
    expect(pair.wire(1).up.counts.sent - before).toBeGreaterThan(500);
  });

  test.each([
    ['round robin', () => new RoundRobin()],
    ['redundant', () => new Redundant()],
  ])('with the scheduler %s', (_, scheduler) => {
    const link = { delayMs: 10, rateBps: 10e6, loss: 0.02 };
    const options = { scheduler: scheduler() };
    const pair = new Pair(identities, { link, wires: [{ ...link, delayMs: 25 }], client: options }).complete();
    pair.open(1);
    expect(exchanges(pair, 300_000)).toBe(true);
  });

  test('many streams at once, in both directions', () => {
    const pair = new Pair(identities, { link: { delayMs: 10, rateBps: 20e6, loss: 0.01 } }).complete();
    const streams = Array.from({ length: 90 }, (_, index) => pair.client.post(data(2000 + index), 'bidi'));
    expect(pair.run(pair.now + 20_000, () => streams.every((stream) => pair.server.finished.has(stream)))).toBe(true);
    for (const [index, stream] of streams.entries()) {
      expect(equalBytes(pair.server.bytesOf(stream), data(2000 + index))).toBe(true);
      pair.server.write(stream, data(index), true);
    }
    expect(pair.run(pair.now + 20_000, () => streams.every((stream) => pair.client.finished.has(stream)))).toBe(true);
    // They are over, and that makes room, as soon as the other end has heard of it: 100 were allowed at first.
    pair.run(pair.now + 200);
    const more = Array.from({ length: 60 }, () => pair.client.post(data(100), 'bidi'));
    expect(pair.run(pair.now + 20_000, () => more.every((stream) => pair.server.finished.has(stream)))).toBe(true);
  });

  test('a rate is used: 10 Mbit/s of 20 ms, 4 MB in less than 4 s', () => {
    const pair = new Pair(identities, { link: { delayMs: 10, rateBps: 10e6, queueBytes: 50_000 } }).complete();
    const start = pair.now;
    const stream = pair.client.post(data(4_000_000));
    expect(pair.run(start + 10_000, () => pair.server.finished.has(stream))).toBe(true);
    // 3.2 s of bytes; headers are 3 %.
    expect(pair.now - start).toBeLessThan(4000);
    // DPLPMTUD: nothing on this way is in the way of 1472 bytes.
    expect(pair.client.it.paths[0]?.datagramBytes).toBe(1472);
  });
});

describe('addresses that change (RFC 9000 §9)', () => {
  test.each([
    ['the first path', 0, 1],
    ['a further path', 1, 2],
  ])('a NAT that forgets %s: proved anew, then followed', (_, index, paths) => {
    const link = { delayMs: 10, rateBps: 10e6 };
    const pair = new Pair(identities, { link, wires: [link] }).complete();
    if (paths > 1) pair.open(1);
    const sent = data(1_500_000);
    const up = pair.client.post(sent);
    const down = pair.server.post(sent);
    pair.run(pair.now + 200);
    pair.rebind(index);
    const { seenAs } = pair.wire(index);
    const isDone = () => pair.server.finished.has(up) && pair.client.finished.has(down);
    expect(pair.run(pair.now + 30_000, isDone)).toBe(true);
    expect(equalBytes(pair.server.bytesOf(up), sent)).toBe(true);
    expect(equalBytes(pair.client.bytesOf(down), sent)).toBe(true);
    expect(pair.server.of('path-migrated')).toMatchObject([{ path: index, tuple: { remote: seenAs } }]);
  });

  test('an address that only forwards packets gets no more than three times what came from it, and no data', () => {
    const pair = new Pair(identities, { link: { delayMs: 10, rateBps: 10e6 } }).complete();
    const thief = transportAddress('203.0.113.66', 666);
    pair.server.post(data(1_000_000));
    pair.run(pair.now + 100);
    // One genuine packet of the client, which the thief was faster with.
    const count = pair.sent.length;
    pair.setUp(0, false);
    pair.client.post(data(1000));
    pair.flush();
    const stolen = pair.sent.slice(count).filter(({ from }) => from === 'client');
    expect(stolen.length).toBeGreaterThan(0);
    let bytes = 0;
    for (const { bytes: packet } of stolen) {
      bytes += packet.length;
      const tuple = { local: pair.wire(0).server, remote: thief };
      pair.server.it.receive(packet.slice(), tuple, 'none', pair.now);
    }
    pair.setUp(0, true);
    const start = pair.toNobody.length;
    pair.run(pair.now + 20_000, () => pair.client.finished.size > 0);
    const toThief = pair.toNobody.slice(start).filter(({ remote }) => remote.address === thief.address);
    expect(toThief.length).toBeGreaterThan(0);
    expect(toThief.reduce((sum, { bytes: sent }) => sum + sent, 0)).toBeLessThanOrEqual(3 * bytes);
    // The client is where he was, and has everything.
    expect(pair.client.finished.size).toBe(1);
    expect(pair.server.of('path-migrated')).toEqual([]);
  });

  test('a client moves to another interface of its own accord, with another connection id (§9.5)', () => {
    const pair = new Pair(identities, {
      link: { delayMs: 10 },
      wires: [{ delayMs: 15 }],
      client: { parameters: { initialMaxPathId: null } },
    }).complete();
    pair.run(pair.now + 100);
    const before = parsePacket(pair.sent.findLast(({ from }) => from === 'client')?.bytes ?? data(1), 0, 8);
    expect(pair.client.it.migratePath(0, pair.tuple(1), pair.now)).toBe(true);
    pair.run(pair.now + 1000);
    expect(pair.client.of('path-migrated')).toMatchObject([{ path: 0, tuple: pair.tuple(1) }]);
    expect(pair.server.of('path-migrated')).toMatchObject([{ tuple: { remote: pair.wire(1).seenAs } }]);
    pair.setUp(0, false);
    expect(exchanges(pair, 100_000)).toBe(true);
    const after = parsePacket(pair.sent.findLast(({ from }) => from === 'client')?.bytes ?? data(1), 0, 8);
    const idOf = (packet: typeof before) => (packet && 'destination' in packet ? String(packet.destination) : '');
    expect(idOf(after)).not.toBe(idOf(before));
  });

  test('where the new way leads nowhere, the path stays', () => {
    const pair = new Pair(identities, { wires: [{ delayMs: 10 }] }).complete();
    pair.run(pair.now + 100);
    pair.setUp(1, false);
    expect(pair.client.it.migratePath(0, pair.tuple(1), pair.now)).toBe(true);
    pair.run(pair.now + 10_000);
    expect(pair.client.of('path-migration-failed')).toHaveLength(1);
    expect(exchanges(pair, 10_000)).toBe(true);
  });
});

describe('keys', () => {
  test('are updated by either end, again and again, on two paths, while data flow', () => {
    const link = { delayMs: 10, rateBps: 10e6, loss: 0.01 };
    const pair = new Pair(identities, { link, wires: [{ ...link, delayMs: 30 }] }).complete();
    pair.open(1);
    let updates = 0;
    for (let time = pair.now; time < pair.now + 4000; time += 300) {
      const end = pair.end((time / 300) % 2 < 1 ? 'client' : 'server');
      pair.at(time, () => {
        if (end.it.updateKeys(pair.now)) updates += 1;
      });
    }
    expect(exchanges(pair, 3_000_000)).toBe(true);
    expect(updates).toBeGreaterThanOrEqual(3);
    expect([pair.client.closed, pair.server.closed]).toEqual([undefined, undefined]);
  });
});

describe('datagrams, resets, tokens, ECN', () => {
  test('datagrams arrive once or not at all, and never more than fits', () => {
    const pair = new Pair(identities, { link: { delayMs: 10, loss: 0.2 } }).complete();
    expect(pair.client.it.sendDatagram(new Uint8Array(pair.client.it.mostDatagramPayloadBytes + 1))).toBe(false);
    expect(pair.client.it.sendDatagram(new Uint8Array(pair.client.it.mostDatagramPayloadBytes))).toBe(true);
    for (let index = 0; index < 100; index += 1) {
      expect(pair.client.it.sendDatagram(Uint8Array.of(index))).toBe(true);
      pair.run(pair.now + 5);
    }
    pair.run(pair.now + 1000);
    const got = pair.server.of('datagram').filter(({ data: bytes }) => bytes.length === 1);
    expect(new Set(got.map(({ data: bytes }) => bytes[0])).size).toBe(got.length);
    // 100 at 20 % loss: five standard deviations.
    expect(got.length).toBeGreaterThan(60);
    expect(got.length).toBeLessThan(100);
  });

  test('a reset, and a wish to stop, are heard on the other side', () => {
    const pair = new Pair(identities).complete();
    const one = pair.client.it.openStream('bidi') ?? -1;
    pair.client.it.write(one, data(1000));
    pair.run(pair.now + 100);
    pair.client.it.reset(one, 77);
    pair.run(pair.now + 100);
    expect(pair.server.of('reset')).toEqual([{ type: 'reset', stream: one, errorCode: 77 }]);
    const two = pair.client.it.openStream('bidi') ?? -1;
    pair.client.it.write(two, data(1000));
    pair.run(pair.now + 100);
    pair.server.it.stopSending(two, 78);
    pair.run(pair.now + 100);
    expect(pair.client.of('stopped')).toEqual([{ type: 'stopped', stream: two, errorCode: 78 }]);
  });

  test('a token comes to the client, also through loss', () => {
    const pair = new Pair(identities, { link: { delayMs: 10, loss: 0.3 }, client: { handshakeTimeoutMs: 60_000 } });
    pair.complete().server.it.sendToken(Uint8Array.of(1, 2, 3));
    pair.run(pair.now + 10_000);
    expect(pair.client.of('new-token')).toEqual([{ type: 'new-token', token: Uint8Array.of(1, 2, 3) }]);
  });

  test('ECN: marks go out, congestion that the network marks slows the sender and nothing is lost', () => {
    const options: PairOptions = { link: { delayMs: 10 }, client: { ecn: true }, server: { ecn: true } };
    const pair = new Pair(identities, options).complete();
    expect(exchanges(pair, 100_000)).toBe(true);
    expect(pair.marked.ect0).toBeGreaterThan(50);
    const clean = pair.client.it.paths[0]?.congestionWindowBytes ?? 0;
    pair.marks = 'ce';
    pair.client.post(data(100_000));
    pair.run(pair.now + 60);
    expect(pair.client.it.paths[0]?.congestionWindowBytes).toBeLessThan(clean);
    expect(pair.client.it.paths[0]?.lostPackets).toBe(0);
  });

  test('backpressure: no more is taken than the buffer holds', () => {
    const pair = new Pair(identities, { client: { sendBufferBytes: 10_000 } }).complete();
    const stream = pair.client.it.openStream('uni') ?? -1;
    expect(pair.client.it.write(stream, data(50_000))).toBe(10_000);
    expect(pair.client.it.write(stream, data(1))).toBe(0);
    expect(pair.run(pair.now + 1000, () => pair.client.of('writable').length > 0)).toBe(true);
  });
});

describe('the end', () => {
  test('close: the other end hears the code and the reason; both are forgotten after a while', () => {
    const pair = new Pair(identities).complete();
    pair.client.it.close(42, 'enough', pair.now);
    pair.run(pair.now + 50);
    expect(pair.client.closed).toEqual({
      ...{ type: 'closed', by: 'local', layer: 'application' },
      ...{ code: 42, reason: 'enough' },
    });
    expect(pair.server.closed).toEqual({
      ...{ type: 'closed', by: 'remote', layer: 'application' },
      ...{ code: 42, reason: 'enough' },
    });
    pair.run(pair.now + 5000);
    expect(pair.client.events.at(-1)?.type).toBe('drained');
    expect(pair.server.events.at(-1)?.type).toBe('drained');
    expect([pair.client.ids.live.size, pair.server.ids.live.size]).toEqual([0, 0]);
  });

  test('whoever goes on sending to a closing end is told again, ever more rarely (§10.2.1)', () => {
    const pair = new Pair(identities).complete();
    pair.server.post(data(3_000_000));
    pair.run(pair.now + 40);
    pair.wire(0).up.up = false;
    pair.client.it.close(1, '', pair.now);
    const before = pair.client.sentDatagrams;
    const { receivedBytes } = pair.client;
    pair.run(pair.now + 2000);
    expect(pair.client.receivedBytes).toBeGreaterThan(receivedBytes + 10_000);
    // The first, and one for each doubling of what came.
    expect(pair.client.sentDatagrams - before).toBeLessThan(12);
  });

  test('idle: closed silently after the shorter of both timeouts (§10.1)', () => {
    const pair = new Pair(identities, { client: { parameters: { maxIdleTimeoutMs: 5000 } } }).complete();
    pair.run(pair.now + 1000);
    const sent = pair.sent.length;
    pair.run(pair.now + 3000);
    expect(pair.client.closed).toBeUndefined();
    pair.run(pair.now + 3000);
    expect(pair.client.closed).toMatchObject({ by: 'timeout' });
    expect(pair.server.closed).toMatchObject({ by: 'timeout' });
    expect(pair.sent.length).toBe(sent);
  });

  test('a stateless reset of the other end ends it; anybody else’s does not (§10.3)', () => {
    const pair = new Pair(identities).complete();
    pair.run(pair.now + 100);
    const forged = new SeededRandom('forged').bytes(40);
    forged[0] = 0x41;
    pair.client.it.receive(forged.slice(), pair.tuple(0), 'none', pair.now);
    expect(pair.client.it.isClosed).toBe(false);
    const genuine = forged.slice();
    genuine.set(pair.server.ids.tokens[0] ?? new Uint8Array(), 24);
    pair.client.it.receive(genuine, pair.tuple(0), 'none', pair.now);
    pair.run(pair.now + 1);
    expect(pair.client.closed).toMatchObject({ by: 'reset' });
  });
});
