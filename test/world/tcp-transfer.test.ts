import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, equalBytes } from '../../src/base/bytes.js';
import type { Ms } from '../../src/base/time.js';
import { encodePacket } from '../../src/world/ip-codec.js';
import type { LinkOptions } from '../../src/world/link.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/world/pcapng.js';
import { testWith } from '../support/skip.js';
import { tsharkFields } from '../support/tshark.js';
import { Pair, type PairOptions, randomBytes } from './tcp-pair.js';

const share = (max: number): fc.Arbitrary<number> => fc.double({ min: 0, max, noNaN: true });
const link: fc.Arbitrary<LinkOptions> = fc.record(
  {
    delayMs: fc.integer({ min: 0, max: 300 }),
    jitterMs: fc.integer({ min: 0, max: 100 }),
    reorders: fc.boolean(),
    loss: share(0.15),
    duplicates: share(0.2),
    rateBps: fc.integer({ min: 200_000, max: 100_000_000 }),
    queueBytes: fc.integer({ min: 5000, max: 100_000 }),
    mtuBytes: fc.integer({ min: 300, max: 1500 }),
  },
  { requiredKeys: [] },
);
const lengths = fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 6 });

describe('over any link', () => {
  it('what is written arrives byte for byte, both ways, and both ends hear the end', () => {
    fc.assert(
      fc.property(link, link, lengths, lengths, fc.integer({ min: 400, max: 1500 }), fc.integer(), (...drawn) => {
        const [there, back, up, down, clientMtuBytes, seed] = drawn;
        const pair = new Pair({ there, back, clientMtuBytes, seed }).listen().connect();
        // A handshake may fail for good where one packet in five is lost: then there is nothing to see.
        pair.run(200_000);
        fc.pre(pair.client.said[0] === 'open' && pair.server.said[0] === 'open');
        const sent = { up: randomBytes(`up ${seed}`, sum(up)), down: randomBytes(`down ${seed}`, sum(down)) };
        write(pair, 'client', sent.up, up);
        write(pair, 'server', sent.down, down);
        pair.run(7200_000);
        expect(pair.server.said).toEqual(['open', 'end']);
        expect(pair.client.said).toEqual(['open', 'end']);
        // `toEqual` takes seconds for so many bytes.
        expect(equalBytes(pair.server.bytes, sent.up)).toBe(true);
        expect(equalBytes(pair.client.bytes, sent.down)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('the same seed gives the same segments at the same times', () => {
    const trace = (seed: number): string[] => {
      const pair = new Pair({ seed, there: { delayMs: 20, jitterMs: 5, reorders: true, loss: 0.1 } }).established();
      pair.client.stream?.write(randomBytes(1, 50_000));
      pair.run(60_000);
      return pair.seen.map(({ at, from, flags, seq, ack }) => `${at} ${from} ${flags} ${seq} ${ack}`);
    };
    expect(trace(3)).toEqual(trace(3));
    expect(trace(3)).not.toEqual(trace(4));
  });
});

describe('as fast as rate and window allow', () => {
  /** How long `length` bytes take from the first write until all have arrived. */
  const transfer = (length: number, options: PairOptions): Ms => {
    const pair = new Pair(options).established();
    pair.client.stream?.write(new Uint8Array(length));
    const began = pair.network.now;
    let received = 0;
    let counted = 0;
    pair.network.runUntil(began + 3600_000, () => {
      for (; counted < pair.server.received.length; counted += 1)
        received += pair.server.received[counted]?.length ?? 0;
      return received === length;
    });
    return pair.network.now - began;
  };

  it('10 Mbit/s, 20 ms each way: the rate less the headers, after a slow start of a few round trips', () => {
    const length = 5_000_000;
    const wireMs = (length * 8 * (1500 / 1460)) / 10_000;
    const took = transfer(length, { there: { delayMs: 20, rateBps: 10e6 }, back: { delayMs: 20 } });
    // 10 segments at first (RFC 6928), and the pipe holds 35: two round trips of 40 ms, one way, and some grace.
    expect(took).toBeGreaterThan(wireMs);
    expect(took).toBeLessThan(wireMs + 20 + 4 * 40);
  });

  it('1 Gbit/s, 20 ms each way: a window of 65535 bytes each round trip', () => {
    const length = 5_000_000;
    const took = transfer(length, { there: { delayMs: 20, rateBps: 1e9 }, back: { delayMs: 20 } });
    const windows = length / 65_535;
    expect(took).toBeGreaterThan((windows - 1) * 40);
    expect(took).toBeLessThan((windows + 5) * 1.05 * 40);
  });

  it('1 % loss, 40 ms round trip: within a factor of two of Mathis’ √(3/2p) segments each round trip', () => {
    const length = 10_000_000;
    const took = transfer(length, { there: { delayMs: 20, loss: 0.01 }, back: { delayMs: 20 } });
    // Mathis et al. 1997, every second segment acknowledged: √(3/4p).
    const expected = (length / (1460 * Math.sqrt(3 / (4 * 0.01)))) * 40;
    expect(took).toBeGreaterThan(expected / 2);
    expect(took).toBeLessThan(expected * 2);
  });
});

describe('in a capture', () => {
  const capture = (options: PairOptions, act: (pair: Pair) => void, look: (file: string) => void): void => {
    const pair = new Pair(options).listen().connect().run(500);
    act(pair);
    const directory = mkdtempSync(join(tmpdir(), 'icepath-tcp-'));
    try {
      const file = join(directory, 'run.pcap');
      const packets = pair.seen.map(({ at, from, packet }) =>
        enhancedPacket(
          0,
          BigInt(Math.round(at * 1e6)),
          encodePacket(packet),
          from === 'client' ? 'outbound' : 'inbound',
        ),
      );
      const head = sectionHeader({ hardware: 'a simulated host', application: 'icepath' });
      writeFileSync(file, concatBytes(head, interfaceDescription('eth0'), ...packets));
      look(file);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
  const exchange = (pair: Pair): void => {
    pair.client.stream?.write(randomBytes(1, 30_000));
    pair.client.stream?.end();
    pair.run(20_000);
    pair.server.stream?.write(randomBytes(2, 10_000));
    pair.server.stream?.end();
    pair.run(20_000);
  };

  testWith(['tshark'], 'tshark finds nothing to remark on a link without loss', () => {
    capture({}, exchange, (file) => {
      expect(
        tsharkFields(file, 'tcp.analysis.flags || _ws.malformed || tcp.checksum.status == 0', 'frame.number'),
      ).toEqual([]);
      const rows = tsharkFields(file, 'tcp', 'ip.src', 'tcp.len', 'tcp.flags.syn', 'tcp.flags.fin', 'tcp.stream');
      const of = (address: string, column: number): number =>
        sum(rows.filter(([from]) => from === address).map((row) => Number(row[column])));
      expect([of('10.1.0.2', 1), of('10.2.0.2', 1)]).toEqual([30_000, 10_000]);
      expect(new Set(rows.map(([, , , , stream]) => stream))).toEqual(new Set(['0']));
      expect(tsharkFields(file, 'tcp.options.mss', 'tcp.options.mss_val')).toEqual([['1460'], ['1460']]);
    });
  });

  testWith(
    ['tshark'],
    'with loss tshark sees lost segments and their retransmissions, and nothing else out of place',
    () => {
      capture({ there: { delayMs: 10, loss: 0.1 } }, exchange, (file) => {
        expect(tsharkFields(file, 'tcp.analysis.retransmission', 'frame.number').length).toBeGreaterThan(0);
        const odd =
          'tcp.analysis.ack_lost_segment || tcp.analysis.window_full || tcp.analysis.zero_window || tcp.analysis.reused_ports';
        expect(tsharkFields(file, odd, 'frame.number')).toEqual([]);
      });
    },
  );
});

function write(pair: Pair, end: 'client' | 'server', bytes: Uint8Array, pieces: readonly number[]): void {
  let at = 0;
  for (const length of pieces) {
    pair[end].stream?.write(bytes.subarray(at, at + length));
    at += length;
    pair.run(length % 50);
  }
  pair[end].stream?.end();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
