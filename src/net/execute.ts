import { execFile } from 'node:child_process';

export interface Execution {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program and gives what it wrote, whatever its exit status; `null` when it is absent, hangs or was killed. */
export type Execute = (program: string, args: readonly string[], input?: string) => Promise<Execution | null>;

const TIMEOUT_MS = 5000;
const OUTPUT_LIMIT_BYTES = 32 * 1024 * 1024;

/** Never through a shell. Programs of `/sbin` are found for users whose PATH has no such folder, too. */
export const execute: Execute = (program, args, input) =>
  new Promise((resolve) => {
    const environment = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_LIMIT_BYTES, env: environment };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      const ended = error === null || typeof error.code === 'number';
      resolve(ended ? { stdout, stderr } : null);
    });
    // A program that is absent or ends early breaks the pipe; the callback above tells it.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
