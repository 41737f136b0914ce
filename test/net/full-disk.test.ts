import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { runCommandLine } from '../../src/commands/command-line.js';
import { reportCommand } from '../../src/commands/report-command.js';
import { collectIo } from '../commands/collect.js';
import type { IcepathProcess } from '../support/lab-process.js';
import { Programs } from '../support/programs.js';
import { describeWith } from '../support/skip.js';
import { SmallDisk } from '../support/small-disk.js';

// A disk that has room for the beginning of a record, and fills up while data flow (issue 6).

const LIMIT_MS = 120_000;
const SECONDS = 10;
const RATE_BPS = 200_000;
/** A run over loopback writes as much within three seconds, and thirty times as much in all. */
const DISK_KILOBYTES = 64;
const INCOMPLETE = 'the record could not be written to its end';

describeWith(['linux', 'root', 'mount'], 'a disk that fills up under a record', () => {
  let programs: Programs;
  const disks: SmallDisk[] = [];
  beforeAll(() => {
    programs = new Programs();
  }, 60_000);
  afterEach(async () => {
    await programs.end();
    for (const disk of disks.splice(0)) disk.remove();
  });
  afterAll(() => {
    programs.remove();
  });

  test.each(['client', 'server'] as const)('the %s’s: its record ends there, and nothing else does', async (whose) => {
    const [small, large] = [new SmallDisk(DISK_KILOBYTES), new SmallDisk(100 * DISK_KILOBYTES)];
    disks.push(small, large);
    const recordOf = (role: string): string => join((role === whose ? small : large).folder, `${role}.jsonl`);
    const common = (role: string): string[] => ['--interface', 'lo', '--record', recordOf(role)];
    const far = programs.start('server', '--listen', '127.0.0.1:0', '--once', ...common('server'));
    const data = ['--duration', String(SECONDS), '--rate', `${RATE_BPS / 1000} kbit/s`];
    const what = ['--arms', 'random,stun', '--json', ...data, ...common('client')];
    const near = programs.start('client', await far.invite(), ...what);
    const exits = { client: await near.ended(LIMIT_MS), server: await far.ended(LIMIT_MS) };
    const [own, other] = whose === 'client' ? [near, far] : [far, near];

    const { transfer, paths } = near.report();
    expect(transfer, near.story()).toMatchObject({ complete: true, error: null });
    expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
    // What a capped sender writes is rounded down, at each end.
    expect(Math.abs((transfer?.bytesSent ?? 0) - (2 * SECONDS * RATE_BPS) / 8)).toBeLessThanOrEqual(2);
    expect(paths.map(({ state }) => state)).toEqual(['established', 'established']);

    // Told when it happens, and once more at the end, with what the exit code means.
    const at = (name: string, { log }: IcepathProcess): number => log.findIndex(({ msg }) => msg === name);
    expect(at(INCOMPLETE, own), own.story()).toBeGreaterThan(at('transfer.started', own));
    expect(at(INCOMPLETE, own)).toBeLessThan(at('transfer.over', own));
    expect(own.log[at(INCOMPLETE, own)]?.reason).toBe(`${recordOf(whose)} is incomplete: ENOSPC`);
    expect(own.told()).toContain('[record-incomplete]');
    expect(exits).toEqual({ client: 0, server: 0, [whose]: 6 });

    // What was written is a record's beginning, and whoever reads it is told so; the far end's is whole.
    expect(statSync(recordOf(whose)).size).toBe(DISK_KILOBYTES * 1024);
    expect((await judged(recordOf(whose))).err).toMatch(/cut off|does not go to the run's end/);
    expect(at(INCOMPLETE, other)).toBe(-1);
    expect(readFileSync(recordOf(other.role), 'utf8').trim().split('\n').at(-1)).toContain('"type":"end"');
    expect((await judged(recordOf(other.role))).err).toBe('');
  });
});

async function judged(file: string): Promise<{ readonly err: string }> {
  const io = collectIo();
  expect(await runCommandLine(['report', file, '--json'], [reportCommand], io)).toBe(0);
  return { err: io.err() };
}
