import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { nodesOf, ROOT, sourcesIn } from '../support/sources.js';

/** The first argument of every `new IcepathError(…)` and `super('…')` of its kind, with where it stands. */
const thrown = sourcesIn('src', 'probes').flatMap((source) =>
  nodesOf(source).flatMap(({ node, at }) =>
    ts.isNewExpression(node) && node.expression.getText() === 'IcepathError'
      ? [{ at, codes: literalsIn(node.arguments?.[0]) }]
      : [],
  ),
);

/** `'a'`, or both of `condition ? 'a' : 'b'`; nothing where the code is computed elsewhere. */
function literalsIn(node: ts.Node | undefined): string[] {
  if (node === undefined) return [];
  if (ts.isConditionalExpression(node)) return [...literalsIn(node.whenTrue), ...literalsIn(node.whenFalse)];
  return ts.isStringLiteral(node) ? [node.text] : [];
}

const listed = [...readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').matchAll(/^\| `([^`]+)`/gm)].map(
  ([, code]) => code ?? '',
);

test('every error code stands literally where it is thrown', () => {
  expect(thrown.filter(({ codes }) => codes.length === 0).map(({ at }) => at)).toEqual([]);
});

test('docs/errors.md lists every error code, once, and no other', () => {
  const codes = [...new Set(thrown.flatMap((error) => error.codes))];
  expect(listed.toSorted()).toEqual(codes.toSorted());
});

test('error codes are kebab-case', () => {
  expect(listed.filter((code) => !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(code))).toEqual([]);
});
