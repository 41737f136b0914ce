import { expect, it } from 'vitest';
import { firstPairs, IN_TIME, isInTime } from '../../scripts/first-pair.js';

const SEEDS = 200;

it('the first pair is up within two of its round trips and 100 ms, on the LAN and across carriers', () => {
  const found = Array.from({ length: SEEDS }, (_, seed) => firstPairs(seed));
  for (const which of ['any', 'carriers'] as const) {
    const inTime = found.filter(({ [which]: pair }) => isInTime(pair));
    expect(inTime.length, which).toBeGreaterThanOrEqual(IN_TIME * SEEDS);
  }
}, 120_000);
