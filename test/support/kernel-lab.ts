import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../../src/world/scenario.js';
import type { BuiltTree } from './netns.js';

const START_TIMEOUT_MS = 60_000;
const SETTLE_TIMEOUT_MS = 10_000;

/** A lab in a process of its own (`test/lab/child/kernel-lab.ts`), so that it can be killed. */
export class LabProcess {
  readonly child: ChildProcessByStdio<null, Readable, null>;
  /** All that it may write temporary files to. */
  readonly directory = mkdtempSync(join(tmpdir(), 'ip-d-'));
  #stdout = '';

  /** `wrapper`: a program and its arguments, which then runs the lab. */
  constructor(tree: BuiltTree, scenario: Scenario, wrapper: readonly string[] = []) {
    const node = [process.execPath, tree.file('test/lab/child/kernel-lab.ts'), tree.file('src/cli.ts')];
    const [program, ...args] = [...wrapper, ...node, JSON.stringify(scenario)];
    this.child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: this.directory },
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
  }

  async running(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!this.#stdout.includes('running\n')) {
      if (this.child.exitCode !== null || Date.now() > deadline)
        throw new Error(`the lab does not run: ${this.#stdout}`);
      await sleep(20);
    }
  }

  /** What its last line says. */
  async ended(): Promise<unknown> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    const line = this.#stdout.trim().split('\n').at(-1) ?? '';
    return line.startsWith('{') ? JSON.parse(line) : null;
  }

  remove(): void {
    this.child.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What a lab has of the machine while it runs. */
export interface Belongings {
  readonly processes: readonly number[];
  /** Network namespaces by inode. */
  readonly namespaces: readonly string[];
}

export function belongingsOf(lab: LabProcess): Belongings {
  const processes = processIds().filter((pid) => parentOf(pid) === lab.child.pid);
  const own = namespaceAt('self/ns/net');
  const held = [...processes.map((pid) => `${pid}/ns/net`), ...filesOf(lab.child.pid ?? 0)].map(namespaceAt);
  const namespaces = [...new Set(held)].filter((one): one is string => one !== null && one !== own);
  return { processes, namespaces };
}

/** What is left of it, in words. Waits a while: a kernel takes namespaces and processes down in its own time. */
export async function leftOf(lab: LabProcess, { processes, namespaces }: Belongings): Promise<string[]> {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const left = [
      ...processIds()
        .filter((pid) => (processes.includes(pid) && parentOf(pid) !== null) || parentOf(pid) === lab.child.pid)
        .map((pid) => `process ${pid}`),
      ...processIds()
        .flatMap((pid) => [`${pid}/ns/net`, ...filesOf(pid)])
        .filter((path) => namespaces.includes(namespaceAt(path) ?? ''))
        .map((path) => `namespace at ${path}`),
      ...list('/run/netns')
        .filter((name) => namespaces.includes(`net:[${statSync(join('/run/netns', name)).ino}]`))
        .map((name) => `named namespace ${name}`),
      ...list(lab.directory).map((name) => `file ${name}`),
    ];
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(50);
  }
}

/** Files of this process that belong to labs: devices and namespaces. */
export function ownLabFiles(): string[] {
  return filesOf(process.pid)
    .map(linkAt)
    .filter((target): target is string => target !== null && /^net:|\/net\/tun$/.test(target));
}

function processIds(): number[] {
  return list('/proc').map(Number).filter(Number.isInteger);
}

/** `null` for one that has ended, although nobody has asked yet how: process 1 of a container may never do so. */
function parentOf(pid: number): number | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return /^State:\s*[ZX]/m.test(status) ? null : Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1]);
  } catch {
    return null;
  }
}

function filesOf(pid: number): string[] {
  return list(`/proc/${pid}/fd`).map((fd) => `${pid}/fd/${fd}`);
}

function namespaceAt(path: string): string | null {
  const target = linkAt(path);
  return target?.startsWith('net:') === true ? target : null;
}

function linkAt(path: string): string | null {
  try {
    return readlinkSync(join('/proc', path));
  } catch {
    return null;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
