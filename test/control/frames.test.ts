import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex, utf8Bytes, viewOf } from '../../src/base/bytes.js';
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES, type Frame } from '../../src/control/frames.js';

function frame(body: Uint8Array): Uint8Array {
  const header = new Uint8Array(4);
  viewOf(header).setUint32(0, body.length);
  return concatBytes(header, body);
}

function decode(pieces: readonly Uint8Array[], maxBytes = MAX_FRAME_BYTES): Frame[] {
  const decoder = new FrameDecoder(maxBytes);
  const frames: Frame[] = [];
  for (const piece of pieces) {
    decoder.push(piece);
    for (let next = decoder.next(); next; next = decoder.next()) {
      frames.push(next);
      if (next.type === 'broken') return frames;
    }
  }
  return frames;
}

const only = (bytes: Uint8Array): Frame | undefined => decode([bytes])[0];

describe('frames', () => {
  test('are a big-endian length and JSON', () => {
    expect(encodeFrame({ a: 'é' })).toEqual(concatBytes(fromHex('0000000a'), utf8Bytes('{"a":"é"}')));
  });

  test('come out whole and in order however the stream is cut', () => {
    const json = fc.array(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 })), { maxLength: 8 });
    fc.assert(
      fc.property(json, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (values, cuts) => {
        const stream = concatBytes(...values.map((value) => encodeFrame(value) ?? new Uint8Array(0)));
        const pieces: Uint8Array[] = [];
        for (let offset = 0, turn = 0; offset < stream.length; turn += 1) {
          const size = cuts[turn % cuts.length] ?? 1;
          pieces.push(stream.subarray(offset, offset + size));
          offset += size;
        }
        const expected: unknown = JSON.parse(JSON.stringify(values));
        expect(decode(pieces).map((next) => (next.type === 'value' ? next.value : next.reason))).toEqual(expected);
      }),
    );
  });

  test('a truncated frame waits, it is no error', () => {
    const whole = frame(utf8Bytes('{"a":1}'));
    for (let length = 0; length < whole.length; length += 1) expect(decode([whole.subarray(0, length)])).toEqual([]);
  });

  test('too long is known from the header alone', () => {
    expect(only(fromHex('00100001'))).toMatchObject({ type: 'broken' });
    expect(only(fromHex('ffffffff'))).toMatchObject({ type: 'broken' });
    expect(decode([fromHex('00000401')], 1024)).toMatchObject([{ type: 'broken' }]);
    expect(decode([fromHex('00000400')], 1024)).toEqual([]);
  });

  test('the longest frame passes, one byte more is not made', () => {
    const text = 'x'.repeat(MAX_FRAME_BYTES - '{"a":""}'.length);
    const bytes = encodeFrame({ a: text });
    expect(bytes?.length).toBe(MAX_FRAME_BYTES + 4);
    expect(only(bytes ?? new Uint8Array(0))).toMatchObject({ type: 'value', value: { a: text } });
    expect(encodeFrame({ a: `${text}x` })).toBeNull();
  });

  test.each([
    ['nothing', ''],
    ['UTF-8 cut in a character', '22c322'],
    ['an overlong slash', '22c0af22'],
    ['a surrogate', '22eda08022'],
    ['a byte order mark', 'efbbbf7b7d'],
    ['half an object', '7b'],
    ['two values', '7b7d7b7d'],
  ])('%s breaks the stream', (_, hex) => {
    expect(only(frame(fromHex(hex)))).toMatchObject({ type: 'broken' });
  });

  test('brackets may nest 32 deep, not 33 and not half a million', () => {
    const nested = (depth: number): Uint8Array => utf8Bytes('['.repeat(depth) + ']'.repeat(depth));
    expect(only(frame(nested(32)))).toMatchObject({ type: 'value' });
    expect(only(frame(nested(33)))).toMatchObject({ type: 'broken' });
    expect(only(frame(nested(500_000)))).toMatchObject({ type: 'broken' });
    expect(only(frame(utf8Bytes(JSON.stringify({ a: `\\"${'['.repeat(100)}` }))))).toMatchObject({ type: 'value' });
  });

  test('once broken, nothing more is read', () => {
    const decoder = new FrameDecoder(MAX_FRAME_BYTES);
    decoder.push(frame(utf8Bytes('no')));
    expect(decoder.next()).toMatchObject({ type: 'broken' });
    decoder.push(frame(utf8Bytes('{}')));
    expect(decoder.next()).toMatchObject({ type: 'broken' });
  });

  test('garbage never throws', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (pieces) => decode(pieces).length >= 0));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (body) => decode([frame(body)]).length === 1));
  });
});
