import { expect, test } from 'vitest';
import { styleOf } from '../../src/report/style.js';

test('colours only on a terminal, and not where NO_COLOR is set or the terminal is dumb', () => {
  const terminal = { isTTY: true, columns: 80 };
  expect(styleOf(terminal, {})).toEqual({ columns: 80, colour: true });
  expect(styleOf(terminal, { NO_COLOR: '' }).colour).toBe(true);
  expect(styleOf(terminal, { NO_COLOR: '1' }).colour).toBe(false);
  expect(styleOf(terminal, { TERM: 'dumb' }).colour).toBe(false);
  expect(styleOf({}, {})).toEqual({ columns: 100, colour: false });
});
