import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of a few kilobytes. Needs root and `mount`. What is not removed goes with this process. */
export class SmallDisk {
  readonly folder = mkdtempSync(join(tmpdir(), 'icepath-disk-'));
  #isMounted = false;
  readonly #exit = (): void => {
    this.remove();
  };

  constructor(kilobytes: number) {
    process.once('exit', this.#exit);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'icepath-test', this.folder], { stdio: 'pipe' });
    this.#isMounted = true;
  }

  remove(): void {
    process.off('exit', this.#exit);
    // Lazily: a process that a failed test left behind may still have a file open.
    if (this.#isMounted) execFileSync('umount', ['--lazy', this.folder], { stdio: 'pipe' });
    this.#isMounted = false;
    rmdirSync(this.folder);
  }
}
