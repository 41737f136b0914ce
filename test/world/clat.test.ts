import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { Clat } from '../../src/world/clat.js';
import { embed, Nat64 } from '../../src/world/nat64.js';
import { echoReply, echoRequest, icmpError, isIcmpError, type Packet } from '../../src/world/packet.js';
import { across, destination, present, source, through, udp } from './packets.js';

const INSIDE = '192.0.0.4';
const OUTSIDE = '2001:db8:1::c1a7';
const GATEWAY = '192.0.0.1';
const SERVER = '192.0.2.10:3478';
/** RFC 6052: 192.0.2.10 is c000:020a. */
const SERVER_6 = '64:ff9b::c000:20a';
const ROUTER_6 = '2001:db8:1::1';
const clat = (mtuBytes = 1500): Clat => new Clat({ inside: INSIDE, outside: OUTSIDE, gateway: GATEWAY, mtuBytes });
const nat64 = (): Nat64 =>
  new Nat64({ mapping: 'eim', filtering: 'apdf', ports: 'preserving', pool: ['198.51.100.2'] }, new SeededRandom(1));

function quoted(packet: Packet): Packet {
  if (!isIcmpError(packet)) throw new Error('no error');
  return packet.icmp.quoted;
}

describe('464XLAT (RFC 6877)', () => {
  it('IPv4 of an app becomes IPv6 in the carrier and IPv4 behind its NAT64, and back; 20 bytes more on the way', () => {
    const [phone, carrier] = [clat(), nat64()];
    const sent = udp(`${INSIDE}:5000`, SERVER, 100);
    const between = present(across(phone, sent, 'inside'));
    expect(between).toMatchObject({ family: 'ipv6', source: OUTSIDE, destination: SERVER_6, sourcePort: 5000 });
    expect([sent.sizeBytes, between.sizeBytes]).toEqual([20 + 8 + 100, 40 + 8 + 100]);
    const out = present(across(carrier, between, 'inside'));
    expect([out.family, source(out), destination(out), out.sizeBytes]).toEqual([
      'ipv4',
      '198.51.100.2:5000',
      SERVER,
      128,
    ]);
    expect(out.payload).toEqual(sent.payload);

    const answer = present(across(carrier, udp(SERVER, '198.51.100.2:5000', 100), 'outside'));
    const back = present(across(phone, answer, 'outside'));
    expect([back.family, source(back), destination(back), back.sizeBytes]).toEqual([
      'ipv4',
      SERVER,
      `${INSIDE}:5000`,
      128,
    ]);
  });

  it('IPv6 of an app passes untouched, both ways', () => {
    const out = udp('[2001:db8:1::2]:5000', '[2001:db8:ff::10]:3478');
    expect(across(clat(), out, 'inside')).toBe(out);
    const back = udp('[2001:db8:ff::10]:3478', '[2001:db8:1::2]:5000');
    expect(across(clat(), back, 'outside')).toBe(back);
  });

  it('another IPv4 address inside gets nowhere, and neither does IPv6 that is nobody’s IPv4', () => {
    expect(across(clat(), udp('192.0.0.5:5000', SERVER), 'inside')).toBeNull();
    expect(across(clat(), udp('[2001:db8:ff::10]:3478', `[${OUTSIDE}]:5000`), 'outside')).toBeNull();
  });

  it('pings are pings in both families (RFC 7915 §4.2, §5.2)', () => {
    const request = present(across(clat(), echoRequest('ipv4', INSIDE, '192.0.2.10', 77), 'inside'));
    expect(request).toMatchObject({ family: 'ipv6', icmp: { type: 128 }, sourcePort: 77 });
    expect(present(across(clat(), echoReply(request), 'outside'))).toMatchObject({
      family: 'ipv4',
      source: '192.0.2.10',
      icmp: { type: 0 },
      destinationPort: 77,
    });
  });
});

describe('MTU', () => {
  it('what fits the IPv6 link of 1400 bytes as IPv4 but not as IPv6 is told: at most 1380 (RFC 7915 §4)', () => {
    const [fits, not] = [1380, 1381].map((size) =>
      through(clat(1400), udp(`${INSIDE}:1`, SERVER, size - 28), 'inside'),
    );
    expect(fits).toMatchObject([{ to: 'outside', packet: { sizeBytes: 1400 } }]);
    expect(not).toMatchObject([
      { to: 'inside', packet: { source: GATEWAY, destination: INSIDE, icmp: { type: 3, code: 4, mtuBytes: 1380 } } },
    ]);
  });

  it('one that may be fragmented is not refused', () => {
    const packet = { ...udp(`${INSIDE}:1`, SERVER, 1472), dontFragment: false };
    expect(across(clat(1400), packet, 'inside')).not.toBeNull();
  });

  it('the NAT64 tells the sender outside: 1481 bytes and more do not fit in 1500 with an IPv6 header', () => {
    const carrier = nat64();
    across(carrier, udp(`[${OUTSIDE}]:5000`, `[${SERVER_6}]:3478`), 'inside');
    const [fits, not] = [1480, 1481].map((size) =>
      through(carrier, udp(SERVER, '198.51.100.2:5000', size - 28), 'outside'),
    );
    expect(fits).toMatchObject([{ to: 'inside', packet: { sizeBytes: 1500 } }]);
    expect(not).toMatchObject([
      {
        to: 'outside',
        packet: { source: '198.51.100.2', destination: '192.0.2.10', icmp: { type: 3, code: 4, mtuBytes: 1480 } },
      },
    ]);
  });

  it('DF: 1280 bytes of IPv6 may be fragmented as IPv4, more may not (RFC 7915 §5.1)', () => {
    const carrier = nat64();
    const out = (size: number): Packet =>
      present(across(carrier, udp(`[${OUTSIDE}]:5000`, `[${SERVER_6}]:3478`, size - 48), 'inside'));
    expect([out(1280), out(1281)].map(({ dontFragment, sizeBytes }) => [sizeBytes, dontFragment])).toEqual([
      [1260, false],
      [1261, true],
    ]);
  });
});

