import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { parseCandidate } from '../../src/ice/candidate.js';
import { parsePolicy } from '../../src/ice/policy.js';
import { readIceRole } from '../../src/stun/attributes.js';
import { parseStrict } from '../../src/stun/message.js';
import { Network, single, triple, type End, type EndOptions, type Packet } from './network.js';

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

const SERVER = parseTransportAddress('198.18.0.1:3478');
/** Behind a NAT: a private address, mapped to `outside`. */
function home(host: number, outside: string, symmetric = false): EndOptions {
  const address = `192.168.${host}.2:5000`;
  return { interfaces: { eth0: { kind: 'ethernet', address, nat: { outside, symmetric } } }, servers: [SERVER] };
}

describe('NATs', () => {
  it('meets over server-reflexive candidates, both behind port-restricted NATs', () => {
    const net = new Network(home(1, '203.0.113.1'), home(2, '203.0.113.2')).start().run(10_000);
    for (const [index, end] of net.ends.entries()) {
      const valid = end.of('valid').filter(({ pair }) => pair.remote.address.address.startsWith('203.'));
      expect(valid).toHaveLength(1);
      expect(valid[0]?.pair.local.type).toBe('srflx');
      expect(valid[0]?.pair.local.address.address).toBe(`203.0.113.${index + 1}`);
      expect(end.of('reflexive')[0]?.server).toEqual(SERVER);
    }
  });

  it('learns the address of a far end behind a symmetric NAT from its checks, and which interface it is', () => {
    const right: EndOptions = {
      servers: [SERVER],
      interfaces: {
        eth0: { kind: 'ethernet', address: '192.168.2.2:5000', nat: { outside: '203.0.113.2', symmetric: true } },
        wwan0: { kind: 'cellular', address: '10.0.0.2:5000', nat: { outside: '192.0.2.2', symmetric: true } },
      },
    };
    const net = new Network({ interfaces: single(1) }, right).start().run(10_000);
    const [left, far] = net.ends;
    const learnt = left.of('valid').map(({ pair }) => pair.remote);
    expect(learnt.map((remote) => [remote.type, remote.address.address, remote.interface, remote.kind])).toEqual([
      ['prflx', '203.0.113.2', 'eth0', 'ethernet'],
      ['prflx', '192.0.2.2', 'wwan0', 'cellular'],
    ]);
    // The mapping towards this peer is another than the one towards the server (RFC 8445 §7.2.5.3.1).
    expect(far.of('valid').map(({ pair }) => pair.local.type)).toEqual(['prflx', 'prflx']);
  });

  it('tells the interface of an early check once its host candidate is signalled', () => {
    const net = new Network({ interfaces: single(1) }, home(2, '203.0.113.2', true), { signalMs: 5 });
    net.start();
    const [left, right] = net.ends;
    net.options = { ...net.options, signalMs: 300 };
    // The right end hears of the left long before the left hears of the right's candidates.
    const candidate = left.agent.localCandidates()[0];
    if (!candidate) throw new Error('no candidate');
    net.feed(right, { type: 'remote-candidate', candidate });
    net.feed(right, { type: 'remote-credentials', credentials: left.credentials, lite: false });
    net.feed(left, { type: 'remote-credentials', credentials: right.credentials, lite: false });
    net.run(100);
    expect(left.agent.pairs().some(({ remote }) => remote.type === 'prflx')).toBe(true);
    net.run(2000);
    expect(left.agent.pairs().find(({ remote }) => remote.type === 'prflx')?.remote.interface).toBe('eth0');
  });

  it('fails the pair where the far end is symmetric and this end filters by port', () => {
    const net = new Network(home(1, '203.0.113.1'), home(2, '203.0.113.2', true)).start().run(20_000);
    for (const end of net.ends) {
      expect(end.of('valid')).toHaveLength(0);
      expect(end.of('checks-done')).not.toHaveLength(0);
    }
  });

  it('gives a silent STUN server up within 3 s', () => {
    const options = { ...home(1, '203.0.113.1'), servers: [SERVER] };
    const drop = ({ send }: Packet) => send.purpose === 'gather';
    const net = new Network(options, { interfaces: single(2) }, { drop }).start().run(10_000);
    expect(net.ends[0].of('candidates-end')[0]?.at).toBeLessThan(3000);
    expect(net.ends[0].of('send').filter(({ purpose }) => purpose === 'gather')).toHaveLength(4);
  });

  it('signals a reflexive address that the caller found by other means', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) });
    const mapped = parseTransportAddress('192.0.2.77:1234');
    net.start();
    net.feed(net.ends[0], { type: 'reflexive', base: 'L/eth0', mapped });
    expect(net.ends[0].of('candidate').map(({ candidate }) => [candidate.type, candidate.address.address])).toEqual([
      ['host', '203.0.113.1'],
      ['srflx', '192.0.2.77'],
    ]);
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

