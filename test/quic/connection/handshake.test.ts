import { beforeAll, describe, expect, test } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { retryPacket } from '../../../src/quic/crypto/retry.js';
import { AES_256_GCM, CHACHA20_POLY1305 } from '../../../src/quic/crypto/suites.js';
import { pinned } from '../../../src/quic/tls/certificates.js';
import { parsePacket, VERSION_1 } from '../../../src/quic/wire/header.js';
import { versionNegotiationPacket } from '../../../src/quic/wire/stateless.js';
import { Pair, type PairIdentities, pairIdentities, type PairOptions } from '../../support/quic-pair.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

/** Sends so many bytes each way, and says whether they came as they were. */
function exchanges(pair: Pair, bytes: number, untilMs = 60_000): boolean {
  const data = { client: new SeededRandom('up').bytes(bytes), server: new SeededRandom('down').bytes(bytes) };
  const up = pair.client.post(data.client);
  const down = pair.server.post(data.server);
  if (!pair.run(untilMs, () => pair.server.finished.has(up) && pair.client.finished.has(down))) return false;
  return equalBytes(pair.server.bytesOf(up), data.client) && equalBytes(pair.client.bytesOf(down), data.server);
}

describe('a handshake', () => {
  test('takes one round trip for the client, one and a half for the server', () => {
    const pair = new Pair(identities, { link: { delayMs: 10 } });
    expect(pair.run(20, () => pair.client.of('handshake-complete').length > 0)).toBe(true);
    expect(pair.run(30, () => pair.server.of('handshake-confirmed').length > 0)).toBe(true);
    expect(pair.run(40, () => pair.client.of('handshake-confirmed').length > 0)).toBe(true);
    expect(pair.client.of('handshake-complete')[0]).toMatchObject({ alpn: 'icepath', multipath: true });
    expect(pair.server.closed).toBeUndefined();
    expect(pair.client.it.exporterSecret).toEqual(pair.server.it.exporterSecret);
  });

  test('then streams carry bytes in both directions', () => {
    expect(exchanges(new Pair(identities).complete(), 400_000)).toBe(true);
  });

  test.each<[string, PairOptions, object]>([
    ['with a HelloRetryRequest', { server: { groups: ['secp256r1'] } }, { group: 'secp256r1' }],
    ['with ChaCha20', { server: { suites: [CHACHA20_POLY1305] } }, { suite: CHACHA20_POLY1305 }],
    ['with AES-256', { client: { suites: [AES_256_GCM] } }, { suite: AES_256_GCM }],
    ['without a certificate of the client', { client: { identity: null }, server: { check: null } }, { peerChain: [] }],
  ])('%s', (_, options, result) => {
    const pair = new Pair(identities, options).complete();
    expect(pair.server.of('handshake-complete')[0]).toMatchObject(result);
    expect(exchanges(pair, 20_000)).toBe(true);
  });

  test('comes to its end through loss, reordering, and duplicates, whatever the seed', () => {
    const link = { delayMs: 20, jitterMs: 30, reorders: true, loss: 0.25, duplicates: 0.2 };
    for (let seed = 0; seed < 40; seed += 1) {
      const pair = new Pair(identities, { seed, link, client: { handshakeTimeoutMs: 60_000 } }).complete(60_000);
      expect(exchanges(pair, 5000, pair.now + 60_000)).toBe(true);
    }
  });

  test.each([0, 1, 2, 3, 4, 5, 6])('datagram %i is lost, and only that', (lost) => {
    const pair = new Pair(identities, { tamper: (bytes, _, index) => (index === lost ? [] : [bytes]) });
    expect(exchanges(pair.complete(5000), 5000)).toBe(true);
  });

  test('a key log that a reader of packets understands (five secrets each)', () => {
    const pair = new Pair(identities).complete();
    expect(pair.keylog.map((line) => line.split(' ')[0])).toEqual([
      'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
      'SERVER_HANDSHAKE_TRAFFIC_SECRET',
      'CLIENT_TRAFFIC_SECRET_0',
      'SERVER_TRAFFIC_SECRET_0',
      'EXPORTER_SECRET',
    ]);
  });
});