describe('ICMP errors', () => {
  it.each([
    // RFC 7915 §5.2: what an IPv6 router or host says, and what IPv4 is told.
    ['no route', [1, 0], [3, 1]],
    ['admin prohibited', [1, 1], [3, 10]],
    ['beyond scope', [1, 2], [3, 1]],
    ['address unreachable', [1, 3], [3, 1]],
    ['port unreachable', [1, 4], [3, 3]],
    ['hop limit exceeded', [3, 0], [11, 0]],
  ] as const)('%s from the carrier’s IPv6 network reaches the app as IPv4', (_name, told, heard) => {
    const between = present(across(clat(), udp(`${INSIDE}:5000`, SERVER), 'inside'));
    const error = present(icmpError(between, ROUTER_6, told));
    const back = present(across(clat(), error, 'outside'));
    // A router without an IPv4 address is shown as RFC 7600's dummy one.
    expect(back).toMatchObject({ family: 'ipv4', source: '192.0.0.8', destination: INSIDE });
    expect([back.icmp?.type, back.icmp?.code]).toEqual(heard);
    expect([source(quoted(back)), destination(quoted(back))]).toEqual([`${INSIDE}:5000`, SERVER]);
  });

  it('too big for an IPv6 link of 1400 bytes: at most 1380 bytes of IPv4', () => {
    const between = present(across(clat(), udp(`${INSIDE}:5000`, SERVER, 1400), 'inside'));
    const back = present(across(clat(), present(icmpError(between, ROUTER_6, 'too-big', 1400)), 'outside'));
    expect(back.icmp).toMatchObject({ type: 3, code: 4, mtuBytes: 1380 });
  });

  it.each([
    // RFC 7915 §4.2
    ['network unreachable', [3, 0], [1, 0]],
    ['host unreachable', [3, 1], [1, 0]],
    ['protocol unreachable', [3, 2], [4, 1]],
    ['port unreachable', [3, 3], [1, 4]],
    ['source route failed', [3, 5], [1, 0]],
    ['network prohibited', [3, 9], [1, 1]],
    ['host prohibited', [3, 10], [1, 1]],
    ['communication prohibited', [3, 13], [1, 1]],
    ['precedence cutoff', [3, 15], [1, 1]],
    ['TTL exceeded', [11, 0], [3, 0]],
    ['host precedence violation', [3, 14], null],
    ['redirect', [5, 1], null],
  ] as const)('%s from the app’s host leaves as IPv6', (_name, told, heard) => {
    const arrived = present(across(clat(), udp(`[${SERVER_6}]:3478`, `[${OUTSIDE}]:5000`), 'outside'));
    const error = present(icmpError(arrived, INSIDE, told));
    const out = across(clat(), error, 'inside');
    expect(out && [out.icmp?.type, out.icmp?.code]).toEqual(heard);
    if (!out) return;
    expect(out).toMatchObject({ family: 'ipv6', source: OUTSIDE, destination: SERVER_6 });
    expect([source(quoted(out)), destination(quoted(out))]).toEqual([`${SERVER_6}:3478`, `${OUTSIDE}:5000`]);
  });

  it('an error from beyond the NAT64 reaches the app, with the sender that it had', () => {
    const [phone, carrier] = [clat(), nat64()];
    const out = present(across(carrier, present(across(phone, udp(`${INSIDE}:5000`, SERVER), 'inside')), 'inside'));
    const error = present(icmpError(out, '203.0.113.9', 'port-unreachable'));
    const back = present(across(phone, present(across(carrier, error, 'outside')), 'outside'));
    expect(back).toMatchObject({ source: '203.0.113.9', destination: INSIDE, icmp: { type: 3, code: 3 } });
    expect([source(quoted(back)), destination(quoted(back))]).toEqual([`${INSIDE}:5000`, SERVER]);
  });

  it('an error of the app’s host leaves the NAT64 as the outside’s own', () => {
    const [phone, carrier] = [clat(), nat64()];
    across(carrier, present(across(phone, udp(`${INSIDE}:5000`, SERVER), 'inside')), 'inside');
    const arrived = present(
      across(phone, present(across(carrier, udp(SERVER, '198.51.100.2:5000'), 'outside')), 'outside'),
    );
    const error = present(icmpError(arrived, INSIDE, 'port-unreachable'));
    const out = present(across(carrier, present(across(phone, error, 'inside')), 'inside'));
    expect(out).toMatchObject({ source: '198.51.100.2', destination: '192.0.2.10', icmp: { type: 3, code: 3 } });
    expect([source(quoted(out)), destination(quoted(out))]).toEqual([SERVER, '198.51.100.2:5000']);
  });
});

it('a carrier may have a prefix of its own', () => {
  const prefix = '2001:db8:64::';
  const box = new Clat({ inside: INSIDE, outside: OUTSIDE, gateway: GATEWAY, prefix });
  expect(present(across(box, udp(`${INSIDE}:1`, SERVER), 'inside')).destination).toBe(embed('192.0.2.10', prefix));
  expect(embed('192.0.2.10', prefix)).toBe('2001:db8:64::c000:20a');
});
