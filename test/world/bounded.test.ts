import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { FlowTable, makeRoom } from '../../src/world/bounded.js';
import { IcmpBudget } from '../../src/world/box.js';
import { Filter } from '../../src/world/filter.js';
import { Firewall } from '../../src/world/firewall.js';
import { LinuxNat } from '../../src/world/linux-nat.js';
import { Nat } from '../../src/world/nat.js';
import { across, source, udp } from './packets.js';

const HOST = '10.0.0.2';
const PEER = '203.0.113.1:6000';
const EIM_APDF = { mapping: 'eim', filtering: 'apdf', ports: 'preserving', pool: ['198.51.100.2'] } as const;

describe('a table of flows', () => {
  it('holds what fits; what has expired makes room, and whoever indexes it is told', () => {
    const forgotten: string[] = [];
    const table = new FlowTable(2, ({ key }) => forgotten.push(key));
    table.add({ key: 'a', expiresAt: 10 }, 0);
    table.add({ key: 'b', expiresAt: 5000 }, 0);
    expect([table.hasRoom(9), table.get('a', 9)?.key, table.get('a', 10)]).toEqual([false, 'a', null]);
    expect([table.hasRoom(10), forgotten]).toEqual([true, ['a']]);
    table.add({ key: 'c', expiresAt: 20 }, 10);
    expect(table.hasRoom(1009)).toBe(true);
    table.add({ key: 'd', expiresAt: 9999 }, 1009);
    // Full of what lives: the first goes.
    table.add({ key: 'e', expiresAt: 9999 }, 1009);
    expect([forgotten, table.size]).toEqual([['a', 'c', 'b'], 2]);
  });

  it('looks through a full table once a second at most: a flood costs no more than its packets', () => {
    const table = new FlowTable(2);
    table.add({ key: 'a', expiresAt: 10 }, 0);
    table.add({ key: 'b', expiresAt: 500 }, 0);
    expect(table.hasRoom(9)).toBe(false);
    expect(table.hasRoom(600)).toBe(false);
    expect(table.hasRoom(1009)).toBe(true);
  });

  it('makeRoom forgets the first of a map or a set, and only where it is full', () => {
    const set = new Set(['a', 'b']);
    makeRoom(set, 3);
    expect([...set]).toEqual(['a', 'b']);
    makeRoom(set, 2);
    expect([...set]).toEqual(['b']);
  });
});

