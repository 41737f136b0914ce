import { describe, expect, test } from 'vitest';
import { NEVER } from '../../../src/base/time.js';
import { ReceivedPackets } from '../../../src/quic/recovery/received-packets.js';

const numbers = (received: ReceivedPackets) =>
  received.takeAck(null, 3, 100)?.ranges.map(({ smallest, largest }) => [smallest, largest]);

describe('acknowledgments (RFC 9000 §13.2)', () => {
  test('every second packet at once, a single one after max_ack_delay', () => {
    const received = new ReceivedPackets(25);
    received.onPacket(0, true, 'none', 10);
    expect(received.deadline()).toBe(35);
    received.onPacket(1, true, 'none', 12);
    expect(received.deadline()).toBe(12);
    expect(received.takeAck(null, 3, 20)).toEqual({
      type: 'ack',
      path: null,
      // 8 ms since the highest came, in units of 8 µs.
      delay: 1000,
      ranges: [{ smallest: 0, largest: 1 }],
      ecn: null,
    });
    expect([received.deadline(), received.isUseful]).toEqual([NEVER, false]);
  });

  test('at once: out of order, with a gap, marked by the network; not for packets that ask for nothing', () => {
    const received = new ReceivedPackets(25);
    received.onPacket(0, false, 'none', 0);
    expect(received.deadline()).toBe(NEVER);
    received.onPacket(2, true, 'none', 5);
    expect(received.deadline()).toBe(5);
    received.takeAck(null, 3, 5);
    received.onPacket(1, true, 'none', 6);
    expect(received.deadline()).toBe(6);
    received.takeAck(null, 3, 6);
    received.onPacket(3, true, 'ce', 7);
    expect(received.deadline()).toBe(7);
    expect(received.takeAck(4, 3, 7)).toMatchObject({ path: 4, ecn: { ect0: 0, ect1: 0, ce: 1 } });
  });

  test('ranges, the highest first; what came is known', () => {
    const received = new ReceivedPackets(25);
    for (const number of [9, 0, 1, 5, 4, 12]) received.onPacket(number, true, 'none', 0);
    expect([received.isKnown(5), received.isKnown(6), received.largest]).toEqual([true, false, 12]);
    expect(numbers(received)).toEqual([
      [12, 12],
      [9, 9],
      [4, 5],
      [0, 1],
    ]);
  });

  test('what the far end knows to be acknowledged is not said again, and counts as known', () => {
    const received = new ReceivedPackets(25);
    for (const number of [0, 1, 5, 6]) received.onPacket(number, true, 'none', 0);
    received.onAckAcknowledged(5);
    expect(numbers(received)).toEqual([[5, 6]]);
    expect(received.isKnown(3)).toBe(true);
  });

  test('memory is bounded, whatever numbers come: 32 ranges', () => {
    const received = new ReceivedPackets(25);
    for (let number = 0; number < 2000; number += 2) received.onPacket(number, true, 'none', 0);
    expect(numbers(received)).toHaveLength(32);
    expect([received.isKnown(1), received.isKnown(1997)]).toEqual([true, false]);
  });
});
