import { beforeAll, describe, expect, test } from 'vitest';
import type { Ms } from '../../../src/base/time.js';
import { equalBytes } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { Bbr } from '../../../src/quic/recovery/bbr.js';
import { Cubic } from '../../../src/quic/recovery/cubic.js';
import { minimumWindow } from '../../../src/quic/recovery/congestion.js';
import { Pair, type PairIdentities, pairIdentities } from '../../support/quic-pair.js';

// The ways of the scenario wifi-off-on: WiFi of 10 ms there, modem of 50 ms, a cable of 600 ms; 400 kbit/s over them.

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

const WIFI = { delayMs: 10, rateBps: 20e6 };
const MODEM = { delayMs: 50, rateBps: 10e6 };
/** No more than what is written, so that there is always something that waits. */
const NARROW = { delayMs: 50, rateBps: 400e3 };
const CABLE = { delayMs: 600, rateBps: 10e6 };
const WRITE_MS: Ms = 10;
const WRITE_BYTES = 500;
const CUT: Ms = 10_000;
const END: Ms = 15_000;

/** A path that has lost so much that its window is the smallest that there is, as a modem's after an experiment. */
function collapsed(datagramBytes: number): Cubic {
  const cubic = new Cubic(datagramBytes);
  cubic.window = minimumWindow(datagramBytes);
  cubic.slowStartThreshold = cubic.window;
  return cubic;
}

/** How long the far end had nothing to read at most, from a bit before the cut on. */
function longestPause(cut: (pair: Pair) => void): Ms {
  let paths = 0;
  const controller = (datagramBytes: number) => {
    paths += 1;
    return paths === 2 ? collapsed(datagramBytes) : new Cubic(datagramBytes);
  };
  const pair = new Pair(identities, { link: WIFI, wires: [MODEM, CABLE], client: { controller } }).complete();
  pair.open(1);
  pair.open(2);
  const start = pair.now;
  const data = new SeededRandom('data').bytes(((END - start) / WRITE_MS) * WRITE_BYTES);
  const stream = pair.client.it.openStream('uni') ?? -1;
  for (let at = start, from = 0; at < END; at += WRITE_MS, from += WRITE_BYTES)
    pair.at(at, () => {
      pair.client.write(stream, data.subarray(from, from + WRITE_BYTES), at + WRITE_MS >= END);
    });
  pair.at(CUT, () => {
    cut(pair);
  });
  expect(pair.run(END + 10_000, () => pair.server.finished.has(stream))).toBe(true);
  expect(equalBytes(pair.server.bytesOf(stream), data)).toBe(true);
  const at = (pair.server.received.get(stream)?.at ?? []).filter((time) => time > CUT - 100);
  return Math.max(...at.slice(1).map((time, index) => time - (at[index] ?? 0)));
}

test('400 kbit/s on the fastest of two ways: to keep the slow one alive does not hold up the stream', () => {
  const pair = new Pair(identities, {
    link: NARROW,
    wires: [CABLE],
    client: { keepAliveMs: 300, controller: (datagramBytes) => new Bbr(datagramBytes) },
  }).complete();
  pair.open(1);
  const start = pair.now;
  const data = new SeededRandom('data').bytes(((END - start) / WRITE_MS) * WRITE_BYTES);
  const stream = pair.client.it.openStream('uni') ?? -1;
  for (let at = start, from = 0; at < END; at += WRITE_MS, from += WRITE_BYTES)
    pair.at(at, () => {
      pair.client.write(stream, data.subarray(from, from + WRITE_BYTES), at + WRITE_MS >= END);
    });
  expect(pair.run(END + 10_000, () => pair.server.finished.has(stream))).toBe(true);
  const [, slow] = pair.client.it.paths;
  expect(slow?.state).toBe('open');
  // As often as it was asked for: every 1.5 s, as the answers take 1.2.
  expect(slow?.sentDatagrams).toBeGreaterThanOrEqual(8);
  const at = pair.server.received.get(stream)?.at ?? [];
  const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  // 600 ms there on the slow one; on the other a datagram every 29.
  expect(Math.max(...pauses)).toBeLessThanOrEqual(150);
});

describe('400 kbit/s, and the fastest of three paths is cut while the next one has a window of two packets', () => {
  test('this end knows of it: what was on its way is with the far end as soon as the next can bring it', () => {
    const pause = longestPause((pair) => {
      pair.setUp(0, false);
      pair.client.it.abandonPath(0, pair.now);
    });
    // 50 ms there; the window of two packets lets the next go 100 ms after that.
    expect(pause).toBeLessThanOrEqual(150);
  });

  test('nobody knows of it: one probe timeout of the dead path more', () => {
    const pause = longestPause((pair) => {
      pair.setUp(0, false);
    });
    expect(pause).toBeLessThanOrEqual(150 + 50);
  });
});
