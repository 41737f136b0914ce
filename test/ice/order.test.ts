import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { parseCandidate } from '../../src/ice/candidate.js';
import { parsePolicy } from '../../src/ice/policy.js';
import { Network, single, triple, type EndOptions, type Packet } from './network.js';

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

  it('paces: never two checks or queries within 5 ms, nor repeats within Ta', () => {
    const net = new Network({ interfaces: triple(1) }, { interfaces: triple(2) }, { drop: () => true }).start();
    const sends = net.run(10_000).ends[0].of('send');
    const gaps = sends.slice(1).map(({ at }, index) => at - (sends[index]?.at ?? 0));
    // Each of the 9 pairs is asked for the first time; RFC 8445 §14.2 allows 5 ms.
    expect(new Set(gaps.slice(0, 8))).toEqual(new Set([5]));
    expect(Math.min(...gaps.slice(8))).toBeGreaterThanOrEqual(20);
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
    expect([...firsts.values()].sort((a, b) => a - b)).toEqual([0, 65, 70]);
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
