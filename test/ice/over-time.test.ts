import { describe, expect, it } from 'vitest';
import { fraction, SeededRandom } from '../../src/base/random.js';
import { Network, single, triple, type Packet } from './network.js';

const RTT = 20;

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

  it('is kept where half of all checks are lost, and asked for five times as often until an answer comes', () => {
    let lost = 0;
    for (let seed = 0; seed < 20; seed += 1) {
      const random = new SeededRandom(seed);
      const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }).start().run(5000);
      // Once per check and its answer, 0.71² = ½: of six in 30 s all are lost once in 64 times.
      net.options = { ...net.options, drop: () => fraction(random) > Math.SQRT1_2 };
      net.run(605_000);
      const [left] = net.ends;
      lost += net.ends.reduce((sum, end) => sum + end.of('consent-lost').length, 0);
      const times = left.of('send').flatMap(({ purpose, at }) => (purpose === 'consent' ? [at] : []));
      const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(800);
      expect(gaps.filter((gap) => gap > 1200 + 20 && gap < 4000)).toEqual([]);
    }
    expect(lost).toBe(0);
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
