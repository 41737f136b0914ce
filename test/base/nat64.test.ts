import { describe, expect, test } from 'vitest';
import { embedIPv4, extractIPv4, nat64Prefix, prefixOfKnown } from '../../src/base/nat64.js';

describe('RFC 6052 §2.4: 192.0.2.33 in each form', () => {
  test.each([
    ['2001:db8::/32', '2001:db8:c000:221::'],
    ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
    ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100:0'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::c000:221'],
    ['64:ff9b::/96', '64:ff9b::c000:221'],
  ])('%s', (prefix, address) => {
    expect(embedIPv4(prefix, '192.0.2.33')).toBe(address);
    expect(extractIPv4(prefix, address)).toBe('192.0.2.33');
  });

  test('an address of another prefix has none in it', () => {
    expect(extractIPv4('64:ff9b::/96', '2001:db8::c000:221')).toBeNull();
    expect(extractIPv4('64:ff9b::/96', '192.0.2.33')).toBeNull();
  });

  test.each(['64:ff9b::', '64:ff9b::/95', '64:ff9b::/96/1', '64:ff9b::1/96', '192.0.2.0/32', 'x/96', ''])(
    '%j is no prefix',
    (text) => {
      expect(nat64Prefix(text)).toBeNull();
      expect(() => embedIPv4(text, '192.0.2.33')).toThrow(RangeError);
    },
  );
});

describe('RFC 7050: the prefix from what a resolver made of ipv4only.arpa', () => {
  test.each([
    // RFC 7050 §3.3 and RFC 6052 §2.2 for 192.0.0.170 (c000:aa) and .171.
    ['64:ff9b::c000:aa', '64:ff9b::/96'],
    ['64:ff9b::c000:ab', '64:ff9b::/96'],
    ['2001:db8:122:344::c000:aa', '2001:db8:122:344::/96'],
    ['2001:db8:122:344:c0:0:aa00:0', '2001:db8:122:344::/64'],
    ['2001:db8:122:c000:0:aa00::', '2001:db8:122::/48'],
    ['2001:db8:c000:aa::', '2001:db8::/32'],
    ['2001:db8::1', null],
    ['192.0.0.170', null],
  ])('%s', (address, prefix) => {
    expect(prefixOfKnown(address)).toBe(prefix);
  });
});
