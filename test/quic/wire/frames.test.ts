import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/base/bytes.js';
import { TRANSPORT_ERRORS } from '../../../src/quic/wire/errors.js';
import { type FramePacket, isPermitted } from '../../../src/quic/wire/frame-types.js';
import { type Frame, frameTypeOf, isAckEliciting, isProbing } from '../../../src/quic/wire/frames.js';
import { parseFrames } from '../../../src/quic/wire/parse-frames.js';
import { frameLength, writeFrame } from '../../../src/quic/wire/write-frames.js';
import { Writer } from '../../../src/quic/wire/writer.js';
import { frames, lastFrames } from './arbitraries.js';

const EVERYTHING = { multipath: true, datagram: true };

function encode(...all: readonly Frame[]): Uint8Array {
  const writer = new Writer(new Uint8Array(all.reduce((sum, frame) => sum + frameLength(frame), 0)));
  for (const frame of all) writeFrame(writer, frame);
  expect(writer.left).toBe(0);
  return writer.written();
}

const parse = (hex: string, packet: FramePacket = '1-rtt', extensions = EVERYTHING) =>
  parseFrames(fromHex(hex), packet, extensions);

test('every frame survives the wire, alone and among others, and has the length that was said', () => {
  fc.assert(
    fc.property(fc.array(frames, { maxLength: 10 }), fc.oneof(frames, lastFrames), (some, last) => {
      const wire = encode(...some, last);
      const parsed = parseFrames(wire, '1-rtt', EVERYTHING);
      expect(parsed).toEqual({ ok: true, value: [...some, last] });
    }),
    { numRuns: 400 },
  );
});

test('the kinds of frames that the property above has seen are all that there are', () => {
  const seen = new Set(fc.sample(fc.oneof(frames, lastFrames), { numRuns: 5000, seed: 1 }).map(frameTypeOf));
  const codepoints = [
    ...Array.from({ length: 0x1f }, (_, type) => type),
    ...[0x30, 0x31, 0x3e, 0x3f],
    ...Array.from({ length: 8 }, (_, index) => 0x3e75 + index),
  ];
  expect([...seen].sort((left, right) => left - right)).toEqual(codepoints);
});

describe('bytes as the specifications lay them out', () => {
  const token = '000102030405060708090a0b0c0d0e0f';
  test.each<[string, string, Frame]>([
    [
      // Gap and range count one less than the packets that they stand for (RFC 9000 §19.3.1).
      'ACK of 10 to 12, 5, and 0 to 1',
      '02 0c 4064 02 02 03 00 02 01',
      {
        type: 'ack',
        path: null,
        delay: 100,
        ranges: [
          { smallest: 10, largest: 12 },
          { smallest: 5, largest: 5 },
          { smallest: 0, largest: 1 },
        ],
        ecn: null,
      },
    ],
    [
      'PATH_ACK with ECN',
      '3f 03 05 00 00 00 01 02 03',
      {
        type: 'ack',
        path: 3,
        delay: 0,
        ranges: [{ smallest: 5, largest: 5 }],
        ecn: { ect0: 1, ect1: 2, ce: 3 },
      },
    ],
    [
      'STREAM with offset, length and FIN',
      '0f 04 4400 02 aabb',
      { type: 'stream', stream: 4, offset: 1024, data: Uint8Array.of(0xaa, 0xbb), fin: true, hasLength: true },
    ],
    [
      'STREAM to the end of its packet',
      '08 04 aabb',
      { type: 'stream', stream: 4, offset: 0, data: Uint8Array.of(0xaa, 0xbb), fin: false, hasLength: false },
    ],
    [
      'NEW_CONNECTION_ID',
      `18 02 01 04 c0c1c2c3 ${token}`,
      {
        type: 'new-connection-id',
        path: null,
        sequence: 2,
        retirePriorTo: 1,
        id: fromHex('c0c1c2c3'),
        resetToken: fromHex(token),
      },
    ],
    [
      'PATH_NEW_CONNECTION_ID',
      `7e78 03 02 01 04 c0c1c2c3 ${token}`,
      {
        type: 'new-connection-id',
        path: 3,
        sequence: 2,
        retirePriorTo: 1,
        id: fromHex('c0c1c2c3'),
        resetToken: fromHex(token),
      },
    ],
    [
      'CONNECTION_CLOSE of the transport',
      '1c 0a 7e78 02 6e6f',
      {
        type: 'connection-close',
        by: 'transport',
        errorCode: 10,
        frameType: 0x3e78,
        reason: fromHex('6e6f'),
      },
    ],
    [
      'CONNECTION_CLOSE of the application',
      '1d 0a 02 6e6f',
      { type: 'connection-close', by: 'application', errorCode: 10, frameType: 0, reason: fromHex('6e6f') },
    ],
    ['PATH_ABANDON', '7e75 01 7e76', { type: 'path-abandon', path: 1, errorCode: 0x3e76 }],
    ['PATH_STATUS_BACKUP', '7e76 01 05', { type: 'path-status', path: 1, status: 'backup', sequence: 5 }],
    ['PATH_STATUS_AVAILABLE', '7e77 01 06', { type: 'path-status', path: 1, status: 'available', sequence: 6 }],
    ['PATH_RETIRE_CONNECTION_ID', '7e79 01 06', { type: 'retire-connection-id', path: 1, sequence: 6 }],
    ['MAX_PATH_ID', '7e7a 07', { type: 'max-path-id', maximum: 7 }],
    ['PATHS_BLOCKED', '7e7b 07', { type: 'paths-blocked', maximum: 7 }],
    ['PATH_CIDS_BLOCKED', '7e7c 07 01', { type: 'path-cids-blocked', path: 7, nextSequence: 1 }],
    ['PADDING', '00 00 00', { type: 'padding', length: 3 }],
  ])('%s', (_, hex, frame) => {
    expect(parse(hex)).toEqual({ ok: true, value: [frame] });
    expect(toHex(encode(frame))).toBe(toHex(fromHex(hex)));
  });

  test('the payload of the server in RFC 9001 A.3: an ACK and a CRYPTO frame', () => {
    const hello = `020000560303ee fce7f7b37ba1d1632e96677825ddf739 88cfc79825df566dc5430b9a045a1200
      130100002e00330024001d00209d3c94 0d89690b84d08a60993c144eca684d10 81287c834d5311bcf32bb9da1a002b00 020304`;
    expect(parse(`02000000000600405a ${hello}`, 'initial')).toEqual({
      ok: true,
      value: [
        { type: 'ack', path: null, delay: 0, ranges: [{ smallest: 0, largest: 0 }], ecn: null },
        { type: 'crypto', offset: 0, data: fromHex(hello) },
      ],
    });
  });
});