describe('fairness and order', () => {
  it('gives every pair its checks, also those into a black hole, and then says so', () => {
    const drop = ({ to }: Packet) => to.address.startsWith('192.0.2.');
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }, { drop }).start().run(20_000);
    for (const end of net.ends) {
      expect(end.agent.pairs()).toHaveLength(9);
      for (const pair of end.agent.pairs()) {
        expect(pair.requestsSent).toBeGreaterThanOrEqual(7);
        expect(pair.valid).toBe(!`${pair.local.address.address} ${pair.remote.address.address}`.includes('192.0.2'));
      }
      const done = end.of('checks-done').at(-1)?.at ?? Infinity;
      expect(done).toBeLessThanOrEqual(6000);
      const early = end.checks().filter(({ at, pair }) => at <= done && pair?.includes('>192.0.2.'));
      expect(early.length).toBeGreaterThanOrEqual(7 * 3);
    }
  });

  it('paces: never two checks or queries within Ta', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }).start().run(10_000);
    const times = net.ends[0]
      .of('send')
      .filter(({ purpose }) => purpose !== 'response')
      .map(({ at }) => at);
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(20);
  });

  it.each(['ethernet,wifi,cellular', 'cellular,wifi,ethernet'])('selects the best valid pair under %s', (text) => {
    const policy = parsePolicy(text);
    const net = new Network({ interfaces: triple(1), policy }, { interfaces: triple(2), policy }).start().run(10_000);
    const best = text.startsWith('eth') ? 'eth0' : 'wwan0';
    for (const end of net.ends) {
      const selected = end.of('selected').at(-1)?.pair;
      expect([selected?.local.interface, selected?.remote.interface]).toEqual([best, best]);
      expect(end.agent.pairs()[0]?.id).toBe(selected?.id);
    }
  });

  it('does not nominate past a better pair that is still undecided', () => {
    const policy = parsePolicy('cellular,wifi,ethernet');
    const drop = ({ at, send }: Packet) => at < 1000 && send.base.endsWith('wwan0');
    const net = new Network({ interfaces: triple(1), policy }, { interfaces: triple(2), policy }, { drop });
    for (const end of net.start().run(10_000).ends) {
      expect(end.of('valid')[0]?.at).toBeLessThan(300);
      expect(end.of('selected').map(({ pair }) => pair.local.interface)).toEqual(['wwan0']);
    }
  });

  it('does not wait for a black hole longer than 3 s after the first valid pair', () => {
    const policy = parsePolicy('cellular,wifi,ethernet');
    const drop = ({ send }: Packet) => send.base.endsWith('wwan0');
    const net = new Network({ interfaces: triple(1), policy }, { interfaces: triple(2), policy }, { drop });
    for (const end of net.start().run(10_000).ends) {
      const [selected] = end.of('selected');
      expect(selected?.pair.local.interface).toBe('wlan0');
      expect(selected?.at).toBeLessThanOrEqual((end.of('valid')[0]?.at ?? 0) + 3000 + 100);
    }
  });

  it('checks frozen pairs once the pair of their foundation has succeeded', () => {
    const port = (number: number) => ({ kind: 'ethernet', address: `203.0.113.2:${number}` }) as const;
    const right = { interfaces: { a: port(1), b: port(2), c: port(3) } };
    // Without checks from the far end nothing is triggered.
    const drop = ({ send }: Packet) => send.base.startsWith('R') && send.purpose === 'check';
    const net = new Network({ interfaces: single(1) }, right, { delayMs: 30, drop }).start().run(5000);
    const firsts = new Map<string | null, number>();
    for (const { pair, at } of net.ends[0].checks()) if (!firsts.has(pair)) firsts.set(pair, at);
    // At 60 ms, after one round trip, the nomination goes out; a second check of the first pair would come at 100 ms.
    expect([...firsts.values()].sort((a, b) => a - b)).toEqual([0, 80, 100]);
    expect(net.ends[0].agent.pairs().every(({ valid }) => valid)).toBe(true);
  });

  it('leaves the order to RFC 8445 under the equal policy', () => {
    const options = { interfaces: triple(1) };
    const net = new Network(options, { interfaces: triple(2) }, { drop: () => true }).start().run(10_000);
    const [left] = net.ends;
    // Host candidates all: the pair formula puts the smaller local preference first, and the bases came eth0, wlan0, wwan0.
    expect([...new Set(left.checks().map(({ pair }) => left.nameOf(pair)))]).toEqual([
      'eth0>eth0',
      'eth0>wlan0',
      'wlan0>eth0',
      'wlan0>wlan0',
      'eth0>wwan0',
      'wwan0>eth0',
      'wlan0>wwan0',
      'wwan0>wlan0',
      'wwan0>wwan0',
    ]);
  });

  it('first-only: stops at the first pair and leaves the others unprobed', () => {
    const mode = 'first-only';
    const net = new Network({ interfaces: triple(1), mode }, { interfaces: triple(2), mode }, { delayMs: 2 });
    for (const end of net.start().run(60_000).ends) {
      expect(end.of('selected')).toHaveLength(1);
      expect(end.of('checks-done')).toHaveLength(1);
      const untouched = end.agent.pairs().filter(({ requestsSent }) => requestsSent === 0);
      expect(untouched.length).toBeGreaterThanOrEqual(6);
      for (const { state } of untouched) expect(['waiting', 'frozen']).toContain(state);
    }
  });

  it('freezes all but the best pair of a foundation, until that one succeeded', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) });
    const [left] = net.ends;
    const base = {
      id: 'L/eth0',
      address: parseTransportAddress('203.0.113.1:5000'),
      interface: 'eth0',
      kind: 'ethernet',
      label: 'eth0',
    } as const;
    net.feed(left, { type: 'base', base });
    for (const [port, priority] of [
      [1, 1000],
      [2, 3000],
      [3, 2000],
    ] as const) {
      const candidate = parseCandidate(`candidate:7 1 udp ${priority} 203.0.113.2 ${port} typ host`);
      if (candidate) net.feed(left, { type: 'remote-candidate', candidate });
    }
    expect(left.agent.pairs().map(({ remote, state }) => [remote.address.port, state])).toEqual([
      [2, 'waiting'],
      [3, 'frozen'],
      [1, 'frozen'],
    ]);
  });

  it('keeps within the pair limit, with 100 × 100 candidates', () => {
    const many = (host: number): EndOptions => ({
      interfaces: Object.fromEntries(
        Array.from({ length: 100 }, (_, index) => [
          `if${index}`,
          { kind: 'other', address: `10.${host}.0.${index + 1}:5000` } as const,
        ]),
      ),
    });
    const net = new Network(many(1), many(2), { drop: () => true }).start().run(60_000);
    for (const end of net.ends) {
      expect(end.agent.pairs()).toHaveLength(100);
      expect(end.of('checks-done')).toHaveLength(1);
      // RFC 8445 §6.1.2.5: the lowest priorities are left out, so the best pair is there.
      expect(end.nameOf(end.agent.pairs()[0]?.id ?? '')).toBe('if0>if0');
    }
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

describe('consent (RFC 7675)', () => {
  it('is asked for every 4–6 s on every valid pair, and lost 30 s after the last answer', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }).start().run(60_000);
    const [left, right] = net.ends;
    for (const { id } of left.agent.pairs()) {
      const times = left
        .of('send')
        .filter(({ purpose, pair }) => purpose === 'consent' && pair === id)
        .map(({ at }) => at);
      const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(4000);
      // Pacing may hold one back for the other pairs' sake.
      expect(Math.max(...gaps)).toBeLessThanOrEqual(6000 + 9 * 20);
    }
    expect(left.of('consent-lost')).toHaveLength(0);

    right.silent = true;
    net.run(120_000);
    const lost = left.of('consent-lost');
    expect(lost).toHaveLength(9);
    for (const { at, reason } of lost) {
      expect(reason).toBe('expired');
      expect(at).toBeGreaterThan(60_000 + 30_000 - 6200);
      expect(at).toBeLessThanOrEqual(60_000 + 30_000 + RTT);
    }
    const last = left.of('send').at(-1)?.at ?? 0;
    expect(last).toBeLessThanOrEqual(lost.at(-1)?.at ?? 0);
  });

  it('moves to the next best pair when the selected one is lost', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }).start().run(10_000);
    const selected = net.ends[0].of('selected').at(-1)?.pair.id ?? '';
    net.options = {
      ...net.options,
      drop: ({ send }) => send.pair === selected || send.pair === 'R/eth0>203.0.113.1:5000',
    };
    net.run(60_000);
    const next = net.ends[0].of('selected').at(-1)?.pair;
    expect(next?.id).not.toBe(selected);
    expect(next?.valid).toBe(true);
    expect(net.ends[1].of('selected').at(-1)?.pair.remote.address).toEqual(next?.local.address);
  });

  it('asks at once when the caller wants to know', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }).start().run(2000);
    const [left] = net.ends;
    net.feed(left, { type: 'verify', pair: left.agent.pairs()[0]?.id ?? '' });
    expect(left.of('send').at(-1)).toMatchObject({ at: 2000, purpose: 'consent' });
  });
});

