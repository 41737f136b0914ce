import { expect, test } from 'vitest';
import { reportJson } from '../../src/report/json.js';
import { sampleReport } from '../support/report.js';

test('is one JSON document that says what the report says', () => {
  expect(JSON.parse(reportJson(sampleReport()))).toEqual(sampleReport());
});

test('keys stand in the same order whatever order they were made in', () => {
  const report = sampleReport();
  const reversed = Object.fromEntries(Object.entries(report).reverse()) as unknown as typeof report;
  expect(reportJson(reversed)).toBe(reportJson(report));
});

test('begins as the contract does', () => {
  const keys = Object.keys(JSON.parse(reportJson(sampleReport())) as object);
  expect(keys.slice(0, 4)).toEqual(['schema', 'run', 'paths', 'carriers']);
  expect(keys.at(-1)).toBe('exit');
});
