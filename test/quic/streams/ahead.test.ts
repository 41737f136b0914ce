import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import { SendStream } from '../../../src/quic/streams/send-stream.js';

// What a slow path takes is beyond what the faster ones will have brought (`SendStream.nextAhead`).

function full(bytes: number, limit = bytes): SendStream {
  const stream = new SendStream(0, limit);
  stream.write(new SeededRandom('data').bytes(bytes));
  stream.finish();
  return stream;
}

test('what is left out comes next, then what follows what was sent', () => {
  const stream = full(10_000);
  expect(stream.nextAhead(1000, Infinity, 3000)).toMatchObject({ offset: 3000, newBytes: 4000 });
  expect(stream.lostBytes).toBe(3000);
  expect(stream.next(2000, Infinity)).toMatchObject({ offset: 0, newBytes: 0 });
  // A thousand bytes are left to the faster ones; two more are to be.
  expect(stream.nextAhead(1000, Infinity, 3000)).toMatchObject({ offset: 6000, newBytes: 3000 });
  expect([stream.next(9000, Infinity)?.offset, stream.next(9000, Infinity)?.offset]).toEqual([2000, 4000]);
  expect(stream.next(9000, Infinity)).toMatchObject({ offset: 7000, fin: true });
});

test('nothing where the faster ones bring it all, or where the far end takes no more than they bring', () => {
  expect(full(3000).nextAhead(1000, Infinity, 3000)).toBeNull();
  expect(full(10_000, 3000).nextAhead(1000, Infinity, 3000)).toBeNull();
  expect(full(10_000).nextAhead(1000, 3000, 3000)).toBeNull();
  const stream = full(10_000);
  stream.reset(1);
  expect(stream.nextAhead(1000, Infinity, 1)).toBeNull();
});

test('every byte is sent once, in whatever order fast and slow take turns, and the credit is used once', () => {
  const turns = fc.array(fc.record({ most: fc.integer({ min: 1, max: 700 }), ahead: fc.nat(2000) }), { minLength: 1 });
  fc.assert(
    fc.property(turns, (each) => {
      const stream = full(5000);
      const times = new Uint8Array(5000);
      let used = 0;
      const take = (part: ReturnType<SendStream['next']>): boolean => {
        if (part === null) return false;
        for (let at = 0; at < part.data.length; at += 1) times[part.offset + at] = (times[part.offset + at] ?? 0) + 1;
        used += part.newBytes;
        return true;
      };
      for (const { most, ahead } of each)
        take(ahead > 0 ? stream.nextAhead(most, Infinity, ahead) : stream.next(most, Infinity));
      while (take(stream.next(700, Infinity)));
      expect(times.every((count) => count === 1)).toBe(true);
      expect(used).toBe(5000);
      expect(stream.credit.left).toBe(0);
    }),
  );
});
