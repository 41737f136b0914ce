import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import type { ByteRange } from '../../src/mutation/differences.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { DirectionObservation, PathObservation, RunObservation } from '../../src/verdict/observation.js';
import type { PathReport, Report } from '../../src/verdict/report.js';
import { mesh, observe } from '../support/observation.js';

const WANTED = 'wwan0-usb0-v4';
const BYTES: readonly ByteRange[] = [{ at: 28, end: 32 }];
const isStun = (arm: string): boolean => arm.startsWith('stun');

/** As it was, but that packets of these arms came with other bytes. */
function altered(
  direction: DirectionObservation,
  arms: (arm: string) => boolean,
  change: (round: number) => readonly ByteRange[] | null | undefined = () => BYTES,
): DirectionObservation {
  return {
    ...direction,
    arms: direction.arms.map(({ arm, rounds }) => ({
      arm,
      rounds: rounds.map((round) => {
        const bytes = arms(arm) && round.received ? change(round.round) : undefined;
        return bytes === undefined ? round : { ...round, altered: bytes };
      }),
    })),
  };
}

/** No check came up: what was rewritten is no STUN of ours to an agent. */
function inVain(direction: DirectionObservation): DirectionObservation {
  return { ...direction, checksReceived: 0, answersSent: 0, answersReceived: 0, checksAltered: 7 };
}

function judge(
  edit: (path: PathObservation) => Partial<PathObservation>,
  change: (run: RunObservation) => RunObservation = (run) => run,
): {
  readonly report: Report;
  readonly path: PathReport | undefined;
} {
  const report = judgeRun(change(observe(mesh(), { [WANTED]: edit })));
  return { report, path: report.paths.find(({ id }) => id === WANTED) };
}

const accusing = ({ carriers }: Report): string[] =>
  carriers.filter(({ verdict }) => /^(?:blocks|filters)-/.test(verdict)).map(({ label }) => label);

describe('STUN that arrives altered', () => {
  it('is rewritten, not filtered, and nobody is accused', () => {
    const { report, path } = judge(({ up, down, valid }) => ({
      up: altered(up, (arm) => arm === 'stun'),
      down: altered(down, (arm) => arm === 'stun'),
      valid: valid && { ...valid, arm: 'stun~cookie' },
    }));
    expect(path).toMatchObject({ state: 'established', cause: 'payload-rewritten', fields: [] });
    expect(path?.summary).toContain('up bytes 28-31 of stun packets are rewritten on the way (24 of 24 that arrived)');
    expect(path?.altered.map(({ direction, arm, n, k, bytes }) => ({ direction, arm, n, k, bytes }))).toEqual([
      { direction: 'up', arm: 'stun', n: 24, k: 24, bytes: BYTES },
      { direction: 'down', arm: 'stun', n: 24, k: 24, bytes: BYTES },
    ]);
    expect(accusing(report)).toEqual([]);
  });

  it('in every STUN arm: no check can come up, and that is nobody’s block', () => {
    const { report, path } = judge(({ up, down }) => ({
      up: inVain(altered(up, isStun)),
      down: inVain(altered(down, isStun)),
      valid: null,
    }));
    expect(path).toMatchObject({ state: 'failed', cause: 'payload-rewritten' });
    expect(path?.up.state).toBe('open');
    expect(report.exit.code).toBe(3);
    expect(accusing(report)).toEqual([]);
  });

  it('checks alone: the far end heard them, so it is neither unresponsive nor shut off', () => {
    const { path } = judge(({ up, down }) => ({ up: inVain(up), down: inVain(down), valid: null }));
    expect(path).toMatchObject({ state: 'failed', cause: 'payload-rewritten' });
    expect(path?.summary).toContain('up the integrity of checks no longer fits (7 of 7 that arrived)');
  });

  it('answers alone, on their way back', () => {
    const { path } = judge(({ up }) => ({ up: { ...up, answersReceived: 0, answersAltered: up.answersSent } }));
    expect(path).toMatchObject({ state: 'established', cause: 'payload-rewritten' });
    expect(path?.summary).toContain('down the integrity of answers to checks no longer fits');
  });

  // The reference does not know what was rewritten for STUN of an icepath, and may stay silent.
  it('its silence towards the reference accuses nobody either', () => {
    const silent = (run: RunObservation): RunObservation => ({
      ...run,
      ends: run.ends.map((end) =>
        end.label === 'o2'
          ? {
              ...end,
              reference: {
                ...end.reference,
                arms: end.reference.arms.map(({ arm, rounds }) => ({
                  arm,
                  rounds: isStun(arm) ? rounds.map((round) => ({ ...round, received: false })) : rounds,
                })),
              },
            }
          : end,
      ),
    });
    expect(accusing(judge(() => ({}), silent).report)).toEqual(['o2']);
    const edit = ({ up, down }: PathObservation): Partial<PathObservation> => ({
      up: altered(up, isStun),
      down: altered(down, isStun),
    });
    expect(accusing(judge(edit, silent).report)).toEqual([]);
  });
});

describe('not said', () => {
  it('of a packet or two that a link spoiled', () => {
    for (const few of [1, 2]) {
      const { path } = judge(({ up }) => ({ up: altered(up, isStun, (round) => (round < few ? BYTES : undefined)) }));
      expect(path).toMatchObject({ state: 'established', cause: null, altered: [] });
    }
  });

  // One packet in a thousand is far more than what gets past UDP's checksum.
  it('in 150 runs of a link that spoils one packet in a thousand', () => {
    const random = new SeededRandom('spoiling link');
    const found = Array.from({ length: 150 }, () => {
      const spoilt = (): readonly ByteRange[] | undefined => (random.uint32() % 1000 === 0 ? BYTES : undefined);
      return judge(({ up, down }) => ({
        up: altered(up, () => true, spoilt),
        down: altered(down, () => true, spoilt),
      }));
    });
    expect(found.filter(({ path }) => path?.cause !== null)).toEqual([]);
  });

  it('where STUN dies: that is a filter', () => {
    const world = mesh({ o2: { drops: ({ arm }) => isStun(arm) && !arm.includes('cookie') } });
    const report = judgeRun(observe(world));
    expect(report.paths.find(({ id }) => id === WANTED)).toMatchObject({ cause: 'stun-filtered', altered: [] });
    expect(accusing(report)).toEqual(['o2']);
  });
});
