import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { ReceiveWindow, SendCredit } from '../../../src/quic/streams/flow-control.js';
import { RangeSet } from '../../../src/quic/streams/range-set.js';
import { Reassembly } from '../../../src/quic/streams/reassembly.js';

const spans = fc.record({ from: fc.nat({ max: 60 }), length: fc.nat({ max: 20 }), add: fc.boolean() });

test('ranges are what a set of numbers is', () => {
  fc.assert(
    fc.property(fc.array(spans, { maxLength: 30 }), fc.nat({ max: 80 }), fc.nat({ max: 20 }), (steps, from, length) => {
      const ranges = new RangeSet();
      const numbers = new Set<number>();
      for (const step of steps) {
        const to = step.from + step.length;
        if (step.add) ranges.add(step.from, to);
        else ranges.remove(step.from, to);
        for (let at = step.from; at < to; at += 1) {
          if (step.add) numbers.add(at);
          else numbers.delete(at);
        }
      }
      const listed = ranges.ranges.flatMap((range) =>
        Array.from({ length: range.to - range.from }, (_, i) => range.from + i),
      );
      expect(listed).toEqual([...numbers].sort((left, right) => left - right));
      for (const [index, range] of ranges.ranges.entries())
        expect(range.from).toBeGreaterThan(ranges.ranges[index - 1]?.to ?? -1);
      const wanted = Array.from({ length }, (_, index) => from + index);
      expect(ranges.covers(from, from + length)).toBe(wanted.every((at) => numbers.has(at)));
      const missing = ranges
        .missing(from, from + length)
        .flatMap((range) => Array.from({ length: range.to - range.from }, (_, i) => range.from + i));
      expect(missing).toEqual(wanted.filter((at) => !numbers.has(at)));
    }),
    { numRuns: 500 },
  );
});

describe('reassembly', () => {
  const whole = new SeededRandom('stream').bytes(500);

  test('pieces in any order, repeated and overlapping, give the bytes that were sent', () => {
    const pieces = fc.array(
      fc.record({ at: fc.nat({ max: 499 }), length: fc.nat({ max: 80 }), read: fc.nat({ max: 100 }) }),
      {
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(pieces, (all) => {
        const bytes = new Reassembly();
        const read: Uint8Array[] = [];
        const rest = Array.from({ length: 50 }, (_, index) => ({ at: (49 - index) * 10, length: 10, read: 7 }));
        for (const { at, length, read: most } of [...all, ...rest]) {
          if (!bytes.insert(at, whole.slice(at, at + length))) throw new Error('refused');
          const some = bytes.read(most);
          if (some !== null) read.push(some);
        }
        for (let some = bytes.read(); some !== null; some = bytes.read()) read.push(some);
        expect(equalBytes(concatBytes(...read), whole)).toBe(true);
        expect(bytes.contiguous).toBe(500);
      }),
      { numRuns: 150 },
    );
  });

  test('a stream of single bytes with gaps between them is refused after 4096', () => {
    const bytes = new Reassembly();
    let taken = 0;
    while (bytes.insert(2 * taken + 1, Uint8Array.of(1))) taken += 1;
    expect(taken).toBe(4096);
    expect(bytes.insert(0, Uint8Array.of(1))).toBe(false);
  });

  test('what is kept is a copy, not the datagram', () => {
    const datagram = new Uint8Array(1500).fill(7);
    const bytes = new Reassembly();
    bytes.insert(0, datagram.subarray(0, 10));
    datagram.fill(0);
    expect(bytes.read()?.buffer.byteLength).toBe(10);
  });
});

describe('flow control (RFC 9000 §4)', () => {
  test('a new limit is due when half the window is used; it follows what was read', () => {
    const window = new ReceiveWindow(1000, 1000);
    expect(window.receive(1000)).toBe(true);
    expect(window.receive(1001)).toBe(false);
    window.consume(500);
    expect(window.isUpdateDue).toBe(false);
    window.consume(1);
    expect(window.isUpdateDue).toBe(true);
    expect(window.update(100, 0)).toBe(1501);
    expect(window.receive(1501)).toBe(true);
  });

  test('where the window is the limit it doubles, up to the most; where the path is, it stays', () => {
    const window = new ReceiveWindow(1000, 4000);
    const sizes: number[] = [];
    for (const [now, used] of [
      [0, 600],
      [150, 600],
      [300, 1100],
      [450, 2100],
      [1000, 2100],
    ] as const) {
      window.consume(used);
      window.update(100, now);
      sizes.push(window.windowBytes);
    }
    expect(sizes).toEqual([1000, 2000, 4000, 4000, 4000]);
    const slow = new ReceiveWindow(1000, 4000);
    for (const now of [0, 200, 400]) slow.update(100, now);
    expect(slow.windowBytes).toBe(1000);
  });

  test('behind a gap it doubles as soon as half of it is used, up to the most', () => {
    const window = new ReceiveWindow(1000, 3000);
    expect(window.receive(500)).toBe(true);
    expect(window.isTight).toBe(false);
    window.receive(501);
    expect(window.isTight).toBe(true);
    // Nothing was read: no ordinary reason for a new limit.
    expect(window.isUpdateDue).toBe(false);
    expect(window.widen()).toBe(2000);
    expect(window.isTight).toBe(false);
    window.receive(1500);
    expect(window.widen()).toBe(3000);
    window.receive(3000);
    expect(window.isTight).toBe(false);
  });

  test('a limit that comes late changes nothing; BLOCKED is said once for each limit', () => {
    const credit = new SendCredit(100);
    credit.raise(50);
    expect(credit.left).toBe(100);
    expect(credit.takeBlocked()).toBeNull();
    credit.use(100);
    expect(credit.takeBlocked()).toBe(100);
    expect(credit.takeBlocked()).toBeNull();
    credit.repeatBlocked();
    expect(credit.takeBlocked()).toBe(100);
    credit.raise(150);
    expect(credit.takeBlocked()).toBeNull();
  });
});
