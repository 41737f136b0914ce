import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IcepathProcess, type Role } from '../support/lab-process.js';
import { type BuiltTree, buildTree, Netns } from '../support/netns.js';
import { describeWith } from '../support/skip.js';

// Two hosts between which nothing goes: each has one link to a third, which forwards no packet. There are five coturn, and a
// rendezvous. Data go by one of them; when that dies, and the next one, nothing is lost. How soon the fastest is used tells the
// virtual clock (test/turn/race.test.ts); here all are as fast.

const LIMIT_MS = 100_000;
const USER = 'alice:a-secret-word';
const SERVERS = 5;
const SECONDS = 14;
/** One dies when the spares are chosen, the next when its spare has taken over. */
const DEATHS = [4, 9];
const RATE_BPS = 400_000;

describeWith(['linux', 'root', 'ip', 'nft', 'coturn'], 'five relays between two hosts without any other way', () => {
  let tree: BuiltTree;
  const hosts: Netns[] = [];
  const started: IcepathProcess[] = [];
  const relays: ChildProcess[] = [];
  beforeAll(() => {
    tree = buildTree();
  }, 60_000);
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map((one) => one.ended(LIMIT_MS)));
    await Promise.all(relays.map(kill));
    for (const host of hosts) host.remove();
    tree.remove();
  });

  const start = (host: Netns, role: Role, ...args: string[]): IcepathProcess => {
    const command = ['netns', 'exec', host.name, process.execPath, tree.file('src/cli.ts'), role, ...args];
    const one = new IcepathProcess(role, spawn('ip', command, { stdio: ['ignore', 'pipe', 'pipe'] }));
    started.push(one);
    return one;
  };

  test.concurrent.for([
    ['the client', true, false],
    ['the server', false, true],
    ['both', true, true],
  ] as const)('%s: what carries the data dies twice, and nothing is lost', async ([who, ofClient, ofServer]) => {
    const [left, middle, right] = ['l', 'm', 'r'].map((name) => {
      const host = new Netns(`ip-rly-${who.slice(-1)}${name}`);
      hosts.push(host);
      return host;
    }) as [Netns, Netns, Netns];
    const addresses = Array.from({ length: SERVERS }, (_, index) => `10.83.9.${String(index + 1)}`);
    for (const address of addresses) middle.ip(`addr add ${address}/32 dev lo`);
    for (const [host, number] of [
      [left, '1'],
      [right, '2'],
    ] as const) {
      host.link('eth0', middle, `to-${number}`);
      host.ip(`addr add 10.83.${number}.2/24 dev eth0`);
      middle.ip(`addr add 10.83.${number}.1/24 dev to-${number}`);
      host.ip(`route add default via 10.83.${number}.1`);
    }
    middle.nft(COUNTERS(addresses));
    const here = await Promise.all(addresses.map((address) => coturn(middle, address)));
    relays.push(...here);

    const meeting = start(middle, 'rendezvous', '--listen', '0.0.0.0:4810');
    await meeting.logs(({ msg }) => msg === 'listening');
    const turn = addresses.flatMap((address) => ['--turn', `turn:${USER}@${address}:3478`]);
    const of = (has: boolean): string[] => ['--interface', 'eth0', ...(has ? turn : [])];
    const server = start(right, 'server', '--rendezvous', 'ws://10.83.2.1:4810', '--once', ...of(ofServer));
    const data = ['--duration', String(SECONDS), '--rate', `${String(RATE_BPS / 1000)} kbit/s`];
    const what = ['--arms', 'random,stun', '--json', ...data];
    const client = start(left, 'client', await server.invite(), ...of(ofClient), ...what);

    for (const death of DEATHS) {
      await client.logs(({ msg, second }) => msg === 'transfer.progress' && Number(second) >= death);
      const used = here[await busiest(middle, addresses)];
      if (used) await kill(used);
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
    ...addresses.map((address, index) => ` ip daddr ${address} udp dport 3478 counter name c${index}`),
    ' }\n}\n',
  ].join('\n');

async function coturn(host: Netns, address: string): Promise<ChildProcess> {
  const where = ['-n', '-v', '--no-tls', '--no-dtls', '--no-cli', '-L', address, '-E', address, '-p', '3478'];
  const who = ['--lt-cred-mech', '-u', USER, '-r', 'example.org'];
  const files = ['--pidfile=/dev/null', '--userdb=/dev/null', '--log-file=stdout', '--simple-log'];
  const command = ['netns', 'exec', host.name, 'turnserver', ...where, ...who, ...files];
  const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      log += text.toString();
    });
  }
  while (!log.includes(`UDP listener opened on: ${address}:3478`)) {
    if (child.exitCode !== null) throw new Error(`turnserver ended: ${log}`);
    await pause(20);
  }
  return child;
}

/** Which of the servers most packets come to. */
async function busiest(host: Netns, addresses: readonly string[]): Promise<number> {
  const counts = (): number[] => {
    const text = host.exec('nft', 'list', 'counters');
    return addresses.map((_, index) => Number(new RegExp(`counter c${index} \\{\\s+packets (\\d+)`).exec(text)?.[1]));
  };
  const before = counts();
  await pause(500);
  const came = counts().map((count, index) => count - (before[index] ?? 0));
  return came.indexOf(Math.max(...came));
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** As after a crash: nothing is said to anybody. */
async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
