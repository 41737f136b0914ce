import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { KeyPhases } from '../../../src/quic/crypto/key-phases.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { initialKeys } from '../../../src/quic/crypto/keys.js';
import { protectPacket } from '../../../src/quic/crypto/protection.js';
import { AES_128_GCM } from '../../../src/quic/crypto/suites.js';
import type { Frame } from '../../../src/quic/wire/frames.js';
import { parsePacket, writeLongHeader, writeLongLength, writeShortHeader } from '../../../src/quic/wire/header.js';
import { writeFrame } from '../../../src/quic/wire/write-frames.js';
import { Writer } from '../../../src/quic/wire/writer.js';
import { Pair, type PairIdentities, pairIdentities, type Side } from '../../support/quic-pair.js';
import { frames } from '../wire/arbitraries.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

const sides = fc.constantFrom<Side>('client', 'server');

/** What one end of a pair can make who has its keys and no manners: 1-RTT packets with any frames at all. */
class Forger {
  readonly #pair: Pair;
  readonly #keys: KeyPhases;
  readonly #to: Side;
  #packetNumber = 1000;

  constructor(pair: Pair, to: Side) {
    this.#pair = pair;
    this.#to = to;
    const label = `${to === 'client' ? 'SERVER' : 'CLIENT'}_TRAFFIC_SECRET_0`;
    const line = pair.keylog.find((text) => text.startsWith(label)) ?? '';
    const secret = Buffer.from(line.split(' ')[2] ?? '', 'hex');
    const writeSecret = new Uint8Array(secret);
    this.#keys = new KeyPhases({ suite: AES_128_GCM, ciphers: nodeCiphers, readSecret: writeSecret, writeSecret });
  }

