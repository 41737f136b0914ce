import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { LinuxNat } from '../../src/world/linux-nat.js';
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
    // Towards everybody else it is where it was.
    const other = across(box, udp(LEFT, REFERENCE[1]), 'inside');
    expect(other && source(other)).toBe(`${LEFT_OUTSIDE}:5000`);
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
