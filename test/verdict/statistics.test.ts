import { describe, expect, it } from 'vitest';
import {
  ALPHA,
  binomialTail,
  boundary,
  clopperPearson,
  deadByChance,
  fisher,
  holm,
  mcnemar,
} from '../../src/verdict/statistics.js';

/** P(X ≥ k) for X ~ Binomial(n, numerator/denominator) in exact rational arithmetic. */
function exactTail(k: number, n: number, numerator: bigint, denominator: bigint): number {
  let sum = 0n;
  let choose = 1n;
  for (let hits = 0; hits <= n; hits += 1) {
    if (hits >= k) sum += choose * numerator ** BigInt(hits) * (denominator - numerator) ** BigInt(n - hits);
    choose = (choose * BigInt(n - hits)) / BigInt(hits + 1);
  }
  const whole = denominator ** BigInt(n);
  // 60 digits of the quotient are more than a double holds.
  return Number((sum * 10n ** 60n) / whole) / 1e60;
}

describe('binomialTail', () => {
  it.each([
    [1, 1, 1n, 2n],
    [5, 10, 1n, 2n],
    [12, 17, 1n, 5n],
    [20, 24, 7n, 10n],
    [90, 100, 1n, 3n],
    [400, 1000, 3n, 10n],
  ])('P(X ≥ %d of %d) agrees with exact rational sums', (k, n, numerator, denominator) => {
    const expected = exactTail(k, n, numerator, denominator);
    expect(binomialTail(k, n, Number(numerator) / Number(denominator)) / expected).toBeCloseTo(1, 9);
  });

  it('is certain, or impossible, at the edges', () => {
    expect(binomialTail(0, 10, 0.3)).toBe(1);
    expect(binomialTail(11, 10, 0.3)).toBe(0);
    expect(binomialTail(1, 10, 0)).toBe(0);
    expect(binomialTail(10, 10, 1)).toBe(1);
  });

  it('keeps its precision where a plain product would vanish', () => {
    expect(Math.log2(binomialTail(1000, 1000, 0.5))).toBeCloseTo(-1000, 6);
  });
});

describe('mcnemar', () => {
  it.each([1, 8, 20, 24, 60])('%d rounds in which only the control arrived: 2^-n', (n) => {
    expect(mcnemar(n, 0) / 2 ** -n).toBeCloseTo(1, 10);
  });

  it('counts the rounds that speak for the arm', () => {
    // (C(10,8) + C(10,9) + C(10,10)) / 2^10
    expect(mcnemar(8, 2)).toBeCloseTo(56 / 1024, 12);
    expect(mcnemar(5, 5)).toBeCloseTo(638 / 1024, 12);
    expect(mcnemar(0, 0)).toBe(1);
  });
});

describe('holm', () => {
  it("steps down as in Holm's paper: sorted p times what is left, never falling, at most 1", () => {
    const adjusted = holm([0.01, 0.04, 0.03, 0.005]);
    [0.03, 0.06, 0.06, 0.02].forEach((expected, index) => {
      expect(adjusted[index]).toBeCloseTo(expected, 12);
    });
    expect(holm([0.6, 0.9])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });
});

describe('clopperPearson', () => {
  it('agrees with closed forms at the edges: (α/2)^(1/n)', () => {
    expect(clopperPearson(24, 24)).toEqual({ low: expect.closeTo(0.025 ** (1 / 24), 9) as number, high: 1 });
    expect(clopperPearson(0, 20)).toEqual({ low: 0, high: expect.closeTo(1 - 0.025 ** (1 / 20), 9) as number });
    expect(clopperPearson(0, 0)).toEqual({ low: 0, high: 1 });
  });

  it('agrees with the published interval of 10 in 100: 4.90 % to 17.62 %', () => {
    const { low, high } = clopperPearson(10, 100);
    expect(low).toBeCloseTo(0.049, 4);
    expect(high).toBeCloseTo(0.1762, 4);
  });
});

describe('boundary', () => {
  it('spends α/(k(k+1)) at the k-th look of eight rounds, a started one included', () => {
    expect(boundary(8)).toBeCloseTo(ALPHA / 2, 15);
    expect(boundary(9)).toBeCloseTo(ALPHA / 6, 15);
    expect(boundary(24)).toBeCloseTo(ALPHA / 12, 15);
  });

  it('never spends more than α however long one looks', () => {
    let spent = 0;
    for (let look = 1; look <= 100_000; look += 1) spent += boundary(look * 8);
    expect(spent).toBeLessThan(ALPHA);
  });
});

describe('fisher', () => {
  it.each([
    // 1 / C(16, 8), and 1 / C(24, 12).
    [0, 8, 8, 8, 1 / 12_870],
    [0, 12, 12, 12, 1 / 2_704_156],
    // Fisher's tea (The Design of Experiments, 1935): three of four right or more, 17 of 70.
    [1, 4, 3, 4, 17 / 70],
    [5, 10, 5, 10, 1 - (1 - 63_504 / 184_756) / 2],
  ])('%d of %d beside %d of %d', (k, n, otherK, otherN, p) => {
    expect(fisher({ n, k }, { n: otherN, k: otherK })).toBeCloseTo(p, 9);
  });

  it('is certain where nothing tells the groups apart', () => {
    expect(fisher({ n: 10, k: 10 }, { n: 10, k: 10 })).toBe(1);
    expect(fisher({ n: 10, k: 0 }, { n: 10, k: 0 })).toBeCloseTo(1, 12);
    expect(fisher({ n: 0, k: 0 }, { n: 0, k: 0 })).toBeCloseTo(1, 12);
  });
});

describe('deadByChance', () => {
  it('one of four flows, three arrivals a round: it is left out of three rounds with (1/4)³, and there are four to choose', () => {
    expect(deadByChance(1, 4, [3, 3, 3])).toBeCloseTo(4 / 64, 12);
  });

  it('two of four, two arrivals a round: one choice of six each time', () => {
    expect(deadByChance(2, 4, [2, 2])).toBeCloseTo(6 / 36, 12);
  });

  it('rounds in which nothing arrived prove nothing; more arrivals than living flows are impossible', () => {
    expect(deadByChance(3, 10, [0, 0, 0])).toBe(1);
    expect(deadByChance(3, 10, [8])).toBe(0);
    expect(deadByChance(0, 10, [2])).toBe(1);
  });
});
