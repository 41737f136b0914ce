import { beforeAll, describe, expect, test } from 'vitest';
import { judgePolicies } from '../../src/session/judge.js';
import type { RecordEvent } from '../../src/session/record.js';
import type { PolicyReport } from '../../src/verdict/policies.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { scenario } from '../world/scenario-files.js';

const CELLULAR_FIRST = 'cellular,tethered,wifi,ethernet';
const CABLE_FIRST = 'ethernet,wifi,tethered,cellular';

function eventsOf(name: string, prefer: string): readonly RecordEvent[] {
  const asked = scenario(name);
  return runVirtual({ ...asked, run: { ...asked.run, prefer } }, { seed: '1', version: 'test' }).events;
}

function reportOf(events: readonly RecordEvent[], policy: string): PolicyReport {
  const found = judgePolicies(events, [policy]).find((one) => one.policy === policy);
  if (!found) throw new Error(`no report of ${policy}`);
  return found;
}

const pathsOf = ({ order }: PolicyReport): string[] => order.map(({ path }) => path);

describe('a run with three interfaces at each end', () => {
  let cellular: readonly RecordEvent[];
  let cable: readonly RecordEvent[];

  beforeAll(() => {
    cellular = eventsOf('control-open', CELLULAR_FIRST);
    cable = eventsOf('control-open', CABLE_FIRST);
  }, 120_000);

  test('AC7: the first checks follow the order of the policy, and the best pair that came up is selected', () => {
    const first = reportOf(cellular, CELLULAR_FIRST);
    expect(first.source).toBe('run');
    expect(pathsOf(first)[0]).toBe('wwan0-usb0-v4');
    expect(first.selected).toBe('wwan0-usb0-v4');
    const second = reportOf(cable, CABLE_FIRST);
    expect(pathsOf(second)[0]).toBe('eth0-eth0-v4');
    expect(second.selected).toBe('eth0-eth0-v4');
  });

  test.each([
    [CABLE_FIRST, () => [cellular, cable] as const],
    [CELLULAR_FIRST, () => [cable, cellular] as const],
  ])('the replay of another policy (%s) gives what a run of it gave', (policy, runs) => {
    const [record, truth] = runs();
    const replayed = reportOf(record, policy);
    const run = reportOf(truth, policy);
    expect([replayed.source, run.source]).toEqual(['replay', 'run']);
    expect(replayed.selected).toBe(run.selected);
    expect([...pathsOf(replayed)].sort()).toEqual([...pathsOf(run)].sort());
    expect(pathsOf(replayed).slice(0, 4)).toEqual(pathsOf(run).slice(0, 4));
    // The run's own queries to the reference take slots of 5 ms that a replay does not have.
    for (const [index, { atMs }] of replayed.first.entries())
      expect(Math.abs(atMs - (run.first[index]?.atMs ?? NaN))).toBeLessThanOrEqual(60);
    expect(Math.abs(replayed.probes - run.probes)).toBeLessThanOrEqual(run.probes * 0.05);
    expect(replayed.unknown).toEqual([]);
  });

  test('every kind of path that came up has its time, none that did not', () => {
    const { first } = reportOf(cellular, CELLULAR_FIRST);
    expect(first.map(({ client, server }) => `${client} ${server}`).sort()).toEqual(
      ['ethernet ethernet', 'wifi wifi', 'wifi tethered', 'cellular wifi', 'cellular tethered'].sort(),
    );
    for (const { atMs } of first) expect(atMs).toBeGreaterThan(0);
  });

  test('the same record and policy give the same report', () => {
    expect(reportOf(cable, 'equal')).toEqual(reportOf(cable, 'equal'));
  });
});

test('what plain ICE left out cannot be told, and is said to be unknown', () => {
  const events = eventsOf('ice-01', CABLE_FIRST);
  const replayed = reportOf(events, CELLULAR_FIRST);
  expect(replayed.selected).toBeNull();
  expect(replayed.unknown.join('\n')).toContain('wwan0-usb0-v4');
}, 60_000);

test('a path that came up in another arm only is not replayed, and that is said', () => {
  const events = eventsOf('matrix-cookie', CELLULAR_FIRST);
  const replayed = reportOf(events, CABLE_FIRST);
  expect(replayed.unknown.join('\n')).toMatch(/wwan0-usb0-v4: it came up in another arm/);
}, 120_000);

test('a record that stops before its first check tells nothing of policies', () => {
  const events = eventsOf('ice-01', CABLE_FIRST);
  const until = events.findIndex((event) => event.type === 'sent' && event.purpose === 'check');
  expect(judgePolicies(events.slice(0, until), [CABLE_FIRST])).toEqual([]);
}, 60_000);
