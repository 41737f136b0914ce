import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import { LinuxNat } from '../../src/world/linux-nat.js';
import { echoRequest, type Packet, TCP_FLAGS, tcpPacket } from '../../src/world/packet.js';
import { across, destination, source, through, udp } from './packets.js';

const [LEFT, RIGHT] = ['10.1.0.2:5000', '10.2.0.2:6000'];
const [LEFT_OUTSIDE, RIGHT_OUTSIDE] = ['198.51.100.1', '203.0.113.1'];
const REFERENCE = ['192.0.2.1:3478', '192.0.2.2:3479'] as const;

function nat(outside: string, guarded: boolean, seed: string, randomPorts = false): LinuxNat {
  return new LinuxNat({ outside, guarded, randomPorts }, new SeededRandom(seed));
}

/**
 * facts.md's punch: both sides map to the reference, learn one address for two destinations, then send to each other
 * at the same moment. True: packets of both arrive.
 */
function punch(guarded: boolean, seed: number): boolean {
  const left = nat(LEFT_OUTSIDE, guarded, `left ${seed}`);
  const right = nat(RIGHT_OUTSIDE, guarded, `right ${seed}`);
  const reflexive = (box: LinuxNat, host: string): string => {
    const [first, second] = REFERENCE.map((to) => across(box, udp(host, to), 'inside'));
    if (!first || !second) throw new Error('no mapping');
    expect(source(first)).toBe(source(second));
    return source(first);
  };
  const [atLeft, atRight] = [reflexive(left, LEFT), reflexive(right, RIGHT)];
  const arrived = { left: false, right: false };
  // The left is a moment ahead: its first packet is early, as one of the two always is.
  for (let now = 0; now < 2000; now += 200) {
    const fromLeft = across(left, udp(LEFT, atRight), 'inside', now);
    if (fromLeft) arrived.right ||= across(right, fromLeft, 'outside', now + 50) !== null;
    const fromRight = across(right, udp(RIGHT, atLeft), 'inside', now + 100);
    if (fromRight) arrived.left ||= across(left, fromRight, 'outside', now + 150) !== null;
  }
  return arrived.left && arrived.right;
}

describe('a Linux NAT (facts.md, measured with kernel 6.18)', () => {
  it('unguarded: an early packet spoils it, 0 of 20 punches succeed', () => {
    expect(Array.from({ length: 20 }, (_, seed) => punch(false, seed)).filter(Boolean)).toHaveLength(0);
  });

  it('guarded: 20 of 20', () => {
    expect(Array.from({ length: 20 }, (_, seed) => punch(true, seed)).filter(Boolean)).toHaveLength(20);
  });

  it('unguarded: the early packet is refused, claims its tuple, and the mapping towards it moves', () => {
    const box = nat(LEFT_OUTSIDE, false, 'spoil');
    const first = across(box, udp(LEFT, REFERENCE[0]), 'inside');
    expect(first && source(first)).toBe(`${LEFT_OUTSIDE}:5000`);
    const [refusal] = through(box, udp('203.0.113.1:6000', `${LEFT_OUTSIDE}:5000`), 'outside');
    expect(refusal).toMatchObject({ to: 'outside', packet: { source: LEFT_OUTSIDE, icmp: { type: 3, code: 3 } } });
    const moved = across(box, udp(LEFT, '203.0.113.1:6000'), 'inside');
    expect(moved && source(moved)).not.toBe(`${LEFT_OUTSIDE}:5000`);
    // Known flows stay where they were, and new ones follow the one that moved (kernel: `find_appropriate_src`).
    const towards = (to: string) => across(box, udp(LEFT, to), 'inside')?.sourcePort;
    expect(towards(REFERENCE[0])).toBe(5000);
    expect(towards(REFERENCE[1])).toBe(moved?.sourcePort);
  });

  it('the claim ends 30 s after the last early packet (nf_conntrack_udp_timeout)', () => {
    const box = nat(LEFT_OUTSIDE, false, 'timeout');
    through(box, udp('203.0.113.1:6000', `${LEFT_OUTSIDE}:5000`), 'outside', 0);
    const later = across(box, udp(LEFT, '203.0.113.1:6000'), 'inside', 30_000);
    expect(later && source(later)).toBe(`${LEFT_OUTSIDE}:5000`);
  });

  it('an opener that dies before the far NAT makes the punch succeed: the tuple is the own flow’s already', () => {
    const [left, right] = [nat(LEFT_OUTSIDE, false, 'l'), nat(RIGHT_OUTSIDE, false, 'r')];
    // TTL 2 leaves the own NAT and ends on the way.
    across(left, udp(LEFT, `${RIGHT_OUTSIDE}:6000`), 'inside', 0);
    across(right, udp(RIGHT, `${LEFT_OUTSIDE}:5000`), 'inside', 0);
    const fromLeft = across(left, udp(LEFT, `${RIGHT_OUTSIDE}:6000`), 'inside', 500);
    const arrived = fromLeft && across(right, fromLeft, 'outside', 550);
    expect(arrived && [source(arrived), destination(arrived)]).toEqual([`${LEFT_OUTSIDE}:5000`, RIGHT]);
  });

  it('masquerade keeps one port for two destinations, masquerade random has one for each', () => {
    const ports = (box: LinuxNat): number =>
      new Set(REFERENCE.map((to) => across(box, udp(LEFT, to), 'inside')?.sourcePort)).size;
    expect(ports(nat(LEFT_OUTSIDE, true, 'plain'))).toBe(1);
    expect(ports(nat(LEFT_OUTSIDE, true, 'random', true))).toBe(2);
  });

  it('two hosts inside with one port towards one destination get two ports', () => {
    const box = nat(LEFT_OUTSIDE, true, 'two');
    const [one, two] = [LEFT, '10.1.0.3:5000'].map((from) => across(box, udp(from, REFERENCE[0]), 'inside'));
    expect(one?.sourcePort).toBe(5000);
    expect(two?.sourcePort).not.toBe(5000);
    const back = two && across(box, udp(REFERENCE[0], source(two)), 'outside');
    expect(back && destination(back)).toBe('10.1.0.3:5000');
  });
});

