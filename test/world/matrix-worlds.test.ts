import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildProbe } from '../../src/mutation/probe.js';
import { BoxChain } from '../../src/world/box-chain.js';
import { buildBoxes } from '../../src/world/box-description.js';
import { boxesSchema } from '../../src/world/box-schema.js';
import { IPV4_ONLY } from '../../src/world/dns.js';
import { Network, type NetworkNode, type Plug } from '../../src/world/network.js';
import { isIcmpError, type Packet } from '../../src/world/packet.js';
import { present, source, udp } from './packets.js';

/** That each world of verdicts.md's matrix can be said in a scenario file, and does to packets what its row says. */
const NAT = 'nat: { mapping: eim, filtering: apdf, ports: preserving }';
const [HOST, PEER, SERVER] = ['10.10.0.2', '203.0.113.1:6000', '192.0.2.10:3478'];
const OUTSIDE = '198.51.100.18';

class Wire implements NetworkNode {
  readonly seen: Packet[] = [];
  plug: Plug | null = null;

  plugIn(_port: string, plug: Plug): void {
    this.plug = plug;
  }

  receive(packet: Packet): void {
    this.seen.push(packet);
  }
}

/** A carrier with wires on both sides. */
class World {
  readonly network = new Network(new SeededRandom(1));
  readonly inside = new Wire();
  readonly outside = new Wire();

  constructor(yaml: string) {
    const boxes = buildBoxes(boxesSchema.parse(parse(yaml, { schema: 'failsafe' })), {
      customer: { ipv4: HOST },
      gateway: { ipv4: '10.10.0.1' },
      pool: [OUTSIDE],
      between: (nat) => ({ near: `100.64.1.${nat * 4 - 2}`, far: `100.64.1.${nat * 4 - 3}` }),
      router: (number) => ({ ipv4: `198.18.1.${number + 1}` }),
      resolver: { ipv4: '198.18.1.53' },
      clat: '2001:db8:1::c1a7',
      zone: IPV4_ONLY,
      random: new SeededRandom(1),
    });
    const chain = new BoxChain(boxes, () => OUTSIDE);
    this.network.connect({ node: this.inside, port: 'in' }, { node: chain, port: 'inside' });
    this.network.connect({ node: chain, port: 'outside' }, { node: this.outside, port: 'out' });
  }

  /** What comes out on the other side of what is sent now; `null`: nothing. */
  out(to: string, payload: Uint8Array | number = 8, port = 5000): Packet | null {
    return this.#through(udp(`${HOST}:${port}`, to, payload), this.inside, this.outside);
  }

  in(from: string, payload: Uint8Array | number = 8, port = 5000): Packet | null {
    return this.#through(udp(from, `${OUTSIDE}:${port}`, payload), this.outside, this.inside);
  }

  wait(ms: number): void {
    this.network.runUntil(this.network.now + ms);
  }

  #through(packet: Packet, from: Wire, to: Wire): Packet | null {
    const before = to.seen.length;
    present(from.plug).send(packet);
    this.wait(0.001);
    return to.seen[before] ?? null;
  }
}

const key = new Uint8Array(32).fill(7);
let counter = 0;
const arm = (name: string): Uint8Array =>
  buildProbe(name, { key, counter: (counter += 1), random: new SeededRandom(counter) }).bytes;
const passes = (packet: Packet | null): boolean => packet !== null;
/** Arms that get out, each on a flow of its own. */
const passing = (world: World): string[] =>
  ARM_NAMES.filter((name, index) => passes(world.out(PEER, arm(name), 20_000 + index)));

const filtered = (rule: string): World => new World(`[hop, filter: [${rule}], ${NAT}]`);

describe('which arms pass', () => {
  it.each([
    ['matrix-ndpi', 'ndpi', ['random', 'stun~length', 'stun~type', 'stun~40~cookie', 'dtls', 'quic']],
    ['matrix-zapret', 'zapret', ['random', 'stun~40', 'stun~cookie', 'stun~length', 'stun~40~cookie', 'dtls', 'quic']],
    ['matrix-stun-shape', 'stun-shape', ['random', 'dtls', 'quic']],
  ] as const)('%s', (_row, classifier, expected) => {
    const arms = passing(filtered(`{ match: { classifier: ${classifier} }, action: drop }`));
    expect([...arms].sort()).toEqual([...expected].sort());
  });

  it('matrix-flow-dpi: a flow that begins with STUN is dead, one that begins with the control carries STUN too', () => {
    const cookie = 'bytes: { at: 4, are: 21 12 a4 42 }';
    const world = filtered(`{ match: { first-of-flow: yes, ${cookie} }, action: { residual: 120 s } }`);
    expect(passes(world.out(PEER, arm('stun'), 1))).toBe(false);
    expect(passes(world.out(PEER, arm('random'), 1))).toBe(false);
    expect(passes(world.out(PEER, arm('random'), 2))).toBe(true);
    expect(passes(world.out(PEER, arm('stun'), 2))).toBe(true);
  });
});

