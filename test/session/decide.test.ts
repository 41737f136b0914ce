import { describe, expect, it } from 'vitest';
import { betterArms, undecided } from '../../src/session/decide.js';
import type { DirectionObservation } from '../../src/verdict/observation.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import { mesh, observe, type Seen, type World } from '../support/observation.js';

const isStun = ({ arm }: Seen): boolean => arm.startsWith('stun');

function decision(world: World) {
  const observation = observe(world);
  const report = judgeRun(observation);
  const wanted = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
  return { wanted, ...undecided(observation, report) };
}

describe('whether more rounds can decide', () => {
  it('something arrives both ways, too seldom to tell STUN from the control: they can', () => {
    const world = mesh({ o2: { loss: 0.6, drops: isStun }, telekom: { loss: 0.6 } }, { seed: 3 });
    const { wanted, ...rest } = decision(world);
    expect(wanted).toMatchObject({ state: 'inconclusive', cause: null, conditions: [] });
    expect([wanted?.up.received, wanted?.down.received].every((received) => (received ?? 0) > 0)).toBe(true);
    expect(rest).toMatchObject({ decided: false, needsTime: true });
  });

  it('nothing is lost: they cannot', () => {
    expect(decision(mesh({ o2: { drops: isStun } }))).toMatchObject({ decided: false, needsTime: false });
    expect(decision(mesh())).toMatchObject({ decided: true, needsTime: false });
  });
});

// verdicts.md: "the agent goes on with the least changed arm that passes".
describe('the arm to go on with', () => {
  const COOKIE = ['stun', 'stun~40', 'stun~length', 'stun~type', 'stun~attributes'];
  interface Bad {
    /** Of these arms the first block is lost: its flow opened too late. */
    readonly late?: readonly string[];
    readonly dropped?: readonly string[];
  }
  const seen = (rounds: number, { late = [], dropped = COOKIE }: Bad = {}): string | undefined => {
    const observation = observe(mesh({ o2: { drops: ({ arm }) => dropped.includes(arm) } }, { rounds }));
    const hide = (direction: DirectionObservation): DirectionObservation => ({
      ...direction,
      arms: direction.arms.map((tally) => ({
        ...tally,
        rounds: tally.rounds.map((round, index) =>
          late.includes(tally.arm) && index < 8 ? { ...round, received: false } : round,
        ),
      })),
    });
    const paths = observation.paths.map((path) => ({ ...path, valid: null, up: hide(path.up), down: hide(path.down) }));
    return betterArms({ ...observation, paths }).get('wwan0-usb0-v4');
  };

  it('is the least changed that passes', () => {
    expect(seen(16)).toBe('stun~cookie');
  });

  it('is not one that changes more, where the least changed had bad luck with one flow', () => {
    const late = ['stun~cookie'];
    expect([8, 16, 24].map((rounds) => seen(rounds, { late }))).toEqual([undefined, 'stun~cookie', 'stun~cookie']);
  });

  it('is one that changes more, where two flows of the others died', () => {
    const dropped = [...COOKIE, 'stun~cookie'];
    expect([8, 16].map((rounds) => seen(rounds, { dropped }))).toEqual([undefined, 'stun~40~cookie']);
  });
});
