import { beforeAll, describe, expect, test } from 'vitest';
import { transportAddress } from '../../../src/base/address.js';
import type { Ms } from '../../../src/base/time.js';
import type { Observed } from '../../../src/quic/connection/types.js';
import { QlogTrace } from '../../../src/quic/qlog/trace.js';
import { Pair, type PairIdentities, pairIdentities, type PairOptions } from '../../support/quic-pair.js';
import { checkQlogEvent, QLOG_EVENTS, qlogHeader } from './schema.js';

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

interface Line {
  readonly time: number;
  readonly name: string;
  readonly data: { readonly frames?: readonly { readonly frame_type: string }[] };
}

/** A pair, and what the traces of its two ends have, record by record. */
function traced(options: PairOptions = {}) {
  const texts = { client: '', server: '' };
  const observer = (side: 'client' | 'server') => {
    const trace = new QlogTrace(0);
    texts[side] = trace.header({ title: side, vantagePoint: side, referenceTime: 0, startedAt: 0 });
    return (observed: Observed, now: Ms): void => {
      texts[side] += trace.line(observed, now) ?? '';
    };
  };
  const pair = new Pair(identities, {
    ...options,
    client: { ...options.client, observe: observer('client') },
    server: { ...options.server, observe: observer('server') },
  });
  const lines = (side: 'client' | 'server') => {
    // RFC 7464: a record separator before each record, a line feed behind it.
    const [nothing, ...records] = texts[side].split('\u001e');
    expect(nothing).toBe('');
    expect(records.every((record) => record.endsWith('}\n'))).toBe(true);
    const [header, ...events] = records.map((record) => JSON.parse(record) as unknown);
    qlogHeader.parse(header);
    for (const event of events) checkQlogEvent(event);
    return events as Line[];
  };
  return { pair, lines };
}

/** What the traces of both ends have in them, over all kinds of connections. */
const seen = { names: new Set<string>(), frames: new Set<string>() };
function note(lines: readonly Line[]): void {
  for (const { name, data } of lines) {
    seen.names.add(name);
    for (const frame of data.frames ?? []) seen.frames.add(frame.frame_type);
  }
  const times = lines.map(({ time }) => time);
  expect(times).toEqual(times.toSorted((left, right) => left - right));
}

describe('a qlog is what the drafts say that it is', () => {
  test.each<[string, PairOptions]>([
    ['with several paths', { link: { delayMs: 10, loss: 0.02 }, wires: [{ delayMs: 20 }] }],
    ['with one', { client: { parameters: { initialMaxPathId: null, initialMaxStreamsBidi: 1 } }, wires: [{}] }],
  ])('%s', (_, options) => {
    const { pair, lines } = traced({
      ...options,
      server: {
        preferredAddress: { ipv4: transportAddress('192.0.2.99', 443) },
        parameters: { initialMaxData: 50_000 },
      },
    });
    pair.complete();
    if (options.client === undefined) {
      pair.open(1);
      pair.client.it.setPathStatus(1, 'backup');
    }
    const stream = pair.client.post(new Uint8Array(300_000));
    pair.client.it.sendDatagram(new Uint8Array(100));
    pair.server.it.sendToken(new Uint8Array(20));
    pair.run(pair.now + 200);
    pair.client.it.updateKeys(pair.now);
    const given = pair.client.it.openStream('bidi') ?? -1;
    pair.client.write(given, new Uint8Array(10));
    pair.client.it.stopSending(given, 7);
    pair.client.it.reset(given, 8);
    while (pair.server.it.openStream('bidi') !== null);
    // A packet that is not one, and one that comes twice.
    pair.client.it.receive(Uint8Array.of(0x40, ...new Uint8Array(40)), pair.tuple(0), 'none', pair.now);
    expect(pair.run(pair.now + 20_000, () => pair.server.finished.has(stream))).toBe(true);
    if (options.client === undefined) pair.client.it.abandonPath(1, pair.now);
    pair.run(pair.now + 1000);
    pair.client.it.close(3, 'done', pair.now);
    pair.run(pair.now + 5000);
    for (const side of ['client', 'server'] as const) note(lines(side));
  });

  test('every event, and nearly every frame, was among them', () => {
    expect(QLOG_EVENTS.filter((name) => !seen.names.has(name))).toEqual([]);
    const expected = [
      ...['padding', 'ping', 'handshake_done', 'ack', 'crypto', 'new_token', 'stream', 'reset_stream', 'stop_sending'],
      ...['max_data', 'streams_blocked', 'data_blocked', 'new_connection_id', 'retire_connection_id'],
      ...['path_challenge', 'path_response', 'connection_close', 'datagram', 'path_ack', 'path_abandon'],
      ...['path_new_connection_id', 'path_status_backup', 'max_path_id'],
    ];
    expect(expected.filter((type) => !seen.frames.has(type))).toEqual([]);
  });

  test.each<[string, (pair: Pair) => void, string]>([
    [
      'of the application’s own',
      (pair) => {
        pair.client.it.close(5, 'enough', pair.now);
      },
      'application',
    ],
    [
      'without an error',
      (pair) => {
        pair.client.it.close(0, '', pair.now);
      },
      'clean',
    ],
    [
      'by silence',
      (pair) => {
        pair.setUp(0, false);
      },
      'idle_timeout',
    ],
  ])('an end %s', (_, end, trigger) => {
    const { pair, lines } = traced();
    pair.complete();
    end(pair);
    pair.run(pair.now + 200_000);
    const closed = lines('client').find(({ name }) => name === 'connectivity:connection_closed');
    expect(closed?.data).toMatchObject({ trigger });
  });
});
