import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EventQueue } from '../../src/world/event-queue.js';

it('gives everything back in order of time, and at one time in the order of planning', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 })), (times) => {
      const queue = new EventQueue();
      const ran: [number, number][] = [];
      times.forEach((at, index) => {
        queue.push(at, () => ran.push([at, index]));
      });
      for (let event = queue.pop(); event; event = queue.pop()) event.run();
      expect(ran).toEqual(
        times.map((at, index) => [at, index]).sort(([a = 0, i = 0], [b = 0, j = 0]) => a - b || i - j),
      );
    }),
  );
});

it('keeps the order while things are planned in between', () => {
  const queue = new EventQueue();
  const ran: string[] = [];
  queue.push(10, () => {
    ran.push('first');
    queue.push(10, () => ran.push('planned meanwhile'));
  });
  queue.push(10, () => ran.push('second'));
  queue.push(5, () => ran.push('earlier'));
  expect(queue.nextAt).toBe(5);
  for (let event = queue.pop(); event; event = queue.pop()) event.run();
  expect(ran).toEqual(['earlier', 'first', 'second', 'planned meanwhile']);
  expect(queue.nextAt).toBe(Number.POSITIVE_INFINITY);
});
