import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { planBlock } from '../../src/session/matrix-design.js';

const ARMS = ['random', 'stun', 'stun~cookie'] as const;

/** What leaves when: two packets an arm and round. */
function planned(order: 'interleaved' | 'by-arm'): { at: number; arm: string; round: number }[] {
  const log: { at: number; arm: string; round: number }[] = [];
  let now = 0;
  const sendsOf = (round: number) =>
    ARMS.flatMap((arm) =>
      [1, 2].map(() => ({
        arm,
        send: () => {
          log.push({ at: now, arm, round });
        },
      })),
    );
  for (const { at, send } of planBlock(new SeededRandom(1), { order, rounds: 8, intervalMs: 250, sendsOf })) {
    expect(at).toBeGreaterThanOrEqual(now);
    now = at;
    send();
  }
  return log;
}

describe('a block of rounds', () => {
  it('interleaved: every arm in every round, each round in its quarter of a second', () => {
    const sent = planned('interleaved');
    expect(sent).toHaveLength(48);
    for (const { at, round } of sent) expect(Math.floor(at / 250)).toBe(round);
    for (let round = 0; round < 8; round += 1) {
      expect(
        sent
          .filter((one) => one.round === round)
          .map(({ arm }) => arm)
          .sort(),
      ).toEqual(ARMS.flatMap((arm) => [arm, arm]).sort());
    }
  });

  it('by arm: as much in the same two seconds, and no arm begins before the one before it is done', () => {
    const sent = planned('by-arm');
    expect(sent).toHaveLength(48);
    expect(sent.map(({ arm }) => arm)).toEqual(ARMS.flatMap((arm) => Array.from({ length: 16 }, () => arm)));
    expect(sent.map(({ round }) => round).slice(0, 16)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    expect(Math.max(...sent.map(({ at }) => at))).toBeLessThan(2000);
  });

  it('nothing to send is an empty plan', () => {
    const nothing = { rounds: 8, intervalMs: 250, sendsOf: () => [] };
    expect(planBlock(new SeededRandom(1), { order: 'interleaved', ...nothing })).toEqual([]);
    expect(planBlock(new SeededRandom(1), { order: 'by-arm', ...nothing })).toEqual([]);
  });
});
