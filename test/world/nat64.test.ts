import { expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { embed, extract, Nat64 } from '../../src/world/nat64.js';
import { icmpError, isIcmpError } from '../../src/world/packet.js';
import { across, destination, present, source, udp } from './packets.js';

const HOST = '[2001:db8:1::2]:5000';
const OPTIONS = { mapping: 'eim', filtering: 'apdf', ports: 'preserving', pool: ['198.51.100.2'] } as const;
const nat64 = (): Nat64 => new Nat64(OPTIONS, new SeededRandom(1));

it('RFC 6052 §2.4: 192.0.2.33 is 64:ff9b::192.0.2.33, and 2001:db8:122:344::192.0.2.33 with that prefix', () => {
  expect(embed('192.0.2.33')).toBe('64:ff9b::c000:221');
  expect(embed('192.0.2.33', '2001:db8:122:344::')).toBe('2001:db8:122:344::c000:221');
  expect(extract('64:ff9b::c000:221')).toBe('192.0.2.33');
  expect(extract('2001:db8::c000:221')).toBeNull();
});

it('RFC 6146: an IPv6-only host reaches an IPv4 one, and is answered; headers differ by 20 bytes', () => {
  const box = nat64();
  const sent = udp(HOST, '[64:ff9b::c000:20a]:3478', 100);
  const out = present(across(box, sent, 'inside'));
  expect([out.family, source(out), destination(out)]).toEqual(['ipv4', '198.51.100.2:5000', '192.0.2.10:3478']);
  expect([sent.sizeBytes, out.sizeBytes]).toEqual([40 + 8 + 100, 20 + 8 + 100]);
  const back = present(across(box, udp('192.0.2.10:3478', '198.51.100.2:5000', 100), 'outside'));
  expect(back).toMatchObject({ family: 'ipv6', source: '64:ff9b::c000:20a', sizeBytes: 148 });
  expect([back.destination, back.destinationPort]).toEqual(['2001:db8:1::2', 5000]);
  expect(across(box, udp('192.0.2.11:3478', '198.51.100.2:5000'), 'outside')).toBeNull();
});

it('RFC 7915 §4.2: 3/13 becomes 1/1, 3/3 1/4, 11/0 3/0, 3/4 2/0 with 20 bytes more; the quoted packet is the host’s own', () => {
  for (const [name, type, code] of [
    ['admin-prohibited', 1, 1],
    ['port-unreachable', 1, 4],
    ['time-exceeded', 3, 0],
    ['too-big', 2, 0],
  ] as const) {
    const box = nat64();
    const out = present(across(box, udp(HOST, '[64:ff9b::c000:20a]:3478'), 'inside'));
    const error = present(icmpError(out, '192.0.2.1', name, name === 'too-big' ? 1400 : null));
    const inside = present(across(box, error, 'outside'));
    expect(inside).toMatchObject({ family: 'ipv6', source: '64:ff9b::c000:201', destination: '2001:db8:1::2' });
    expect(inside.icmp).toMatchObject({ type, code, mtuBytes: name === 'too-big' ? 1420 : null });
    const quoted = isIcmpError(inside) ? inside.icmp.quoted : inside;
    expect([quoted.source, quoted.sourcePort, quoted.destination]).toEqual([
      '2001:db8:1::2',
      5000,
      '64:ff9b::c000:20a',
    ]);
  }
});

it('leaves other IPv6 alone, and has nothing for IPv4 from inside', () => {
  const box = nat64();
  const plain = udp(HOST, '[2001:db8:ff::10]:3478');
  expect(across(box, plain, 'inside')).toBe(plain);
  expect(across(box, udp('10.0.0.2:1', '192.0.2.1:2'), 'inside')).toBeNull();
});
