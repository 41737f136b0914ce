import { expect, it } from 'vitest';
import { scopeOf } from '../../src/base/address.js';

it.each([
  // RFC 6890 §2.2.2, RFC 6598, RFC 7335
  ['10.1.2.3', 'private'],
  ['172.15.255.255', 'global'],
  ['172.16.0.0', 'private'],
  ['172.31.255.255', 'private'],
  ['172.32.0.0', 'global'],
  ['192.168.0.1', 'private'],
  ['192.0.0.4', 'private'],
  ['192.0.1.1', 'global'],
  ['100.63.255.255', 'global'],
  ['100.64.0.1', 'shared'],
  ['100.127.255.255', 'shared'],
  ['169.254.1.1', 'link-local'],
  ['127.8.8.8', 'loopback'],
  ['224.0.0.251', 'multicast'],
  ['0.0.0.0', 'unspecified'],
  ['64:ff9b::c000:20a', 'global'],
  ['fd77::1', 'private'],
  ['fe80::1', 'link-local'],
  ['ff02::1', 'multicast'],
  ['::1', 'loopback'],
  ['::', 'unspecified'],
])('%s is %s', (address, scope) => {
  expect(scopeOf(address)).toBe(scope);
});
