import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { Nat, type NatOptions } from '../../src/world/nat.js';
import { echoReply, echoRequest, icmpError, isIcmpError } from '../../src/world/packet.js';
import { across, destination, present, source, through, udp } from './packets.js';

const HOST = '10.0.0.2:5000';
const OUTSIDE = '198.51.100.2';
const [A, A2, B] = ['192.0.2.1:3478', '192.0.2.1:3479', '192.0.2.2:3478'];

function nat(options: Partial<NatOptions> = {}, seed = 1): Nat {
  const all: NatOptions = { mapping: 'eim', filtering: 'apdf', ports: 'random', pool: [OUTSIDE], ...options };
  return new Nat(all, new SeededRandom(seed));
}

/** The outside address that `from` has towards `to`. */
function mapped(box: Nat, from: string, to: string, now = 0): string {
  const out = across(box, udp(from, to), 'inside', now);
  if (!out) throw new Error(`nothing came out towards ${to}`);
  expect(destination(out)).toBe(to);
  return source(out);
}

const enters = (box: Nat, from: string, to: string, now = 0): string | null => {
  const inside = across(box, udp(from, to), 'outside', now);
  return inside && destination(inside);
};

describe('RFC 4787 §4.1, mapping', () => {
  it.each([
    ['eim', [true, true]],
    ['adm', [true, false]],
    ['apdm', [false, false]],
  ] as const)('%s: the same port towards another port, another address: %j', (mapping, expected) => {
    const box = nat({ mapping });
    const first = mapped(box, HOST, A);
    expect([mapped(box, HOST, A2) === first, mapped(box, HOST, B) === first]).toEqual(expected);
    expect(mapped(box, HOST, A)).toBe(first);
  });
});

describe('RFC 4787 §5, filtering (REQ-8)', () => {
  describe.each(['eim', 'adm', 'apdm'] as const)('with %s', (mapping) => {
    it.each([
      ['eif', [true, true, true]],
      ['adf', [true, true, false]],
      ['apdf', [true, false, false]],
    ] as const)('%s: the contacted end, its other port, another address may answer: %j', (filtering, expected) => {
      const box = nat({ mapping, filtering });
      const outside = mapped(box, HOST, A);
      expect([A, A2, B].map((from) => enters(box, from, outside) === HOST)).toEqual(expected);
    });
  });

  it('nothing enters at a port that nobody has', () => {
    const box = nat({ filtering: 'eif', ports: 'preserving' });
    mapped(box, HOST, A);
    expect(enters(box, A, `${OUTSIDE}:5001`)).toBeNull();
  });
});

describe('ports', () => {
  it('preserving: the inside port, or another where that is taken (REQ-3: none is shared)', () => {
    const box = nat({ ports: 'preserving' });
    expect(mapped(box, HOST, A)).toBe(`${OUTSIDE}:5000`);
    const second = mapped(box, '10.0.0.3:5000', A);
    expect(second).not.toBe(`${OUTSIDE}:5000`);
    expect(enters(box, A, second)).toBe('10.0.0.3:5000');
  });

  it('REQ-3a: a port below 1024 becomes one below 1024, others do not', () => {
    const box = nat();
    const port = (text: string): number => Number(text.split(':')[1]);
    for (let host = 2; host < 100; host += 1) {
      expect(port(mapped(box, `10.0.0.${host}:53`, A))).toBeLessThan(1024);
      expect(port(mapped(box, `10.0.0.${host}:5000`, A))).toBeGreaterThanOrEqual(1024);
    }
  });

  it('contiguous: one after the other', () => {
    const box = nat({ ports: 'contiguous', mapping: 'apdm' });
    const ports = [A, A2, B].map((to) => Number(mapped(box, HOST, to).split(':')[1]));
    expect(ports.map((port) => port - (ports[0] ?? 0))).toEqual([0, 1, 2]);
  });

  it('random: another seed, other ports; the same seed, the same', () => {
    expect(mapped(nat({}, 1), HOST, A)).toBe(mapped(nat({}, 1), HOST, A));
    expect(mapped(nat({}, 1), HOST, A)).not.toBe(mapped(nat({}, 2), HOST, A));
  });

  it('drops what finds no port free', () => {
    const box = nat({ ports: 'preserving' });
    for (let host = 1; host <= 1023; host += 1) mapped(box, `10.0.${host >> 8}.${host & 255}:53`, A);
    expect(across(box, udp('10.1.0.1:53', A), 'inside')).toBeNull();
  });
});

