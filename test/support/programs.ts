import { spawn } from 'node:child_process';
import { IcepathProcess, type Role } from './lab-process.js';
import { type BuiltTree, buildTree, type Netns } from './netns.js';

const END_LIMIT_MS = 30_000;

/** icepath as people start it, built from the sources as they are; what still runs ends with its test. */
export class Programs {
  readonly tree: BuiltTree;
  readonly #running: IcepathProcess[] = [];

  /** `folders`: children beside the program, as `buildTree` takes them. About a second. */
  constructor(...folders: readonly string[]) {
    this.tree = buildTree(...folders);
  }

  start(role: Role, ...args: readonly string[]): IcepathProcess {
    return this.#keep(role, [process.execPath, this.tree.file('src/cli.ts'), role, ...args]);
  }

  /** In a network namespace. */
  startIn(host: Netns, role: Role, ...args: readonly string[]): IcepathProcess {
    const inside = ['ip', 'netns', 'exec', host.name];
    return this.#keep(role, [...inside, process.execPath, this.tree.file('src/cli.ts'), role, ...args]);
  }

  /** Kills what runs, and waits for it. */
  async end(): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGKILL');
    await Promise.all(this.#running.splice(0).map((one) => one.ended(END_LIMIT_MS)));
  }

  remove(): void {
    this.tree.remove();
  }

  #keep(role: Role, [program = '', ...args]: readonly string[]): IcepathProcess {
    const one = new IcepathProcess(role, spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
    this.#running.push(one);
    return one;
  }
}
