import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { IcepathError } from '../../base/errors.js';
import type { Ms } from '../../base/time.js';
import { openPipe } from '../../os/process.js';
import { LAB_VARIABLE, type LabEnvironment } from './inside.js';
import { putFirst } from './pump.js';
import { ENVIRONMENT, type TunHost } from './tun-host.js';

export interface ChildOptions {
  /** How icepath is started: a program and its first arguments. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  /** What it is called in an error; else its first argument. */
  readonly role?: string;
  readonly environment: Omit<LabEnvironment, 'parent'>;
  /** Told each line that the child writes to the file {@link RECORD_FILE}. */
  readonly onRecord?: (line: string) => void;
}

/** What a child calls the pipe of `onRecord`. */
export const RECORD_FILE = '/dev/fd/3';
/** More than any report has. */
const MOST_OUTPUT_CHARACTERS = 64 * 1024 * 1024;
/** Of the log, for a failure. */
const LAST_LINES = 8;
const LOOK_EVERY_MS: Ms = 20;

/** icepath as it is, or another program, in the namespace of a host. */
export class Child {
  readonly role: string;
  /** So far. */
  stdout = '';
  isOver = false;
  /** Everything that it wrote has been read by then. Never rejects. */
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;
  readonly #log: string[] = [];
  #startFailure: Error | null = null;

  constructor(host: TunHost, { command, args, role, environment, onRecord }: ChildOptions) {
    this.role = role ?? `icepath ${args[0] ?? ''}`;
    const [program = process.execPath, ...first] = command;
    const lab: LabEnvironment = { ...environment, parent: process.pid };
    const pipe = onRecord ? openPipe() : null;
    // In a process group of its own: a terminal's Ctrl-C is the lab's to hand on.
    const child = host.run(() =>
      spawn(program, [...first, ...args], {
        stdio: ['ignore', 'pipe', 'pipe', ...(pipe ? [pipe.writeFd] : [])],
        env: { ...ENVIRONMENT, [LAB_VARIABLE]: JSON.stringify(lab) },
        detached: true,
      }),
    );
    this.#process = child;
    if (child.pid !== undefined) putFirst(child.pid);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stdout.length < MOST_OUTPUT_CHARACTERS) this.stdout += text;
    });
    const streams: Promise<void>[] = [closing(child)];
    if (child.stderr)
      streams.push(lines(child.stderr, (line) => this.#log.splice(0, this.#log.push(line) - LAST_LINES)));
    if (pipe && onRecord) {
      closeSync(pipe.writeFd);
      streams.push(lines(new Socket({ fd: pipe.readFd, readable: true, writable: false }), onRecord));
    }
    child.on('error', (error) => {
      this.#startFailure = error;
    });
    this.ended = Promise.all(streams).then(() => {
      this.isOver = true;
    });
  }

  /** To its whole process group. */
  kill(signal: NodeJS.Signals): void {
    const { pid } = this.#process;
    if (pid === undefined || this.isOver) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It ended by itself.
    }
  }

  /** What `look` finds, now or later. Throws `lab-run-failed` where the child ends before, or it takes too long. */
  async until<Found>(what: string, timeoutMs: Ms, look: () => Found | null): Promise<Found> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== null) return found;
      if (this.isOver) throw this.failure(`ended before it ${what}`);
      if (performance.now() > deadline) throw this.failure(`has not ${what} within ${timeoutMs / 1000} s`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  failure(what: string): IcepathError {
    const how = this.#startFailure?.message ?? `exit ${this.#process.exitCode ?? this.#process.signalCode ?? 'none'}`;
    const said = this.#log.length === 0 ? '' : `; it said last: ${this.#log.join(' | ')}`;
    return new IcepathError(
      'lab-run-failed',
      `${this.role} in the lab ${what} (${how})${said}`,
      'Run it again; --backend virtual shows whether it is the scenario or this machine.',
    );
  }
}

function closing(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => {
      resolve();
    });
    // One that cannot be started is never closed.
    child.once('error', () => {
      resolve();
    });
  });
}

function lines(stream: Readable, take: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    stream.on('error', () => undefined);
    stream.once('close', () => {
      resolve();
    });
    createInterface({ input: stream }).on('line', take);
  });
}
