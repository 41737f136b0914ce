import { expect, test } from 'vitest';
import { sourcesIn } from '../support/sources.js';

test('the wall clock dates records and other files for people, and nothing else asks for it', () => {
  const asks = sourcesIn('src', 'probes').filter(({ text }) => /\bDate\.now\(|\bnew Date\(\)/.test(text));
  expect(asks.map(({ path }) => path)).toEqual([
    // When a packet capture was begun.
    'src/commands/lab-record.ts',
    // When a run began: the driver asks once (test/net/clock.test.ts).
    'src/net/clock.ts',
    // The reference time of a qlog.
    'src/net/quic/traces.ts',
  ]);
});
