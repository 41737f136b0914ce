import ts from 'typescript';
import type { Source } from './sources.js';

/** Every node of a source, parents first; comments and strings are no identifiers here. */
export function nodesOf({
  path,
  text,
}: Pick<Source, 'path' | 'text'>): { readonly node: ts.Node; readonly at: string }[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const nodes: { node: ts.Node; at: string }[] = [];
  const visit = (node: ts.Node): void => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
    nodes.push({ node, at: `${path}:${line + 1}` });
    node.forEachChild(visit);
  };
  visit(file);
  return nodes;
}
