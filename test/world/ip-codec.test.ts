import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Family, transportAddress } from '../../src/base/address.js';
import { concatBytes, fromHex, toHex, viewOf } from '../../src/base/bytes.js';
import { checksumOf, sumOfWords } from '../../src/world/checksum.js';
import { encodePacket, parsePacket } from '../../src/world/ip-codec.js';
import { echoRequest, icmpError, type Packet, type Protocol, tcpPacket, udpPacket } from '../../src/world/packet.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/world/pcapng.js';
import { tsharkFieldsIn } from '../support/tshark.js';
import { testWith } from '../support/skip.js';
import { present, udp } from './packets.js';
import { packets } from './random-packets.js';

function checksum(bytes: Uint8Array): number {
  return checksumOf(sumOfWords(viewOf(bytes), 0, bytes.length));
}

function parsed(bytes: Uint8Array): Packet {
  const packet = parsePacket(bytes);
  if (typeof packet === 'string') throw new Error(packet);
  return packet;
}

describe('checksums', () => {
  it('the example of RFC 1071 §3: 0001 f203 f4f5 f6f7 sum up to ddf2', () => {
    expect(checksum(fromHex('0001 f203 f4f5 f6f7'))).toBe(0xffff - 0xddf2);
  });

  it('an odd last byte counts as if a zero followed (RFC 1071 §1)', () => {
    expect(checksum(fromHex('0001 f203 f4'))).toBe(checksum(fromHex('0001 f203 f400')));
    expect(checksum(fromHex('ff'))).toBe(0x00ff);
  });

  it('holds for the most that IP can carry, all ones', () => {
    expect(checksum(new Uint8Array(0xffff).fill(0xff))).toBe(0x00ff);
  });
});

describe('encodePacket', () => {
  it('UDP over IPv4, computed by hand', () => {
    // Header: 4500+001d+4000+4011+c000+0201+c633+6407 = 2b169 → b16b, its complement is 4e94.
    // UDP: c000+0201+c633+6407 + 0011 + 0009 + 1388+0d96+0009 + 6100 = 26e7c → 6e7e, its complement is 9181.
    const bytes = encodePacket(udp('192.0.2.1:5000', '198.51.100.7:3478', fromHex('61')));
    expect(toHex(bytes)).toBe(
      toHex(fromHex('4500 001d 0000 4000 4011 4e94 c000 0201 c633 6407  1388 0d96 0009 9181 61')),
    );
  });

  it('a UDP checksum of zero is sent as ffff (RFC 768)', () => {
    const [from, to] = ['192.0.2.1:5000', '198.51.100.7:3478'] as const;
    const first = viewOf(encodePacket(udp(from, to, 2))).getUint16(26);
    const payload = new Uint8Array(2).fill(0x61);
    const wanted = 0x6161 + first;
    viewOf(payload).setUint16(0, (wanted & 0xffff) + (wanted >>> 16));
    const bytes = encodePacket(udp(from, to, payload));
    expect(viewOf(bytes).getUint16(26)).toBe(0xffff);
    expect(parsed(bytes).payload).toEqual(payload);
  });

  it('TTL, type of service, identification, and DF where it is set', () => {
    const packet = { ...udp('192.0.2.1:1', '192.0.2.2:2'), ttl: 7, trafficClass: 0xb9 };
    const header = viewOf(encodePacket(packet, 0xbeef));
    expect([header.getUint8(1), header.getUint16(4), header.getUint16(6), header.getUint8(8)]).toEqual([
      0xb9, 0xbeef, 0x4000, 7,
    ]);
    expect(viewOf(encodePacket({ ...packet, dontFragment: false })).getUint16(6)).toBe(0);
  });

  it('quotes a packet with the length that it had, its payload cut to 576 bytes in all (RFC 1812 §4.3.2.3)', () => {
    const error = present(icmpError(udp('192.0.2.1:1', '192.0.2.2:2', 1200), '192.0.2.9', 'port-unreachable'));
    const bytes = encodePacket(error);
    expect(bytes).toHaveLength(576);
    expect(viewOf(bytes).getUint16(28 + 2)).toBe(1228);
    expect(viewOf(bytes).getUint16(28 + 20 + 4)).toBe(1208);
  });

  it('a packet that cannot be is refused', () => {
    const [from, to] = [transportAddress('192.0.2.1', 1), transportAddress('192.0.2.2', 2)];
    expect(() => encodePacket(udpPacket(from, to, new Uint8Array(65_508)))).toThrow(RangeError);
    expect(encodePacket(udpPacket(from, to, new Uint8Array(65_507)))).toHaveLength(65_535);
    expect(() => encodePacket({ ...udpPacket(from, to, new Uint8Array(1)), source: '2001:db8::1' })).toThrow(
      RangeError,
    );
  });
});

