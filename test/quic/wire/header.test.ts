import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import {
  longHeaderLength,
  parsePacket,
  writeLongHeader,
  writeLongLength,
  writeShortHeader,
} from '../../../src/quic/wire/header.js';
import type { PacketNumberLength } from '../../../src/quic/wire/packet-number.js';
import {
  possibleResetToken,
  statelessReset,
  statelessResetToken,
  versionNegotiationPacket,
} from '../../../src/quic/wire/stateless.js';
import { Writer } from '../../../src/quic/wire/writer.js';
import { bytesOf } from './arbitraries.js';

const packetNumbers = fc.record({
  packetNumber: fc.nat({ max: 255 }),
  packetNumberLength: fc.constantFrom<PacketNumberLength>(1, 2, 3, 4),
});

test('the header of the client Initial in RFC 9001 A.2', () => {
  const hex = 'c300000001088394c8f03e5157080000449e00000002';
  const datagram = new Uint8Array(1200);
  datagram.set(fromHex(hex));
  expect(parsePacket(datagram, 0, 8)).toMatchObject({
    type: 'initial',
    destination: fromHex('8394c8f03e515708'),
    source: new Uint8Array(),
    token: new Uint8Array(),
    packetNumberAt: 18,
    end: 1200,
  });
  const writer = new Writer(new Uint8Array(22));
  const nothing = new Uint8Array();
  const header = {
    type: 'initial',
    destination: fromHex('8394c8f03e515708'),
    source: nothing,
    token: nothing,
    packetNumber: 2,
    packetNumberLength: 4,
  } as const;
  writeLongLength(writer.bytes, writeLongHeader(writer, header), 1200);
  expect(toHex(writer.written())).toBe(hex);
  expect(longHeaderLength(header)).toBe(22);
});

test('the Retry of RFC 9001 A.4', () => {
  const hex = 'ff000000010008f067a5502a4262b574 6f6b656e04a265ba2eff4d829058fb3f 0f2496ba';
  expect(parsePacket(fromHex(hex), 0, 8)).toMatchObject({
    type: 'retry',
    destination: new Uint8Array(),
    source: fromHex('f067a5502a4262b5'),
    token: fromHex('746f6b656e'),
    integrityTag: fromHex('04a265ba2eff4d829058fb3f0f2496ba'),
  });
});

test('long headers survive the wire, one behind the other in a datagram', () => {
  const packets = fc.record({
    header: fc.record({
      type: fc.constantFrom('initial', '0-rtt', 'handshake'),
      destination: bytesOf(0, 20),
      source: bytesOf(0, 20),
      token: bytesOf(0, 200),
    }),
    number: packetNumbers,
    payload: bytesOf(20, 60),
  });
  fc.assert(
    fc.property(fc.array(packets, { minLength: 1, maxLength: 4 }), (all) => {
      const datagram = concatBytes(
        ...all.map(({ header, number, payload }) => {
          const writer = new Writer(new Uint8Array(longHeaderLength({ ...header, ...number }) + payload.length));
          const at = writeLongHeader(writer, { ...header, ...number });
          writer.put(payload);
          writeLongLength(writer.bytes, at, writer.offset);
          return writer.bytes;
        }),
      );
      let start = 0;
      for (const { header, number, payload } of all) {
        const parsed = parsePacket(datagram, start, 8);
        const token = header.type === 'initial' ? header.token : new Uint8Array();
        expect(parsed).toMatchObject({ ...header, token });
        if (parsed === null || !('packetNumberAt' in parsed)) throw new Error('not a protected packet');
        const read = datagram.subarray(parsed.packetNumberAt, parsed.end);
        expect(read.subarray(number.packetNumberLength)).toEqual(payload);
        expect(read[number.packetNumberLength - 1]).toBe(number.packetNumber);
        start = parsed.end;
      }
      expect(parsePacket(datagram, start, 8)).toBeNull();
    }),
  );
});

test('short headers survive the wire and go to the end of the datagram', () => {
  fc.assert(
    fc.property(
      bytesOf(0, 20),
      packetNumbers,
      fc.constantFrom<0 | 1>(0, 1),
      fc.constantFrom<0 | 1>(0, 1),
      (destination, number, keyPhase, spin) => {
        const writer = new Writer(new Uint8Array(100));
        const at = writeShortHeader(writer, { destination, keyPhase, spin, ...number });
        const first = writer.bytes[0] ?? 0;
        // RFC 9000 figure 19: fixed bit, spin, two reserved bits, key phase, length.
        expect(first).toBe(0x40 | (spin << 5) | (keyPhase << 2) | (number.packetNumberLength - 1));
        expect(parsePacket(writer.bytes, 0, destination.length)).toMatchObject({
          type: '1-rtt',
          destination,
          packetNumberAt: at,
          end: 100,
        });
      },
    ),
  );
});

