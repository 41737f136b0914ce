import { expect, test } from 'vitest';
import { isPathState, progressLine } from '../../src/report/progress.js';

test('the first state, a change, and the cause', () => {
  expect(progressLine({ path: 'eth0-eth0-v4', from: null, to: 'established', cause: null })).toBe(
    'eth0-eth0-v4: established',
  );
  expect(progressLine({ path: 'eth0-eth0-v4', from: 'established', to: 'lost', cause: 'peer-fault' })).toBe(
    'eth0-eth0-v4: established → lost (peer-fault)',
  );
});

test('only the change of a path is taken for one', () => {
  expect(isPathState({ path: 'a', from: null, to: 'lost', cause: null })).toBe(true);
  expect(isPathState({ path: 'a', bytes: 3 })).toBe(false);
});
