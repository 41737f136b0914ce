import { describe, expect, test } from 'vitest';
import { NEVER } from '../../../src/base/time.js';
import { NewReno } from '../../../src/quic/recovery/congestion.js';
import { longestLossMs } from '../../../src/quic/recovery/loss-detector.js';
import { type AckResult, PathRecovery } from '../../../src/quic/recovery/path-recovery.js';
import { RttEstimator } from '../../../src/quic/recovery/rtt.js';
import { SentPackets } from '../../../src/quic/recovery/sent-packets.js';
import type { AckFrame } from '../../../src/quic/wire/frames.js';
import { ack, ackWith, numbersOf, packet } from './packets.js';

describe('round-trip time (RFC 9002 §5)', () => {
  test('before the first sample: 333 ms, and a probe timeout of 333 + 4 · 166.5', () => {
    expect(new RttEstimator().pto(0)).toBe(999);
    expect(new RttEstimator().pto(25)).toBe(1024);
  });

  test('the first sample is taken as it is, the next by 1/8 and 1/4', () => {
    const rtt = new RttEstimator();
    rtt.sample(100, 0, 1000);
    expect([rtt.smoothed, rtt.variation, rtt.min]).toEqual([100, 50, 100]);
    rtt.sample(140, 20, 1100);
    // 120 after the delay; variation 3/4 · 50 + 1/4 · |100 − 120|, smoothed 7/8 · 100 + 1/8 · 120.
    expect([rtt.smoothed, rtt.variation, rtt.min, rtt.latest]).toEqual([102.5, 42.5, 100, 140]);
    expect(rtt.pto(25)).toBe(102.5 + 4 * 42.5 + 25);
  });

  test('a delay that would bring it under the minimum is not believed', () => {
    const rtt = new RttEstimator();
    rtt.sample(100, 0, 0);
    rtt.sample(110, 20, 0);
    expect(rtt.smoothed).toBe(0.875 * 100 + 0.125 * 110);
  });

  test('a path without jitter: the timer has a granularity of 1 ms', () => {
    const rtt = new RttEstimator();
    for (let sample = 0; sample < 200; sample += 1) rtt.sample(40, 0, sample);
    expect(rtt.pto(0)).toBeCloseTo(41, 6);
  });
});

describe('sent packets', () => {
  test('are found by number and by range, in order, whatever was taken out', () => {
    const packets = new SentPackets<number>();
    for (let number = 5; number < 1005; number += 1) packets.add(packet(number, 0));
    for (let number = 5; number < 900; number += 1) expect(packets.take(number)?.packetNumber).toBe(number);
    expect(packets.take(700)).toBeUndefined();
    expect(packets.take(950)?.content).toBe(950);
    expect(packets.first?.packetNumber).toBe(900);
    expect(numbersOf([...packets.between(0, 903)])).toEqual([900, 901, 902, 903]);
    expect(numbersOf([...packets.between(949, 951)])).toEqual([949, 951]);
    expect(packets.size).toBe(104);
    packets.add(packet(2000, 0));
    expect(numbersOf([...packets.between(1004, 2 ** 53)])).toEqual([1004, 2000]);
    expect(packets.clear()).toHaveLength(105);
    expect(packets.size).toBe(0);
    packets.add(packet(3000, 0));
    expect(packets.first?.packetNumber).toBe(3000);
  });
});

function path(options: { isServer?: boolean; isConfirmed?: boolean } = {}): PathRecovery<number> {
  const recovery = new PathRecovery<number>({ controller: new NewReno(1200), isServer: options.isServer ?? true });
  recovery.setState({ isConfirmed: options.isConfirmed ?? true, hasHandshakeKeys: true, maxAckDelayMs: 25 });
  return recovery;
}

function acked(recovery: PathRecovery<number>, frame: AckFrame, now: number, delay = 0): AckResult<number> {
  const result = recovery.onAck('application', frame, delay, now);
  if ('code' in result) throw new Error(result.reason);
  return result;
}

