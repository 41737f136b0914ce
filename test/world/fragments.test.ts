import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, viewOf } from '../../src/base/bytes.js';
import { SeededRandom, shuffled } from '../../src/base/random.js';
import { fragment, Reassembler } from '../../src/world/fragments.js';
import { encodePacket, parsePacket } from '../../src/world/ip-codec.js';
import type { Packet } from '../../src/world/packet.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/world/pcapng.js';
import { testWith } from '../support/skip.js';
import { tsharkFieldsIn } from '../support/tshark.js';
import { present, udp } from './packets.js';
import { transportPackets } from './random-packets.js';

const pair = { ipv4: ['192.0.2.1:1', '192.0.2.2:2'], ipv6: ['[2001:db8::1]:1', '[2001:db8::2]:2'] } as const;
/** A packet that may be fragmented, its payload numbered. */
function large(family: 'ipv4' | 'ipv6', bytes: number): Packet {
  const payload = Uint8Array.from({ length: bytes }, (_, index) => index >> 3);
  const [from, to] = pair[family];
  return { ...udp(from, to, payload), dontFragment: false };
}

function reassembled(reassembler: Reassembler, fragments: readonly Uint8Array[], now = 0): Uint8Array[] {
  return fragments.map((one) => reassembler.push(one, now)).filter((whole) => whole !== null);
}

describe('fragment', () => {
  it('RFC 791 §3.2: 2000 bytes of UDP over 1500 are 1480 and 528 bytes of payload', () => {
    const fragments = fragment(large('ipv4', 2000), 1500, 0xbeef);
    expect(fragments.map(({ length }) => length)).toEqual([1500, 548]);
    expect(fragments.map((one) => viewOf(one).getUint16(6))).toEqual([0x2000, 1480 / 8]);
    expect(fragments.map((one) => viewOf(one).getUint16(4))).toEqual([0xbeef, 0xbeef]);
  });

  it('RFC 8200 §4.5: the same over IPv6 are 1448 and 560', () => {
    const fragments = fragment(large('ipv6', 2000), 1500, 0xdeadbeef);
    expect(fragments.map(({ length }) => length)).toEqual([1496, 608]);
    expect(fragments.map((one) => [one[6], one[40], viewOf(one).getUint16(42), viewOf(one).getUint32(44)])).toEqual([
      [44, 17, 1, 0xdeadbeef],
      [44, 17, 1448, 0xdeadbeef],
    ]);
  });

  it('leaves alone what fits, and gives nothing for what must not be fragmented', () => {
    const packet = udp(...pair.ipv4, 1472);
    expect(fragment(packet, 1500, 1)).toEqual([encodePacket(packet, 1)]);
    expect(fragment(packet, 1499, 1)).toEqual([]);
    expect(fragment(large('ipv4', 100), 27, 1)).toEqual([]);
  });
});

