import { describe, expect, it } from 'vitest';
import { undecided } from '../../src/session/decide.js';
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
