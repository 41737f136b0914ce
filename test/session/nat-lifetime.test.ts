import { expect, test } from 'vitest';
import { renderReport } from '../../src/report/terminal.js';
import type { NatModel } from '../../src/verdict/words.js';
import { CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { notes, virtualRun } from '../world/worlds.js';

test('--deep tells how long each end’s NAT keeps a mapping, and waits for the slower of them', () => {
  const short = natCarrier('short', 'a test', {
    mapping: 'eim',
    filtering: 'apdf',
    ports: 'preserving',
    lifetimeMs: 33_000,
  });
  const report = virtualRun({
    uplinks: notes(short, CARRIERS.open),
    plan: { deep: true, arms: ['random', 'stun'] },
  }).run();
  const modelOf = (name: string): NatModel | undefined =>
    report.run.hosts.flatMap(({ interfaces }) => interfaces).find((on) => on.name === name)?.nat.ipv4;
  expect(modelOf('wwan0')?.lifetime).toMatchObject({ leastMs: 30_000, mostMs: 35_000 });
  // RFC 4787 REQ-5, which the world's open carrier keeps to: two minutes.
  expect(modelOf('usb0')?.lifetime).toMatchObject({ leastMs: 110_000, mostMs: 120_000 });
  expect(report.paths.filter(({ wanted }) => wanted)).toMatchObject([{ id: 'wwan0-usb0-v4', state: 'established' }]);
  expect(renderReport(report, { colour: false, columns: 200 })).toContain('keeps a silent mapping for 30 to 35 s');
  expect(report.run.durationMs).toBeLessThan(200_000);
}, 120_000);

test('without --deep nobody waits for it', () => {
  const report = virtualRun({ uplinks: notes(CARRIERS.open, CARRIERS.open), plan: { arms: ['random', 'stun'] } }).run();
  const models = report.run.hosts.flatMap(({ interfaces }) => interfaces.flatMap(({ nat }) => Object.values(nat)));
  expect(models.filter(({ mapping }) => mapping === 'eim')).toHaveLength(2);
  expect(models.filter(({ lifetime }) => lifetime !== undefined)).toEqual([]);
});
