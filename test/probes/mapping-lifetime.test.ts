import { describe, expect, test } from 'vitest';
import { type LifetimeFinding, mappingLifetimeProbe } from '../../probes/mapping-lifetime.js';
import { ALTERNATE, type NetworkOptions, REFERENCE, type Run, runProbe } from '../support/reference-network.js';

const reference = { primary: REFERENCE, other: ALTERNATE, arm: 'stun' } as const;
const measured = (lifetimeMs: number | undefined, more: Partial<NetworkOptions> = {}): Run<LifetimeFinding> =>
  runProbe(mappingLifetimeProbe(reference), {
    seed: 1,
    longestMs: 400_000,
    nat: {
      kind: 'rfc4787',
      mapping: 'eim',
      filtering: 'apdf',
      preserves: true,
      ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
    },
    ...more,
  });

describe('the lifetime of a mapping (RFC 4787 REQ-5)', () => {
  test.each([
    [10_000, 0, 15],
    [17_000, 15, 20],
    [30_000, 25, 30],
    [62_000, 60, 70],
    [120_000, 110, 120],
    [180_000, 170, 180],
    [255_000, 240, 260],
  ])('%i ms: an interval that contains it', (lifetimeMs, least, most) => {
    const { result, elapsedMs, stillOpen } = measured(lifetimeMs);
    expect(result).toEqual({
      lifetime: { leastMs: least * 1000, mostMs: most * 1000, n: expect.any(Number) as number },
      missing: null,
    });
    // The longest wait that matters, not the sum of all.
    expect(elapsedMs).toBeLessThan(lifetimeMs + 70_000);
    expect(stillOpen).toBe(0);
  });

  test('one that outlives all silences has no end', () => {
    const { result, elapsedMs } = measured(undefined);
    expect(result.lifetime).toMatchObject({ leastMs: 300_000, mostMs: null });
    expect(elapsedMs).toBeLessThan(315_000);
  });

  test('few packets, and none to anybody but the reference', () => {
    const { queries } = measured(120_000);
    expect(queries.length).toBeLessThan(350);
    expect(queries.every(({ to }) => to.address === REFERENCE.address)).toBe(true);
  });

  test('a reference that answers at once alone: not measured, and it says so', () => {
    // As coturn does: the attribute is passed over.
    const { result, elapsedMs } = measured(30_000, { drops: (bytes) => bytes.length >= 320 });
    expect(result.lifetime).toBeNull();
    expect(result.missing).toContain('no late answers');
    expect(elapsedMs).toBeLessThan(10_000);
  });

  test('towards a reference that was not reached by STUN it is not asked', () => {
    const { result, queries } = runProbe(mappingLifetimeProbe({ ...reference, arm: 'random' }), {
      seed: 1,
      nat: { kind: 'none' },
    });
    expect([result.lifetime, queries.length]).toEqual([null, 0]);
  });

  test.each([
    ['10 % loss each way', { loss: 0.1 }],
    ['a quarter of the time lost, 300 ms at a time', { burstMs: 300 }],
    ['a quarter of the time lost, 2 s at a time', { burstMs: 2000 }],
  ])('%s: what it says is so', (_name, more) => {
    const runs = Array.from({ length: 60 }, (_, seed) => measured(62_000, { seed, ...more }).result.lifetime);
    for (const lifetime of runs) {
      if (!lifetime) continue;
      expect(lifetime.leastMs).toBeLessThanOrEqual(62_000);
      expect(lifetime.mostMs ?? Infinity).toBeGreaterThanOrEqual(62_000);
    }
    expect(runs.filter((lifetime) => lifetime !== null).length).toBeGreaterThan(50);
  });
});