describe('loss (RFC 9002 §6.1)', () => {
  test('three later packets: lost; two: not yet', () => {
    const recovery = path();
    for (let number = 0; number < 6; number += 1) recovery.onSent('application', packet(number, number));
    const result = acked(recovery, ack(4), 50);
    expect(numbersOf(result.acked)).toEqual([4]);
    expect(numbersOf(result.lost)).toEqual([0, 1]);
    expect(recovery.bytesInFlight).toBe(3 * 1200);
  });

  test('9/8 of a round trip after a later one: lost, by the timer', () => {
    const recovery = path();
    recovery.onSent('application', packet(0, 5));
    recovery.onSent('application', packet(1, 10));
    expect(numbersOf(acked(recovery, ack(1), 90).lost)).toEqual([]);
    // The round trip was 80 ms, and 9/8 of it are 90.
    expect(recovery.deadline()).toBe(95);
    expect(numbersOf(recovery.onTimeout(94).lost)).toEqual([]);
    expect(recovery.onTimeout(95)).toMatchObject({ lost: [{ packetNumber: 0 }], probe: null });
    expect(recovery.deadline()).toBe(NEVER);
  });

  test('an ACK that says nothing new changes nothing', () => {
    const recovery = path();
    recovery.onSent('application', packet(0, 0));
    acked(recovery, ack(0), 50);
    const { smoothed } = recovery.rtt;
    expect(acked(recovery, ack(0), 500)).toEqual({ acked: [], lost: [] });
    expect(recovery.rtt.smoothed).toBe(smoothed);
  });

  test('who acknowledges what was never sent breaks the protocol (RFC 9000 §13.1)', () => {
    const recovery = path();
    recovery.onSent('application', packet(0, 0));
    expect(recovery.onAck('application', ack([0, 1]), 0, 10)).toMatchObject({ code: 0x0a });
    expect(recovery.onAck('application', ack([0, 2 ** 50]), 0, 10)).toMatchObject({ code: 0x0a });
  });
});

describe('probe timeout (RFC 9002 §6.2)', () => {
  test('doubles with each, and an acknowledgment ends that', () => {
    const recovery = path();
    recovery.onSent('application', packet(0, 0));
    // 333 + 4 · 166.5 + 25.
    expect(recovery.deadline()).toBe(1024);
    expect(recovery.onTimeout(1024)).toEqual({ lost: [], probe: 'application' });
    recovery.onSent('application', packet(1, 1024));
    expect(recovery.deadline()).toBe(1024 + 2 * 1024);
    expect(recovery.onTimeout(3072).probe).toBe('application');
    recovery.onSent('application', packet(2, 3072));
    expect(recovery.deadline()).toBe(3072 + 4 * 1024);
    acked(recovery, ack(2), 3172);
    expect(recovery.ptoCount).toBe(0);
  });

  test('packets that ask for nothing are not waited for', () => {
    const recovery = path();
    recovery.onSent('application', packet(0, 0, { isAckEliciting: false, inFlight: false }));
    expect(recovery.deadline()).toBe(NEVER);
    expect(recovery.bytesInFlight).toBe(0);
  });

  test('application data is not probed for before the handshake is confirmed; Handshake packets are', () => {
    const recovery = path({ isConfirmed: false });
    recovery.onSent('application', packet(0, 0));
    expect(recovery.deadline()).toBe(NEVER);
    recovery.onSent('handshake', packet(0, 5));
    expect(recovery.deadline()).toBe(5 + 999);
    expect(recovery.onTimeout(1004).probe).toBe('handshake');
  });

  test('a client with nothing on its way asks, until the server has shown that it may send (§6.2.2.1)', () => {
    const recovery = path({ isServer: false, isConfirmed: false });
    recovery.onSent('initial', packet(0, 0));
    recovery.onAck('initial', ack(0), 0, 100);
    expect(recovery.deadline()).toBe(100 + 300);
    expect(recovery.onTimeout(400).probe).toBe('handshake');
    recovery.onSent('handshake', packet(0, 400));
    recovery.onAck('handshake', ack(0), 0, 500);
    expect(recovery.deadline()).toBe(NEVER);
  });

  test('a server that may not send any more does not wait either', () => {
    const recovery = path({ isConfirmed: false });
    recovery.onSent('initial', packet(0, 0));
    recovery.isAmplificationLimited = true;
    expect(recovery.deadline()).toBe(NEVER);
    expect(recovery.onTimeout(5000).probe).toBeNull();
    recovery.isAmplificationLimited = false;
    expect(recovery.deadline()).toBe(999);
  });

  test('keys that are gone take their packets out of flight', () => {
    const recovery = path();
    recovery.onSent('initial', packet(0, 0));
    recovery.onSent('initial', packet(1, 0));
    recovery.onTimeout(999);
    expect(numbersOf(recovery.discard('initial'))).toEqual([0, 1]);
    expect([recovery.bytesInFlight, recovery.ptoCount, recovery.deadline()]).toEqual([0, 0, NEVER]);
  });
});

