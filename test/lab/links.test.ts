import { expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { Link, type LinkOptions } from '../../src/world/link.js';
import { binomialBounds } from '../support/binomial.js';
import { iperf, onLink, ping } from '../support/link-measurements.js';
import { describeWith } from '../support/skip.js';
import { udp } from '../world/packets.js';

// What is asked of a link, what the model makes of it, and what ping and iperf3 measure between two kernels are the
// same. On a machine that is busy with something else packets come late: what is true of a link shows in one of three.
const LIMITS = { retry: 2, timeout: 60_000 } as const;
/** Of bounds that loss must keep. */
const ONE_IN_A_MILLION = 1e-6;
const RATE_BPS = 10e6;
const HEADERS_BYTES = { udp: 20 + 8, tcp: 20 + 20 + 12 } as const;

/** When packets of that size arrive that are sent at `times`. */
function arrivals(options: LinkOptions, times: readonly Ms[], sizeBytes: number): Ms[] {
  const link = new Link(options, new SeededRandom('links'));
  const packet = udp('10.0.0.2:5000', '192.0.2.10:7000', sizeBytes - HEADERS_BYTES.udp);
  const arrived: Ms[] = [];
  for (const time of times) link.transmit(packet, time, (at) => arrived.push(at));
  return arrived;
}

function every(gapMs: Ms, count: number): Ms[] {
  return Array.from({ length: count }, (_, index) => index * gapMs);
}

function expectWithin(share: number, value: number, wanted: number): void {
  expect(value).toBeGreaterThan(wanted * (1 - share));
  expect(value).toBeLessThan(wanted * (1 + share));
}

describeWith(['linux', 'root', 'ip', 'koffi', 'ping', 'iperf3'], 'links between kernels tell the truth', () => {
  test.for([
    { there: 20, back: 20 },
    { there: 5, back: 75 },
    { there: 0, back: 0 },
  ])('delay: $there ms there and $back ms back, ± 1 ms', LIMITS, async ({ there, back }) => {
    // A busy machine only ever adds to it.
    const { sent, received, quickMs } = await onLink({ delayMs: there }, { delayMs: back }, (link) =>
      ping(link, 100, 10),
    );
    expect(received).toBe(sent);
    expect(Math.abs(quickMs - (there + back))).toBeLessThanOrEqual(1);
    expect(arrivals({ delayMs: there }, [0], 84)).toEqual([there]);
  });

  test('rate: UDP that offers more gets 10 Mbit/s, ± 3 %', LIMITS, async () => {
    const payloadBytes = 1200;
    const packetBytes = payloadBytes + HEADERS_BYTES.udp;
    // What waits when the sender stops arrives after its time: let it be little.
    const limited: LinkOptions = { rateBps: RATE_BPS, delayMs: 10, queueBytes: 16_384 };
    const { receivedBps } = await onLink(limited, { delayMs: 10 }, (link) =>
      iperf(link, '--udp', '--bitrate', '13M', '--length', `${payloadBytes}`, '--time', '4'),
    );
    expectWithin(0.03, (receivedBps * packetBytes) / payloadBytes, RATE_BPS);
    const taken = arrivals(limited, every((payloadBytes * 8) / 13_000, 4000), packetBytes);
    const seconds = ((taken.at(-1) ?? 0) - (taken[0] ?? 0)) / 1000;
    expectWithin(0.03, ((taken.length - 1) * packetBytes * 8) / seconds, RATE_BPS);
  });

  test('rate: TCP fills 10 Mbit/s, ± 3 %', LIMITS, async () => {
    const { receivedBps } = await onLink({ rateBps: RATE_BPS, delayMs: 10 }, { delayMs: 10 }, (link) =>
      iperf(link, '--time', '4', '--omit', '1'),
    );
    expectWithin(0.03, (receivedBps * 1500) / (1500 - HEADERS_BYTES.tcp), RATE_BPS);
  });

  test('loss: 20 % there and 5 % back, as a binomial distribution has it', LIMITS, async () => {
    const count = 1500;
    const { sent, received } = await onLink({ loss: 0.2 }, { loss: 0.05 }, (link) => ping(link, count, 2));
    expect(sent).toBe(count);
    const [least, most] = binomialBounds(count, 0.8 * 0.95, ONE_IN_A_MILLION);
    expect(received).toBeGreaterThanOrEqual(least);
    expect(received).toBeLessThanOrEqual(most);
    const [atLeast, atMost] = binomialBounds(count, 0.8, ONE_IN_A_MILLION);
    const inModel = arrivals({ loss: 0.2 }, every(2, count), 84).length;
    expect(inModel).toBeGreaterThanOrEqual(atLeast);
    expect(inModel).toBeLessThanOrEqual(atMost);
  });

  test('nothing else is lost: 2000 packets a second arrive', LIMITS, async () => {
    const { packets, lost } = await onLink({ delayMs: 5 }, { delayMs: 5 }, (link) =>
      iperf(link, '--udp', '--bitrate', '3.2M', '--length', '200', '--time', '2'),
    );
    expect(packets).toBeGreaterThan(3000);
    expect(lost).toBe(0);
  });
});
