import { describe, expect, it } from 'vitest';
import { concatBytes, toHex, fromHex } from '../../src/base/bytes.js';
import { encodePacket } from '../../src/world/ip-codec.js';
import { enhancedPacket, interfaceDescription, interfaceStatistics, sectionHeader } from '../../src/world/pcapng.js';
import { testWith } from '../support/skip.js';
import { tsharkFieldsIn } from '../support/tshark.js';
import { udp } from './packets.js';

/** 2024-06-06T11:46:00.123456789Z, as `date -u -d … +%s` has it. */
const AT_NS = 1_717_674_360_123_456_789n;

describe('blocks, byte by byte (draft-ietf-opsawg-pcapng)', () => {
  it('section header (§4.1): magic, version 1.0, length unknown, options on 32 bits', () => {
    expect(toHex(sectionHeader({ hardware: 'abc', application: 'icepath' }))).toBe(
      toHex(
        fromHex(`0a0d0d0a 34000000 4d3c2b1a 0100 0000 ffffffffffffffff
          0200 0300 61626300 0400 0700 6963657061746800 00000000 34000000`),
      ),
    );
  });

  it('interface description (§4.2): raw IP, its name, nanoseconds', () => {
    expect(toHex(interfaceDescription('eth0'))).toBe(
      toHex(fromHex('01000000 28000000 6500 0000 ffff0000 0200 0400 65746830 0900 0100 09000000 00000000 28000000')),
    );
  });

  it('enhanced packet (§4.3): upper half of the time first, the packet padded, its direction', () => {
    expect(toHex(enhancedPacket(1, 0x0102_0304_0506_0708n, fromHex('aabbcc'), 'outbound'))).toBe(
      toHex(
        fromHex(`06000000 30000000 01000000 04030201 08070605 03000000 03000000 aabbcc00
          0200 0400 02000000 00000000 30000000`),
      ),
    );
  });
});

testWith(['tshark'], 'tshark reads interfaces, nanoseconds, directions and packets', () => {
  const packet = encodePacket(udp('192.0.2.1:5000', '192.0.2.2:6000', 3));
  const capture = concatBytes(
    sectionHeader({ hardware: 'test', application: 'icepath' }),
    interfaceDescription('wlan0'),
    interfaceDescription('wwan0'),
    enhancedPacket(1, AT_NS, packet, 'outbound'),
    enhancedPacket(0, AT_NS + 1n, packet, 'inbound'),
    interfaceStatistics(0, AT_NS, AT_NS + 1n, 1),
    interfaceStatistics(1, AT_NS, AT_NS + 1n, 1),
  );
  const fields = ['frame.interface_name', 'frame.time_epoch', 'frame.packet_flags_direction', 'udp.srcport'];
  expect(tsharkFieldsIn(capture, 'udp', ...fields)).toEqual([
    ['wwan0', '1717674360.123456789', '0x00000002', '5000'],
    ['wlan0', '1717674360.123456790', '0x00000001', '5000'],
  ]);
});
