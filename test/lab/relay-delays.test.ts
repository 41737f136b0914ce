import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RecordEvent } from '../../src/session/record.js';
import { COTURN_USER, coturnIn, killed, TURN_PORT } from '../support/coturn.js';
import { firstLine, type Netns } from '../support/netns.js';
import { Programs } from '../support/programs.js';
import { describeWith } from '../support/skip.js';
import { threeHosts } from '../support/three-hosts.js';

// As in relays.test.ts, but each coturn is at the end of a way of another length. The fastest carries the data, and it does so
// within a round trip of its answer: exactly that, to the millisecond, on the virtual clock (test/turn/race.test.ts).

const LIMIT_MS = 100_000;
/** Each direction's. Not in order, so that the fastest is not the one that is named first. */
const DELAYS_MS = [90, 120, 30, 160, 60];
const FASTEST = DELAYS_MS.indexOf(Math.min(...DELAYS_MS));
const RTT_MS = 2 * Math.min(...DELAYS_MS);
/** Until something leaves by the relay: one by the protocol, and what a busy machine adds. */
const MOST_RTTS = 6;
const SECONDS = 4;
const RATE_BPS = 200_000;

interface First {
  readonly way: number;
  readonly what: 'allocated' | 'relayed' | 'quic';
  readonly at: number;
}

describeWith(['linux', 'root', 'ip', 'coturn'], 'five relays at different distances', () => {
  let programs: Programs;
  let folder: string;
  const hosts: Netns[] = [];
  const relays: ChildProcess[] = [];
  beforeAll(() => {
    programs = new Programs('test/lab/child');
    folder = mkdtempSync(join(tmpdir(), 'icepath-relays-'));
  }, 60_000);
  afterAll(async () => {
    await programs.end();
    await Promise.all(relays.map(killed));
    for (const host of hosts) host.remove();
    programs.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test('the fastest carries the data, and soon after its answer', async ({ annotate }) => {
    const { left, middle, right } = threeHosts('ip-rdl-', hosts);
    const places = DELAYS_MS.map((_, index) => ({
      server: `10.83.8.${index + 1}:${TURN_PORT}`,
      coturn: `10.83.9.${index + 1}`,
    }));
    for (const [index, { coturn }] of places.entries()) {
      middle.ip(`addr add ${coturn}/32 dev lo`);
      middle.ip(`addr add 10.83.8.${index + 1}/32 dev lo`);
    }
    relays.push(...(await Promise.all(places.map(({ coturn }) => coturnIn(middle, coturn)))));
    const ways = places.map(({ server, coturn }, index) => `${server}=${coturn}:${TURN_PORT}=${DELAYS_MS[index] ?? 0}`);
    const delaying = middle.spawn(programs.tree.file('test/lab/child/long-way.ts'), ...ways);
    const ready = firstLine(delaying);
    const firsts: First[] = [];
    if (delaying.stdout) {
      createInterface({ input: delaying.stdout }).on('line', (line) => {
        if (line.startsWith('{')) firsts.push(JSON.parse(line) as First);
      });
    }
    await ready;

    const meeting = programs.startIn(middle, 'rendezvous', '--listen', '0.0.0.0:4810');
    await meeting.logs(({ msg }) => msg === 'listening');
    const here = ['--interface', 'eth0'];
    const server = programs.startIn(right, 'server', '--rendezvous', 'ws://10.83.2.1:4810', '--once', ...here);
    const file = join(folder, 'client.jsonl');
    const turn = places.flatMap((place) => [
      '--turn',
      `turn:${COTURN_USER.username}:${COTURN_USER.password}@${place.server}`,
    ]);
    const data = ['--duration', String(SECONDS), '--rate', `${RATE_BPS / 1000} kbit/s`];
    const what = ['--arms', 'random,stun', '--json', '--record', file, ...data];
    const client = programs.startIn(left, 'client', await server.invite(), ...here, ...turn, ...what);
    await client.ended(LIMIT_MS);
    await server.ended(LIMIT_MS);

    const { transfer } = client.report();
    expect(transfer, client.story()).toMatchObject({ complete: true, error: null });
    expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
    expect(transfer?.perPath.map(({ path }) => path)).toEqual(['relay:eth0-eth0-v4']);

    // Its answer is the first, and its relay alone carries packets of QUIC's.
    const waysOf = (told: First['what']): number[] => firsts.filter((one) => one.what === told).map(({ way }) => way);
    expect(waysOf('allocated')[0]).toBe(FASTEST);
    expect(waysOf('quic')).toEqual([FASTEST]);
    const record = linesOf(file).filter(({ host }) => host === 'client');
    const chosen = record.find((event) => event.type === 'turn');
    expect(chosen).toMatchObject({ what: 'chosen', server: { address: `10.83.8.${FASTEST + 1}` } });
    const relayed = record.find((event) => event.type === 'relayed');
    expect(relayed?.local).toEqual(chosen?.relayed);
    const joined = record.find((event) => event.type === 'joined');

    const inRtts = (from = NaN, to = NaN): number => (to - from) / RTT_MS;
    const at = (told: First['what']): number | undefined =>
      firsts.find(({ way, what: one }) => way === FASTEST && one === told)?.at;
    const used = inRtts(at('allocated'), at('relayed'));
    const figures = {
      'first packet by the relay': used,
      'the path proven': inRtts(chosen?.t, relayed?.t),
      'first packet of QUIC': inRtts(at('allocated'), at('quic')),
      'QUIC’s handshake over it done, data flow': inRtts(chosen?.t, joined?.t),
    };
    const told = Object.entries(figures).map(([name, rtts]) => `${name} ${rtts.toFixed(2)}`);
    await annotate(`round trips of ${RTT_MS} ms after the fastest server’s answer: ${told.join(', ')}`);
    // One passes until the permission for the peer is there (RFC 8656 §9). What comes on top is this machine's: both ends and
    // the way between them are processes that wait for two busy cores, each time perhaps as long as a whole round trip.
    expect(used).toBeGreaterThan(0.9);
    expect(used).toBeLessThan(MOST_RTTS);
  });
});

function linesOf(file: string): RecordEvent[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as RecordEvent);
}