describe('both ways', () => {
  it('what was encoded is parsed as what it was, for all protocols, both families, and errors about them', () => {
    fc.assert(
      fc.property(packets, (packet) => {
        const bytes = encodePacket(packet);
        expect(bytes).toHaveLength(packet.sizeBytes);
        expect(parsePacket(bytes)).toEqual(packet);
      }),
      { numRuns: 1000 },
    );
  });

  it('identifier, sequence and data of a ping survive, in an error about it too', () => {
    for (const [family, from, to] of [
      ['ipv4', '192.0.2.1', '192.0.2.2'],
      ['ipv6', '2001:db8::1', '2001:db8::2'],
    ] as const) {
      const ping = echoRequest(family, from, to, 0x1234, fromHex('010203'), 64, 0x5678);
      const quoted = parsed(encodePacket(present(icmpError(ping, to, 'time-exceeded')))).icmp?.quoted;
      for (const packet of [parsed(encodePacket(ping)), present(quoted)]) {
        expect(packet).toMatchObject({ sourcePort: 0x1234, icmp: { sequence: 0x5678 }, payload: fromHex('010203') });
      }
    }
  });

  it('thousands of addresses, one after the other and again', () => {
    const all = Array.from({ length: 5000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    for (const address of [...all, ...all]) {
      expect(parsed(encodePacket(udp(`${address}:1`, '192.0.2.1:2', 0))).source).toBe(address);
    }
    const same = ['2001:db8::', '0.0.0.0', '::', '::1', '::ffff:c000:201', '2001:db8:0:1::', '32.1.13.184'];
    for (const source of [...same, ...same]) {
      const family = source.includes(':') ? 'ipv6' : 'ipv4';
      const to = { family, address: family === 'ipv4' ? '192.0.2.1' : '2001:db8::1', port: 2 } as const;
      const packet = udpPacket({ family, address: source, port: 1 }, to, new Uint8Array(0));
      expect(parsed(encodePacket(packet)).source).toBe(source);
    }
  });
});

describe('parsePacket', () => {
  const [v4, v6] = ['192.0.2.1:5000', '[2001:db8::1]:5000'].map((from, index) =>
    encodePacket(udp(from, index === 0 ? '192.0.2.2:53' : '[2001:db8::2]:53', fromHex('616263'))),
  ) as [Uint8Array, Uint8Array];

  it('passes over IPv4 options', () => {
    const bytes = new Uint8Array([...v4.subarray(0, 20), 1, 1, 1, 0, ...v4.subarray(20)]);
    bytes[0] = 0x46;
    viewOf(bytes).setUint16(2, bytes.length);
    viewOf(bytes).setUint16(10, 0);
    viewOf(bytes).setUint16(10, checksum(bytes.subarray(0, 24)));
    expect(parsePacket(bytes)).toEqual(parsed(v4));
  });

  it('passes over hop-by-hop and destination options; the checksum does not count them (RFC 8200 §8.1)', () => {
    // PadN of 4 in each.
    const options = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    const bytes = new Uint8Array([...v6.subarray(0, 40), ...options, ...v6.subarray(40)]);
    bytes[6] = 0;
    viewOf(bytes).setUint16(4, bytes.length - 40);
    expect(parsePacket(bytes)).toEqual(parsed(v6));
  });

  it('ignores what lies behind the packet', () => {
    for (const bytes of [v4, v6]) expect(parsePacket(new Uint8Array([...bytes, 1, 2, 3]))).toEqual(parsed(bytes));
  });

  it('takes IPv4 UDP without a checksum, and no IPv6 UDP (RFC 768, RFC 8200 §8.1)', () => {
    for (const [bytes, at, result] of [
      [v4.slice(), 26, parsed(v4)],
      [v6.slice(), 46, 'bad-checksum'],
    ] as const) {
      viewOf(bytes).setUint16(at, 0);
      expect(parsePacket(bytes)).toEqual(result);
    }
  });

  it('says why not', () => {
    const mldReport = fromHex('60000000 0008 3aff'.padEnd(16, '0'));
    const reasons = [
      [new Uint8Array(0), 'malformed'],
      [v4.subarray(0, 19), 'malformed'],
      [v4.subarray(0, 30), 'malformed'],
      [v6.subarray(0, 39), 'malformed'],
      [new Uint8Array([0x50, ...v4.subarray(1)]), 'malformed'],
      [changed(v4, 8, 63), 'bad-checksum'],
      [changed(v4, 30, 0), 'bad-checksum'],
      [changed(v6, 50, 0), 'bad-checksum'],
      [changed(v6, 6, 132), 'unsupported'],
      [changed(v6, 6, 43), 'unsupported'],
      [new Uint8Array([...mldReport, ...new Uint8Array(40)]), 'bad-checksum'],
    ] as const;
    for (const [bytes, reason] of reasons) expect(parsePacket(bytes)).toBe(reason);
  });

  it('an error that quotes only 8 bytes of TCP has its ports and sequence number (RFC 792)', () => {
    const [from, to] = [transportAddress('192.0.2.1', 5000), transportAddress('192.0.2.2', 443)];
    const header = { sequence: 0xdeadbeef, acknowledgment: 0, flags: 2, window: 0xffff, options: fromHex('020405b4') };
    const error = encodePacket(present(icmpError(tcpPacket(from, to, header), '192.0.2.9', 'time-exceeded')));
    const short = error.slice(0, 20 + 8 + 20 + 8);
    viewOf(short).setUint16(2, short.length);
    for (const [at, end] of [
      [10, 20],
      [22, short.length],
    ] as const) {
      viewOf(short).setUint16(at, 0);
      viewOf(short).setUint16(at, checksum(short.subarray(at === 10 ? 0 : 20, end)));
    }
    const { icmp } = parsed(short);
    expect(icmp?.quoted).toMatchObject({ sourcePort: 5000, destinationPort: 443, sizeBytes: 44 });
    expect(icmp?.quoted?.tcp).toMatchObject({ sequence: 0xdeadbeef });
    expect(icmp?.quoted?.payload).toHaveLength(0);
  });

  it('RFC 4443 §3.2: the MTU of a packet too big has 32 bits', () => {
    const [quoted] = fc.sample(
      packets.filter((one) => one.family === 'ipv6' && one.protocol === 'udp'),
      1,
    );
    if (!quoted) throw new Error('no packet');
    const mtuBytes = 0x01000001;
    const bytes = encodePacket({
      ...quoted,
      protocol: 'icmp',
      sourcePort: 0,
      destinationPort: 0,
      payload: new Uint8Array(0),
      icmp: { type: 2, code: 0, mtuBytes, sequence: 0, quoted },
    });
    expect([...bytes.subarray(44, 48)]).toEqual([1, 0, 0, 1]);
    expect(parsed(bytes).icmp?.mtuBytes).toBe(mtuBytes);
  });

  it('never throws on anything, and what it takes it can encode again', () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .record({ packet: packets, length: fc.nat(1600), flips: fc.array(fc.nat(12_000), { maxLength: 4 }) })
        .map(({ packet, length, flips }) => repaired(flipped(encodePacket(packet).subarray(0, length), flips))),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        const packet = parsePacket(bytes);
        if (typeof packet === 'string') return;
        const again = parsed(encodePacket(packet));
        expect(again).toEqual({ ...packet, dontFragment: packet.family === 'ipv6' || packet.dontFragment });
        expect(packet.sizeBytes).toBe(encodePacket(packet).length);
      }),
      { numRuns: 3000 },
    );
  });
});

