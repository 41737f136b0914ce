import { beforeAll, expect, test } from 'vitest';
import type { Observed } from '../../../src/quic/connection/types.js';
import { Pair, type PairIdentities, pairIdentities } from '../../support/quic-pair.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

test('what one end is seen to send, the other is seen to receive: the same numbers with the same frames', () => {
  const seen: Record<'client' | 'server', Observed[]> = { client: [], server: [] };
  const pair = new Pair(identities, {
    client: { observe: (observed) => seen.client.push(observed) },
    server: { observe: (observed) => seen.server.push(observed) },
  }).complete();
  const stream = pair.client.post(new Uint8Array(50_000));
  pair.run(pair.now + 5000, () => pair.server.finished.has(stream));
  pair.run(pair.now + 500);
  const packets = (side: 'client' | 'server', type: 'packet-sent' | 'packet-received') =>
    seen[side].flatMap((observed) => {
      if (observed.type !== type) return [];
      const { space, path, packetNumber, frames } = observed;
      // Padding is no frame to who sends it.
      const types = frames.map((frame) => frame.type).filter((name) => name !== 'padding');
      return [`${space} ${String(path)} ${String(packetNumber)} ${types.join(' ')}`];
    });
  expect(packets('client', 'packet-sent').length).toBeGreaterThan(40);
  expect(packets('server', 'packet-received')).toEqual(packets('client', 'packet-sent'));
  expect(packets('client', 'packet-received')).toEqual(packets('server', 'packet-sent'));
  for (const side of ['client', 'server'] as const) {
    expect(seen[side].filter(({ type }) => type === 'parameters')).toHaveLength(2);
    expect(seen[side].some(({ type }) => type === 'metrics')).toBe(true);
    expect(seen[side].some(({ type }) => type === 'packet-dropped' || type === 'packet-lost')).toBe(false);
  }
});
