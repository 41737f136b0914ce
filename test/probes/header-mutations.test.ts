import { describe, expect, test } from 'vitest';
import { enough, HEADER_MUTATIONS, intervalOf, planRound } from '../../probes/header-mutations.js';
import { SeededRandom } from '../../src/base/random.js';

const ARMS = HEADER_MUTATIONS.arms;

describe('a round', () => {
  test('sends every packet once, inside its interval', () => {
    const plan = planRound(new SeededRandom(1), ARMS, 200);
    expect(plan.map(({ packet }) => packet).sort()).toEqual([...ARMS].sort());
    expect(plan[0]?.afterMs).toBe(0);
    expect(plan.every(({ afterMs }) => afterMs < 200)).toBe(true);
  });

  test('over many rounds no arm has a place of its own: the control is first as often as any', () => {
    const random = new SeededRandom(2);
    const first = Array.from({ length: 10_000 }, () => planRound(random, ARMS)[0]?.packet);
    // 10 arms, 1000 expected each, a standard deviation of 30.
    for (const arm of ARMS) {
      const count = first.filter((packet) => packet === arm).length;
      expect(Math.abs(count - 1000)).toBeLessThan(150);
    }
  });

  test('nothing to send is an empty plan', () => {
    expect(planRound(new SeededRandom(3), [])).toEqual([]);
  });
});

describe('how fast rounds follow each other', () => {
  test.each([
    ['the first block', { block: 0, dataLeftMs: 60_000, needsTime: false }, 250],
    ['no data flow', { block: 1, dataLeftMs: 0, needsTime: false }, 250],
    ['data flow', { block: 1, dataLeftMs: 60_000, needsTime: false }, 3000],
    ['data that end soon are over with the block', { block: 2, dataLeftMs: 4000, needsTime: false }, 500],
    ['they end at once', { block: 2, dataLeftMs: 900, needsTime: false }, 250],
    ['loss is in the way of a verdict', { block: 5, dataLeftMs: 60_000, needsTime: true }, 250],
  ])('%s', (_, given, expected) => {
    expect(intervalOf(given)).toBe(expected);
  });
});

describe('when it is enough', () => {
  const undecided = { blocks: 3, elapsedMs: 6000, decided: false, referenceLoss: 0, needsTime: false };
  test.each([
    ['never before three blocks', { ...undecided, blocks: 2, decided: true }, false],
    ['decided after three blocks', { ...undecided, decided: true, referenceLoss: 0.3 }, true],
    ['undecided, the reference leg is clean', undecided, true],
    ['undecided, no reference', { ...undecided, referenceLoss: null }, true],
    ['undecided, the reference leg loses 3 %', { ...undecided, referenceLoss: 0.03 }, false],
    ['whoever asks for more gets 96 rounds', { ...undecided, decided: true, deep: true, blocks: 11 }, false],
    ['and no more where all is decided', { ...undecided, decided: true, deep: true, blocks: 12 }, true],
    ['30 s are enough of that', { ...undecided, referenceLoss: 0.03, elapsedMs: 30_000 }, true],
    ['only time is lacking', { ...undecided, needsTime: true }, false],
    ['only time is lacking, 30 s', { ...undecided, needsTime: true, referenceLoss: 0.3, elapsedMs: 30_000 }, false],
    ['85 s are enough of anything', { ...undecided, needsTime: true, referenceLoss: 0.3, elapsedMs: 85_000 }, true],
  ])('%s', (_, progress, expected) => {
    expect(enough(progress)).toBe(expected);
  });
});
