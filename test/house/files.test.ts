import { expect, test } from 'vitest';
import { sourcesIn } from '../support/sources.js';

const SOFT_LIMIT = 400;
const HARD_LIMIT = 700;

/** Files above the soft limit, each with the reason why it is one file. */
const LONG_FILES: Readonly<Record<string, string>> = {
  'test/verdict/scenarios.test.ts': 'the rows of verdicts.md as one table, in its order',
  'test/lab/networks.test.ts': 'one claim of the lab after the other, on networks that the same helpers build',
};

const lengths = new Map(
  sourcesIn('src', 'probes', 'test').map(({ path, text }) => [path, text.trimEnd().split('\n').length]),
);

test(`no file has more than ${HARD_LIMIT} lines`, () => {
  expect([...lengths].filter(([, lines]) => lines > HARD_LIMIT)).toEqual([]);
});

test(`a file of more than ${SOFT_LIMIT} lines has its reason in the table of this test, and no other is there`, () => {
  const long = [...lengths].filter(([, lines]) => lines > SOFT_LIMIT).map(([path]) => path);
  expect(long.sort()).toEqual(Object.keys(LONG_FILES).sort());
});