describe('Reassembler', () => {
  it('puts together what was fragmented, in any order; nothing else passes or is kept', () => {
    fc.assert(
      fc.property(transportPackets, fc.integer({ min: 68, max: 1400 }), fc.nat(), (packet, mtu, seed) => {
        const may = { ...packet, dontFragment: false };
        const reassembler = new Reassembler();
        const wholes = reassembled(reassembler, shuffled(new SeededRandom(seed), fragment(may, mtu, seed & 0xffff)));
        expect(wholes).toHaveLength(1);
        const isOne = packet.sizeBytes <= mtu;
        expect(parsePacket(present(wholes[0]))).toEqual({ ...may, dontFragment: isOne && packet.family === 'ipv6' });
        expect([reassembler.heldBytes, reassembler.dropped]).toEqual([0, 0]);
      }),
    );
  });

  it('keeps datagrams apart by identification', () => {
    const [one, two] = [1, 2].map((id) => fragment(large('ipv4', 2000), 1500, id));
    const mixed = [one?.[0], two?.[1]].map(present);
    expect(reassembled(new Reassembler(), mixed)).toEqual([]);
    expect(reassembled(new Reassembler(), [...mixed, present(one?.[1])])).toHaveLength(1);
  });

  it('a fragment that comes twice does no harm', () => {
    const [first, second] = fragment(large('ipv6', 2000), 1500, 1);
    expect(reassembled(new Reassembler(), [first, first, second].map(present))).toHaveLength(1);
  });

  it('RFC 5722: an overlap drops the datagram, with what still comes of it', () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const [first, second, third] = fragment(large(family, 3000), 1280, 1);
      const at = family === 'ipv4' ? 6 : 42;
      const overlapping = present(second).slice();
      viewOf(overlapping).setUint16(at, viewOf(overlapping).getUint16(at) - (family === 'ipv4' ? 1 : 8));
      if (family === 'ipv4') viewOf(overlapping).setUint16(10, viewOf(overlapping).getUint16(10) + 1);
      const reassembler = new Reassembler();
      expect(reassembled(reassembler, [first, overlapping, second, third].map(present))).toEqual([]);
      expect([reassembler.dropped, reassembler.heldBytes]).toEqual([4, 0]);
      expect(reassembled(reassembler, [first, second, third].map(present), 60_000)).toHaveLength(1);
    }
  });

  it('gives up after 60 s (RFC 8200 §4.5)', () => {
    const [first, second] = fragment(large('ipv6', 2000), 1500, 1);
    const reassembler = new Reassembler();
    expect(reassembler.push(present(first), 0)).toBeNull();
    expect(reassembler.push(present(second), 60_000)).toBeNull();
    expect(reassembler.dropped).toBe(1);
    expect(reassembler.push(present(first), 60_001)).not.toBeNull();
  });

  it('a flood of first fragments is bounded in number and bytes, and the latest still gets through', () => {
    const reassembler = new Reassembler({ datagrams: 100, bytes: 50_000 });
    const packet = large('ipv4', 2000);
    for (let id = 0; id < 10_000; id += 1) {
      reassembler.push(present(fragment(packet, 1500, id)[0]), id / 1000);
      expect(reassembler.heldBytes).toBeLessThanOrEqual(50_000);
    }
    expect(reassembled(reassembler, fragment(packet, 1500, 20_000), 10)).toHaveLength(1);
  });

  it('many tiny fragments of one datagram are bounded, too', () => {
    const reassembler = new Reassembler({ fragmentsEach: 16 });
    expect(reassembled(reassembler, fragment(large('ipv4', 1000), 68, 1))).toEqual([]);
    expect(reassembler.heldBytes).toBe(0);
  });

  it('nothing that comes in makes it throw or grow', () => {
    const fragments = fc
      .record({ packet: transportPackets, mtu: fc.integer({ min: 68, max: 600 }), id: fc.nat(3) })
      .map(({ packet, mtu, id }) => fragment({ ...packet, dontFragment: false }, mtu, id));
    const flips = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fragments, flips, fc.nat(600)), { maxLength: 20 }), (groups) => {
        const reassembler = new Reassembler({ bytes: 4000, datagrams: 4 });
        let now = 0;
        for (const [group, changes, length] of groups) {
          for (const one of group) {
            now += 1000;
            const bytes = one.slice(0, length);
            for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
            const whole = reassembler.push(bytes, now);
            if (whole) parsePacket(whole);
            expect(reassembler.heldBytes).toBeLessThanOrEqual(4000);
          }
        }
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        new Reassembler().push(bytes, 0);
      }),
      { numRuns: 2000 },
    );
  });
});

testWith(['tshark'], 'tshark puts the fragments together and finds the UDP checksum good', () => {
  for (const family of ['ipv4', 'ipv6'] as const) {
    const capture = concatBytes(
      sectionHeader({ hardware: 'test', application: 'test' }),
      interfaceDescription('test0'),
      ...fragment(large(family, 4000), 1280, 7).map((one) => enhancedPacket(0, 0n, one, 'inbound')),
    );
    const rows = tsharkFieldsIn(capture, 'udp', 'frame.number', 'udp.length', 'udp.checksum.status');
    expect(rows).toEqual([['4', '4008', '1']]);
  }
});