describe('restart (RFC 8445 §9)', () => {
  it('keeps the selected pair until the new credentials have found one', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }).start().run(10_000);
    const fresh = (name: string) => ({ ufrag: `new${name}`, password: `another-password-of-${name}-42` });
    const old = net.ends[0].of('selected').at(-1)?.pair;
    for (const end of net.ends) net.feed(end, { type: 'restart', credentials: fresh(end.name) });
    for (const end of net.ends) {
      expect(end.agent.pairs().find(({ selected }) => selected)?.id).toBeDefined();
      net.signal(end, { type: 'remote-credentials', credentials: fresh(end.name), lite: false });
    }
    net.run(20_000);
    for (const end of net.ends) {
      expect(end.of('selected')).toHaveLength(2);
      expect(end.agent.pairs()).toHaveLength(9);
      expect(end.agent.pairs().every(({ valid }) => valid)).toBe(true);
      expect(end.of('consent-lost')).toHaveLength(0);
    }
    expect(net.ends[0].of('selected').at(-1)?.pair.id).toBe(old?.id);
  });
});

describe('interfaces that die, kernels that refuse', () => {
  it('withdraws the pairs of a lost base and goes on with the others', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }).start().run(10_000);
    const [left] = net.ends;
    net.feed(left, { type: 'base-lost', base: 'L/eth0' });
    net.run(12_000);
    expect(left.agent.pairs()).toHaveLength(6);
    expect(left.of('consent-lost').map(({ reason }) => reason)).toEqual(['base-lost', 'base-lost', 'base-lost']);
    expect(left.of('selected').at(-1)?.pair.local.interface).toBe('wlan0');
  });

  it('gives a pair up early when every send is refused, and counts none of them as sent', () => {
    const refuse = ({ send }: Packet) => (send.base === 'L/wwan0' ? 'ENETUNREACH' : null);
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }, { refuse }).start().run(10_000);
    const refused = net.ends[0].agent.pairs().filter(({ base }) => base === 'L/wwan0');
    expect(refused).toHaveLength(3);
    for (const pair of refused) expect(pair).toMatchObject({ state: 'failed', requestsSent: 0 });
    expect(net.ends[0].of('checks-done')).not.toHaveLength(0);
    expect(net.ends[0].agent.pairs().filter(({ valid }) => valid)).toHaveLength(6);
  });
});

