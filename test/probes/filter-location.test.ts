import { describe, expect, test } from 'vitest';
import { findLocations } from '../../src/verdict/findings/location.js';
import { answering, holds, locateOnPaper, widthOf } from '../support/paper-location.js';
import { hopAddress, type PaperWay } from '../support/paper-way.js';

const BURSTS_25 = { bursts: { loss: 0.25, burstMs: 2000 } };

describe.each(['trigger', 'tuple', 'flow'] as const)('a filter that drops the %s', (drops) => {
  test.each([5, 9, 15])('is put between the two hops where it is, behind any of %i routers that answer', (routers) => {
    for (let filterAfter = 0; filterAfter <= routers; filterAfter += 1) {
      const { finding } = locateOnPaper({ hops: answering(routers), filterAfter, drops });
      expect(finding).toMatchObject({ direction: 'up', arm: 'stun', distance: routers + 1 });
      expect([finding?.after.hop, finding?.before?.hop]).toEqual([filterAfter, filterAfter + 1]);
    }
  });

  test('at 25 % loss in bursts the interval may be wider, and holds the filter whenever there is one', () => {
    const widths: number[] = [];
    for (let seed = 1; seed <= 30; seed += 1) {
      const filterAfter = seed % 9;
      const { finding } = locateOnPaper({ hops: answering(8), filterAfter, drops, loss: BURSTS_25, seed });
      if (!finding) continue;
      expect(holds(finding, filterAfter)).toBe(true);
      widths.push(widthOf(finding));
    }
    expect(widths.length).toBeGreaterThanOrEqual(20);
    expect(widths.sort((a, b) => a - b)[Math.floor(widths.length / 2)]).toBe(1);
  });

  test('seen from the server the hops are counted from the server', () => {
    const { finding } = locateOnPaper({ hops: answering(5), filterAfter: 1, drops, from: 'server' });
    expect(finding).toMatchObject({ direction: 'down', after: { hop: 1 }, before: { hop: 2 } });
  });
});

describe('which method', () => {
  const method = (way: PaperWay): string | undefined => locateOnPaper(way).finding?.method;
  const way = { hops: answering(6), filterAfter: 3 };

  test('what keeps no state is found by answers, what does by tuples', () => {
    expect(method({ ...way, drops: 'trigger' })).toBe('answers');
    expect(method({ ...way, drops: 'tuple' })).toBe('tuple');
    expect(method({ ...way, drops: 'flow' })).toBe('tuple');
  });

  test('the routers at both ends of the interval are named', () => {
    const { finding } = locateOnPaper({ ...way, drops: 'trigger' });
    expect(finding?.after).toEqual({ hop: 3, address: hopAddress(3) });
    expect(finding?.before).toEqual({ hop: 4, address: hopAddress(4) });
  });
});

describe('hops that say nothing', () => {
  const hops = ['answers', 'silent', 'silent', 'answers', 'silent', 'answers'] as const;

  test.each([0, 1, 2, 3, 4, 5, 6])(
    'stay unknown: with the filter behind hop %i the interval goes to the next that answers',
    (filterAfter) => {
      const { finding } = locateOnPaper({ hops, filterAfter, drops: 'trigger' });
      const answer = [1, 4, 6, 7];
      const after = [0, ...answer].findLast((hop) => hop <= filterAfter);
      const before = answer.find((hop) => hop > filterAfter);
      expect([finding?.after.hop, finding?.before?.hop]).toEqual([after, before]);
    },
  );

  test('do not matter to a filter that keeps state', () => {
    const { finding } = locateOnPaper({ hops: ['silent', 'silent', 'silent'], filterAfter: 2, drops: 'tuple' });
    expect(finding).toMatchObject({ after: { hop: 2, address: null }, before: { hop: 3, address: null } });
  });
});

describe('peers that are dropped', () => {
  test('as far as the way to the reference is the same, its hops are the control', () => {
    for (const filterAfter of [0, 1, 2, 3]) {
      const { finding } = locateOnPaper({ hops: answering(8), filterAfter, drops: 'peer', toReference: 4 });
      expect(finding).toMatchObject({
        method: 'reference',
        after: { hop: filterAfter },
        before: { hop: filterAfter + 1 },
      });
    }
  });

  test('beyond it only the last hop that was passed is known', () => {
    for (const filterAfter of [4, 6, 8]) {
      const { finding } = locateOnPaper({ hops: answering(8), filterAfter, drops: 'peer', toReference: 4 });
      expect(finding).toMatchObject({ after: { hop: filterAfter }, before: null });
    }
  });
});

describe('where nothing is dropped', () => {
  test('nothing is found, 200 times at 25 % loss in bursts', () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const { finding } = locateOnPaper({
        hops: answering(6),
        filterAfter: 3,
        drops: 'nothing',
        loss: BURSTS_25,
        seed,
      });
      expect(finding, `seed ${String(seed)}`).toBeNull();
    }
  });
});

describe('an old record', () => {
  test('gives the same finding again, and the trials of other experiments none', () => {
    const { finding, bench } = locateOnPaper({ hops: answering(5), filterAfter: 2, drops: 'trigger' });
    expect(findLocations(bench.trials)).toEqual([finding]);
    expect(findLocations(bench.trials.map((trial) => ({ ...trial, experiment: 'packet-size' })))).toEqual([]);
  });

  test('in which no router and no control was heard proves nothing: silence alone', () => {
    const { bench } = locateOnPaper({ hops: answering(5), filterAfter: 2, drops: 'trigger' });
    expect(findLocations(bench.trials.map((trial) => ({ ...trial, received: false, icmp: null })))).toEqual([]);
  });
});
