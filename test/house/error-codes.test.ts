import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { ROOT, sourcesIn } from '../support/sources.js';
import { nodesOf } from '../support/syntax.js';

/** The code of every `new IcepathError(…)`, with where it stands. */
const thrown = sourcesIn('src', 'probes').flatMap((source) => {
  const nodes = nodesOf(source);
  return nodes
    .filter(({ node }) => ts.isNewExpression(node) && node.expression.getText() === 'IcepathError')
    .map(({ node, at }) => {
      const codes = literalsIn((node as ts.NewExpression).arguments?.[0]);
      return { at, codes: codes.length > 0 ? codes : tableIn(nodes) };
    });
});

/** A room may keep its codes with their next steps in one table: the names in `const NEXT_STEPS = { … }`. */
function tableIn(nodes: ReturnType<typeof nodesOf>): string[] {
  return nodes.flatMap(({ node }) => {
    if (!ts.isVariableDeclaration(node) || node.name.getText() !== 'NEXT_STEPS') return [];
    const value = node.initializer;
    const object = value && ts.isAsExpression(value) ? value.expression : value;
    if (!object || !ts.isObjectLiteralExpression(object)) return [];
    return object.properties.map(({ name }) =>
      name && ts.isStringLiteral(name) ? name.text : (name?.getText() ?? ''),
    );
  });
}

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
