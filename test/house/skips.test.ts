import { expect, test } from 'vitest';
import ts from 'typescript';
import { sourcesIn } from '../support/sources.js';
import { nodesOf } from '../support/syntax.js';

const SILENT = new Set(['only', 'skip', 'skipIf', 'runIf', 'todo', 'fails']);
const CASES = new Set(['test', 'it', 'describe', 'suite', 'bench']);

test('no test is left out in silence: skips go through test/support/skip.ts, which says why', () => {
  const found = sourcesIn('test').flatMap((source) =>
    nodesOf(source)
      .filter(
        ({ node }) => ts.isPropertyAccessExpression(node) && SILENT.has(node.name.text) && isCase(node.expression),
      )
      .map(({ node, at }) => `${at}: ${node.getText()}`),
  );
  expect(found).toEqual([]);
});

/** `test`, `describe.concurrent`, `it.each(…)` … */
function isCase(node: ts.Expression): boolean {
  if (ts.isIdentifier(node)) return CASES.has(node.text);
  return (ts.isPropertyAccessExpression(node) || ts.isCallExpression(node)) && isCase(node.expression);
}
