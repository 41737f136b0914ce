import { beforeAll, expect, test } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import type { Observed } from '../../../src/quic/connection/types.js';
import { AES_128_GCM } from '../../../src/quic/crypto/suites.js';
import { Pair, type PairIdentities, pairIdentities } from '../../support/quic-pair.js';

// RFC 9001 §6.6: keys may seal so many packets, and a connection may see so many forged ones.

/** RFC 9000 §20.1. */
const AEAD_LIMIT_REACHED = 0x0f;

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

const data = (bytes: number) => new SeededRandom('data').bytes(bytes);

/** How many 1-RTT packets were sealed under each of the keys that one end had. */
class Sealed {
  readonly packets = [0];
  readonly observe = (observed: Observed): void => {
    if (observed.type === 'key-update') this.packets.push(0);
    if (observed.type !== 'packet-sent' || observed.space !== 'application') return;
    this.packets[this.packets.length - 1] = (this.packets.at(-1) ?? 0) + 1;
  };
}

test('a long transfer renews its keys in time, at both ends, and arrives', () => {
  const LIMIT = 800;
  const suites = [{ ...AES_128_GCM, confidentialityLimit: LIMIT }];
  const [client, server] = [new Sealed(), new Sealed()];
  const pair = new Pair(identities, {
    link: { delayMs: 5, rateBps: 10e6, queueBytes: 30_000 },
    client: { suites, observe: client.observe },
    server: { suites, observe: server.observe },
  }).complete();
  const sent = data(4_000_000);
  const stream = pair.client.post(sent);
  expect(pair.run(pair.now + 30_000, () => pair.server.finished.has(stream))).toBe(true);
  expect(equalBytes(pair.server.bytesOf(stream), sent)).toBe(true);
  expect(client.packets.length).toBeGreaterThan(3);
  for (const { packets } of [client, server]) expect(Math.max(...packets)).toBeLessThanOrEqual(LIMIT);
});

test('keys that are worn out before they can be renewed end the connection, and are not used beyond', () => {
  const LIMIT = 400;
  const client = new Sealed();
  // In flight there is room for more than that, and until an update may follow another three PTOs go by.
  const pair = new Pair(identities, {
    link: { delayMs: 50, rateBps: 1e9 },
    client: { suites: [{ ...AES_128_GCM, confidentialityLimit: LIMIT }], observe: client.observe },
  }).complete();
  pair.client.post(data(8_000_000));
  pair.run(pair.now + 5000);
  expect(pair.client.closed).toMatchObject({ by: 'local', layer: 'transport', code: AEAD_LIMIT_REACHED });
  expect(pair.server.closed).toMatchObject({ by: 'remote', layer: 'transport', code: AEAD_LIMIT_REACHED });
  expect(Math.max(...client.packets)).toBeLessThanOrEqual(LIMIT);
});

test('so many forged packets as could break a key end the connection; fewer do nothing', () => {
  const LIMIT = 50;
  let forgeries = 0;
  let isForging = false;
  const pair = new Pair(identities, {
    server: { suites: [{ ...AES_128_GCM, integrityLimit: LIMIT }] },
    tamper: (datagram, from) => {
      if (from !== 'client' || !isForging) return [datagram];
      forgeries += 1;
      const forged = datagram.slice();
      forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
      return [forged, datagram];
    },
  }).complete();
  const sent = data(20_000);
  isForging = true;
  const first = pair.client.post(sent);
  expect(pair.run(pair.now + 5000, () => pair.server.finished.has(first))).toBe(true);
  expect(forgeries).toBeLessThan(LIMIT);
  expect(pair.server.closed).toBeUndefined();
  pair.client.post(data(200_000));
  pair.run(pair.now + 5000);
  expect(pair.server.closed).toMatchObject({ by: 'local', layer: 'transport', code: AEAD_LIMIT_REACHED });
  expect(pair.client.closed).toMatchObject({ by: 'remote', code: AEAD_LIMIT_REACHED });
});
