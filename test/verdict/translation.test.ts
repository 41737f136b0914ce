import { expect, test } from 'vitest';
import { carrierGradeSigns, isBehindTranslator } from '../../src/verdict/translation.js';
import type { NatModel } from '../../src/verdict/words.js';
import { GUARDED } from '../support/observation.js';

const ports = (low: number, high: number): Partial<NatModel> => ({
  ports: { pattern: 'random', step: null, keepsParity: false, low, high, n: 6 },
});

test.each([
  // RFC 6598: 100.64.0.0/10.
  ['100.63.255.255', 'wifi', {}, 0],
  ['100.64.0.0', 'wifi', {}, 1],
  ['100.127.255.255', 'ethernet', {}, 1],
  ['100.128.0.0', 'wifi', {}, 0],
  ['192.168.1.2', 'wifi', {}, 0],
  ['10.1.2.3', 'cellular', {}, 1],
  // A phone that tethers is a router of its own.
  ['10.1.2.3', 'tethered', {}, 0],
  ['192.0.0.4', 'cellular', {}, 0],
  ['192.168.1.2', 'wifi', { outside: ['198.51.100.1', '198.51.100.2'] }, 1],
  ['192.168.1.2', 'wifi', { outside: ['198.51.100.1'] }, 0],
  ['192.168.1.2', 'wifi', ports(20_000, 20_999), 1],
  ['192.168.1.2', 'wifi', ports(2000, 60_000), 0],
  ['100.64.0.1', 'cellular', { mapping: 'none' }, 0],
] as const)('%s on %s, %j: %i signs of a carrier’s NAT', (address, kind, more, signs) => {
  expect(carrierGradeSigns({ ...GUARDED, ...more } as NatModel, { kind, address })).toHaveLength(signs);
});

test('RFC 7335: 192.0.0.0/29', () => {
  expect(['192.0.0.0', '192.0.0.7'].every(isBehindTranslator)).toBe(true);
  expect(['192.0.0.8', '192.0.1.1', '2001:db8::1'].some(isBehindTranslator)).toBe(false);
});
