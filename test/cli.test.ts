import { execFile, spawnSync } from 'node:child_process';
import { openSync, closeSync, existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeWith } from './support/skip.js';
import { CLI } from './support/sources.js';

const [NODE] = process.argv as [string];

describeWith(['dist'], 'the built icepath', () => {
  test('starts by itself, with its help', async () => {
    const { code, stdout, stderr } = await run(CLI, ['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^icepath COMMAND/);
  });

  test('exits with what the command line gave', async () => {
    expect(await run(NODE, [CLI, 'report'])).toMatchObject({ code: 2, stdout: '' });
    expect(await run(NODE, [CLI, 'report', 'absent.jsonl'])).toMatchObject({ code: 6, stdout: '' });
  });

  test('a reader that goes away early is no error', () => {
    const { status, stderr } = spawnSync('sh', ['-c', '"$0" "$1" interfaces --json | true; exit 0', NODE, CLI]);
    expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
  });

  test('a full disk behind stdout is told and exits 6', (context) => {
    context.skip(!existsSync('/dev/full'), 'no /dev/full');
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(NODE, [CLI, 'interfaces'], { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    expect(status).toBe(6);
    expect(stderr.toString()).toMatch(/ENOSPC.*\n {2}→ .*\[output-unwritable\]\n$/);
  });
});

function run(program: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(program, args, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}
