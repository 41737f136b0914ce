import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, equalBytes, utf8Bytes, utf8Text } from '../../../src/base/bytes.js';
import { fraction, SeededRandom } from '../../../src/base/random.js';
import { ReceiveWindow } from '../../../src/quic/streams/flow-control.js';
import { ReceiveStream } from '../../../src/quic/streams/receive-stream.js';
import { SendStream } from '../../../src/quic/streams/send-stream.js';
import { Streams } from '../../../src/quic/streams/streams.js';
import type { Frame } from '../../../src/quic/wire/frames.js';
import { DEFAULT_PARAMETERS, type TransportParameters } from '../../../src/quic/wire/transport-parameters.js';

const bytes = utf8Bytes;
const PARAMETERS: TransportParameters = {
  ...DEFAULT_PARAMETERS,
  initialMaxData: 4000,
  initialMaxStreamDataBidiLocal: 1000,
  initialMaxStreamDataBidiRemote: 1000,
  initialMaxStreamDataUni: 1000,
  initialMaxStreamsBidi: 4,
  initialMaxStreamsUni: 4,
};
const LIMITS = { mostStreamWindowBytes: 16_000, mostConnectionWindowBytes: 64_000 };

function end(
  isServer: boolean,
  local: TransportParameters = PARAMETERS,
  remote: TransportParameters = PARAMETERS,
): Streams {
  const streams = new Streams(isServer, local, LIMITS);
  streams.setRemote(remote);
  return streams;
}

const stream = (id: number, text: string, offset = 0, fin = false): Frame => ({
  type: 'stream',
  stream: id,
  offset,
  data: bytes(text),
  fin,
  hasLength: true,
});

describe('the sending half (RFC 9000 §3.1)', () => {
  test('sends what was written, then what was lost, then the end; done when all was acknowledged', () => {
    const send = new SendStream(0, 100);
    send.write(bytes('hello '));
    send.write(bytes('world'));
    send.finish();
    expect(send.state).toBe('ready');
    const first = send.next(8, 100);
    expect([utf8Text(first?.data ?? bytes('')), first?.fin, first?.newBytes]).toEqual(['hello wo', false, 8]);
    const second = send.next(8, 100);
    expect([second?.offset, utf8Text(second?.data ?? bytes('')), second?.fin]).toEqual([8, 'rld', true]);
    expect([send.state, send.isSendable]).toEqual(['data-sent', false]);
    send.onLost(0, 8, false);
    send.onAcked(8, 3, true);
    const again = send.next(5, 0);
    expect([again?.offset, utf8Text(again?.data ?? bytes('')), again?.newBytes]).toEqual([0, 'hello', 0]);
    send.next(5, 0);
    send.onAcked(0, 5, false);
    expect(send.bufferedBytes).toBe(6);
    send.onAcked(5, 3, false);
    expect([send.state, send.bufferedBytes]).toEqual(['data-recvd', 0]);
  });

  test('an end without bytes is sent, and sent again when it was lost', () => {
    const send = new SendStream(0, 0);
    send.finish();
    expect(send.next(100, 0)).toMatchObject({ offset: 0, fin: true, newBytes: 0 });
    expect(send.next(100, 0)).toBeNull();
    send.onLost(0, 0, true);
    expect(send.next(100, 0)).toMatchObject({ fin: true });
    send.onAcked(0, 0, true);
    expect(send.state).toBe('data-recvd');
  });

  test('neither limit is passed: that of the stream, that of the connection', () => {
    const send = new SendStream(0, 10);
    send.write(new Uint8Array(100));
    expect(send.next(100, 4)?.newBytes).toBe(4);
    expect(send.next(100, 50)?.newBytes).toBe(6);
    expect([send.next(100, 50), send.isBlocked]).toEqual([null, true]);
    send.credit.raise(12);
    expect(send.next(100, 50)?.newBytes).toBe(2);
  });

  test('a reset says how much was sent, and nothing more goes', () => {
    const send = new SendStream(0, 100);
    send.write(new Uint8Array(50));
    send.next(20, 100);
    expect(send.reset(7)).toBe(true);
    expect([send.finalSize, send.resetCode, send.next(10, 100), send.write(bytes('x'))]).toEqual([20, 7, null, false]);
    send.onResetAcked();
    expect(send.state).toBe('reset-recvd');
  });
});

