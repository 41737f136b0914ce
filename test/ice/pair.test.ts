import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { isPairable, pairPriority } from '../../src/ice/pair.js';
import type { Candidate, LocalCandidate } from '../../src/ice/types.js';

describe('pair priority (RFC 8445 §6.1.2.3)', () => {
  it('is 2^32·MIN(G,D) + 2·MAX(G,D) + (G>D ? 1 : 0)', () => {
    const [host, reflexive] = [2130706431, 1694498815];
    expect(pairPriority(host, host)).toBe(4294967296n * 2130706431n + 2n * 2130706431n);
    expect(pairPriority(host, reflexive)).toBe(4294967296n * 1694498815n + 2n * 2130706431n + 1n);
    expect(pairPriority(reflexive, host)).toBe(4294967296n * 1694498815n + 2n * 2130706431n);
    expect(pairPriority(1, 2)).toBe(4294967296n + 4n);
    expect(pairPriority(2, 1)).toBe(4294967296n + 5n);
  });
});

describe('which candidates pair (§6.1.2.2)', () => {
  it.each([
    ['192.0.2.1:1', '203.0.113.1:1', true],
    ['192.168.0.1:1', '203.0.113.1:1', true],
    ['192.0.2.1:1', '[2001:db8::1]:1', false],
    ['[fe80::1]:1', '[fe80::2]:1', true],
    ['[fe80::1]:1', '[2001:db8::1]:1', false],
    ['127.0.0.1:1', '127.0.0.2:1', true],
    ['127.0.0.1:1', '192.0.2.1:1', false],
  ])('%s and %s: %s', (local, remote, expected) => {
    const candidate = (address: string) => ({ address: parseTransportAddress(address) });
    expect(isPairable(candidate(local) as LocalCandidate, candidate(remote) as Candidate)).toBe(expected);
  });
});
