import { expect, test } from 'vitest';
import { nearest } from '../../src/base/nearest.js';

const NAMES = ['control-open', 'ice-02', 'ice-14', 'ice-15', 'matrix-cookie', 'matrix-cookie-up'];

test.each([
  ['ice14', 'ice-14'],
  ['ICE-02', 'ice-02'],
  ['cookie', 'matrix-cookie'],
  ['control-opne', 'control-open'],
  ['matrix_cookie', 'matrix-cookie'],
])('%s means %s', (given, name) => {
  expect(nearest(given, NAMES)[0]).toBe(name);
});

test.each(['', 'symphony', 'x'.repeat(100_000)])('nothing is near to %.20s', (given) => {
  expect(nearest(given, NAMES)).toEqual([]);
});
