import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { transportAddress } from '../../../src/base/address.js';
import { fromHex, utf8Bytes } from '../../../src/base/bytes.js';
import { NEVER } from '../../../src/base/time.js';
import { Allowance } from '../../../src/quic/endpoint/allowance.js';
import { Deadlines, type Timed } from '../../../src/quic/endpoint/deadlines.js';
import { datagramKind } from '../../../src/quic/endpoint/demultiplex.js';
import { IdTable } from '../../../src/quic/endpoint/id-table.js';
import { AddressTokens } from '../../../src/quic/endpoint/tokens.js';

test('the first byte says which protocol a datagram is of (RFC 9443 §3)', () => {
  const kinds = [0, 3, 4, 15, 16, 19, 20, 63, 64, 79, 80, 127, 128, 191, 192, 255].map((first) =>
    datagramKind(Uint8Array.of(first)),
  );
  expect(kinds).toEqual([
    ...['stun', 'stun', 'unknown', 'unknown', 'zrtp', 'zrtp', 'dtls', 'dtls'],
    ...['quic', 'quic', 'quic', 'quic', 'rtp', 'rtp', 'quic', 'quic'],
  ]);
  expect([64, 79, 80].map((first) => datagramKind(Uint8Array.of(first), true))).toEqual([
    ...['turn-channel', 'turn-channel', 'quic'],
  ]);
  expect(datagramKind(new Uint8Array(0))).toBe('unknown');
});

test('the earliest deadline is the least of all, whatever was set and taken out before', () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 9 }), fc.oneof(fc.nat({ max: 50 }), fc.constant(NEVER))));
  fc.assert(
    fc.property(steps, (changes) => {
      const items: Timed[] = Array.from({ length: 10 }, () => ({ dueAt: NEVER, heapIndex: -1 }));
      const deadlines = new Deadlines();
      for (const [index, dueAt] of changes) {
        const item = items[index];
        if (item) deadlines.set(item, dueAt);
        const least = Math.min(...items.map((each) => each.dueAt));
        expect(deadlines.earliest?.dueAt ?? NEVER).toBe(least);
      }
    }),
  );
});

test('an allowance is used up at once, and grows again with time up to its most', () => {
  const allowance = new Allowance(10, 3);
  const taken = (now: number, tries: number): number =>
    Array.from({ length: tries }, () => allowance.take(now)).filter(Boolean).length;
  expect(taken(0, 5)).toBe(3);
  expect(taken(99, 5)).toBe(0);
  expect(taken(200, 5)).toBe(2);
  expect(taken(60_000, 5)).toBe(3);
});

test('ids lead to who they were set for, whatever their length', () => {
  const table = new IdTable<string>();
  const ids = ['0102030405060708', '0102030405060808', '010203040506070809', '01020304'].map(fromHex);
  ids.forEach((id, index) => {
    table.set(id, `connection ${index}`);
  });
  const datagram = Uint8Array.of(0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  expect(table.get(datagram, 1, 8)).toBe('connection 0');
  expect(table.get(datagram, 1, 9)).toBe('connection 2');
  expect(table.get(datagram, 2, 8)).toBeUndefined();
  table.delete(ids[0] ?? datagram);
  expect(table.get(datagram, 1, 8)).toBeUndefined();
  expect(table.size).toBe(3);
});

describe('a token', () => {
  const tokens = new AddressTokens(utf8Bytes('a key of thirty-two bytes, or so'));
  const client = transportAddress('192.0.2.7', 4433);
  const originalDestination = fromHex('8394c8f03e515708');
  const retrySource = fromHex('f067a5502a4262b5');
  const retry = tokens.retry(client, { originalDestination, retrySource }, 1000);

  test('of a Retry proves the address, and says what it answered', () => {
    expect(tokens.verify(retry, client, retrySource, 1500)).toEqual({ type: 'retry', originalDestination });
  });

  test('of a Retry is worth nothing from elsewhere, to another id, late, or with another key', () => {
    const others = [
      tokens.verify(retry, transportAddress('192.0.2.8', 4433), retrySource, 1500),
      tokens.verify(retry, transportAddress('192.0.2.7', 4434), retrySource, 1500),
      tokens.verify(retry, client, originalDestination, 1500),
      tokens.verify(retry, client, retrySource, 11_001),
      tokens.verify(retry, client, retrySource, 999),
      new AddressTokens(utf8Bytes('another')).verify(retry, client, retrySource, 1500),
    ];
    expect(others).toEqual(others.map(() => null));
  });

  test('for later is good from any port of the address, for a day', () => {
    const token = tokens.newToken(client, 0);
    const later = transportAddress('192.0.2.7', 999);
    const day = 24 * 60 * 60 * 1000;
    expect(tokens.verify(token, later, retrySource, day)).toEqual({ type: 'new-token' });
    expect(tokens.verify(token, later, retrySource, day + 1)).toBeNull();
    expect(tokens.verify(token, transportAddress('192.0.2.8', 999), retrySource, 1)).toBeNull();
  });

  test('that anybody changed, or made up, is none', () => {
    for (let at = 0; at < retry.length; at += 1) {
      const forged = retry.slice();
      forged[at] = (forged[at] ?? 0) ^ 0x01;
      expect(tokens.verify(forged, client, retrySource, 1500)).toBeNull();
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(tokens.verify(bytes, client, retrySource, 1500)).toBeNull();
      }),
    );
  });
});
