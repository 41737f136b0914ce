import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.js';
import { transportAddress } from '../../src/base/address.js';
import { xorAddressAttribute } from '../../src/stun/attributes.js';
import { decodeChannelData, encodeChannelData, FIRST_CHANNEL, LAST_CHANNEL } from '../../src/stun/channel-data.js';
import {
  encodeMessage,
  parseLenient,
  parseStrict,
  type NewAttribute,
  type StunMessage,
} from '../../src/stun/message.js';
import { ATTRIBUTES, METHODS } from '../../src/stun/registry.js';
import * as turn from '../../src/stun/turn-attributes.js';
import { describeWith } from '../support/skip.js';
import { tsharkFieldsOf } from '../support/tshark.js';

const transactionId = fromHex('b7e7a701bc34d686fa87dfae');

const wire = (...attributes: readonly NewAttribute[]): Uint8Array =>
  encodeMessage({ method: METHODS.Allocate, class: 'request', transactionId, attributes });

function received(...attributes: readonly NewAttribute[]): StunMessage {
  const parsed = parseStrict(wire(...attributes));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.message;
}

describe('layouts of RFC 8656 §18', () => {
  test.each([
    ['LIFETIME', turn.lifetime(600), '00000258'],
    ['CHANNEL-NUMBER', turn.channelNumber(0x4001), '40010000'],
    ['REQUESTED-TRANSPORT', turn.requestedTransport(turn.TRANSPORT_UDP), '11000000'],
    ['REQUESTED-ADDRESS-FAMILY', turn.requestedAddressFamily('ipv4'), '01000000'],
    ['REQUESTED-ADDRESS-FAMILY', turn.requestedAddressFamily('ipv6'), '02000000'],
    ['DONT-FRAGMENT', turn.dontFragment(), ''],
    ['DATA', turn.data(fromHex('010203')), '010203'],
    // Type 3 in 7 bits, code 4 in 9, then the MTU.
    ['ICMP', turn.icmp({ type: 3, code: 4, data: 1400 }), '0000060400000578'],
  ] as const)('%s', (name, attribute, hex) => {
    expect(attribute.type).toBe(ATTRIBUTES[name]);
    expect(toHex(attribute.value)).toBe(hex);
  });
});

test('every value comes back', () => {
  const family = fc.constantFrom('ipv4' as const, 'ipv6' as const);
  const icmp = fc.record({ type: fc.nat(127), code: fc.nat(511), data: fc.nat(0xffffffff) });
  fc.assert(
    fc.property(
      fc.record({ seconds: fc.nat(0xffffffff), channel: fc.nat(0xffff), protocol: fc.nat(255), family, icmp }),
      fc.uint8Array({ maxLength: 1500 }),
      ({ seconds, channel, protocol, family: wanted, icmp: heard }, bytes) => {
        const message = received(
          ...[turn.lifetime(seconds), turn.channelNumber(channel), turn.requestedTransport(protocol)],
          ...[turn.requestedAddressFamily(wanted), turn.dontFragment(), turn.icmp(heard), turn.data(bytes)],
        );
        expect(turn.readLifetime(message)).toBe(seconds);
        expect(turn.readChannelNumber(message)).toBe(channel);
        expect(turn.readRequestedTransport(message)).toBe(protocol);
        expect(turn.readRequestedAddressFamily(message)).toBe(wanted);
        expect(turn.hasDontFragment(message)).toBe(true);
        expect(turn.readIcmp(message)).toEqual(heard);
        expect(turn.readData(message)).toEqual(bytes);
      },
    ),
  );
});

test('what is missing or has the wrong size is not read', () => {
  const empty = received();
  const odd = (name: keyof typeof ATTRIBUTES, value: string) =>
    received({ type: ATTRIBUTES[name], value: fromHex(value) });
  for (const read of [turn.readLifetime, turn.readChannelNumber, turn.readRequestedTransport, turn.readIcmp]) {
    expect(read(empty)).toBeUndefined();
  }
  expect(turn.readData(empty)).toBeUndefined();
  expect(turn.readRequestedAddressFamily(empty)).toBeUndefined();
  expect(turn.hasDontFragment(empty)).toBe(false);
  expect(turn.readLifetime(odd('LIFETIME', '0258'))).toBeUndefined();
  expect(turn.readChannelNumber(odd('CHANNEL-NUMBER', '4001'))).toBeUndefined();
  expect(turn.readRequestedTransport(odd('REQUESTED-TRANSPORT', '11'))).toBeUndefined();
  expect(turn.readIcmp(odd('ICMP', '00000604'))).toBeUndefined();
  expect(turn.readRequestedAddressFamily(odd('REQUESTED-ADDRESS-FAMILY', '03000000'))).toBeNull();
  expect(turn.readRequestedAddressFamily(odd('REQUESTED-ADDRESS-FAMILY', '01'))).toBeNull();
});

