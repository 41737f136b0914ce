import { describe, expect, it } from 'vitest';
import { firstPacketDecides } from '../../probes/first-packet.js';
import { flowsDiffer } from '../../probes/flows.js';
import type { PeerBench } from '../../probes/peer-bench.js';
import type { Experiment } from '../../probes/probe.js';
import { residual } from '../../probes/residual.js';
import { triggerBytes } from '../../probes/trigger-bytes.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { CarrierReport, PathReport } from '../../src/verdict/report.js';
import type { DirectionObservation, RunObservation } from '../../src/verdict/observation.js';
import type { Trial } from '../../src/verdict/trial.js';
import { mesh, observe, type Seen } from '../support/observation.js';
import { PaperBench, type PaperPacket } from '../support/paper-bench.js';
import { byFirstPacket, hasCookie, paperPath, residual as residualBox } from '../support/paper-path.js';

const PROBES: Readonly<Record<string, (bench: PeerBench) => Experiment<unknown>>> = {
  'first-packet': firstPacketDecides,
  'trigger-bytes': triggerBytes,
  residual,
  flows: flowsDiffer,
};

type Box = (packet: PaperPacket) => boolean;

function trials(drops: Box, names: readonly string[] = Object.keys(PROBES)): Trial[] {
  return names.flatMap((name, index) => {
    const bench = new PaperBench(name, paperPath({ seed: name, drops }), { seed: name });
    const probe = PROBES[name];
    if (probe) bench.run(probe);
    // Each experiment of a run has flows of its own.
    return bench.trials.map((trial) => ({ ...trial, flow: trial.flow + index * 10_000 }));
  });
}

/** A run in whose matrix o2 drops these arms, with these trials on the wanted path. */
function judge(
  o2: (seen: Seen) => boolean,
  found: readonly Trial[],
): { readonly path: PathReport; readonly o2: CarrierReport } {
  const world = mesh({ o2: { drops: o2 } });
  const report = judgeRun(observe(world, { 'wwan0-usb0-v4': () => ({ trials: found }) }));
  const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
  const carrier = report.carriers.find(({ label }) => label === 'o2');
  if (!path || !carrier) throw new Error('not reported');
  return { path, o2: carrier };
}

/** Arms that have STUN's cookie whole. */
const cookieArms = ({ arm }: Seen): boolean => arm.startsWith('stun') && !arm.includes('cookie');
const everyStun = ({ arm }: Seen): boolean => arm.startsWith('stun');
const nothing = (): boolean => false;

describe('what experiments add to a filter on STUN', () => {
  it('nothing was tried: as the matrix says', () => {
    const { path, o2 } = judge(cookieArms, []);
    expect(path).toMatchObject({ state: 'established', cause: 'stun-filtered', fields: [['cookie']] });
    expect(path.summary).toContain('client → server and server → client');
    expect(o2.verdict).toBe('filters-stun');
  });

  it('the direction: STUN that dies on its way out never opened the NAT for the way in', () => {
    const { path, o2 } = judge(
      cookieArms,
      trials((packet) => packet.from === 'client' && hasCookie(packet), ['first-packet']),
    );
    expect(path).toMatchObject({ cause: 'stun-filtered', fields: [['cookie']] });
    expect(path.summary).toMatch(/plain STUN is filtered client → server, where/);
    expect(o2.verdict).toBe('filters-stun');
  });

  // Seen in the kernel lab: packets up come before the far end has opened its NAT, so 20 of 24 controls arrive, and nine arms
  // that are compared with them leave 9 · 2^−20 = 8.6e-6, more than the boundary of the third look, 8.3e-6.
  it('a matrix that is undecided one way takes nothing from what the experiment shows there', () => {
    const late = ({ arms, ...rest }: DirectionObservation): DirectionObservation => ({
      ...rest,
      arms: arms.map(({ arm, rounds }) => ({
        arm,
        rounds: rounds.map((one) => (one.round % 8 === 0 || one.round === 1 ? { ...one, received: false } : one)),
      })),
    });
    const found = trials((packet) => packet.from === 'client' && hasCookie(packet), ['first-packet']);
    const run = observe(mesh({ o2: { drops: cookieArms } }), {
      'wwan0-usb0-v4': ({ up }) => ({ up: late(up), trials: found }),
    });
    const { paths, carriers } = judgeRun(run);
    const path = paths.find(({ id }) => id === 'wwan0-usb0-v4');
    expect(path?.arms.find(({ arm }) => arm === 'random')?.up).toMatchObject({ sent: 24, received: 20 });
    expect(path).toMatchObject({ state: 'established', cause: 'stun-filtered', fields: [['cookie']] });
    expect(path?.summary).toMatch(/plain STUN is filtered client → server, where/);
    expect(carriers.find(({ label }) => label === 'o2')?.verdict).toBe('filters-stun');
  });

  it('the first packet decides', () => {
    const { path, o2 } = judge(cookieArms, trials(byFirstPacket(hasCookie), ['first-packet']));
    expect(path).toMatchObject({ cause: 'stun-filtered', fields: [['cookie']] });
    expect(path.summary).toContain('the first packet of a flow decides: behind a control plain STUN passes');
    expect(o2.verdict).toBe('filters-stun');
  });

  it('a few dead tuples of the matrix are no filter: plain STUN passes behind a control and as the first packet', () => {
    const { path, o2 } = judge(({ arm }) => arm === 'stun', trials(nothing, ['first-packet']));
    expect(path).toMatchObject({ state: 'established', cause: null, fields: [] });
    // Of its other paths, which were not tried, the matrix's word stands: they are not this one's to clear.
    expect(o2.because.join(' ')).not.toContain('wwan0-usb0-v4');
  });

  it('the bytes, in words, with how often both ways were seen', () => {
    const { path } = judge(cookieArms, trials(hasCookie, ['trigger-bytes']));
    expect(path.summary).toMatch(
      /dropped client → server when bytes 4–7 are 21 12 a4 42, whatever else \(\d+ of \d+ random packets with that died, \d+ of \d+ STUN packets with random bytes there passed\)/,
    );
    // The arm's name goes before the bytes'.
    expect(path.fields).toEqual([['cookie']]);
  });

  it('the bytes as fields where no arm passes', () => {
    const half: Box = ({ bytes }) => bytes[6] === 0xa4 && bytes[7] === 0x42;
    const { path, o2 } = judge(everyStun, trials(half, ['trigger-bytes']));
    expect(path).toMatchObject({ state: 'blocked', cause: 'stun-filtered', fields: [['bytes:6-7']] });
    expect(o2.verdict).toBe('filters-stun');
  });

  it('bytes that lie apart, each of which is needed: a change of either lets it pass', () => {
    const both: Box = ({ bytes }) => bytes[1] === 1 && bytes[7] === 0x42;
    expect(judge(everyStun, trials(both, ['trigger-bytes'])).path.fields).toEqual([['bytes:1'], ['bytes:7']]);
  });

  it('one of two things is enough: both must change', () => {
    const either: Box = ({ bytes }) => bytes[6] === 0xa4 || (bytes[20] === 0 && bytes[21] === 6);
    const { path } = judge(everyStun, trials(either, ['trigger-bytes']));
    expect(path.fields.map((set) => [...set].sort())).toEqual([['bytes:20-21', 'bytes:6']]);
    expect(path.summary).toMatch(
      /when (?:byte 6 is a4, or bytes 20–21 are 00 06|bytes 20–21 are 00 06, or byte 6 is a4)/,
    );
  });
});