describe('the receiving half (RFC 9000 §3.2)', () => {
  const receive = () => new ReceiveStream(0, new ReceiveWindow(100, 100));

  test('from recv to data-read', () => {
    const half = receive();
    half.onData(5, bytes(' world'), true);
    expect([half.state, half.read()]).toEqual(['size-known', null]);
    half.onData(0, bytes('hello'), false);
    expect(half.state).toBe('data-recvd');
    const text = concatBytes(half.read() ?? bytes(''), half.read() ?? bytes(''));
    expect(utf8Text(text)).toBe('hello world');
    expect([half.takeEnd(), half.takeEnd(), half.state]).toEqual([true, false, 'data-read']);
  });

  test.each<[string, (half: ReceiveStream) => ReturnType<ReceiveStream['onData']>]>([
    ['data behind the end', (half) => half.onData(10, bytes('x'), false)],
    ['another end', (half) => half.onData(0, bytes('hi'), true)],
    ['a reset with another size', (half) => half.onReset(0, 11)],
  ])('FINAL_SIZE_ERROR: %s (§4.5)', (_, wrong) => {
    const half = receive();
    half.onData(0, bytes('0123456789'), true);
    expect(wrong(half)).toMatchObject({ error: { code: 0x06 } });
  });

  test('FINAL_SIZE_ERROR: an end before what has come', () => {
    const half = receive();
    half.onData(0, bytes('0123456789'), false);
    expect(half.onData(0, bytes('01'), true)).toMatchObject({ error: { code: 0x06 } });
    expect(half.onReset(0, 9)).toMatchObject({ error: { code: 0x06 } });
  });

  test('FLOW_CONTROL_ERROR: beyond the limit, by data and by a reset (§4.1)', () => {
    expect(receive().onData(95, bytes('123456'), false)).toMatchObject({ error: { code: 0x03 } });
    expect(receive().onReset(0, 101)).toMatchObject({ error: { code: 0x03 } });
  });

  test('a reset takes away what was not read, and is too late when all has come', () => {
    const half = receive();
    half.onData(0, bytes('hello'), false);
    expect(half.onReset(9, 20)).toEqual({ newBytes: 15, error: null });
    expect([half.read(), half.takeReset(), half.takeReset()]).toEqual([null, 9, null]);
    const late = receive();
    late.onData(0, bytes('hello'), true);
    late.onReset(9, 5);
    expect(utf8Text(late.read() ?? bytes(''))).toBe('hello');
  });
});

describe('all streams of a connection', () => {
  test('ids: two low bits say whose and which (RFC 9000 table 1), limits hold', () => {
    const client = end(false);
    const server = end(true);
    expect([client.open('bidi')?.id, client.open('bidi')?.id, client.open('uni')?.id]).toEqual([0, 4, 2]);
    expect([server.open('bidi')?.id, server.open('uni')?.id, server.open('uni')?.id]).toEqual([1, 3, 7]);
    client.open('bidi');
    client.open('bidi');
    expect(client.open('bidi')).toBeNull();
    expect(client.takeFrames(50, 0)).toContainEqual({ type: 'streams-blocked', direction: 'bidi', limit: 4 });
    client.onFrame({ type: 'max-streams', direction: 'bidi', maximum: 5 });
    expect(client.open('bidi')?.id).toBe(16);
  });

  test('the first frame of a stream opens it and all below it', () => {
    const server = end(true);
    expect(server.onFrame(stream(8, 'x'))).toBeNull();
    const events = [server.takeEvent(), server.takeEvent(), server.takeEvent(), server.takeEvent()];
    expect(events.map((event) => event?.type)).toEqual(['opened', 'opened', 'opened', 'readable']);
    expect(server.size).toBe(3);
  });

  test.each<[string, Frame, number]>([
    ['one stream too many', stream(16, 'x'), 0x04],
    ['far too many', stream(2 ** 50, 'x'), 0x04],
    ['data on a stream that only this end sends on', stream(3, 'x'), 0x05],
    [
      'a reset of a stream that only this end sends on',
      { type: 'reset-stream', stream: 3, errorCode: 0, finalSize: 0 },
      0x05,
    ],
    ['data on a stream of ours that is not open', stream(1, 'x'), 0x05],
    ['a limit for a stream that only they send on', { type: 'max-stream-data', stream: 2, maximum: 1 }, 0x05],
    ['STOP_SENDING for a stream that only they send on', { type: 'stop-sending', stream: 2, errorCode: 0 }, 0x05],
    ['a limit for a stream of ours that is not open', { type: 'max-stream-data', stream: 1, maximum: 1 }, 0x05],
    ['blocked on a stream that only this end sends on', { type: 'stream-data-blocked', stream: 3, limit: 1 }, 0x05],
  ])('a server refuses %s', (_, frame, code) => {
    expect(end(true).onFrame(frame)).toMatchObject({ code });
  });

  test('all together must not pass the limit of the connection', () => {
    const server = end(true);
    const full = 'x'.repeat(1000);
    for (const id of [0, 4, 8, 12]) expect(server.onFrame(stream(id, full))).toBeNull();
    expect(server.onFrame(stream(2, 'x'))).toMatchObject({ code: 0x03 });
  });

  test('what is given up makes room in the window of the connection', () => {
    const server = end(true);
    const full = 'x'.repeat(1000);
    for (const id of [0, 4]) server.onFrame(stream(id, full));
    server.onFrame({ type: 'reset-stream', stream: 0, errorCode: 1, finalSize: 1000 });
    server.stop(4, 2);
    expect(server.takeFrames(50, 0)).toEqual(
      expect.arrayContaining([{ type: 'stop-sending', stream: 4, errorCode: 2 }]),
    );
    server.onFrame(stream(8, full));
    server.read(8);
    expect(server.takeFrames(50, 0)).toContainEqual({ type: 'max-data', maximum: 7000 });
  });

  test('STOP_SENDING is answered by a reset with its code (RFC 9000 §3.5)', () => {
    const client = end(false);
    client.open('bidi')?.send?.write(new Uint8Array(500));
    client.next(100);
    expect(client.onFrame({ type: 'stop-sending', stream: 0, errorCode: 33 })).toBeNull();
    expect(client.takeFrames(50, 0)).toContainEqual({ type: 'reset-stream', stream: 0, errorCode: 33, finalSize: 100 });
    expect(client.hasData).toBe(false);
  });

  test('a stream that is over on both sides makes room for another', () => {
    const server = end(true);
    for (const id of [0, 4]) {
      server.onFrame(stream(id, 'x', 0, true));
      server.read(id);
      expect(server.takeEnd(id)).toBe(true);
      server.get(id)?.send?.finish();
      const sent = server.next(100);
      server.onAcked({ ...stream(id, ''), fin: sent?.part.fin ?? false } as Frame);
    }
    expect(server.size).toBe(0);
    expect(server.takeFrames(50, 0)).toContainEqual({ type: 'max-streams', direction: 'bidi', maximum: 6 });
    // What comes late for a stream that is over is no error.
    expect(server.onFrame(stream(0, 'x', 0, true))).toBeNull();
    expect(server.size).toBe(0);
  });

  test('streams take turns', () => {
    const client = end(false);
    for (let count = 0; count < 3; count += 1) client.open('bidi')?.send?.write(new Uint8Array(300));
    const order = Array.from({ length: 7 }, () => client.next(100)?.stream);
    expect(order).toEqual([0, 4, 8, 0, 4, 8, 0]);
  });
});

