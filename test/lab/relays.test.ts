import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { COTURN_USER, coturnIn, killed, TURN_PORT } from '../support/coturn.js';
import type { Netns } from '../support/netns.js';
import { Programs } from '../support/programs.js';
import { describeWith } from '../support/skip.js';
import { threeHosts } from '../support/three-hosts.js';

// Two hosts between which nothing goes: each has one link to a third, which forwards no packet. There are five coturn, and a
// rendezvous. Data go by one of them; when that dies, and the next one, nothing is lost. Here all are as fast; which is used
// where they are not, and how soon: relay-delays.test.ts.

const LIMIT_MS = 100_000;
const USER = `${COTURN_USER.username}:${COTURN_USER.password}`;
const SERVERS = 5;
const SECONDS = 14;
/** One dies when the spares are chosen, the next when its spare has taken over. */
const DEATHS = [4, 9];
const RATE_BPS = 400_000;

describeWith(['linux', 'root', 'ip', 'nft', 'coturn'], 'five relays between two hosts without any other way', () => {
  let programs: Programs;
  const hosts: Netns[] = [];
  const relays: ChildProcess[] = [];
  beforeAll(() => {
    programs = new Programs();
  }, 60_000);
  afterAll(async () => {
    await programs.end();
    await Promise.all(relays.map(killed));
    for (const host of hosts) host.remove();
    programs.remove();
  });

  test.concurrent.for([
    ['the client', true, false],
    ['the server', false, true],
    ['both', true, true],
  ] as const)('%s: what carries the data dies twice, and nothing is lost', async ([who, ofClient, ofServer]) => {
    const { left, middle, right } = threeHosts(`ip-rly-${who.slice(-1)}`, hosts);
    const addresses = Array.from({ length: SERVERS }, (_, index) => `10.83.9.${String(index + 1)}`);
    for (const address of addresses) middle.ip(`addr add ${address}/32 dev lo`);
    middle.nft(COUNTERS(addresses));
    const here = await Promise.all(addresses.map((address) => coturnIn(middle, address)));
    relays.push(...here);

    const meeting = programs.startIn(middle, 'rendezvous', '--listen', '0.0.0.0:4810');
    await meeting.logs(({ msg }) => msg === 'listening');
    const turn = addresses.flatMap((address) => ['--turn', `turn:${USER}@${address}:${TURN_PORT}`]);
    const of = (has: boolean): string[] => ['--interface', 'eth0', ...(has ? turn : [])];
    const server = programs.startIn(right, 'server', '--rendezvous', 'ws://10.83.2.1:4810', '--once', ...of(ofServer));
    const data = ['--duration', String(SECONDS), '--rate', `${String(RATE_BPS / 1000)} kbit/s`];
    const what = ['--arms', 'random,stun', '--json', ...data];
    const client = programs.startIn(left, 'client', await server.invite(), ...of(ofClient), ...what);

    for (const death of DEATHS) {
      await client.logs(({ msg, second }) => msg === 'transfer.progress' && Number(second) >= death);
      const used = here[await busiest(middle, addresses)];
      if (used) await killed(used);
    }
    await client.ended(LIMIT_MS);
    const { paths, transfer } = client.report();
    expect(transfer, client.story()).toMatchObject({ complete: true, error: null });
    expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
    // What a capped sender writes is rounded down, at each end.
    expect(Math.abs((transfer?.bytesSent ?? 0) - (2 * SECONDS * RATE_BPS) / 8)).toBeLessThanOrEqual(2);
    // A relay carries the data, after each death another one, and makes no path of its own established.
    expect(transfer?.perPath.map(({ path }) => path)).toEqual(['relay:eth0-eth0-v4']);
    expect(transfer?.perPath[0]?.joined.length).toBeGreaterThanOrEqual(1 + DEATHS.length);
    expect(paths.map(({ state }) => state)).not.toContain('established');
    await server.ended(LIMIT_MS);
  });
});

/** Counts what comes to each of the servers. */
const COUNTERS = (addresses: readonly string[]): string =>
  [
    'table ip t {',
    ...addresses.map((_, index) => ` counter c${index} { }`),
    ' chain i {\n type filter hook input priority 0',
    ...addresses.map((address, index) => ` ip daddr ${address} udp dport ${TURN_PORT} counter name c${index}`),
    ' }\n}\n',
  ].join('\n');

/** Which of the servers most packets come to. */
async function busiest(host: Netns, addresses: readonly string[]): Promise<number> {
  const counts = (): number[] => {
    const text = host.exec('nft', 'list', 'counters');
    return addresses.map((_, index) => Number(new RegExp(`counter c${index} \\{\\s+packets (\\d+)`).exec(text)?.[1]));
  };
  const before = counts();
  await sleep(500);
  const came = counts().map((count, index) => count - (before[index] ?? 0));
  return came.indexOf(Math.max(...came));
}
