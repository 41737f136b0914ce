import { describe, expect, test } from 'vitest';
import type { Backlog, SchedulablePath, Scheduler } from '../../../src/quic/schedulers/scheduler.js';
import { EarliestFirst } from '../../../src/quic/schedulers/earliest-first.js';
import { Backup, Blest, LowestRtt, Redundant, RoundRobin } from '../../../src/quic/schedulers/schedulers.js';

const path = (id: number, smoothedRttMs: number, changes: Partial<SchedulablePath> = {}): SchedulablePath => ({
  id,
  smoothedRttMs,
  congestionWindowBytes: 12_000,
  bytesInFlight: 0,
  datagramBytes: 1200,
  canSend: true,
  waitMs: 0,
  isBackup: false,
  ptoCount: 0,
  ...changes,
});
const full = { canSend: false, waitMs: 1, bytesInFlight: 12_000 };
const PLENTY: Backlog = { creditBytes: 1_000_000, urgentBytes: 0, freshBytes: 1_000_000 };

const ALL: Scheduler[] = [
  new LowestRtt(),
  new RoundRobin(),
  new Redundant(),
  new Backup(),
  new Blest(),
  new EarliestFirst(),
];

describe.each(ALL.map((scheduler) => [scheduler.name, scheduler] as const))('%s', (_, scheduler) => {
  test('no path, or none with room: it waits', () => {
    expect(scheduler.choose([], PLENTY)).toEqual([]);
    expect(scheduler.choose([path(0, 20, full), path(1, 60, full)], PLENTY)).toEqual([]);
  });

  test('a path for backup is left alone while another works, even one without room', () => {
    const backup = path(1, 1, { isBackup: true });
    expect(scheduler.choose([path(0, 20), backup], PLENTY)).toEqual([0]);
    expect(scheduler.choose([path(0, 20, full), backup], PLENTY)).toEqual([]);
  });

  test('a path that answers no more is left for one that does, also for one for backup', () => {
    const dead = path(0, 5, { ptoCount: 2 });
    expect(scheduler.choose([dead, path(1, 60)], PLENTY)).toEqual([1]);
    expect(scheduler.choose([dead, path(1, 60, { isBackup: true })], PLENTY)).toEqual([1]);
    expect(scheduler.choose([dead], PLENTY)).toEqual([0]);
  });
});

test('lowest RTT: the fastest with room', () => {
  const scheduler = new LowestRtt();
  expect(scheduler.choose([path(0, 60), path(1, 20), path(2, 40)])).toEqual([1]);
  expect(scheduler.choose([path(0, 60), path(1, 20, full), path(2, 40)])).toEqual([2]);
});

test('round robin: one after the other, over those without room', () => {
  const scheduler = new RoundRobin();
  const paths = [path(2, 1), path(0, 60), path(1, 20)];
  expect(Array.from({ length: 5 }, () => scheduler.choose(paths)[0])).toEqual([0, 1, 2, 0, 1]);
  expect(scheduler.choose([path(2, 1, full), path(0, 60), path(1, 20)])).toEqual([0]);
});

test('redundant: all with room', () => {
  expect(new Redundant().choose([path(0, 60), path(1, 20, full), path(2, 40)])).toEqual([0, 2]);
});

test('backup: the first path alone, until it answers no more', () => {
  const scheduler = new Backup();
  expect(scheduler.choose([path(1, 1), path(0, 60)])).toEqual([0]);
  expect(scheduler.choose([path(1, 1), path(0, 60, full)])).toEqual([]);
  expect(scheduler.choose([path(1, 1), path(0, 60, { ptoCount: 2 })])).toEqual([1]);
});

describe('BLEST', () => {
  const scheduler = new Blest();
  // While one datagram takes 100 ms on the slow path, the fast one of 20 ms sends (12,000 + 2 · 1200) · 5 = 72,000 bytes.
  const paths = [path(0, 20, full), path(1, 100)];

  test('the slow path is used where the far end takes both', () => {
    expect(scheduler.choose(paths, { ...PLENTY, creditBytes: 72_000 + 1200 })).toEqual([1]);
  });

  test('and not where it would keep the fast one waiting', () => {
    expect(scheduler.choose(paths, { ...PLENTY, creditBytes: 72_000 + 1199 })).toEqual([]);
  });

  test('the fast one is always used', () => {
    expect(scheduler.choose([path(0, 20), path(1, 100)], { ...PLENTY, creditBytes: 0 })).toEqual([0]);
  });
});

describe('earliest first', () => {
  const scheduler = new EarliestFirst();
  const backlog = (urgentBytes: number, freshBytes: number): Backlog => ({ ...PLENTY, urgentBytes, freshBytes });
  // The fast one has to wait for 5 ms and then takes 10; the slow one takes 50. In the 35 ms between them the window of
  // 12,000 bytes in each 20 ms brings 21,000.
  const fast = path(0, 20, { ...full, waitMs: 5 });
  const slow = path(1, 100);
  const paths = [fast, slow];

  test('a slower path takes nothing that the fast one brings sooner', () => {
    expect(scheduler.choose(paths, backlog(0, 21_000))).toEqual([]);
    expect(scheduler.choose(paths, backlog(0, 21_001))).toEqual([1]);
    expect(scheduler.ahead(slow, paths)).toBe(21_000);
  });

  test('nor what was lost, however much it is: that is first in line', () => {
    expect(scheduler.choose(paths, backlog(100_000, 0))).toEqual([]);
    expect(scheduler.choose(paths, backlog(20_500, 501))).toEqual([1]);
  });

  test('where the wait is longer than the slow path it takes all', () => {
    const stuck = path(0, 20, { ...full, waitMs: 41 });
    expect(scheduler.choose([stuck, slow], backlog(1, 0))).toEqual([1]);
    expect(scheduler.ahead(slow, [stuck, slow])).toBe(0);
  });

  test('two faster paths count together', () => {
    // Another 12,000 in 40 ms, for 30 ms.
    const middle = path(2, 40, { ...full, waitMs: 0 });
    expect(scheduler.ahead(slow, [...paths, middle])).toBe(21_000 + 9000);
  });
});
