import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What `npm run build` makes: `icepath` itself. */
export const CLI = join(ROOT, 'dist/src/cli.js');

export interface Source {
  /** From the root of the project. */
  readonly path: string;
  /** The same, absolute. */
  readonly file: string;
  readonly text: string;
}

/** Every TypeScript file below `folders`. */
export function sourcesIn(...folders: readonly string[]): Source[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name))
      .sort()
      .map((path) => ({ path, file: join(ROOT, path), text: readFileSync(join(ROOT, path), 'utf8') })),
  );
}
