import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommandLine } from '../../src/commands/command-line.js';
import { reportCommand } from '../../src/commands/report-command.js';
import type { RecordEvent } from '../../src/session/record.js';
import type { Report } from '../../src/verdict/report.js';
import { collectIo } from './collect.js';

/** A run that was interrupted before the first packet: two hosts with an interface each, and nothing else. */
const events: RecordEvent[] = [
  {
    type: 'run',
    v: 1,
    t: 0,
    host: 'client',
    id: 'early',
    started: '2024-06-04T11:46:00.000Z',
    version: '0.1.0',
    backend: 'real',
    label: null,
    seed: null,
    policy: 'equal',
    arms: ['random', 'stun'],
    firstOnly: false,
    wanted: null,
    references: [],
  },
  ...(['client', 'server'] as const).map((host) => ({
    type: 'host' as const,
    t: 1,
    host,
    name: host === 'client' ? 'laptop' : 'desktop',
    pinning: 'device' as const,
    interfaces: [
      {
        name: 'wlan0',
        kind: 'wifi' as const,
        label: 'hhg',
        addresses: [{ family: 'ipv4' as const, address: '10.20.0.5', prefixLength: 8 }],
      },
    ],
  })),
  { type: 'interrupted', t: 2, host: 'client' },
  { type: 'end', t: 2, host: 'client' },
];

let folder = '';
let file = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-report-'));
  file = join(folder, 'run.icepath.jsonl');
  writeFileSync(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('--json prints one document of the contract, and nothing on stderr', async () => {
  const io = collectIo();
  expect(await runCommandLine(['report', file, '--json'], [reportCommand], io)).toBe(0);
  const report = JSON.parse(io.out()) as Report;
  expect(report).toMatchObject({ schema: 'icepath.report/1', run: { id: 'early' }, exit: { code: 130 } });
  expect(report.paths.map(({ id, state }) => [id, state])).not.toContainEqual([expect.anything(), 'blocked']);
  expect(io.err()).toBe('');
});

test('people get the table', async () => {
  const io = collectIo();
  expect(await runCommandLine(['report', file], [reportCommand], io)).toBe(0);
  expect(io.out()).toMatch(/run early/);
  expect(io.out()).toMatch(/\nexit 130: /);
});

test('what was left out is said on stderr, and the rest is judged', async () => {
  writeFileSync(file, `${events.map((event) => `${JSON.stringify(event)}\n`).join('')}{"type":"te`);
  const io = collectIo();
  expect(await runCommandLine(['report', file, '--json'], [reportCommand], io)).toBe(0);
  expect(io.err()).toMatch(/line 6.*cut off/);
});
