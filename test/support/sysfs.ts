import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InterfaceKind } from '../../src/base/interface.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/sysfs/', import.meta.url));

/** `/sys/class/net` of one machine: by interface, the files with their contents and the links with their targets. */
export interface SysfsFixture {
  readonly machine: string;
  /** Recorded on a machine, or reconstructed, and from what. */
  readonly source: string;
  readonly interfaces: Readonly<
    Record<
      string,
      { readonly kind: InterfaceKind; readonly files: Record<string, string>; readonly links: Record<string, string> }
    >
  >;
}

export function sysfsFixtures(): SysfsFixture[] {
  return readdirSync(FIXTURES).map((name) => JSON.parse(readFileSync(join(FIXTURES, name), 'utf8')) as SysfsFixture);
}

/** Writes the fixture as a tree of files and gives its root, to be used as `/sys`. */
export function plantSysfs({ interfaces }: SysfsFixture): { readonly root: string; remove(): void } {
  const root = mkdtempSync(join(tmpdir(), 'icepath-sysfs-'));
  for (const [name, { files, links }] of Object.entries(interfaces)) {
    const place = (path: string): string => {
      const full = join(root, 'class/net', name, path);
      mkdirSync(dirname(full), { recursive: true });
      return full;
    };
    for (const [path, content] of Object.entries(files)) writeFileSync(place(path), `${content}\n`);
    for (const [path, target] of Object.entries(links)) symlinkSync(target, place(path));
  }
  return {
    root,
    remove() {
      rmSync(root, { recursive: true, force: true });
    },
  };
}