/** What test/lab/model-against-kernel.test.ts found in the kernel, for machines that cannot run it. */
describe('conntrack (kernel 6.18)', () => {
  const box = (guarded = true): LinuxNat => nat(LEFT_OUTSIDE, guarded, 'conntrack');
  const back = `${LEFT_OUTSIDE}:5000`;
  const answered = (nat: LinuxNat, now: number): boolean =>
    across(nat, udp(REFERENCE[0], back), 'outside', now) !== null;
  const tcp = (from: string, to: string, ...flags: readonly (keyof typeof TCP_FLAGS)[]): Packet =>
    tcpPacket(parseTransportAddress(from), parseTransportAddress(to), {
      ...{ sequence: 1000, acknowledgment: 7001, window: 1000, options: new Uint8Array(0) },
      flags: flags.reduce((all, flag) => all | TCP_FLAGS[flag], 0),
    });

  it.each([
    ['unanswered: 30 s', [], 30_000],
    ['the first answer makes it no stream: 30 s from there', [5000], 35_000],
    ['neither does a quick exchange', [500, 1000], 31_000],
    ['answered again after 2 s it is a stream: 120 s', [500, 2500], 122_500],
  ])('%s', (_name, answers, endsAt) => {
    for (const [now, lives] of [
      [endsAt - 1, true],
      [endsAt, false],
    ] as const) {
      const nat = box();
      across(nat, udp(LEFT, REFERENCE[0]), 'inside', 0);
      for (const at of answers) expect(answered(nat, at)).toBe(true);
      expect(answered(nat, now)).toBe(lives);
    }
  });

  it.each([
    [400, 1, 511],
    [700, 600, 1023],
    [5000, 1024, 65_535],
  ])('port %i, where it is taken, becomes one of %i to %i', (port, low, high) => {
    const nat = box();
    across(nat, udp(`10.1.0.2:${port}`, REFERENCE[0]), 'inside');
    const moved = across(nat, udp(`10.1.0.3:${port}`, REFERENCE[0]), 'inside')?.sourcePort ?? 0;
    expect(moved).not.toBe(port);
    expect(moved).toBeGreaterThanOrEqual(low);
    expect(moved).toBeLessThanOrEqual(high);
  });

  it('a refused connection frees its port at once, and no segment from nowhere is translated', () => {
    const nat = box();
    expect(across(nat, tcp(LEFT, REFERENCE[0], 'syn'), 'inside')).toMatchObject({ sourcePort: 5000 });
    expect(across(nat, tcp(REFERENCE[0], back, 'rst', 'ack'), 'outside')).not.toBeNull();
    expect(across(nat, tcp('10.1.0.3:5000', REFERENCE[0], 'syn'), 'inside')).toMatchObject({ sourcePort: 5000 });
    expect(across(nat, tcp(LEFT, REFERENCE[1], 'fin', 'ack'), 'inside')).toMatchObject({ source: '10.1.0.2' });
  });

  it('the box answers pings and resets connections from outside, also where it is guarded', () => {
    const nat = box();
    const ping = echoRequest('ipv4', '192.0.2.1', LEFT_OUTSIDE, 77);
    expect(through(nat, ping, 'outside')).toMatchObject([{ to: 'outside', packet: { icmp: { type: 0 } } }]);
    const [reset] = through(nat, tcp(REFERENCE[0], back, 'syn'), 'outside');
    expect(reset).toMatchObject({ to: 'outside', packet: { source: LEFT_OUTSIDE, tcp: { flags: 0x14 } } });
  });

  it('what pretends to come from the box itself is dropped', () => {
    expect(through(box(false), udp(back, back), 'outside')).toEqual([]);
  });
});
