import { expect, it } from 'vitest';
import type { Box } from '../../src/world/box.js';
import { Ecmp } from '../../src/world/ecmp.js';
import { Filter } from '../../src/world/filter.js';
import { Hop } from '../../src/world/hop.js';
import { isIcmpError } from '../../src/world/packet.js';
import { across, through, udp } from './packets.js';

const HOST = '10.0.0.2';
const PEER = '203.0.113.1:6000';
const drop = (): Box => new Filter([{ match: {}, action: { type: 'drop' } }]);
const passes = (box: Box, port: number): boolean => across(box, udp(`${HOST}:${port}`, PEER), 'inside') !== null;

it('1 of 4 members drops: a quarter of the flows die (4 σ of 4000), a flow lives or dies as a whole, both ways', () => {
  const box = new Ecmp([[], [], [drop()], []]);
  const flows = Array.from({ length: 4000 }, (_, index) => 10_000 + index);
  const dead = flows.filter((port) => !passes(box, port));
  expect(Math.abs(dead.length - 1000)).toBeLessThanOrEqual(4 * Math.sqrt(4000 * 0.25 * 0.75));
  for (const port of flows) {
    const lives = passes(box, port);
    expect(across(box, udp(PEER, `${HOST}:${port}`), 'outside') !== null).toBe(lives);
    expect(passes(box, port)).toBe(lives);
  }
});

it('one member is a plain way; none is refused', () => {
  const packet = udp(`${HOST}:1`, PEER);
  expect(across(new Ecmp([[]]), packet, 'inside')).toBe(packet);
  expect(() => new Ecmp([])).toThrow(RangeError);
});

it('boxes of a member stand in a row, and what they send back comes back', () => {
  const hops = ['198.18.0.1', '198.18.0.2'].map((ipv4) => new Hop({ addresses: { ipv4 } }));
  const box = new Ecmp([hops]);
  expect(across(box, udp(`${HOST}:1`, PEER, 8, 64), 'inside')?.ttl).toBe(62);
  expect(across(box, udp(PEER, `${HOST}:1`, 8, 64), 'outside')?.ttl).toBe(62);
  const told = (ttl: number, from: 'inside' | 'outside'): string[] =>
    through(box, from === 'inside' ? udp(`${HOST}:1`, PEER, 8, ttl) : udp(PEER, `${HOST}:1`, 8, ttl), from).map(
      ({ packet, to }) => `${packet.source} ${to} ${String(isIcmpError(packet))}`,
    );
  expect([told(1, 'inside'), told(2, 'inside')]).toEqual([['198.18.0.1 inside true'], ['198.18.0.2 inside true']]);
  expect([told(1, 'outside'), told(2, 'outside')]).toEqual([['198.18.0.2 outside true'], ['198.18.0.1 outside true']]);
});
