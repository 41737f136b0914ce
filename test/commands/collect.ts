import type { CommandIo } from '../../src/commands/command.js';

/** A terminal that keeps what was written to it. */
export function collectIo(columns = 100): CommandIo & { readonly out: () => string; readonly err: () => string } {
  const written = { stdout: '', stderr: '' };
  return {
    stdout: { columns, write: (text) => (written.stdout += text) },
    stderr: { columns, write: (text) => (written.stderr += text) },
    env: {},
    out: () => written.stdout,
    err: () => written.stderr,
  };
}
