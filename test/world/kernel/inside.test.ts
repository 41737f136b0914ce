import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labEnvironment } from '../../../src/world/kernel/inside.js';
import { type BuiltTree, buildTree } from '../../support/netns.js';
import { describeWith } from '../../support/skip.js';

const LAB = { parent: 4711, backend: 'kernel', seed: 7, name: 'Laptop', hung: ['usb0'], mute: ['wlan0'] };

test('without a lab there is nothing; with one, what it says', () => {
  expect(labEnvironment({})).toBeNull();
  expect(labEnvironment({ ICEPATH_LAB: JSON.stringify(LAB) })).toEqual(LAB);
});

test('what no lab has written is told, and what to do', () => {
  for (const text of [
    '',
    '1',
    '{',
    '{}',
    JSON.stringify({ ...LAB, hung: 'usb0' }),
    JSON.stringify({ ...LAB, mute: 0 }),
  ]) {
    expect(() => labEnvironment({ ICEPATH_LAB: text }), text).toThrow(
      expect.objectContaining({ code: 'lab-environment', nextStep: 'Unset it: unset ICEPATH_LAB' }),
    );
  }
});

describeWith(['linux', 'koffi'], 'a program of a lab', () => {
  let tree: BuiltTree;
  beforeAll(() => {
    tree = buildTree();
  });
  afterAll(() => {
    tree.remove();
  });

  test('does not begin where its lab is gone', () => {
    const env = { ...process.env, ICEPATH_LAB: JSON.stringify({ ...LAB, parent: 1 }) };
    const { signal } = spawnSync(process.execPath, [tree.file('src/cli.ts'), '--version'], { env });
    expect(signal).toBe('SIGKILL');
  });

  test('ends with its lab, however that ends', async () => {
    const cli = tree.file('src/cli.ts');
    const lab = `
      const { spawn } = require('node:child_process');
      const env = { ...process.env, ICEPATH_LAB: JSON.stringify({ ...${JSON.stringify(LAB)}, parent: process.pid }) };
      const args = [${JSON.stringify(cli)}, 'server', '--listen', '127.0.0.1:0'];
      const server = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      server.stdout.once('data', () => { process.kill(process.pid, 'SIGKILL'); });`;
    // The server holds the pipe open: it closes when both are gone.
    const child = spawn(process.execPath, ['-e', lab], { stdio: ['ignore', 'ignore', 'pipe'] });
    expect((await once(child, 'close'))[1]).toBe('SIGKILL');
  });
});
