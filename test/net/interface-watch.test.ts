import { expect, test } from 'vitest';
import type { HostInterface } from '../../src/base/interface.js';
import { stillThere } from '../../src/net/interface-watch.js';

const on = (name: string, ...addresses: string[]): HostInterface => ({
  name,
  kind: 'wifi',
  label: name,
  addresses: addresses.map((address) => ({ family: 'ipv4', address, prefixLength: 24 })),
});

test('with the first line what is gone is told, and nothing that is new', () => {
  const known = [on('wlan0', '192.0.2.1', '192.0.2.2'), on('wwan0', '198.51.100.1')];
  const now = [on('wlan0', '192.0.2.2', '192.0.2.3'), on('wwan0')];
  expect(stillThere(known, now)).toEqual([on('wlan0', '192.0.2.2'), on('wwan0')]);
  expect(stillThere(known, known)).toEqual(known);
});