testWith(['tshark'], 'tshark finds every checksum good, and no packet malformed', () => {
  const some = fc.sample(packets, { numRuns: 500, seed: 3 });
  const capture = concatBytes(
    sectionHeader({ hardware: 'test', application: 'test' }),
    interfaceDescription('test0'),
    ...some.map((packet) => enhancedPacket(0, 0n, encodePacket(packet), 'inbound')),
  );
  const frames = (filter: string): number => tsharkFieldsIn(capture, filter, 'frame.number').length;
  const count = (family: Family | null, protocol: Protocol | null): number =>
    some.filter((one) => one.family === (family ?? one.family) && one.protocol === (protocol ?? one.protocol)).length;
  const [status, outermost] = ['checksum.status == "Good"', '!icmp && !icmpv6'];
  expect(frames(`ip.${status}`)).toBe(count('ipv4', null));
  expect(frames(`udp.${status} && ${outermost}`)).toBe(count(null, 'udp'));
  expect(frames(`tcp.${status} && ${outermost}`)).toBe(count(null, 'tcp'));
  expect(frames(`icmp.${status}`)).toBe(count('ipv4', 'icmp'));
  expect(frames(`icmpv6.${status}`)).toBe(count('ipv6', 'icmp'));
  expect(frames('ip || ipv6')).toBe(some.length);
  expect(
    frames(['ip', 'udp', 'tcp', 'icmp', 'icmpv6'].map((name) => `${name}.checksum.status == "Bad"`).join(' || ')),
  ).toBe(0);
});

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

function flipped(bytes: Uint8Array, bits: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  for (const bit of bits) {
    const at = bit >> 3;
    if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7));
  }
  return copy;
}

/** With lengths and checksums that are right again, so that it gets past them, as far as headers still lead there. */
function repaired(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const isV4 = (bytes[0] ?? 0) >> 4 === 4;
  const headerBytes = isV4 ? ((bytes[0] ?? 0) & 0x0f) * 4 : 40;
  if (bytes.length < Math.max(headerBytes, 20)) return bytes;
  view.setUint16(isV4 ? 2 : 4, isV4 ? bytes.length : bytes.length - 40);
  const protocol = bytes[isV4 ? 9 : 6] ?? 0;
  if (isV4) {
    view.setUint16(10, 0);
    view.setUint16(10, checksum(bytes.subarray(0, headerBytes)));
  }
  const transport = bytes.subarray(headerBytes);
  const at = { 17: 6, 6: 16, 1: 2, 58: 2 }[protocol] ?? 0;
  if (at === 0 || transport.length < at + 2) return bytes;
  if (protocol === 17) viewOf(transport).setUint16(4, transport.length);
  viewOf(transport).setUint16(at, 0);
  const pseudo = protocol === 1 ? 0 : protocol + transport.length + sumOfWords(view, isV4 ? 12 : 8, isV4 ? 20 : 40);
  viewOf(transport).setUint16(at, checksumOf(pseudo + sumOfWords(viewOf(transport), 0, transport.length)));
  return bytes;
}
