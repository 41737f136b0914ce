import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Source {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

/** Every TypeScript file below `folders`. */
export function sourcesIn(...folders: readonly string[]): Source[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name))
      .sort()
      .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
  );
}

/** Every node of a source, parents first; comments and strings are no identifiers here. */
export function nodesOf({ path, text }: Source): { readonly node: ts.Node; readonly at: string }[] {
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