test('whatever is lost, repeated or late: every stream arrives whole, and the windows move on', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new SeededRandom(seed);
      const ends = { client: end(false), server: end(true) };
      const sent = new Map<number, Uint8Array>();
      const got = new Map<number, Uint8Array[]>();
      const ended = new Set<number>();
      for (let count = 0; count < 3; count += 1) {
        const data = random.bytes(5000);
        const opened = ends.client.open(count === 2 ? 'uni' : 'bidi');
        if (!opened?.send) throw new Error('no stream');
        opened.send.write(data);
        opened.send.finish();
        sent.set(opened.id, data);
      }
      const way: { to: 'client' | 'server'; frame: Frame }[] = [];
      const post = (from: 'client' | 'server', frame: Frame) =>
        way.push({ to: from === 'client' ? 'server' : 'client', frame });
      for (let step = 0; step < 4000 && ended.size < 3; step += 1) {
        for (const from of ['client', 'server'] as const) {
          for (const frame of ends[from].takeFrames(50, step)) post(from, frame);
          const next = ends[from].next(400);
          if (next) post(from, { type: 'stream', stream: next.stream, hasLength: true, ...next.part });
        }
        const [item] = way.splice(Math.floor(fraction(random) * Math.min(way.length, 5)), 1);
        if (item === undefined) continue;
        const from = item.to === 'client' ? 'server' : 'client';
        if (fraction(random) < 0.2) {
          ends[from].onLost(item.frame);
          continue;
        }
        const errors = [ends[item.to].onFrame(item.frame)];
        if (fraction(random) < 0.2) errors.push(ends[item.to].onFrame(item.frame));
        if (errors.some((error) => error !== null)) throw new Error(JSON.stringify(errors));
        ends[from].onAcked(item.frame);
        for (const id of sent.keys()) {
          for (let data = ends.server.read(id); data !== null; data = ends.server.read(id)) {
            got.set(id, [...(got.get(id) ?? []), data]);
          }
          if (ends.server.takeEnd(id)) ended.add(id);
        }
      }
      expect(ended.size).toBe(3);
      for (const [id, data] of sent) expect(equalBytes(concatBytes(...(got.get(id) ?? [])), data)).toBe(true);
    }),
    { numRuns: 25 },
  );
});