describe('RFC 9000 table 3, RFC 9221 and "only in 1-RTT packets" of the multipath draft', () => {
  const rows: [number, number, string][] = [
    [0x00, 0x01, 'IH01'],
    [0x02, 0x03, 'IH_1'],
    [0x04, 0x05, '__01'],
    [0x06, 0x06, 'IH_1'],
    [0x07, 0x07, '___1'],
    [0x08, 0x1a, '__01'],
    [0x1b, 0x1b, '___1'],
    [0x1c, 0x1c, 'IH01'],
    [0x1d, 0x1d, '__01'],
    [0x1e, 0x1e, '___1'],
    [0x30, 0x31, '__01'],
    [0x3e, 0x3f, '___1'],
    [0x3e75, 0x3e7c, '___1'],
  ];
  test.each(rows)('%i to %i: %s', (from, to, packets) => {
    const names: FramePacket[] = ['initial', 'handshake', '0-rtt', '1-rtt'];
    for (let type = from; type <= to; type += 1) {
      expect(names.map((name, index) => (isPermitted(type, name) ? 'IH01'.charAt(index) : '_')).join('')).toBe(packets);
    }
  });

  test('a frame that is not permitted ends the connection with PROTOCOL_VIOLATION', () => {
    expect(parse('1e', 'handshake')).toMatchObject({
      ok: false,
      error: { code: TRANSPORT_ERRORS.PROTOCOL_VIOLATION, frameType: 0x1e },
    });
    expect(parse('7e750100', '0-rtt')).toMatchObject({ error: { code: TRANSPORT_ERRORS.PROTOCOL_VIOLATION } });
  });
});

