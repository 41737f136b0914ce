import { describe, expect, it } from 'vitest';
import { integerBetween, SeededRandom } from '../../src/base/random.js';
import { FIRST_PORT, guessPlan, hitProbability, PORTS } from '../../src/verdict/port-guessing.js';
import type { NatModel } from '../../src/verdict/words.js';
import { binomialBounds } from '../support/binomial.js';
import { GUARDED, SYMMETRIC, UNGUARDED, UNTRANSLATED } from '../support/observation.js';

const at = (model: NatModel, address: string, more: Partial<NatModel> = {}): NatModel => ({
  ...model,
  reflexive: { address, port: 40_000 },
  ...more,
});
const ports = (pattern: 'preserving' | 'sequential' | 'random'): NonNullable<NatModel['ports']> => {
  return { pattern, step: pattern === 'sequential' ? 1 : null, keepsParity: null, low: 2000, high: 60_000, n: 6 };
};
const KEEPS = at(GUARDED, '198.51.100.1', { ports: ports('preserving'), pooling: 'paired' });
const DRAWS = at(SYMMETRIC, '203.0.113.1', { ports: ports('random'), pooling: 'paired' });

describe('the chance of a hit', () => {
  // By hand: of 64512 ports 1 is mapped and 1 guessed; all but one are guessed; more are mapped than are left.
  it.each([
    [1, 1, 1 / 64_512],
    [1, PORTS, 1],
    [1, 32_256, 0.5],
    [PORTS, 1, 1],
    [0, 100, 0],
  ])('%i mapped, %i guessed', (mapped, guesses, chance) => {
    expect(hitProbability(mapped, guesses)).toBeCloseTo(chance, 9);
  });

  it('is the same whoever draws', () => {
    expect(hitProbability(256, 768)).toBeCloseTo(hitProbability(768, 256), 12);
  });

  it.each([
    [16, 1024],
    [64, 512],
    [256, 256],
    [256, 768],
  ])('%i mapped and %i guessed, drawn 2000 times', (mapped, guesses) => {
    const random = new SeededRandom(`${mapped} ${guesses}`);
    const draw = (count: number): Set<number> => {
      const drawn = new Set<number>();
      while (drawn.size < count) drawn.add(integerBetween(random, FIRST_PORT, 0xffff));
      return drawn;
    };
    let hits = 0;
    for (let run = 0; run < 2000; run += 1) {
      const open = draw(mapped);
      if ([...draw(guesses)].some((port) => open.has(port))) hits += 1;
    }
    const [least, most] = binomialBounds(2000, hitProbability(mapped, guesses), 1e-3);
    expect(hits).toBeGreaterThanOrEqual(least);
    expect(hits).toBeLessThanOrEqual(most);
  });
});

describe('is tried only where it can help', () => {
  it('one NAT that draws, one that keeps its port and filters by it: the second one’s end guesses', () => {
    expect(guessPlan(DRAWS, KEEPS)).toMatchObject({ guesser: 'server', pattern: 'random', sockets: 256, guesses: 768 });
    expect(guessPlan(KEEPS, DRAWS)?.guesser).toBe('client');
    // C(64512 − 256, 768) / C(64512, 768), by another program (Python, in floating point).
    expect(guessPlan(KEEPS, DRAWS)?.probability).toBeCloseTo(0.9536723804, 9);
  });

  it('of a sequence 320 guesses are the ports that follow, and the others count', () => {
    const plan = guessPlan({ ...DRAWS, ports: ports('sequential') }, KEEPS);
    expect(plan?.pattern).toBe('sequential');
    expect(plan?.probability).toBeCloseTo(hitProbability(256, 448), 12);
  });

  it.each<[string, NatModel | null, NatModel | null]>([
    ['both draw: two ports would have to be guessed at once', DRAWS, { ...DRAWS, reflexive: KEEPS.reflexive }],
    ['both keep theirs: ICE gets through', KEEPS, { ...KEEPS, reflexive: DRAWS.reflexive }],
    ['the second filters by address alone: ICE gets through', DRAWS, { ...KEEPS, filtering: 'adf' }],
    ['the second has no filter', DRAWS, at(UNTRANSLATED, '198.51.100.1')],
    [
      'an early packet moves the second one’s mapping, and all of the first end’s are early',
      DRAWS,
      at(UNGUARDED, '198.51.100.1'),
    ],
    ['whether one does was not tested', DRAWS, { ...KEEPS, spoil: null }],
    ['how the first draws was not measured', at(SYMMETRIC, '203.0.113.1'), KEEPS],
    ['the first keeps the inside port: nothing is to be guessed', { ...DRAWS, ports: ports('preserving') }, KEEPS],
    ['the first has several outside addresses', { ...DRAWS, pooling: 'arbitrary' }, KEEPS],
    ['one is not measured', DRAWS, null],
    ['both are behind one NAT', { ...DRAWS, reflexive: KEEPS.reflexive }, KEEPS],
  ])('not where %s', (_why, client, server) => {
    expect(guessPlan(client, server)).toBeNull();
    expect(guessPlan(server, client)).toBeNull();
  });
});