it('matrix-port: only remote ports 53, 443 and 3478', () => {
  const world = filtered('{ match: { remote-ports-except: [53, 443, 3478] }, action: drop }');
  expect([SERVER, PEER, '203.0.113.1:443'].map((to) => passes(world.out(to)))).toEqual([true, false, true]);
});

it('matrix-size: UDP over 1000 bytes', () => {
  const world = filtered('{ match: { larger-than: 1000 bytes }, action: drop }');
  expect([1000, 1001].map((size) => passes(world.out(PEER, size)))).toEqual([true, false]);
});

it('matrix-rate: 100 packets a second, of 1000 in one second', () => {
  const world = filtered('{ action: { throttle: 100 packets/s } }');
  let passed = 0;
  for (let sent = 0; sent < 1000; sent += 1) {
    passed += passes(world.out(PEER)) ? 1 : 0;
    world.wait(1);
  }
  // What may come at once is a tenth of a second's.
  expect(passed).toBeGreaterThanOrEqual(100);
  expect(passed).toBeLessThanOrEqual(112);
});

it('matrix-residual: a trigger blocks its tuple for 120 s, and no other', () => {
  const world = filtered('{ match: { classifier: zapret }, action: { residual: 120 s } }');
  expect(passes(world.out(PEER, arm('stun'), 1))).toBe(false);
  expect([passes(world.out(PEER, 8, 1)), passes(world.out(PEER, 8, 2))]).toEqual([false, true]);
  world.wait(119_000);
  expect(passes(world.out(PEER, 8, 1))).toBe(false);
  world.wait(1_000);
  expect(passes(world.out(PEER, 8, 1))).toBe(true);
});

describe('matrix-rewrite', () => {
  it('bytes at a place', () => {
    const world = filtered('{ action: { rewrite: { at: 2, with: ff ff } } }');
    expect(present(world.out(PEER, Uint8Array.of(1, 2, 3, 4, 5))).payload).toEqual(Uint8Array.of(1, 2, 255, 255, 5));
  });

  it('an ALG: the inside’s address becomes the NAT’s, of the next NAT where there are two, and back', () => {
    const world = filtered('{ action: translate }');
    const [inside, outside] = [Uint8Array.of(10, 10, 0, 2), Uint8Array.of(198, 51, 100, 18)];
    expect(present(world.out(PEER, inside)).payload).toEqual(outside);
    expect(present(world.in(PEER, outside)).payload).toEqual(inside);
    const tethered = new World(`[hop, filter: [{ action: translate }], nat: linux-guarded, hop, ${NAT}]`);
    expect(present(tethered.out(PEER, inside)).payload).toEqual(Uint8Array.of(100, 64, 1, 2));
  });
});

it('matrix-ecmp: 1 of 4 members drops (4 σ of 2000 flows)', () => {
  const world = new World(`[hop, ecmp: { members: 4, filter: [{ action: drop }] }, ${NAT}]`);
  const alive = Array.from({ length: 2000 }, (_, flow) => passes(world.out(PEER, 8, 10_000 + flow))).filter(Boolean);
  expect(Math.abs(alive.length - 1500)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * 0.25 * 0.75));
});

it('matrix-early-packet: a packet that comes before the first of the inside spoils an unguarded Linux NAT', () => {
  for (const [nat, port] of [
    ['linux-guarded', true],
    ['linux-unguarded', false],
  ] as const) {
    const world = new World(`[hop, nat: ${nat}]`);
    world.in(PEER);
    const out = present(world.out(PEER));
    expect([nat, source(out) === `${OUTSIDE}:5000`]).toEqual([nat, port]);
  }
});

it('matrix-admin-prohibited: type, code and sender', () => {
  const world = filtered('{ match: { remote-except: servers }, action: { reject: admin-prohibited } }');
  expect(passes(world.out(PEER))).toBe(false);
  const [error] = world.inside.seen;
  expect(error && isIcmpError(error) && [error.icmp.type, error.icmp.code, error.source]).toEqual([3, 13, '10.10.0.1']);
  expect(passes(world.out(SERVER))).toBe(true);
});

it('matrix-one-way: down is dropped outside the NAT, up is not', () => {
  const world = new World(`[hop, ${NAT}, filter: [{ match: { heading: in, remote-except: servers }, action: drop }]]`);
  expect(passes(world.out(PEER))).toBe(true);
  expect(passes(world.in(PEER))).toBe(false);
  world.out(SERVER);
  expect(passes(world.in(SERVER))).toBe(true);
});