describe('boxes whose tables are full', () => {
  it('NAT: new mappings are refused (RFC 6888 REQ-4), old ones work on; what expires is free again', () => {
    const nat = new Nat({ ...EIM_APDF, capacity: 2, lifetimeMs: 10_000 }, new SeededRandom(1));
    const out = (port: number, now: number): string | null => {
      const packet = across(nat, udp(`${HOST}:${port}`, PEER), 'inside', now);
      return packet && source(packet);
    };
    expect([out(5000, 0), out(5001, 0), out(5002, 0)]).toEqual(['198.51.100.2:5000', '198.51.100.2:5001', null]);
    expect(out(5000, 5000)).toBe('198.51.100.2:5000');
    // The second has expired, the first was refreshed.
    expect([out(5002, 10_000), out(5001, 10_000)]).toEqual(['198.51.100.2:5002', null]);
    expect(across(nat, udp(PEER, '198.51.100.2:5001'), 'outside', 10_000)).toBeNull();
    expect(across(nat, udp(PEER, '198.51.100.2:5000'), 'outside', 10_000)).not.toBeNull();
  });

  it('NAT: a flood of 200 000 flows in 200 s gets 1000 mappings, and 1000 more when those have expired after 120 s', () => {
    const nat = new Nat({ ...EIM_APDF, ports: 'random', capacity: 1000 }, new SeededRandom(1));
    let passed = 0;
    for (let sent = 0; sent < 200_000; sent += 1) {
      const from = `10.0.${sent >> 16}.2:${1024 + (sent % 60_000)}`;
      passed += across(nat, udp(from, PEER), 'inside', sent / 1000) ? 1 : 0;
    }
    expect(passed).toBe(2000);
  });

  it('Linux NAT: of a full table the first flow that nobody answered goes (early_drop), else the packet is dropped', () => {
    const nat = new LinuxNat({ outside: '198.51.100.2', guarded: true, capacity: 2 }, new SeededRandom(1));
    const out = (port: number, now = 0): boolean => across(nat, udp(`${HOST}:${port}`, PEER), 'inside', now) !== null;
    const back = (port: number, now = 0): boolean =>
      across(nat, udp(PEER, `198.51.100.2:${port}`), 'outside', now) !== null;
    expect([out(5000), out(5001), back(5001)]).toEqual([true, true, true]);
    expect(out(5002)).toBe(true);
    expect([back(5000), back(5001), back(5002)]).toEqual([false, true, true]);
    // Now both were answered.
    expect([out(5003), out(5001), out(5002)]).toEqual([false, true, true]);
    // 120 s (nf_conntrack_udp_timeout_stream) after the last answer they are gone.
    expect(out(5003, 120_000)).toBe(true);
  });

  it('Linux NAT without a guard: claims from outside are flows of the table, too', () => {
    const nat = new LinuxNat({ outside: '198.51.100.2', guarded: false, capacity: 100 }, new SeededRandom(1));
    expect(across(nat, udp(`${HOST}:5000`, PEER), 'inside')).not.toBeNull();
    for (let port = 1; port <= 1000; port += 1) across(nat, udp(`192.0.2.1:${port}`, '198.51.100.2:9'), 'outside');
    expect(across(nat, udp(PEER, '198.51.100.2:5000'), 'outside')).toBeNull();
  });

  it('Linux NAT: where every port towards one address is taken, the packet is dropped and nothing hangs', () => {
    const nat = new LinuxNat({ outside: '198.51.100.2', guarded: true, randomPorts: true }, new SeededRandom(1));
    let passed = 0;
    for (let port = 1; port <= 0xffff; port += 1)
      passed += across(nat, udp(`${HOST}:${port}`, PEER), 'inside') === null ? 0 : 1;
    // Privileged ports stay among themselves: 1–511, 600–1023, and all others.
    expect(passed).toBeLessThanOrEqual(511 + 424 + 64_512);
    expect(passed).toBeGreaterThan(60_000);
  });

  it('firewall: packets of new flows are dropped, known ones pass', () => {
    const wall = new Firewall({ families: ['ipv4'], capacity: 1, lifetimeMs: 10_000 });
    const out = (port: number, now: number): boolean =>
      across(wall, udp(`${HOST}:${port}`, PEER), 'inside', now) !== null;
    expect([out(5000, 0), out(5001, 0), out(5000, 0)]).toEqual([true, false, true]);
    expect(out(5001, 10_000)).toBe(true);
    expect(across(wall, udp(PEER, `${HOST}:5000`), 'outside', 10_000)).toBeNull();
  });

  it('filter: a flow that it has forgotten, or that was idle for long, is a new one', () => {
    const drop = { type: 'drop' } as const;
    const box = new Filter([{ match: { firstOfFlow: true }, action: drop }], 2);
    const passes = (port: number, now = 0): boolean =>
      across(box, udp(`${HOST}:${port}`, PEER), 'inside', now) !== null;
    expect([passes(1), passes(1), passes(2), passes(2)]).toEqual([false, true, false, true]);
    expect([passes(3), passes(2), passes(1)]).toEqual([false, true, false]);
    expect([passes(1, 119_999), passes(1, 239_998), passes(1, 359_998)]).toEqual([true, true, false]);
  });

  it('filter: residual blocks are forgotten when too many tuples have one', () => {
    const box = new Filter([{ match: { largerThanBytes: 100 }, action: { type: 'residual', forMs: 60_000 } }], 2);
    const passes = (port: number, size: number): boolean =>
      across(box, udp(`${HOST}:${port}`, PEER, size), 'inside') !== null;
    expect([passes(1, 200), passes(2, 200), passes(1, 8), passes(2, 8)]).toEqual([false, false, false, false]);
    expect([passes(3, 200), passes(1, 8), passes(2, 8)]).toEqual([false, true, false]);
  });

  it('ICMP: 6 at once and 1 a second to one destination, also among thousands of others (icmp_ratelimit)', () => {
    const budget = new IcmpBudget();
    const taken = (now: number): number =>
      Array.from({ length: 10 }, () => budget.take(HOST, now)).filter(Boolean).length;
    expect(taken(0)).toBe(6);
    for (let other = 0; other < 1000; other += 1) budget.take(`10.1.${other >> 8}.${other & 255}`, 0);
    expect([taken(0), taken(1000), taken(3000)]).toEqual([0, 1, 2]);
  });
});
