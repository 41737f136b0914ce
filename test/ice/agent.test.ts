import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/ice/policy.js';
import { Network, single, triple } from './network.js';

const RTT = 20;

describe('two agents, all pairs', () => {
  it('brings up one pair, host to host, in both agents', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }).start().run(10_000);
    for (const end of net.ends) {
      expect(end.of('valid')).toHaveLength(1);
      expect(end.of('valid')[0]?.rttMs).toBe(RTT);
      expect(end.of('selected')).toHaveLength(1);
      expect(end.of('checks-done')).toHaveLength(1);
    }
  });

  it('brings up every path of an open 3 × 3 mesh, the first within 2 RTT + 100 ms', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }).start().run(10_000);
    for (const end of net.ends) {
      expect(new Set(end.of('valid').map(({ pair }) => pair.id)).size).toBe(9);
      expect(end.of('valid')[0]?.at).toBeLessThanOrEqual(2 * RTT + 100);
      expect(end.agent.pairs().every(({ requestsSent }) => requestsSent >= 7)).toBe(true);
    }
  });

  it.each([
    ['ethernet,wifi,cellular', ['eth0>eth0', 'eth0>wlan0', 'wlan0>eth0', 'wlan0>wlan0', 'eth0>wwan0', 'wwan0>eth0']],
    [
      'cellular,wifi,ethernet',
      ['wwan0>wwan0', 'wwan0>wlan0', 'wlan0>wwan0', 'wlan0>wlan0', 'wwan0>eth0', 'eth0>wwan0'],
    ],
  ])('checks in the order of %s', (policy, expected) => {
    const options = { interfaces: triple(1), policy: parsePolicy(policy) };
    // Nothing gets through: nothing is triggered, so that the order is the checklist's own.
    const net = new Network(options, { ...options, interfaces: triple(2) }, { drop: () => true }).start().run(10_000);
    const [left] = net.ends;
    const first = [...new Set(left.checks().map(({ pair }) => left.nameOf(pair)))];
    expect(first).toHaveLength(9);
    expect(first.slice(0, 6)).toEqual(expected);
  });
});
