import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Report } from '../../src/verdict/report.js';
import type { Lab, LabProcess, Node } from './lab.js';

/** What was built (`npm run build`), unchanged: tests run in the repository's root. */
const CLI = resolve('dist/src/cli.js');
const DEFAULT_TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 20_000;

/** A line of pino's on stderr; what is no JSON stands in `msg` as it is. */
export interface LogEvent {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export type Role = 'client' | 'server' | 'reflector' | 'rendezvous';

/** icepath in a lab's namespace; its first argument is its role. Ends with the lab. */
export function startIcepath(lab: Lab, node: Node, args: readonly [Role, ...string[]]): IcepathProcess {
  return new IcepathProcess(args[0], lab.spawn(node, process.execPath, [CLI, ...args]));
}

export class IcepathProcess {
  readonly role: Role;
  readonly child: LabProcess;
  readonly log: LogEvent[] = [];
  readonly #closed: Promise<number | null>;
  /** So far. */
  stdout = '';
  readonly #readers = new Set<() => void>();

  constructor(role: Role, child: LabProcess) {
    this.role = role;
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#wake();
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.log.push(logEvent(line));
      this.#wake();
    });
    this.#closed = once(child, 'close').then(([code]) => code as number | null);
    void this.#closed.then(() => {
      this.#wake();
    });
  }

  invite(): Promise<string> {
    return this.#until('prints an invite', START_TIMEOUT_MS, () => /icepath:\/\/\S+(?=\s)/.exec(this.stdout)?.[0]);
  }

  logs(matches: (event: LogEvent) => boolean): Promise<LogEvent> {
    return this.#until('logs what was waited for', DEFAULT_TIMEOUT_MS, () => this.log.find(matches));
  }

  /** Until stdout is as it must be. */
  async prints(done: () => boolean): Promise<void> {
    await this.#until('prints what was waited for', DEFAULT_TIMEOUT_MS, () => (done() ? true : undefined));
  }

  /** Everything on stderr, for people. */
  told(): string {
    return this.log.map((event) => (Object.keys(event).length === 1 ? event.msg : JSON.stringify(event))).join('\n');
  }

  /** Until UDP sockets on all of `ports` are there, as the kernel tells it of the process's namespace. */
  async listening(ports: readonly number[]): Promise<void> {
    const wanted = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, '0')} `);
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      if (this.child.exitCode !== null || Date.now() > deadline) throw new Error(`${this.role} does not listen`);
      const tables = ['udp', 'udp6'].map((table) => readFileSync(`/proc/${this.child.pid ?? 0}/net/${table}`, 'utf8'));
      if (wanted.every((port) => tables.some((table) => table.includes(port)))) return;
      await sleep(20);
    }
  }

  async ended(timeoutMs: number): Promise<number | null> {
    const limit = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: limit.signal }).then(() => {
      throw new Error(`${this.role} is not done after ${timeoutMs} ms`);
    });
    try {
      return await Promise.race([this.#closed, late]);
    } finally {
      late.catch(() => undefined);
      limit.abort();
    }
  }

  /** Stdout is one JSON document and nothing else. */
  report(): Report {
    return JSON.parse(this.stdout) as Report;
  }

  /** The end of what it said, for a failure. */
  story(): string {
    const log = this.log.slice(-25).map((event) => `  ${JSON.stringify(event)}`);
    return [`${this.role} (exit ${String(this.child.exitCode)}): ${this.stdout.slice(0, 300)}`, ...log].join('\n');
  }

  async #until<T>(what: string, timeoutMs: number, look: () => T | undefined): Promise<T> {
    const found = new Promise<T>((resolve, reject) => {
      const reader = () => {
        const value = look();
        if (value !== undefined) resolve(value);
        else if (this.child.exitCode !== null || this.child.signalCode !== null)
          reject(new Error(`${this.role} ended before it ${what}`));
        else return;
        this.#readers.delete(reader);
      };
      this.#readers.add(reader);
      reader();
      setTimeout(() => {
        reject(new Error(`${this.role}: not within ${timeoutMs} ms that it ${what}`));
      }, timeoutMs).unref();
    });
    return await found;
  }

  #wake(): void {
    for (const reader of [...this.#readers]) reader();
  }
}

function logEvent(line: string): LogEvent {
  try {
    return JSON.parse(line) as LogEvent;
  } catch {
    return { msg: line };
  }
}
