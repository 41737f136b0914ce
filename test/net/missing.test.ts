import { expect, test } from 'vitest';
import { findMissing } from '../../src/net/missing.js';

const present = () => Promise.resolve({ stdout: 'ip utility', stderr: '' });
const absent = () => Promise.resolve(null);

test('nothing, where koffi loads and ip runs', async () => {
  expect(await findMissing(present, { reason: null })).toEqual([]);
});

test('each with what a run does without it', async () => {
  const missing = await findMissing(absent, { reason: 'koffi cannot be loaded' });
  expect(missing.map(({ what }) => what)).toEqual(['koffi cannot be loaded', expect.stringMatching(/ip/)]);
  expect(missing.map(({ without }) => without)).toEqual([
    expect.stringMatching(/not pinned/),
    expect.stringMatching(/verified/),
  ]);
});