describe('residual-block > stun-filtered > flow-dependent', () => {
  const deadWays: Box = ({ flow }) => Math.imul(flow, 0x9e3779b1) >>> 30 === 0;
  /** The flows of plain STUN of so many of the three blocks died. */
  const unlucky = (direction: DirectionObservation, blocks: number): DirectionObservation => ({
    ...direction,
    arms: direction.arms.map(({ arm, rounds }) => ({
      arm,
      rounds:
        arm === 'stun' ? rounds.map((one) => (one.round < 8 * blocks ? { ...one, received: false } : one)) : rounds,
    })),
  });

  it('a trigger that takes its tuple with it, and for how long', () => {
    const { path, o2 } = judge(cookieArms, [
      ...trials(residualBox(120_000, hasCookie), ['residual']),
      ...trials(deadWays, ['flows']),
    ]);
    expect(path).toMatchObject({ state: 'established', cause: 'residual-block', fields: [['cookie']] });
    expect(path.summary).toMatch(/after it nothing passes between the same addresses and ports for 1[01]\d to 12\d s/);
    expect(o2.verdict).toBe('filters-stun');
  });

  it('a filter, and bad ways', () => {
    expect(judge(cookieArms, trials(deadWays, ['flows'])).path.cause).toBe('stun-filtered');
  });

  // Seen once in 20 runs of matrix-ecmp on the kernel: all three flows of plain STUN met the dead way, those of the control none.
  it('where another path shows bad ways, three flows of the matrix accuse nobody on a path that was not asked itself', () => {
    const world = mesh();
    const edits = (found: readonly Trial[]): Parameters<typeof observe>[1] => ({
      'wwan0-usb0-v4': ({ up, down }) => ({ trials: found, up: unlucky(up, 2), down: unlucky(down, 2) }),
      'wwan0-wlan0-v4': ({ up, down }) => ({ up: unlucky(up, 3), down: unlucky(down, 3) }),
    });
    const verdictOf = (found: readonly Trial[]): string | undefined =>
      judgeRun(observe(world, edits(found))).carriers.find(({ label }) => label === 'o2')?.verdict;
    expect(verdictOf(trials(nothing, ['flows']))).toBe('filters-stun');
    expect(verdictOf(trials(deadWays, ['flows']))).toBe('open');
  });

  // Seen in matrix-early-packet on the virtual clock: the mappings of all flows of plain STUN were moved, of the control's one.
  it.each([
    ['an early packet moves the NAT’s mappings', { n: 3, k: 3 }],
    ['nobody knows whether one does', null],
  ])('%s: three flows of the matrix accuse nobody', (_, spoil) => {
    const run = observe(mesh(), {
      'wwan0-usb0-v4': ({ up, down }) => ({ up: unlucky(up, 2), down: unlucky(down, 2) }),
      'wwan0-wlan0-v4': ({ up, down }) => ({ up: unlucky(up, 3), down: unlucky(down, 3) }),
    });
    const moved: RunObservation = {
      ...run,
      ends: run.ends.map((end) => (end.nat && end.label === 'o2' ? { ...end, nat: { ...end.nat, spoil } } : end)),
    };
    const verdictOf = ({ carriers }: ReturnType<typeof judgeRun>): string | undefined =>
      carriers.find(({ label }) => label === 'o2')?.verdict;
    expect(verdictOf(judgeRun(run))).toBe('filters-stun');
    expect(verdictOf(judgeRun(moved))).not.toMatch(/^(?:filters|blocks)-/);
  });

  it('bad ways alone accuse nobody', () => {
    const { path, o2 } = judge(nothing, trials(deadWays, ['flows']));
    expect(path).toMatchObject({ state: 'established', cause: 'flow-dependent' });
    expect(path.summary).toMatch(/some 5-tuples are dead while others live: \d+ of 288 /);
    expect(o2.verdict).toBe('open');
  });
});
