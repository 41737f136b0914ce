import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RecordWriter } from '../../src/commands/record-writer.js';
import { openPipe } from '../../src/os/process.js';
import { testWith } from '../support/skip.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-writer-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const end = { type: 'end', t: 1, host: 'client' } as const;
const unexpected = (reason: string): void => {
  throw new Error(reason);
};

test('what cannot be written is told before there is a run', () => {
  for (const file of [join(folder, 'absent', 'x'), folder]) {
    expect(() => new RecordWriter(file, unexpected)).toThrow(expect.objectContaining({ code: 'record-unwritable' }));
  }
});

test('a run that never began leaves an old record as it was, and no new file', () => {
  const [old, fresh] = [join(folder, 'old'), join(folder, 'fresh')];
  writeFileSync(old, 'precious');
  for (const file of [old, fresh]) new RecordWriter(file, unexpected).close();
  expect(readFileSync(old, 'utf8')).toBe('precious');
  expect(existsSync(fresh)).toBe(false);
});

test('a run replaces what the file held', () => {
  const file = join(folder, 'again');
  writeFileSync(file, 'x'.repeat(1000));
  const writer = new RecordWriter(file, unexpected);
  writer.event(end);
  writer.close();
  expect(readFileSync(file, 'utf8')).toBe(`${JSON.stringify(end)}\n`);
});

test('a full disk ends the writing once, with a code', ({ skip }) => {
  if (!existsSync('/dev/full')) skip('no /dev/full here');
  const reasons: string[] = [];
  const writer = new RecordWriter('/dev/full', (reason) => reasons.push(reason));
  for (let index = 0; index < 10_000; index += 1) writer.event(end);
  writer.close();
  expect(reasons).toEqual([expect.stringMatching(/ENOSPC/)]);
  expect(writer.failure).toMatchObject({ code: 'record-incomplete' });
});

testWith(['linux', 'koffi'], 'whoever reads a pipe learns of each event at once', async () => {
  const { readFd, writeFd } = openPipe();
  const reader = new Socket({ fd: readFd });
  const writer = new RecordWriter(`/dev/fd/${writeFd}`, unexpected);
  writer.event(end);
  expect(String((await once(reader, 'data'))[0])).toBe(`${JSON.stringify(end)}\n`);
  writer.close();
  closeSync(writeFd);
  await once(reader, 'close');
});