it('REQ-2: paired pooling gives a host one outside address, arbitrary pooling several', () => {
  const pool = ['198.51.100.2', '198.51.100.3', '198.51.100.4', '198.51.100.5'];
  const addresses = (pooling: 'paired' | 'arbitrary'): number => {
    const box = nat({ pool, pooling });
    return new Set(Array.from({ length: 64 }, (_, i) => mapped(box, `10.0.0.2:${5000 + i}`, A).split(':')[0])).size;
  };
  expect(addresses('paired')).toBe(1);
  expect(addresses('arbitrary')).toBe(4);
});

describe('lifetime', () => {
  it('REQ-5: without traffic a mapping is gone after its time and not before', () => {
    const box = nat({ lifetimeMs: 120_000 });
    const first = mapped(box, HOST, A, 0);
    expect(enters(box, A, first, 119_999)).toBe(HOST);
    expect(enters(box, A, first, 120_000)).toBeNull();
    expect(mapped(box, HOST, A, 120_001)).not.toBe(first);
  });

  it('REQ-6: outbound traffic refreshes, inbound only where it is told to', () => {
    for (const inboundRefreshes of [false, true]) {
      const box = nat({ lifetimeMs: 120_000, inboundRefreshes });
      const outside = mapped(box, HOST, A, 0);
      expect(mapped(box, HOST, A, 100_000)).toBe(outside);
      expect(enters(box, A, outside, 200_000)).toBe(HOST);
      expect(enters(box, A, outside, 230_000)).toBe(inboundRefreshes ? HOST : null);
    }
  });
});

describe('REQ-9, hairpinning', () => {
  const other = '10.0.0.3:6000';

  it.each(['external', 'internal'] as const)('%s: loops back, and shows that source', (hairpin) => {
    const box = nat({ hairpin, filtering: 'eif' });
    const [one, two] = [mapped(box, HOST, A), mapped(box, other, A)];
    const [looped] = through(box, udp(HOST, two), 'inside');
    expect(looped?.to).toBe('inside');
    expect(looped && destination(looped.packet)).toBe(other);
    expect(looped && source(looped.packet)).toBe(hairpin === 'external' ? one : HOST);
  });

  it('none: nothing comes back', () => {
    const box = nat({ hairpin: 'none', filtering: 'eif' });
    const outside = mapped(box, other, A);
    expect(through(box, udp(HOST, outside), 'inside')).toEqual([]);
  });
});

describe('ICMP', () => {
  it('REQ-10, RFC 5508 §4: an error about an outbound packet reaches its sender, who recognises what is quoted', () => {
    const box = nat();
    const out = present(across(box, udp(HOST, A), 'inside'));
    const error = present(icmpError(out, '203.0.113.9', 'admin-prohibited'));
    const inside = present(across(box, error, 'outside'));
    expect(inside.destination).toBe('10.0.0.2');
    expect(inside.source).toBe('203.0.113.9');
    expect(inside.icmp).toMatchObject({ type: 3, code: 13 });
    expect(isIcmpError(inside) && [source(inside.icmp.quoted), destination(inside.icmp.quoted)]).toEqual([HOST, A]);
    // And the mapping is still there.
    expect(enters(box, A, source(out))).toBe(HOST);
  });

  it('an error from inside leaves with the outside address, and quotes it', () => {
    const box = nat();
    const outside = mapped(box, HOST, A);
    const arrived = present(across(box, udp(A, outside), 'outside'));
    const error = present(across(box, present(icmpError(arrived, '10.0.0.2', 'port-unreachable')), 'inside'));
    expect([error.source, error.destination]).toEqual([OUTSIDE, '192.0.2.1']);
    expect(isIcmpError(error) && destination(error.icmp.quoted)).toBe(outside);
  });

  it('an error about nothing that was sent does not enter', () => {
    const box = nat();
    mapped(box, HOST, A);
    const foreign = present(icmpError(udp(`${OUTSIDE}:1`, A), '203.0.113.9', 'host-unreachable'));
    expect(across(box, foreign, 'outside')).toBeNull();
  });

  it('RFC 5508 §3: pings of two hosts with one identifier each get their own reply', () => {
    const box = nat();
    for (const host of ['10.0.0.2', '10.0.0.3']) {
      const out = present(across(box, echoRequest('ipv4', host, '192.0.2.1', 77), 'inside'));
      const back = across(box, echoReply(out), 'outside');
      expect(back).toMatchObject({ destination: host, destinationPort: 77 });
    }
  });
});