describe('arms', () => {
  it('checks a pair again in another arm, answers in the arm of the request, and says once more that it is valid', () => {
    const filter = ({ send }: Packet) => send.arm === 'stun';
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }, { drop: filter }).start().run(8000);
    for (const end of net.ends) expect(end.of('valid')).toHaveLength(0);
    for (const end of net.ends) {
      for (const { id } of end.agent.pairs()) net.feed(end, { type: 'pair-arm', pair: id, arm: 'stun~40' });
    }
    net.run(16_000);
    for (const end of net.ends) {
      expect(end.of('valid').map(({ pair }) => pair.arm)).toEqual(['stun~40']);
      expect(end.of('selected')).toHaveLength(1);
    }
    const [left] = net.ends;
    net.feed(left, { type: 'pair-arm', pair: left.agent.pairs()[0]?.id ?? '', arm: 'stun~cookie' });
    net.run(20_000);
    expect(left.of('valid').map(({ pair }) => pair.arm)).toEqual(['stun~40', 'stun~cookie']);
    expect(
      net.ends[1].of('send').filter(({ arm, purpose }) => purpose === 'response' && arm === 'stun~cookie'),
    ).not.toEqual([]);
  });

  it('comes up where an arm leaves nothing of a message but its integrity', () => {
    const arm = 'stun~attributes';
    const net = new Network({ interfaces: single(1), arm }, { interfaces: single(2), arm }, { strip: true });
    for (const end of net.start().run(8000).ends) {
      expect(end.of('valid').map(({ pair }) => [pair.arm, pair.local.type])).toEqual([[arm, 'host']]);
    }
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
