import { expect, test } from 'vitest';
import { leastBlocks } from '../../probes/header-mutations.js';
import { EarlyWord } from '../../src/session/so-far.js';
import type { Report } from '../../src/verdict/report.js';
import { CARRIERS } from '../../src/world/carriers.js';
import { sampleReport } from '../support/report.js';
import { notes, virtualRun } from '../world/worlds.js';

test('--deep: 96 rounds at least, and the same verdict with narrower intervals', () => {
  const report = virtualRun({
    uplinks: notes(CARRIERS.o2, CARRIERS.telekom),
    plan: { deep: true, arms: ['random', 'stun'] },
  }).run();
  const [path] = report.paths.filter(({ wanted }) => wanted);
  expect(path).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
  for (const { udp } of report.reference.filter(({ interface: name }) => name !== 'eth0')) {
    expect(udp.n).toBeGreaterThanOrEqual(96);
    // Clopper–Pearson of 96 of 96: 0.025^(1/96).
    expect(udp.low).toBeGreaterThan(0.962);
  }
  expect(leastBlocks(false) * 8).toBe(24);
});

test('what is said of a wanted path before it is decided: once, and again when it turns', () => {
  const early = new EarlyWord();
  const [sample] = sampleReport().paths;
  if (!sample) throw new Error('no path');
  const control = (up: number, down: number, sent = 8): Pick<Report, 'paths'> => ({
    paths: [
      {
        ...sample,
        wanted: true,
        state: 'inconclusive',
        arms: [{ arm: 'random', up: { sent, received: up, p: null }, down: { sent, received: down, p: null } }],
      },
    ],
  });
  const said = (report: Pick<Report, 'paths'>): string[] => early.of(report).map(({ arrives }) => arrives);
  expect(said(control(0, 0, 2))).toEqual([]);
  expect(said(control(0, 0))).toEqual(['nowhere']);
  expect(said(control(0, 0, 16))).toEqual([]);
  expect(said(control(3, 0, 16))).toEqual(['up']);
  expect(said(control(3, 2, 24))).toEqual(['both ways']);
  const [path] = control(0, 0).paths;
  if (!path) throw new Error('no path');
  expect(said({ paths: [{ ...path, id: 'other', wanted: false }] })).toEqual([]);
  expect(said({ paths: [{ ...path, id: 'other', state: 'blocked' }] })).toEqual([]);
});
