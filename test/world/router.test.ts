import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { BoxChain } from '../../src/world/box-chain.js';
import { Hop } from '../../src/world/hop.js';
import { LinuxNat } from '../../src/world/linux-nat.js';
import type { LinkOptions } from '../../src/world/link.js';
import { Network, type NetworkNode, type Plug } from '../../src/world/network.js';
import { echoRequest, isIcmpError, type Packet } from '../../src/world/packet.js';
import { Router, type RouterOptions } from '../../src/world/router.js';
import { destination, present, source, udp } from './packets.js';

/** An end that keeps what comes. */
class End implements NetworkNode {
  readonly received: { packet: Packet; at: number }[] = [];
  #plug: Plug | null = null;
  #network: Network | null = null;

  plugIn(_port: string, plug: Plug, network: Network): void {
    this.#plug = plug;
    this.#network = network;
  }

  receive(packet: Packet): void {
    this.received.push({ packet, at: this.#network?.now ?? 0 });
  }

  send(packet: Packet): void {
    this.#plug?.send(packet);
  }
}

const [LEFT, RIGHT] = ['192.0.2.2:5000', '198.51.100.2:6000'];

/** left — router — right, 10 ms each link. */
function line(
  options: Partial<RouterOptions> = {},
  towards: LinkOptions = {},
): { left: End; right: End; run: () => void } {
  const network = new Network(new SeededRandom(1));
  const router = new Router({
    addresses: { ipv4: '192.0.2.1' },
    routes: [
      { to: '192.0.2.0/24', via: 'left' },
      { to: '198.51.100.0/24', via: 'right' },
    ],
    ...options,
  });
  const [left, right] = [new End(), new End()];
  network.connect({ node: left, port: 'eth0' }, { node: router, port: 'left' }, { delayMs: 10 });
  network.connect({ node: router, port: 'right' }, { node: right, port: 'eth0' }, { delayMs: 10, ...towards });
  return {
    left,
    right,
    run: () => {
      network.runUntil(1000);
    },
  };
}

/** The error that the left end got. */
function errorAt({ received }: End): { from: string; type: number; code: number; mtu: number | null; quotes: string } {
  const { packet } = present(received[0]);
  if (!isIcmpError(packet)) throw new Error('that is no ICMP error');
  const { type, code, mtuBytes, quoted } = packet.icmp;
  return { from: packet.source, type, code, mtu: mtuBytes, quotes: `${source(quoted)} → ${destination(quoted)}` };
}

const QUOTES = `${LEFT} → ${RIGHT}`;

describe('a router', () => {
  it('forwards after the delay of both links, with one less to live', () => {
    const { left, right, run } = line();
    left.send(udp(LEFT, RIGHT, 8, 64));
    run();
    expect(right.received).toMatchObject([{ at: 20, packet: { ttl: 63 } }]);
  });

  it('RFC 1812 §5.3.1: where the TTL ends it says time exceeded, 11/0', () => {
    const { left, right, run } = line();
    left.send(udp(LEFT, RIGHT, 8, 1));
    run();
    expect(right.received).toEqual([]);
    expect(errorAt(left)).toEqual({ from: '192.0.2.1', type: 11, code: 0, mtu: null, quotes: QUOTES });
  });

  it('says nothing where it is silent', () => {
    const { left, run } = line({ silent: true });
    left.send(udp(LEFT, RIGHT, 8, 1));
    run();
    expect(left.received).toEqual([]);
  });

  it('a switch takes nothing off the TTL', () => {
    const { left, right, run } = line({ keepsTtl: true });
    left.send(udp(LEFT, RIGHT, 8, 1));
    run();
    expect(right.received).toMatchObject([{ packet: { ttl: 1 } }]);
  });

  it('RFC 1191 §4: too big for the next link is 3/4 with its MTU', () => {
    const { left, right, run } = line({}, { mtuBytes: 1280 });
    left.send(udp(LEFT, RIGHT, 1253));
    left.send(udp(LEFT, RIGHT, 1252));
    run();
    expect(right.received).toHaveLength(1);
    expect(errorAt(left)).toEqual({ from: '192.0.2.1', type: 3, code: 4, mtu: 1280, quotes: QUOTES });
  });

  it('no route is 3/0, an unreachable one 3/1, a black hole nothing', () => {
    for (const [to, expected] of [
      ['203.0.113.1:1', [3, 0]],
      ['198.51.100.7:1', [3, 1]],
      ['198.51.100.8:1', null],
    ] as const) {
      const { left, run } = line({
        routes: [
          { to: '192.0.2.0/24', via: 'left' },
          { to: '198.51.100.7', via: { discard: 'unreachable' } },
          { to: '198.51.100.8', via: { discard: 'blackhole' } },
        ],
      });
      left.send(udp(LEFT, to));
      run();
      const got = left.received.map(({ packet }) => [packet.icmp?.type, packet.icmp?.code]);
      expect(got).toEqual(expected === null ? [] : [expected]);
    }
  });

  it('answers pings after one round trip', () => {
    const { left, run } = line();
    left.send(echoRequest('ipv4', '192.0.2.2', '192.0.2.1', 7));
    run();
    expect(left.received).toMatchObject([{ at: 20, packet: { destinationPort: 7, icmp: { type: 0 } } }]);
  });

  it('sends as many errors as Linux does: six at once to one destination', () => {
    const { left, run } = line();
    for (let index = 0; index < 100; index += 1) left.send(udp(LEFT, RIGHT, 8, 1));
    run();
    expect(left.received).toHaveLength(6);
  });

  it('ECMP: a flow stays on its member, and 4 members share 4000 flows evenly (4 σ)', () => {
    const network = new Network(new SeededRandom(1));
    const members = ['m0', 'm1', 'm2', 'm3'];
    const router = new Router({ addresses: {}, routes: [{ to: '198.51.100.0/24', via: members }] });
    const ends = members.map((port) => {
      const end = new End();
      network.connect({ node: router, port }, { node: end, port: 'eth0' });
      return end;
    });
    for (let flow = 0; flow < 4000; flow += 1) {
      for (let time = 0; time < 2; time += 1) router.receive(udp(`192.0.2.2:${10_000 + flow}`, RIGHT));
    }
    network.runUntil(1);
    for (const { received } of ends) {
      const flows = new Set(received.map(({ packet }) => packet.sourcePort));
      expect(received).toHaveLength(2 * flows.size);
      expect(Math.abs(flows.size - 1000)).toBeLessThan(4 * Math.sqrt(4000 * 0.25 * 0.75));
    }
  });
});

describe('boxes in a row', () => {
  /** left — [hop 10.0.0.1, NAT, hop 100.64.0.1, NAT] — right: a phone that tethers behind a CGNAT. */
  function tethered(link: LinkOptions = {}): { left: End; right: End; run: () => void } {
    const network = new Network(new SeededRandom(1));
    const random = new SeededRandom('nat');
    const chain = new BoxChain(
      [
        new Hop({ addresses: { ipv4: '10.0.0.1' } }),
        new LinuxNat({ outside: '100.64.0.2', guarded: true }, random),
        new Hop({ addresses: { ipv4: '100.64.0.1' } }),
        new LinuxNat({ outside: '203.0.113.2', guarded: true }, random),
      ],
      () => '10.0.0.1',
    );
    const [left, right] = [new End(), new End()];
    network.connect({ node: left, port: 'eth0' }, { node: chain, port: 'inside' });
    network.connect({ node: chain, port: 'outside' }, { node: right, port: 'eth0' }, link);
    return {
      left,
      right,
      run: () => {
        network.runUntil(1000);
      },
    };
  }

  it.each([
    [1, '10.0.0.1'],
    [2, '100.64.0.1'],
  ])('TTL %i ends at %s, which says so to the host inside, in its own words', (ttl, from) => {
    const { left, right, run } = tethered();
    left.send(udp('10.0.0.2:5000', RIGHT, 8, ttl));
    run();
    expect(right.received).toEqual([]);
    expect(errorAt(left)).toEqual({ from, type: 11, code: 0, mtu: null, quotes: `10.0.0.2:5000 → ${RIGHT}` });
  });

  it('TTL 3 leaves both NATs (facts.md: the desktop’s opener behind a phone and a CGNAT)', () => {
    const { left, right, run } = tethered();
    left.send(udp('10.0.0.2:5000', RIGHT, 8, 3));
    run();
    expect(right.received.map(({ packet }) => [source(packet), packet.ttl])).toEqual([['203.0.113.2:5000', 1]]);
    expect(left.received).toEqual([]);
  });

  it('an error from beyond comes back through both NATs to who sent', () => {
    const { left, run } = tethered({ mtuBytes: 1280 });
    left.send(udp('10.0.0.2:5000', RIGHT, 1400));
    run();
    expect(errorAt(left)).toMatchObject({ type: 3, code: 4, mtu: 1280, quotes: `10.0.0.2:5000 → ${RIGHT}` });
  });
});

it('taps see what leaves and what comes, with the time', () => {
  const network = new Network(new SeededRandom(1));
  const [left, right] = [new End(), new End()];
  const places = [
    { node: left, port: 'eth0' },
    { node: right, port: 'eth0' },
  ] as const;
  network.connect(...places, { delayMs: 10 });
  const seen: [string, number][] = [];
  for (const place of places) network.tap(place, (_packet, direction, now) => seen.push([direction, now]));
  left.send(udp(LEFT, RIGHT));
  network.runUntil(100);
  expect(seen).toEqual([
    ['sent', 0],
    ['received', 10],
  ]);
});