describe('ChannelData (RFC 8656 §12)', () => {
  test('channel, length, data', () => {
    expect(toHex(encodeChannelData({ channel: 0x4000, data: fromHex('aabbcc') }))).toBe('40000003aabbcc');
    expect(decodeChannelData(fromHex('40000003aabbcc00'))).toEqual({ channel: 0x4000, data: fromHex('aabbcc') });
  });

  test('comes back, with and without padding, and is never taken for STUN', () => {
    const channels = fc.integer({ min: FIRST_CHANNEL, max: LAST_CHANNEL });
    fc.assert(
      fc.property(channels, fc.uint8Array({ maxLength: 1500 }), fc.nat(3), (channel, data, padding) => {
        const bytes = encodeChannelData({ channel, data });
        expect(decodeChannelData(bytes)).toEqual({ channel, data });
        expect(decodeChannelData(Uint8Array.of(...bytes, ...new Uint8Array(padding)))).toEqual({ channel, data });
        expect(parseLenient(bytes)).toBeNull();
      }),
    );
  });

  test.each([
    ['too short for a header', '400000'],
    ['cut short', '40000004aabbcc'],
    ['followed by more than padding', '4000000000000000'],
    ['on a reserved channel', '50000000'],
    ['no channel: a STUN message', '00010000'],
    ['no channel: a QUIC long header', 'c0000000'],
  ])('nothing %s', (_, hex) => {
    expect(decodeChannelData(fromHex(hex))).toBeNull();
  });

  test('what no peer could read is not made', () => {
    expect(() => encodeChannelData({ channel: 0x3fff, data: new Uint8Array() })).toThrow(RangeError);
    expect(() => encodeChannelData({ channel: 0x5000, data: new Uint8Array() })).toThrow(RangeError);
    expect(() => encodeChannelData({ channel: 0x4000, data: new Uint8Array(0x10000) })).toThrow(RangeError);
  });

  test('hostile bytes never throw, and what is read is what stood there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const read = decodeChannelData(bytes);
        if (read) expect(toHex(bytes)).toContain(toHex(encodeChannelData(read)));
      }),
    );
  });
});

describeWith(['tshark'], 'tshark reads the same', () => {
  test('an Allocate request', () => {
    const bytes = wire(
      ...[turn.requestedTransport(turn.TRANSPORT_UDP), turn.requestedAddressFamily('ipv6')],
      ...[turn.lifetime(777), turn.dontFragment()],
    );
    const fields = ['stun.type.method', 'stun.att.transp', 'stun.att.lifetime', '_ws.malformed'] as const;
    const [row] = tsharkFieldsOf([bytes], 3478, ...fields);
    expect(row).toEqual(['0x0003', '0x11', '777', '']);
  });

  test('a ChannelBind request and data on the channel', () => {
    const bind = encodeMessage({
      method: METHODS.ChannelBind,
      class: 'request',
      transactionId,
      attributes: [
        turn.channelNumber(0x4abc),
        xorAddressAttribute(ATTRIBUTES['XOR-PEER-ADDRESS'], transportAddress('192.0.2.9', 4711), transactionId),
      ],
    });
    const data = encodeChannelData({ channel: 0x4abc, data: new Uint8Array(32) });
    const fields = ['stun.att.channelnum', 'stun.att.ipv4', 'stun.att.port', 'stun.channel'] as const;
    expect(tsharkFieldsOf([bind, data], 3478, ...fields)).toEqual([
      ['0x4abc', '192.0.2.9', '4711', ''],
      ['', '', '', '0x4abc'],
    ]);
  });
});
