import { expect, test } from 'vitest';
import type { HostInterface } from '../../src/base/interface.js';
import { type AskIPv6, withNat64 } from '../../src/net/nat64.js';

const on = (...addresses: string[]): HostInterface => ({
  name: 'wwan0',
  kind: 'cellular',
  label: 'o2',
  addresses: addresses.map((address) => ({
    family: address.includes(':') ? 'ipv6' : 'ipv4',
    address,
    prefixLength: 64,
  })),
});
const asked: string[] = [];
const dns64: AskIPv6 = (name, from) => {
  asked.push(`${name} ${from}`);
  return Promise.resolve(['2001:db8:64::c000:aa', '2001:db8:64::c000:ab']);
};

test('an interface with IPv6 alone asks from its own address, and has the prefix', async () => {
  const [found] = await withNat64([on('fe80::1', '2001:db8:1::2')], dns64);
  expect(found?.nat64).toEqual({ prefix: '2001:db8:64::/96', source: 'dns' });
  expect(asked).toEqual(['ipv4only.arpa 2001:db8:1::2']);
});

test.each([
  ['with IPv4', on('192.0.2.1', '2001:db8:1::2')],
  ['with IPv4 alone', on('192.0.2.1')],
  ['without a global address', on('fe80::1')],
  ['without any', on()],
])('one %s is not asked about', async (_name, given) => {
  asked.length = 0;
  expect(await withNat64([given], dns64)).toEqual([given]);
  expect(asked).toEqual([]);
});

test.each<[string, AskIPv6]>([
  ['does not answer', () => Promise.reject(new Error('ETIMEOUT'))],
  ['makes nothing up', () => Promise.resolve([])],
  ['says nonsense', () => Promise.resolve(['2001:db8::1'])],
])('where the resolver %s, no prefix is known', async (_name, ask) => {
  const given = on('2001:db8:1::2');
  expect(await withNat64([given], ask)).toEqual([given]);
});