describe('persistent congestion (RFC 9002 §7.6)', () => {
  const lost = [1, 2, 3, 4, 5, 6, 8].map((second, index) => packet(index + 2, second * 1000));

  test('the example: 7 seconds between the oldest and the newest that were lost', () => {
    expect(longestLossMs(lost, 500)).toBe(7000);
  });

  test('packets from before the first sample do not count, nor do gaps, nor those that ask for nothing', () => {
    expect(longestLossMs(lost, null)).toBe(0);
    expect(longestLossMs(lost, 1000)).toBe(6000);
    expect(
      longestLossMs(
        lost.filter(({ packetNumber }) => packetNumber !== 5),
        500,
      ),
    ).toBe(3000);
    const quiet = lost.map((sent) => ({ ...sent, isAckEliciting: sent.packetNumber === 3 }));
    expect(longestLossMs(quiet, 500)).toBe(0);
  });

  test('brings the window down to two datagrams', () => {
    const recovery = path();
    recovery.onSent('application', packet(0, 0));
    acked(recovery, ack(0), 100);
    // The second sample of 100 ms leaves a variation of 37.5: three times 100 + 4 · 37.5 + 25 are 825 ms.
    recovery.onSent('application', packet(1, 200));
    recovery.onSent('application', packet(2, 200 + 825));
    recovery.onSent('application', packet(3, 1300));
    acked(recovery, ack(3), 1400);
    expect(recovery.controller.window).toBe(6000);
    const other = path();
    other.onSent('application', packet(0, 0));
    acked(other, ack(0), 100);
    other.onSent('application', packet(1, 200));
    other.onSent('application', packet(2, 200 + 826));
    other.onSent('application', packet(3, 1300));
    acked(other, ack(3), 1400);
    expect(other.controller.window).toBe(2400);
  });
});

describe('ECN (RFC 9000 §13.4.2)', () => {
  const marked = (recovery: PathRecovery<number>, from: number, to: number, at = 0) => {
    for (let number = from; number <= to; number += 1) {
      recovery.onSent('application', packet(number, at, { isMarked: recovery.marks('application') }));
    }
  };

  test('ten marked packets, then none; what comes back makes the path capable', () => {
    const recovery = path();
    marked(recovery, 0, 11);
    expect(recovery.ecnState('application')).toBe('unknown');
    acked(recovery, ackWith({ ect0: 10, ect1: 0, ce: 0 }, [0, 11]), 50);
    expect(recovery.ecnState('application')).toBe('capable');
    expect(recovery.marks('application')).toBe(true);
  });

  test.each<[string, { ect0: number; ect1: number; ce: number } | null]>([
    ['no counts', null],
    ['fewer than arrived', { ect0: 4, ect1: 0, ce: 0 }],
    ['more than were sent', { ect0: 40, ect1: 0, ce: 0 }],
    ['marks that nobody set', { ect0: 5, ect1: 1, ce: 0 }],
  ])('%s: the path is not used with ECN', (_, counts) => {
    const recovery = path();
    marked(recovery, 0, 4);
    acked(recovery, ackWith(counts, [0, 4]), 50);
    expect(recovery.ecnState('application')).toBe('failed');
    expect(recovery.marks('application')).toBe(false);
  });

  test('counts of an ACK that came late are not looked at', () => {
    const recovery = path();
    marked(recovery, 0, 4);
    acked(recovery, ackWith({ ect0: 1, ect1: 0, ce: 0 }, 4), 50);
    acked(recovery, ackWith({ ect0: 0, ect1: 0, ce: 0 }, 1), 55);
    expect(recovery.ecnState('application')).toBe('testing');
  });

  test('all marked packets lost: failed', () => {
    const recovery = path();
    marked(recovery, 0, 9);
    for (let number = 10; number < 14; number += 1) recovery.onSent('application', packet(number, 1));
    acked(recovery, ack([12, 13]), 50);
    expect(recovery.ecnState('application')).toBe('failed');
  });

  test('a congestion that the network marks halves the window, once in a round trip', () => {
    const recovery = path();
    marked(recovery, 0, 11);
    acked(recovery, ackWith({ ect0: 9, ect1: 0, ce: 1 }, [0, 11]), 50);
    expect(recovery.controller.window).toBe(6000);
    marked(recovery, 12, 13, 40);
    acked(recovery, ackWith({ ect0: 10, ect1: 0, ce: 2 }, [12, 13]), 95);
    expect(recovery.controller.window).toBe(6000);
  });
});
