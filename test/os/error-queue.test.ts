import { expect, test } from 'vitest';
import { fromHex } from '../../src/base/bytes.js';
import { transportAddress } from '../../src/base/address.js';
import { parseExtendedError } from '../../src/os/error-queue.js';
import { integerControlMessage, parseControlMessages } from '../../src/os/message.js';
import { decodeSockaddr, encodeSockaddr } from '../../src/os/sockaddr.js';

// Laid out after <linux/errqueue.h> and cmsg(3) for 64-bit little-endian: length 8, level 4, type 4; ee_errno 4,
// ee_origin 1, ee_type 1, ee_code 1, pad 1, ee_info 4, ee_data 4; then the offender's sockaddr.
const IPV4 = `
  14 00 00 00 00 00 00 00  00 00 00 00  02 00 00 00   40 00 00 00  00 00 00 00
  30 00 00 00 00 00 00 00  00 00 00 00  0b 00 00 00
  71 00 00 00  02 03 0d 00  00 00 00 00  00 00 00 00
  02 00 00 00  c0 00 02 09  00 00 00 00 00 00 00 00`;
const IPV6 = `
  3c 00 00 00 00 00 00 00  29 00 00 00  19 00 00 00
  6f 00 00 00  03 01 04 00  00 00 00 00  00 00 00 00
  0a 00 00 00  00 00 00 00  20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 09  00 00 00 00  00 00 00 00`;

test('an ICMP error behind another control message: errno, origin, type, code, sender', () => {
  expect(parseExtendedError(parseControlMessages(fromHex(IPV4)))).toEqual({
    code: 'EHOSTUNREACH',
    origin: 'icmp',
    type: 3,
    icmpCode: 13,
    sender: '192.0.2.9',
  });
});

test('an ICMPv6 error', () => {
  expect(parseExtendedError(parseControlMessages(fromHex(IPV6)))).toEqual({
    code: 'ECONNREFUSED',
    origin: 'icmp6',
    type: 1,
    icmpCode: 4,
    sender: '2001:db8::9',
  });
});

test('an error of this host itself (EMSGSIZE) has no sender', () => {
  const local =
    '30 00 00 00 00 00 00 00 00 00 00 00 0b 00 00 00 5a 00 00 00 01 00 00 00 00 05 00 00 00 00 00 00' + '00'.repeat(16);
  expect(parseExtendedError(parseControlMessages(fromHex(local)))).toMatchObject({
    code: 'EMSGSIZE',
    origin: 'local',
    sender: null,
  });
});

test('buffers that lie about their lengths are read as far as they are true', () => {
  const whole = fromHex(IPV4);
  for (let length = 0; length < whole.length; length += 1) {
    expect(() => parseExtendedError(parseControlMessages(whole.subarray(0, length)))).not.toThrow();
  }
  expect(parseControlMessages(fromHex('ff ff 00 00 00 00 00 00 00 00 00 00 0b 00 00 00'))).toEqual([]);
  expect(parseControlMessages(new Uint8Array(64))).toEqual([]);
});

test('a control message with one integer: 20 bytes long, padded to 24', () => {
  expect(integerControlMessage(0, 2, 7)).toEqual(
    fromHex('14 00 00 00 00 00 00 00  00 00 00 00  02 00 00 00  07 00 00 00  00 00 00 00'),
  );
});

test('socket addresses are what <netinet/in.h> says', () => {
  const v4 = transportAddress('192.0.2.1', 3478);
  const v6 = transportAddress('2001:db8::1', 53);
  expect(encodeSockaddr(v4)).toEqual(fromHex('02 00 0d 96 c0 00 02 01 00 00 00 00 00 00 00 00'));
  expect(encodeSockaddr(v6)).toEqual(
    fromHex('0a 00 00 35 00 00 00 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00'),
  );
  expect([v4, v6].map((address) => decodeSockaddr(encodeSockaddr(address)))).toEqual([v4, v6]);
  expect(decodeSockaddr(new Uint8Array(16))).toBeNull();
});
