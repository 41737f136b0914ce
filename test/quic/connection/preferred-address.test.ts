import { beforeAll, describe, expect, test } from 'vitest';
import { type TransportAddress, transportAddress } from '../../../src/base/address.js';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import type { ConnectionOptions } from '../../../src/quic/connection/types.js';
import { parsePacket } from '../../../src/quic/wire/header.js';
import { ID_BYTES } from '../../support/quic-end.js';
import { Pair, type PairIdentities, pairIdentities } from '../../support/quic-pair.js';

// RFC 9000 §9.6: a server takes clients over to another address of its own.

const OTHER = transportAddress('192.0.2.99', 8443);

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

const SINGLE = { parameters: { initialMaxPathId: null } };

function pairWith(ipv4: TransportAddress, options: Partial<ConnectionOptions> = {}): Pair {
  const link = { delayMs: 20, rateBps: 10e6 };
  return new Pair(identities, { link, client: options, server: { ...options, preferredAddress: { ipv4 } } });
}

/** Both ways, and whether everything came as it was. */
function exchanges(pair: Pair): boolean {
  const sent = new SeededRandom('data').bytes(400_000);
  const up = pair.client.post(sent);
  const down = pair.server.post(sent);
  if (!pair.run(pair.now + 20_000, () => pair.server.finished.has(up) && pair.client.finished.has(down))) return false;
  return equalBytes(pair.server.bytesOf(up), sent) && equalBytes(pair.client.bytesOf(down), sent);
}

describe.each<[string, Partial<ConnectionOptions>]>([
  ['one path', SINGLE],
  ['multipath', {}],
])('a preferred address, %s', (_, options) => {
  test('is gone to when it has answered, with the id that came with it, and nothing is lost', () => {
    const pair = pairWith(OTHER, options).complete();
    const [, id] = pair.server.ids.issued;
    expect(exchanges(pair)).toBe(true);
    for (const end of [pair.client, pair.server]) expect(end.of('path-migrated')).toHaveLength(1);
    expect(pair.client.of('path-migrated')).toMatchObject([{ path: 0, tuple: { remote: OTHER } }]);
    expect(pair.server.it.paths).toMatchObject([{ tuple: { local: OTHER } }]);
    // Nothing was dropped on the way over.
    for (const end of [pair.client, pair.server]) expect(end.it.paths[0]?.lostPackets).toBe(0);
    const last = pair.sent.findLast(({ from }) => from === 'client');
    expect(last && parsePacket(last.bytes, 0, ID_BYTES)).toMatchObject({ destination: id });
  });

  test('is left alone where nobody answers', () => {
    const pair = pairWith(OTHER, options);
    pair.deaf.push(OTHER);
    pair.complete();
    expect(exchanges(pair)).toBe(true);
    pair.run(pair.now + 10_000);
    expect(pair.client.of('path-migration-failed')).toHaveLength(1);
    expect(pair.client.closed).toBeUndefined();
    expect(exchanges(pair)).toBe(true);
    // Challenges, of 1200 bytes each, and no data.
    expect(pair.toNobody.length).toBeLessThanOrEqual(5);
  });

  // §21.5.3: a server must not make its client send to whom it likes.
  test.each(['127.0.0.1', '10.1.2.3', '169.254.1.1', '224.0.0.1', '0.0.0.0'])('%s is not even asked', (address) => {
    const pair = pairWith(transportAddress(address, 53), options).complete();
    expect(exchanges(pair)).toBe(true);
    expect(pair.toNobody).toEqual([]);
    expect(pair.client.of('path-migrated')).toEqual([]);
    expect(pair.client.it.paths[0]?.tuple).toMatchObject(pair.tuple(0));
  });
});