describe('what is wrong with a frame', () => {
  test.each<[string, string, keyof typeof TRANSPORT_ERRORS]>([
    ['no frame at all (§12.4)', '', 'PROTOCOL_VIOLATION'],
    ['an unknown type', '1f', 'FRAME_ENCODING_ERROR'],
    ['an unknown type of eight bytes', 'ffffffffffffffff', 'FRAME_ENCODING_ERROR'],
    ['PING in two bytes (§12.4)', '4001', 'PROTOCOL_VIOLATION'],
    ['PATH_ABANDON in four bytes', '80003e750000', 'PROTOCOL_VIOLATION'],
    ['a type cut off', '7e', 'FRAME_ENCODING_ERROR'],
    ['CRYPTO cut off', '06000401', 'FRAME_ENCODING_ERROR'],
    ['STREAM longer than its packet', '0a0005aabb', 'FRAME_ENCODING_ERROR'],
    ['an ACK of packets below 0', '0205000006', 'FRAME_ENCODING_ERROR'],
    ['a second ACK range below 0', '02050001010300', 'FRAME_ENCODING_ERROR'],
    ['fewer ACK ranges than announced', '02050005000000', 'FRAME_ENCODING_ERROR'],
    ['2^62 - 1 ACK ranges', '0205 00 ffffffffffffffff 00', 'FRAME_ENCODING_ERROR'],
    ['an empty token (§19.7)', '0700', 'FRAME_ENCODING_ERROR'],
    ['2^60 + 1 streams (§19.11)', '12d000000000000001', 'FRAME_ENCODING_ERROR'],
    ['blocked at 2^60 + 1 streams (§19.14)', '17d000000000000001', 'FRAME_ENCODING_ERROR'],
    ['a connection id of 0 bytes (§19.15)', `18000000${'00'.repeat(16)}`, 'FRAME_ENCODING_ERROR'],
    ['a connection id of 21 bytes', `18000015${'00'.repeat(37)}`, 'FRAME_ENCODING_ERROR'],
    ['a connection id that retires itself', `1800010100${'00'.repeat(16)}`, 'FRAME_ENCODING_ERROR'],
    ['PATH_NEW_CONNECTION_ID that retires itself', `7e7801000101aa${'00'.repeat(16)}`, 'FRAME_ENCODING_ERROR'],
    ['a stream beyond 2^62 - 1 bytes (§19.8)', '0e00ffffffffffffffff01aa', 'FRAME_ENCODING_ERROR'],
  ])('%s', (_, hex, name) => {
    expect(parse(hex)).toMatchObject({ ok: false, error: { code: TRANSPORT_ERRORS[name] } });
  });

  test('2^60 streams are the most that may be', () => {
    expect(parse('12d000000000000000')).toMatchObject({ ok: true });
  });

  test('frames of extensions that nobody agreed on', () => {
    const none = { multipath: false, datagram: false };
    // Unknown to this end: RFC 9000 §12.4.
    expect(parse('3e0000000000', '1-rtt', none)).toMatchObject({ error: { code: 0x07 } });
    expect(parse('7e750100', '1-rtt', none)).toMatchObject({ error: { code: 0x07 } });
    // Known, but not offered: RFC 9221 §3.
    expect(parse('30aa', '1-rtt', none)).toMatchObject({ error: { code: 0x0a } });
  });
});

test('a parser that is fed anything gives frames or an error, and not more of them than bytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom<FramePacket>('initial', '0-rtt', 'handshake', '1-rtt'),
      (bytes, packet) => {
        const parsed = parseFrames(bytes, packet, EVERYTHING);
        if (parsed.ok) {
          expect(parsed.value.length).toBeLessThanOrEqual(bytes.length);
          const ranges = parsed.value.flatMap((frame) => (frame.type === 'ack' ? frame.ranges : []));
          expect(ranges.length).toBeLessThanOrEqual(bytes.length / 2);
        } else expect(parsed.error.reason).not.toBe('');
      },
    ),
    { numRuns: 800 },
  );
});

test('frames that were damaged on the way give frames or an error', () => {
  fc.assert(
    fc.property(
      fc.array(frames, { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat({ max: 255 }),
      fc.nat(),
      (some, at, byte, cut) => {
        const wire = encode(...some);
        wire[at % wire.length] = byte;
        const parsed = parseFrames(wire.subarray(0, cut % (wire.length + 1)), '1-rtt', EVERYTHING);
        expect(typeof parsed.ok).toBe('boolean');
      },
    ),
    { numRuns: 400 },
  );
});

test('which packets have to be acknowledged, and which only probe (RFC 9000 table 3, N and P)', () => {
  const samples = fc.sample(fc.oneof(frames, lastFrames), { numRuns: 2000, seed: 1 });
  const types = (of: (frame: Frame) => boolean) => new Set(samples.filter(of).map(({ type }) => type));
  expect(types((frame) => !isAckEliciting(frame))).toEqual(new Set(['padding', 'ack', 'connection-close']));
  expect(types(isProbing)).toEqual(new Set(['padding', 'new-connection-id', 'path-challenge', 'path-response']));
  expect(toHex(encode({ type: 'ping' }))).toBe('01');
});