describe('what is no packet of ours', () => {
  test.each([
    ['nothing', ''],
    ['a short header without the fixed bit', '00'.repeat(30)],
    ['a short header cut off in its connection id', '40 0102'],
    ['a long header cut off', 'c0 00000001 08 0102'],
    ['a connection id of 21 bytes in version 1', `c0 00000001 15 ${'00'.repeat(21)} 00 00 01 00`],
    ['an Initial without the fixed bit', '80 00000001 00 00 00 01 00'],
    ['a token longer than the datagram', 'c0 00000001 00 00 7fff 01 00'],
    ['a length beyond the datagram', 'c0 00000001 00 00 00 05 00'],
    ['a Retry without a token (RFC 9000 §17.2.5.2)', `f0 00000001 00 00 ${'00'.repeat(16)}`],
    ['a Retry without its tag', 'f0 00000001 00 00 0000'],
    ['Version Negotiation without versions', '80 00000000 00 00'],
    ['Version Negotiation with half a version', '80 00000000 00 00 0000'],
  ])('%s', (_, hex) => {
    expect(parsePacket(fromHex(hex), 0, 8)).toBeNull();
  });

  test('a long header of another version keeps its connection ids, however long (RFC 8999)', () => {
    const id = '11'.repeat(255);
    expect(parsePacket(fromHex(`80 0a1a2a3a ff ${id} 01 22 99`), 0, 8)).toMatchObject({
      type: 'other-version',
      version: 0x0a1a2a3a,
      destination: fromHex(id),
      source: fromHex('22'),
    });
  });

  test('anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 200 }), fc.nat({ max: 20 }), (bytes, start, id) => {
        const parsed = parsePacket(bytes, start, id);
        if (parsed !== null) expect(parsed.end).toBeGreaterThan(start);
      }),
      { numRuns: 800 },
    );
  });
});

test('Version Negotiation turns the ids round, offers version 1 and a reserved version', () => {
  const random = new SeededRandom(1);
  const [destination, source] = [random.bytes(8), random.bytes(255)];
  const packet = versionNegotiationPacket({ destination, source }, random);
  const parsed = parsePacket(packet, 0, 8);
  expect(parsed).toMatchObject({ type: 'version-negotiation', destination: source, source: destination });
  if (parsed?.type !== 'version-negotiation') throw new Error('not Version Negotiation');
  expect(parsed.versions).toContain(1);
  // RFC 9000 §15: 0x?a?a?a?a.
  expect(parsed.versions.some((version) => (version & 0x0f0f0f0f) >>> 0 === 0x0a0a0a0a)).toBe(true);
});

describe('stateless reset', () => {
  const random = new SeededRandom(2);
  const token = statelessResetToken(random.bytes(32), random.bytes(8));

  test('the same key and id give the same 16 bytes, others do not', () => {
    const key = random.bytes(32);
    expect(statelessResetToken(key, Uint8Array.of(1))).toEqual(statelessResetToken(key, Uint8Array.of(1)));
    expect(statelessResetToken(key, Uint8Array.of(1))).not.toEqual(statelessResetToken(key, Uint8Array.of(2)));
    expect(token).toHaveLength(16);
  });

  test('looks like a short header, ends with the token, is shorter than what it answers (RFC 9000 §10.3.3)', () => {
    for (const trigger of [22, 30, 43, 1200]) {
      const reset = statelessReset(token, trigger, random);
      if (reset === null) throw new Error('no reset');
      expect(reset.length).toBeLessThan(trigger);
      expect((reset[0] ?? 0) & 0xc0).toBe(0x40);
      expect(possibleResetToken(reset)).toEqual(token);
    }
    expect(statelessReset(token, 21, random)).toBeNull();
  });

  test('a long header and a very short datagram are none', () => {
    expect(possibleResetToken(new Uint8Array(20).fill(0x40))).toBeNull();
    expect(possibleResetToken(new Uint8Array(50).fill(0xc0))).toBeNull();
  });
});