describe('nobody without the right certificate gets through', () => {
  const nobody = pinned([new Uint8Array(32)]);

  test.each<[string, PairOptions]>([
    ['the server has another', { client: { check: nobody } }],
    ['the client has another', { server: { check: nobody } }],
    ['the client has none', { client: { identity: null } }],
  ])('%s: both ends close with a TLS alert, and the server carried nothing', (_, options) => {
    const pair = new Pair(identities, options);
    pair.run(5000, () => pair.client.closed !== undefined && pair.server.closed !== undefined);
    for (const end of [pair.client, pair.server]) {
      expect(end.closed).toMatchObject({ layer: 'transport' });
      // CRYPTO_ERROR (RFC 9001 §4.8).
      expect(end.closed?.code).toBeGreaterThanOrEqual(0x100);
      expect(end.closed?.code).toBeLessThan(0x200);
    }
    expect(pair.server.of('handshake-complete')).toEqual([]);
    expect(pair.server.of('stream-opened')).toEqual([]);
    pair.run(20_000);
    expect(pair.client.events.at(-1)?.type).toBe('drained');
    expect([pair.client.ids.live.size, pair.server.ids.live.size]).toEqual([0, 0]);
  });

  test('no protocol in common', () => {
    const pair = new Pair(identities, { server: { alpn: ['something else'] } });
    pair.run(5000);
    expect(pair.client.closed).toMatchObject({ by: 'remote', code: 0x178 });
    expect(pair.server.closed).toMatchObject({ by: 'local', code: 0x178 });
  });
});

describe('what is sent to an address that has proved nothing (RFC 9000 §8.1)', () => {
  test('a client that falls silent gets less than three times what it sent', () => {
    for (let kept = 1; kept <= 3; kept += 1) {
      const pair = new Pair(identities, {
        tamper: (bytes, from, index) => (from === 'client' && index >= kept ? [] : [bytes]),
      });
      pair.run(9000);
      expect(pair.server.sentBytes).toBeGreaterThan(0);
      if (pair.server.of('handshake-complete').length > 0) continue;
      expect(pair.server.sentBytes).toBeLessThanOrEqual(3 * pair.server.receivedBytes);
    }
  });

  test('nor does an Initial of less than 1200 bytes get an answer (§14.1)', () => {
    const pair = new Pair(identities, { tamper: (bytes) => [bytes.subarray(0, 1199)] });
    pair.run(5000);
    expect(pair.server.sentBytes).toBe(0);
  });

  test('an abandoned handshake is forgotten, its ids with it', () => {
    const pair = new Pair(identities, { tamper: (bytes, _, index) => (index === 0 ? [bytes] : []) });
    pair.run(60_000);
    for (const end of [pair.client, pair.server]) {
      expect(end.closed).toMatchObject({ by: 'timeout' });
      expect(end.events.at(-1)?.type).toBe('drained');
      expect(end.ids.live.size).toBe(0);
      expect(end.it.deadline()).toBe(Infinity);
    }
  });
});

