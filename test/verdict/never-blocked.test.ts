import { describe, expect, it } from 'vitest';
import { fraction, integerBetween, SeededRandom } from '../../src/base/random.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import { count } from '../../src/verdict/direction.js';
import type { RunObservation } from '../../src/verdict/observation.js';
import type { Report } from '../../src/verdict/report.js';
import { DIRECTIONS } from '../../src/verdict/words.js';
import {
  GUARDED,
  mesh,
  observe,
  type Seen,
  SYMMETRIC,
  UNGUARDED,
  type Uplink,
  type World,
} from '../support/observation.js';

const LABELS = ['hhg', 'o2', 'hh2', 'telekom'] as const;
const ACCUSING = new Set(['blocks-peer-udp', 'blocks-udp', 'filters-stun', 'filters-ports']);

function everywhere(make: () => Partial<Uplink>): Record<string, Partial<Uplink>> {
  return Object.fromEntries(LABELS.map((label) => [label, make()]));
}

function pick<T>(random: SeededRandom, items: readonly [T, ...T[]]): T {
  return items[integerBetween(random, 0, items.length - 1)] ?? items[0];
}

/** Any truth at all: filters, NATs, loss, faults, a dead reference, few rounds. */
function anyWorld(seed: number): { world: World; run: Partial<RunObservation> } {
  const random = new SeededRandom(`any-${seed}`);
  const rare = (share: number): boolean => fraction(random) < share;
  const filters: [Uplink['drops'], ...Uplink['drops'][]] = [
    () => false,
    ({ to }: Seen) => to === 'peer',
    () => true,
    ({ heading, to }: Seen) => heading === 'in' && to === 'peer',
    ({ arm }: Seen) => arm.startsWith('stun'),
    ({ arm }: Seen) => arm.startsWith('stun') && !arm.endsWith('cookie'),
    ({ arm }: Seen) => arm === 'random',
  ];
  const world = mesh(
    everywhere(() => ({
      drops: rare(0.5) ? () => false : pick(random, filters),
      nat: pick(random, [GUARDED, GUARDED, SYMMETRIC, UNGUARDED, null]),
      loss: rare(0.5) ? 0 : fraction(random) * 0.6,
      faults: rare(0.1)
        ? [
            {
              counter: 'c',
              delta: integerBetween(random, 1, 60),
              direction: pick(random, ['in', 'out']),
              explanation: 'mend it',
            },
          ]
        : [],
      tcp: { tried: 3, connected: integerBetween(random, 0, 3) },
    })),
    {
      rounds: integerBetween(random, 0, 64),
      intervalMs: pick(random, [250, 700]),
      referenceUp: !rare(0.1),
      seed,
    },
  );
  const run = {
    interrupted: rare(0.1),
    controlLost: rare(0.1) ? { at: 1000, reason: 'gone' } : null,
    references: rare(0.1) ? 0 : 1,
  };
  return { world, run };
}

function accused(report: Report): string[] {
  return report.carriers
    .filter(({ verdict }) => ACCUSING.has(verdict))
    .map(({ label, verdict }) => `${label} ${verdict}`);
}

describe('whatever was observed', () => {
  it('blocked has all its conditions met, and a direction in which a control packet arrived is never closed', () => {
    let blocked = 0;
    for (let seed = 0; seed < 1000; seed += 1) {
      const { world, run } = anyWorld(seed);
      const observation = observe(world, {}, run);
      const report = judgeRun(observation);
      report.paths.forEach((path, index) => {
        if (path.state === 'blocked') {
          blocked += 1;
          expect(path.conditions.length, `seed ${seed}`).toBeGreaterThan(0);
          expect(
            path.conditions.filter(({ met }) => !met),
            `seed ${seed} ${path.id}`,
          ).toEqual([]);
        }
        for (const direction of DIRECTIONS) {
          const control = observation.paths[index]?.[direction].arms.find(({ arm }) => arm === 'random');
          if (count(control?.rounds ?? []).received > 0)
            expect(path[direction].state, `seed ${seed} ${path.id}`).toBe('open');
        }
        if (path.state === 'blocked' && path.cause !== 'stun-filtered') {
          expect([path.up.received, path.down.received], `seed ${seed} ${path.id}`).toEqual([0, 0]);
        }
      });
    }
    // Else the property would hold of nothing.
    expect(blocked).toBeGreaterThan(100);
  });

  it('without a reference nobody is said to block', () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const { world, run } = anyWorld(seed);
      const report = judgeRun(observe({ ...world, referenceUp: false }, {}, { ...run, references: 0 }));
      const blocked = report.paths.filter(({ state, cause }) => state === 'blocked' && cause !== 'stun-filtered');
      expect(
        blocked.map(({ summary }) => summary),
        `seed ${seed}`,
      ).toEqual([]);
    }
  });

  it('every summary is one sentence that names both ends', () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const { world, run } = anyWorld(seed);
      for (const path of judgeRun(observe(world, {}, run)).paths) {
        expect(path.summary).toContain(path.client.interface);
        expect(path.summary).toContain(path.server.interface);
        expect(path.summary).toMatch(/\S\.$/);
        expect(path.summary).not.toMatch(/undefined|NaN|\n/);
      }
    }
  });
});

describe('loss alone', () => {
  it.each([
    [24, 1000],
    [40, 1000],
    [80, 400],
  ])('on every uplink, 0 to 60 in a hundred, blocks nothing and accuses nobody: %d rounds, %d runs', (rounds, runs) => {
    for (let seed = 0; seed < runs; seed += 1) {
      const random = new SeededRandom(`loss-${rounds}-${seed}`);
      const world = mesh(
        everywhere(() => ({ loss: fraction(random) * 0.6 })),
        { rounds, intervalMs: pick(random, [250, 800]), seed: `${rounds}-${seed}` },
      );
      const report = judgeRun(observe(world));
      expect(accused(report), `seed ${seed}`).toEqual([]);
      expect(
        report.paths
          .filter(({ state }) => ['blocked', 'one-way', 'rejected'].includes(state))
          .map(({ summary }) => summary),
        `seed ${seed}`,
      ).toEqual([]);
    }
  });

  it('of 30 % leaves the wanted path established, or says nothing', () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const report = judgeRun(
        observe(
          mesh(
            everywhere(() => ({ loss: 0.3 })),
            { rounds: 40, seed },
          ),
        ),
      );
      const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
      expect(['established', 'inconclusive'], path?.summary).toContain(path?.state);
      expect([0, 4]).toContain(report.exit.code);
    }
  });
});

describe('30 % loss over a real block', () => {
  it('is still seen for what it is, given the time', () => {
    const world = mesh(
      { o2: { loss: 0.3, drops: ({ to }) => to === 'peer' } },
      { rounds: 80, intervalMs: 500, seed: 7 },
    );
    const report = judgeRun(observe(world));
    expect(report.paths.find(({ id }) => id === 'wwan0-usb0-v4')?.state).toBe('blocked');
    expect(accused(report)).toEqual(['o2 blocks-peer-udp']);
  });
});
