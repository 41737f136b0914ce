import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/ice/policy.js';
import { readIceRole } from '../../src/stun/attributes.js';
import { parseStrict } from '../../src/stun/message.js';
import { Network, single, triple, type End, type EndOptions } from './network.js';

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

describe('families', () => {
  it('comes up over IPv6, and over both families at once', () => {
    const both = (host: number): EndOptions => ({
      interfaces: {
        four: { kind: 'ethernet', address: `203.0.113.${host}:5000` },
        six: { kind: 'ethernet', address: `[2001:db8::${host}]:5000` },
      },
    });
    const net = new Network(both(1), both(2)).start().run(10_000);
    for (const end of net.ends) {
      expect(
        end
          .of('valid')
          .map(({ pair }) => pair.family)
          .sort(),
      ).toEqual(['ipv4', 'ipv6']);
    }
    const six = { interfaces: { six: { kind: 'wifi', address: '[2001:db8::5]:5000' } } } as const;
    const alone = new Network(six, { interfaces: { six: { kind: 'wifi', address: '[2001:db8::6]:5000' } } });
    expect(alone.start().run(10_000).ends[1].of('selected')[0]?.pair.family).toBe('ipv6');
  });
});

describe('roles', () => {
  it.each([
    [5n, 3n],
    [3n, 5n],
  ])('settles a conflict, both controlling, by tie-breakers %s and %s', (left, right) => {
    const net = new Network(
      { interfaces: triple(1), controlling: true, tieBreaker: left },
      { interfaces: triple(2), controlling: true, tieBreaker: right },
    );
    const [winner, loser] = left > right ? net.start().run(10_000).ends : [...net.start().run(10_000).ends].reverse();
    expect(winner.of('role-changed')).toHaveLength(0);
    expect(loser.of('role-changed')).toMatchObject([{ controlling: false }]);
    for (const end of net.ends) expect(end.of('selected')).toHaveLength(1);
    expect(winner.of('selected')[0]?.pair.remote.address).toEqual(loser.of('selected')[0]?.pair.local.address);
  });

  it('settles a conflict, both controlled', () => {
    const options = { controlling: false } as const;
    const net = new Network({ interfaces: single(1), ...options }, { interfaces: single(2), ...options });
    net.start().run(10_000);
    // L has the larger tie-breaker (RFC 8445 §7.3.1.1): it becomes controlling.
    expect(net.ends[0].of('role-changed')).toMatchObject([{ controlling: true }]);
    expect(net.ends[1].of('role-changed')).toHaveLength(0);
    for (const end of net.ends) expect(end.of('selected')).toHaveLength(1);
  });

  it('goes on with another tie-breaker after a 487 (RFC 8445 §16.1)', () => {
    const net = new Network(
      { interfaces: single(1), controlling: true, tieBreaker: 5n },
      { interfaces: single(2), controlling: true, tieBreaker: 3n },
    );
    const [winner, loser] = net.start().run(10_000).ends;
    const claimed = (end: End) => new Set(end.checks().map(({ message }) => tieBreakerOf(message)));
    expect([...claimed(winner)]).toEqual([5n]);
    expect(claimed(loser).size).toBe(2);
  });

  it('controls a lite far end', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) });
    const [left, right] = net.ends;
    net.feed(right, { type: 'remote-credentials', credentials: left.credentials, lite: true });
    expect(right.of('role-changed')).toMatchObject([{ controlling: true }]);
  });
});

describe('loss', () => {
  it('comes up at 30 % loss, in every one of 60 seeds', () => {
    for (let seed = 0; seed < 60; seed += 1) {
      const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }, { loss: 0.3, seed });
      net.start().run(8000);
      for (const end of net.ends) {
        expect(end.agent.pairs().filter(({ valid }) => valid).length, `seed ${seed}`).toBeGreaterThanOrEqual(8);
        expect(end.of('selected').length, `seed ${seed}`).toBeGreaterThanOrEqual(1);
      }
    }
  });

  it('counts an answer that comes after the next request went out', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }, { delayMs: 400 }).start().run(10_000);
    for (const end of net.ends) expect(end.of('valid')[0]?.rttMs).toBe(800);
  });

  it('sends every request with a transaction id of its own', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }, { loss: 0.5 }).start().run(10_000);
    const ids = net.ends[0]
      .of('send')
      .filter(({ purpose }) => purpose !== 'response')
      .map(({ transaction }) => transaction);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('ends, in whatever network', () => {
    fc.assert(
      fc.property(
        fc.record({
          loss: fc.double({ min: 0, max: 1, noNaN: true }),
          oneWay: fc.boolean(),
          delayMs: fc.integer({ min: 0, max: 3000 }),
          seed: fc.nat(),
          mode: fc.constantFrom<'all' | 'first-only'>('all', 'first-only'),
          conflict: fc.boolean(),
        }),
        ({ oneWay, mode, conflict, ...options }) => {
          const net = new Network(
            { interfaces: triple(1), mode },
            { interfaces: triple(2), mode, controlling: conflict },
            { ...options, drop: ({ send }) => oneWay && send.base.startsWith('R') },
          );
          net.start().run(30_000);
          return net.ends.every((end) => end.of('checks-done').length > 0);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('trickle and early checks', () => {
  it('answers checks that come before the credentials of their sender, and checks back once they are there', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }).start({ credentials: false });
    const [left, right] = net.ends;
    net.feed(right, { type: 'remote-credentials', credentials: left.credentials, lite: false });
    net.run(500);
    expect(right.of('valid')).toHaveLength(1);
    expect(left.checks()).toHaveLength(0);
    net.feed(left, { type: 'remote-credentials', credentials: right.credentials, lite: false });
    net.run(1000);
    expect(left.of('valid')).toHaveLength(1);
  });
});

function tieBreakerOf(message: Uint8Array): bigint | undefined {
  const parsed = parseStrict(message);
  return parsed.ok ? readIceRole(parsed.message)?.tieBreaker : undefined;
}