describe('Retry and Version Negotiation', () => {
  /** A client alone, and the first datagram that it sent. */
  function alone() {
    const pair = new Pair(identities, { tamper: () => [] });
    const first = pair.sent[0]?.bytes ?? new Uint8Array();
    const packet = parsePacket(first, 0, 8);
    if (packet?.type !== 'initial') throw new Error('no Initial');
    const ids = { destination: packet.destination.slice(), source: packet.source.slice() };
    return { pair, ids };
  }
  const random = new SeededRandom('retry');
  const token = new Uint8Array(40).fill(7);

  test('a Retry is followed: another destination, its token, the same packet numbers going on', () => {
    const { pair, ids } = alone();
    const source = random.bytes(8);
    const retry = { destination: ids.source, source, token, originalDestination: ids.destination };
    pair.client.it.receive(retryPacket(retry, random, nodeCiphers), pair.tuple(0), 'none', 10);
    pair.run(11);
    const again = parsePacket(pair.sent[1]?.bytes ?? new Uint8Array(), 0, 8);
    expect(again).toMatchObject({ type: 'initial', destination: source, token });
    expect(pair.sent[1]?.bytes.length).toBeGreaterThanOrEqual(1200);
    // A second one counts for nothing (§17.2.5.2).
    const second = { ...retry, source: random.bytes(8) };
    pair.client.it.receive(retryPacket(second, random, nodeCiphers), pair.tuple(0), 'none', 20);
    pair.run(3000);
    for (const { bytes } of pair.sent.slice(1)) expect(parsePacket(bytes, 0, 8)).toMatchObject({ destination: source });
  });

  test('a forged Retry is none', () => {
    const { pair, ids } = alone();
    const retry = { destination: ids.source, source: random.bytes(8), token, originalDestination: random.bytes(12) };
    pair.client.it.receive(retryPacket(retry, random, nodeCiphers), pair.tuple(0), 'none', 10);
    pair.run(3000);
    for (const { bytes } of pair.sent) expect(parsePacket(bytes, 0, 8)).toMatchObject({ destination: ids.destination });
  });

  test('through a Retry to a handshake, with the parameters that prove it (§7.3)', () => {
    const source = new SeededRandom('server id').bytes(8);
    let original: Uint8Array = new Uint8Array();
    let answered = false;
    const options: PairOptions = {
      tamper: (bytes, from) => {
        const packet = parsePacket(bytes, 0, 8);
        if (answered || from !== 'client' || packet?.type !== 'initial') return [bytes];
        answered = true;
        original = packet.destination.slice();
        const retry = { destination: packet.source.slice(), source, token, originalDestination: original };
        pending = retryPacket(retry, random, nodeCiphers);
        return [];
      },
      server: {
        get originalDestination() {
          return original;
        },
        isAddressValidated: true,
      },
    };
    let pending: Uint8Array = new Uint8Array();
    const pair = new Pair(identities, options);
    pair.client.it.receive(pending, pair.tuple(0), 'none', pair.now);
    expect(exchanges(pair.complete(), 5000)).toBe(true);
  });

  test('where the parameters do not confirm the Retry, the client closes', () => {
    let pending: Uint8Array = new Uint8Array();
    let answered = false;
    const pair = new Pair(identities, {
      tamper: (bytes, from) => {
        const packet = parsePacket(bytes, 0, 8);
        if (answered || from !== 'client' || packet?.type !== 'initial') return [bytes];
        answered = true;
        const destination = packet.source.slice();
        const retry = { destination, source: random.bytes(8), token, originalDestination: packet.destination.slice() };
        pending = retryPacket(retry, random, nodeCiphers);
        return [];
      },
    });
    pair.client.it.receive(pending, pair.tuple(0), 'none', pair.now);
    pair.run(5000);
    expect(pair.client.closed).toMatchObject({ by: 'local', code: 0x08 });
  });

  test('a server that speaks other versions only ends the attempt; one that lists ours, or comes too late, does not', () => {
    const { pair, ids } = alone();
    const negotiation = versionNegotiationPacket(ids, random);
    pair.client.it.receive(negotiation.slice(), pair.tuple(0), 'none', 10);
    pair.run(20);
    expect(pair.client.closed).toBeUndefined();
    // The last four bytes are version 1.
    const others = negotiation.slice(0, -4);
    expect(parsePacket(others, 0, 8)).toMatchObject({ type: 'version-negotiation' });
    pair.client.it.receive(others, pair.tuple(0), 'none', 30);
    pair.run(40);
    expect(pair.client.closed).toMatchObject({ by: 'version' });
    const late = new Pair(identities).complete();
    late.client.it.receive(others.slice(), late.tuple(0), 'none', late.now);
    expect(exchanges(late, 1000)).toBe(true);
    expect(VERSION_1).toBe(1);
  });
});