  /** To an id of the handshake's path, or of another one where `which` says so. */
  send(list: readonly Frame[], which = 0): void {
    const end = this.#pair.end(this.#to);
    const id = end.ids.issued[which % end.ids.issued.length] ?? new Uint8Array(8);
    const writer = new Writer(new Uint8Array(60_000));
    this.#packetNumber += 1;
    const packetNumberAt = writeShortHeader(writer, {
      destination: id,
      keyPhase: 0,
      spin: 0,
      packetNumber: this.#packetNumber,
      packetNumberLength: 4,
    });
    for (const frame of list) writeFrame(writer, frame);
    if (list.length === 0) writer.zeros(4);
    const place = { start: 0, packetNumberAt, packetNumberLength: 4, end: writer.offset } as const;
    // Ids are issued in the order of the paths: three for the first, then one for each.
    const path = which === 0 || which < 3 ? 0 : which - 2;
    const bytes = writer.bytes.slice(0, this.#keys.protect(writer.bytes, place, path, this.#packetNumber));
    const { client, server, seenAs } = this.#pair.wire(0);
    const tuple = this.#to === 'client' ? { local: client, remote: server } : { local: server, remote: seenAs };
    end.it.receive(bytes, tuple, 'none', this.#pair.now);
  }
}

/** Either goes on, or says that it does not; nothing is left behind. */
function endsWell(pair: Pair): void {
  pair.run(pair.now + 100_000);
  for (const end of [pair.client, pair.server]) {
    expect(end.events.at(-1)?.type).toBe('drained');
    expect(end.ids.live.size).toBe(0);
  }
}

describe('datagrams of anybody', () => {
  test('any bytes at all change nothing: the transfer arrives, nobody closes', () => {
    const datagram = fc.oneof(
      fc.uint8Array({ maxLength: 1500 }),
      fc.uint8Array({ minLength: 30, maxLength: 200 }).map((bytes) => Uint8Array.of(0x40, ...bytes)),
      fc.uint8Array({ minLength: 30, maxLength: 200 }).map((bytes) => Uint8Array.of(0xc0, 0, 0, 0, 1, 8, ...bytes)),
    );
    fc.assert(
      fc.property(fc.array(fc.record({ to: sides, datagram }), { maxLength: 30 }), (items) => {
        const pair = new Pair(identities, { link: { delayMs: 5 } });
        for (const [index, { to, datagram: bytes }] of items.entries()) {
          pair.run(pair.now + index);
          const tuple = to === 'client' ? pair.tuple(0) : { local: pair.wire(0).server, remote: pair.wire(0).seenAs };
          pair.end(to).connection?.receive(bytes.slice(), tuple, 'none', pair.now);
        }
        pair.complete();
        const sent = new SeededRandom('data').bytes(3000);
        const stream = pair.client.post(sent);
        expect(pair.run(pair.now + 10_000, () => pair.server.finished.has(stream))).toBe(true);
        expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('packets of the handshake and after, with bits turned, cut, repeated and put together', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0.05, max: 0.3, noNaN: true }), (seed, share) => {
        const random = new SeededRandom(seed);
        const kept: Uint8Array[] = [];
        const pick = (below: number) => random.uint32() % below;
        const pair = new Pair(identities, {
          seed,
          client: { handshakeTimeoutMs: 60_000 },
          tamper: (bytes) => {
            kept.push(bytes.slice());
            if (random.uint32() / 2 ** 32 > share) return [bytes];
            const spoiled = bytes.slice();
            switch (pick(4)) {
              case 0:
                spoiled[pick(spoiled.length)] = pick(256);
                return [spoiled];
              case 1:
                return [spoiled.subarray(0, pick(spoiled.length))];
              case 2:
                return [bytes, kept[pick(kept.length)]?.slice() ?? bytes];
              default:
                return [Uint8Array.of(...bytes, ...random.bytes(pick(100)))];
            }
          },
        }).complete(60_000);
        const sent = random.bytes(20_000);
        const stream = pair.client.post(sent);
        expect(pair.run(pair.now + 60_000, () => pair.server.finished.has(stream))).toBe(true);
        expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test('Initials that anybody can make, with any frames in them', () => {
    fc.assert(
      fc.property(fc.array(frames, { minLength: 1, maxLength: 8 }), fc.nat({ max: 40 }), (list, at) => {
        const pair = new Pair(identities, { link: { delayMs: 10 } });
        pair.run(at);
        const packet = parsePacket(pair.sent[0]?.bytes ?? new Uint8Array(), 0, 8);
        if (packet?.type !== 'initial') throw new Error('no Initial');
        const { destination, source } = packet;
        const writer = new Writer(new Uint8Array(60_000));
        const header = { type: 'initial', destination, source, token: new Uint8Array() } as const;
        const packetNumberAt = writeLongHeader(writer, { ...header, packetNumber: 500, packetNumberLength: 4 });
        for (const frame of list) writeFrame(writer, frame);
        if (writer.offset < 1200) writer.zeros(1200 - writer.offset);
        const end = Math.min(writer.offset, 16_000);
        writeLongLength(writer.bytes, packetNumberAt, end + 16);
        const place = { start: 0, packetNumberAt, packetNumberLength: 4, end } as const;
        const keys = initialKeys(destination, nodeCiphers).client;
        const bytes = writer.bytes.slice(0, protectPacket(writer.bytes, place, keys, 0, 500));
        const { server, seenAs } = pair.wire(0);
        pair.server.connection?.receive(bytes, { local: server, remote: seenAs }, 'none', pair.now);
        endsWell(pair);
        if (pair.server.of('handshake-complete').length > 0) return;
        expect(pair.server.sentBytes).toBeLessThanOrEqual(3 * (pair.server.receivedBytes + bytes.length));
      }),
      { numRuns: 100 },
    );
  });
});

describe('a far end that has the keys and no manners', () => {
  test('any frames at all: no crash, no endless loop, and an end', () => {
    const packets = fc.array(
      fc.record({ which: fc.nat({ max: 8 }), list: fc.array(frames, { minLength: 1, maxLength: 5 }) }),
      { minLength: 1, maxLength: 30 },
    );
    let refused = 0;
    fc.assert(
      fc.property(sides, packets, (to, items) => {
        const pair = new Pair(identities, { link: { delayMs: 5 }, wires: [{ delayMs: 5 }] }).complete();
        pair.run(pair.now + 50);
        const forger = new Forger(pair, to);
        for (const { which, list } of items) {
          forger.send(list, which);
          pair.run(pair.now + 7);
        }
        endsWell(pair);
        if (pair.end(to).closed?.by === 'local') refused += 1;
      }),
      { numRuns: 150 },
    );
    // Else the forger would have forged nothing that anybody could read.
    expect(refused).toBeGreaterThan(75);
  });

  test('what it sends again and again takes no memory: paths, ids, streams, challenges', () => {
    const pair = new Pair(identities, { link: { delayMs: 5 } }).complete();
    pair.run(pair.now + 50);
    const forger = new Forger(pair, 'server');
    const random = new SeededRandom('flood');
    const sentBefore = pair.server.sentBytes;
    let bytes = 0;
    const challenge = (): Frame => ({ type: 'path-challenge', data: random.bytes(8) });
    for (let round = 0; round < 500; round += 1) {
      const list: Frame[] = [
        challenge(),
        challenge(),
        { type: 'path-status', path: 7, status: 'backup', sequence: round },
        { type: 'paths-blocked', maximum: 7 },
        { type: 'path-cids-blocked', path: 3, nextSequence: 0 },
        { type: 'streams-blocked', direction: 'bidi', limit: 100 },
        { type: 'data-blocked', limit: 1 },
        { type: 'ping' },
      ];
      forger.send(list);
      bytes += 150;
      pair.run(pair.now + 1);
    }
    expect(pair.server.closed).toBeUndefined();
    expect(pair.server.ids.live.size).toBeLessThan(30);
    // They were heard, each in a datagram of its own.
    expect(pair.server.sentBytes - sentBefore).toBeGreaterThan(500 * 1000);
    // Each challenge is answered in a datagram of 1200 bytes at most: of the many in a packet, eight.
    expect(pair.server.sentBytes - sentBefore).toBeLessThan(500 * 2 * 1300 + bytes);
  });
});
