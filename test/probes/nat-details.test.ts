import { describe, expect, test } from 'vitest';
import { natDetailsProbe } from '../../probes/nat-details.js';
import type { NatModel } from '../../src/verdict/words.js';
import type { NatBehaviour } from '../support/nat.js';
import { ALTERNATE, type NetworkOptions, OUTSIDE, REFERENCE, runProbe } from '../support/reference-network.js';

const reference = { primary: REFERENCE, other: ALTERNATE, arm: 'stun' } as const;
const EIM = { kind: 'rfc4787', mapping: 'eim', filtering: 'apdf', preserves: false } as const;
const modelOf = (mapping: NatModel['mapping']): NatModel => ({
  mapping,
  filtering: 'apdf',
  portPreservation: false,
  spoil: null,
  reflexive: { address: OUTSIDE, port: 1 },
  missing: [],
});
const details = (nat: NatBehaviour, options: Partial<NetworkOptions> = {}) =>
  runProbe(natDetailsProbe(reference, modelOf(nat.kind === 'rfc4787' ? nat.mapping : 'eim')), {
    seed: 1,
    nat,
    ...options,
  });

describe('how a NAT chooses ports (RFC 4787 §4.2)', () => {
  test.each([
    ['preserving', { ...EIM, preserves: true }, { pattern: 'preserving', step: null, keepsParity: true, n: 6 }],
    ['one after the other', { ...EIM, step: 1 }, { pattern: 'sequential', step: 1, n: 6 }],
    ['by two', { ...EIM, step: 2 }, { pattern: 'sequential', step: 2, n: 6 }],
    ['at random', EIM, { pattern: 'random', step: null, keepsParity: false, n: 6 }],
    ['at random, odd ones odd', { ...EIM, keepsParity: true }, { pattern: 'random', keepsParity: true, n: 14 }],
    ['symmetric, at random', { ...EIM, mapping: 'apdm' as const }, { pattern: 'random' }],
    ['Linux', { kind: 'linux', guarded: true } as const, { pattern: 'preserving' }],
  ])('%s', (_name, nat, ports) => {
    expect(details(nat).result.ports).toMatchObject(ports);
  });

  test('a block of an address’s ports shows in the lowest and the highest', () => {
    const { low = 0, high = 0 } = details({ ...EIM, block: [20_000, 1000] }).result.ports ?? {};
    expect(low).toBeGreaterThanOrEqual(20_000);
    expect(high).toBeLessThan(21_000);
  });

  test('with 30 % loss each way and others in between it is right or left out, never wrong', () => {
    for (let seed = 0; seed < 60; seed += 1) {
      const { ports } = details({ ...EIM, step: 3 }, { seed, loss: 0.3 }).result;
      if (ports) expect(ports.pattern).toBe('sequential');
      const { ports: drawn } = details(EIM, { seed, loss: 0.3 }).result;
      if (drawn) expect(drawn.pattern).toBe('random');
    }
  });
});

describe('pooling (RFC 4787 REQ-2)', () => {
  test('one address for all', () => {
    expect(details(EIM).result).toMatchObject({ pooling: 'paired', outside: [OUTSIDE] });
  });

  test('any of several', () => {
    const { pooling, outside = [] } = details({ ...EIM, pool: ['192.0.2.78', '192.0.2.79'] }, { seed: 3 }).result;
    expect(pooling).toBe('arbitrary');
    expect(outside.length).toBeGreaterThan(1);
  });
});

describe('hairpin (RFC 5780 §4.5, RFC 4787 REQ-9)', () => {
  test.each([
    ['external', { ...EIM, hairpin: 'external' }],
    ['external', { ...EIM, filtering: 'eif', hairpin: 'external' }],
    ['none', EIM],
    ['none', { kind: 'linux', guarded: true }],
    ['none', { kind: 'linux', guarded: false }],
  ] as const)('%s', (outcome, nat) => {
    const { result, queries } = details(nat);
    expect(result.hairpin).toBe(outcome);
    // What a reference can make this host send to an address of its choice.
    const looped = queries.filter(({ to }) => to.address === OUTSIDE);
    expect(looped.length).toBeLessThanOrEqual(48);
  });

  test('with the inside source: told apart, since RFC 4787 forbids it', () => {
    const nat = { ...EIM, filtering: 'eif', hairpin: 'internal' } as const;
    expect(details(nat).result.hairpin).toBe('internal');
  });

  test('is not asked where every destination has a mapping of its own', () => {
    const { result, queries } = details({ ...EIM, mapping: 'apdm', hairpin: 'external' });
    expect(result.hairpin).toBeUndefined();
    expect(queries.filter(({ to }) => to.address === OUTSIDE)).toEqual([]);
  });

  test('a quarter of the time lost in bursts makes it unknown at worst', () => {
    for (let seed = 0; seed < 60; seed += 1) {
      const yes = details({ ...EIM, hairpin: 'external' }, { seed, burstMs: 1000 }).result.hairpin;
      expect(['external', undefined]).toContain(yes);
      const no = details(EIM, { seed, burstMs: 1000 }).result.hairpin;
      expect(['none', undefined]).toContain(no);
    }
  });
});
