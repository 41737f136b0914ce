import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriesCommand } from '../../src/commands/series.js';
import type { SeriesReport } from '../../src/verdict/series-report.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { scenario, SCENARIO_NAMES } from '../world/scenario-files.js';
import { collectIo } from './collect.js';

/** verdicts.md, the two rows of the series, from records as `lab run --record` writes them. */
const NOTES = SCENARIO_NAMES.filter((name) => name.startsWith('ice-'));
let folder: string;
const record = (name: string): string => join(folder, `${name}.virtual.jsonl`);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-series-'));
  for (const name of [...NOTES, 'series-clear-hhg']) {
    const { events } = runVirtual(scenario(name), { seed: 1, version: 'test' });
    writeFileSync(record(name), events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  }
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function series(names: readonly string[], json = true): Promise<string> {
  const io = collectIo();
  expect(await seriesCommand.run({ record: names.map(record), json }, io)).toBe(0);
  return io.out();
}

const verdicts = ({ carriers }: SeriesReport): Record<string, string> =>
  Object.fromEntries(carriers.map(({ label, verdict }) => [label, verdict]));

describe('the 18 runs of the notes, simulated', () => {
  it('four excluded, content-independent, IPv4; at least two of the three; the run that would tell', async () => {
    const report = JSON.parse(await series(NOTES)) as SeriesReport;
    expect(report.schema).toBe('icepath.series/1');
    expect(report.runs).toHaveLength(18);
    const excluded = report.runs.filter(({ excluded: reason }) => reason !== null).map(({ name }) => name);
    expect(excluded).toEqual(['ice-01', 'ice-03', 'ice-08', 'ice-12']);
    expect(report.content).toEqual([expect.objectContaining({ family: 'ipv4', verdict: 'independent' })]);
    expect(report.suspects).toEqual(['at least two of {hhg, o2, telekom}']);
    expect(report.next[0]).toMatch(/^hhg ↔ a peer that is already cleared/);
    expect(verdicts(report)).toEqual({ o2: 'inconclusive', telekom: 'inconclusive', hhg: 'inconclusive' });
  });

  it('and one more: hhg against a public peer convicts both carriers', async () => {
    const report = JSON.parse(await series([...NOTES, 'series-clear-hhg'])) as SeriesReport;
    expect(verdicts(report)).toMatchObject({ o2: 'blocks-peer-udp', telekom: 'blocks-peer-udp', hhg: 'open' });
    expect(report.suspects).toEqual([]);
  });

  it('as people read it', async () => {
    const text = await series(NOTES, false);
    expect(text).toContain('18 runs, 4 excluded');
    expect(text).toContain('at least two of {hhg, o2, telekom}');
    expect(text).toMatch(/o2 ↔ telekom\s+IPv4\s+9 runs, 3 excluded\s+blocked \(peer-udp-blocked\) 6 of 6/);
  });
});

it('two runs of one name are told apart by their folders', async () => {
  mkdirSync(join(folder, 'tuesday'));
  const copy = join(folder, 'tuesday', 'ice-02.virtual.jsonl');
  copyFileSync(record('ice-02'), copy);
  const io = collectIo();
  await seriesCommand.run({ record: [record('ice-02'), copy, record('ice-04')], json: true }, io);
  const { runs } = JSON.parse(io.out()) as SeriesReport;
  expect(runs.map(({ name }) => name)).toEqual([join(folder, 'ice-02'), join(folder, 'tuesday', 'ice-02'), 'ice-04']);
});

it('a file that is no record is named', async () => {
  const path = join(folder, 'note.txt');
  writeFileSync(path, 'hello\n');
  const io = collectIo();
  await expect(seriesCommand.run({ record: [path], json: true }, io)).rejects.toThrow(/note\.txt/);
});
