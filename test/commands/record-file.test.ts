import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRecord } from '../../src/commands/record-file.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-record-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const run = {
  type: 'run',
  v: 1,
  t: 0,
  host: 'client',
  id: 'a',
  started: '2024-06-04T11:46:00Z',
  version: '0.1.0',
  backend: 'real',
  label: null,
  seed: null,
  policy: 'default',
  arms: ['random', 'stun'],
  firstOnly: false,
  wanted: null,
  references: [],
};
const end = { type: 'end', t: 9, host: 'client' };
const lines = (...events: object[]): string => events.map((event) => `${JSON.stringify(event)}\n`).join('');

function write(text: string | Uint8Array): string {
  const file = join(folder, 'run.icepath.jsonl');
  writeFileSync(file, text);
  return file;
}

test('gives the events in order', async () => {
  expect(await readRecord(write(lines(run, end)))).toEqual({ events: [run, end], notes: [] });
});

test('a last line that was cut off is left out, and that is said', async () => {
  const { events, notes } = await readRecord(write(lines(run) + JSON.stringify(end).slice(0, 12)));
  expect(events).toEqual([run]);
  expect(notes).toEqual([expect.stringMatching(/line 2.*cut off/)]);
});

test('a record that stops between two lines is told, too', async () => {
  const { events, notes } = await readRecord(write(lines(run)));
  expect(events).toEqual([run]);
  expect(notes).toEqual([expect.stringMatching(/does not go to the run's end: .*the disk was full/)]);
});

test('a whole last line without its line break counts', async () => {
  const { events, notes } = await readRecord(write(lines(run, end).trimEnd()));
  expect({ events, notes }).toEqual({ events: [run, end], notes: [] });
});

test('events of unknown types are left out, counted and named', async () => {
  const unknown = { type: 'teleport', t: 1, host: 'client' };
  const { events, notes } = await readRecord(write(lines(run, unknown, unknown, end)));
  expect(events).toEqual([run, end]);
  expect(notes).toEqual([expect.stringMatching(/2 .*"teleport"/)]);
});

describe('what is no record is refused with the line and a code', () => {
  test.each([
    ['record-empty', '', /no event/],
    ['record-invalid', `not json\n${lines(end)}`, /line 1/],
    ['record-invalid', lines(run, { ...end, t: 'late' }), /line 2: t /],
    ['record-invalid', lines(run, [1, 2]), /line 2/],
    ['record-invalid', `${lines(run)}null\n`, /line 2/],
    ['record-version', lines({ ...run, v: 2 }), /line 1: version 2 /],
    ['record-too-large', Buffer.alloc(3 * 1024 * 1024, 'x'), /1048576 bytes/],
    ['record-invalid', Buffer.from([0xff, 0xfe, 0x00, 0x0a]), /line 1/],
  ] as const)('%s', async (code, text, message) => {
    await expect(readRecord(write(text))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  test('a file that is not there, and a folder', async () => {
    await expect(readRecord(join(folder, 'absent'))).rejects.toMatchObject({ code: 'record-unreadable' });
    await expect(readRecord(folder)).rejects.toMatchObject({ code: 'record-unreadable' });
  });
});
