import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CARRIERS } from '../../src/world/carriers.js';
import { ROOT } from '../support/sources.js';

test('docs/scenarios.md names every carrier with where it was observed', () => {
  const text = readFileSync(join(ROOT, 'docs/scenarios.md'), 'utf8').replace(/\s+/g, ' ');
  const missing = Object.values(CARRIERS).filter(({ name, observed }) => !text.includes(`- \`${name}\`: ${observed}`));
  expect(missing.map(({ name }) => name)).toEqual([]);
});
