import { expect, test } from 'vitest';
import { judgeRun } from '../../src/verdict/judge-run.js';
import { mesh, observe } from '../support/observation.js';

const MIN_MS = 60_000;

test.each([
  [0, 0, null],
  [2000, 0, null],
  [2001, 0, '2 s ahead of'],
  [-2001, 0, '2 s behind'],
  // The channel is so slow that it may be 1 s.
  [5000, 4000, null],
  [90_000, 20, '90 s ahead of'],
  [5 * MIN_MS, 20, '5 min ahead of'],
  [-119 * MIN_MS, 20, '119 min behind'],
  [120 * MIN_MS, 20, '2 h ahead of'],
  [-36 * 60 * MIN_MS, 20, '36 h behind'],
  [20_000 * 24 * 60 * MIN_MS, 20, '20000 days ahead of'],
])('clocks that are %i ms apart, to within %i ms: %s', (serverAheadMs, withinMs, words) => {
  const { advice, run } = judgeRun(observe(mesh(), {}, { clock: { serverAheadMs, withinMs } }));
  expect(run.clock).toEqual({ serverAheadMs, withinMs });
  const told = words === null ? [] : [expect.stringContaining(`the server's clock is ${words} the client's`)];
  expect(advice.filter((sentence) => sentence.includes('clock'))).toEqual(told);
});
