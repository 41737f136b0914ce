import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createIdentity } from '../src/net/certificate.js';
import { recordEventSchema } from '../src/session/record.js';
import type { Flowing, Received, Signal } from './join-webrtc.js';

// bench-join [SECONDS]: data from one host to another over one, two and three links, by icepath, by a data channel of
// libwebrtc (@roamhq/wrtc), and by picoquic where PICOQUIC_DEMO names it. One after the other, in two namespaces of their
// own with veth pairs of 20, 10 and 5 Mbit/s (root, ip, tc, nft). Then once more over two links, and the one that carries
// the data is cut in the midst: every packet there is dropped, and neither host is told.

const [seconds = '8'] = process.argv.slice(2);
const SECONDS = Number(seconds);
const MBITS = [20, 10, 5];
const PICOQUIC = process.env.PICOQUIC_DEMO;
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const CLI = here('../src/cli.js');
const WEBRTC = here('join-webrtc.js');
const LIMIT_MS = 120_000;
const HOSTS = { client: `ibjc${String(process.pid)}`, server: `ibjs${String(process.pid)}` } as const;
type HostName = keyof typeof HOSTS;

interface Result {
  /** Since the two could tell each other their addresses; `null`: the program does not say. */
  readonly firstByteMs: number | null;
  readonly megabits: number;
  readonly longestPauseMs: number | null;
}
/** Where something is cut, and how to tell that data flow there. */
type Cut = ((address: string | null) => void) | null;

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const folder = mkdtempSync(join(tmpdir(), 'icepath-bench-join-'));
const children = new Set<ChildProcess>();
const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

const ip = (...options: readonly string[]): string =>
  execFileSync('ip', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const within = (host: HostName, ...command: readonly string[]): string[] => ['netns', 'exec', HOSTS[host], ...command];

function start(host: HostName, ipc: boolean, ...command: readonly string[]): ChildProcess {
  const child = spawn('ip', within(host, ...command), {
    stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
    cwd: folder,
  });
  children.add(child);
  child.on('close', () => children.delete(child));
  return child;
}

function textOf(stream: ChildProcess['stdout'], onText: (all: string) => void = () => undefined): void {
  let all = '';
  stream?.setEncoding('utf8').on('data', (text: string) => {
    all += text;
    onText(all);
  });
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`${child.spawnargs.join(' ')} does not end`));
    }, LIMIT_MS);
    child.on('close', () => {
      clearTimeout(late);
      resolve();
    });
  });

/** Two hosts with so many links, each at its rate; a host answers for an address only where it has it. */
function build(links: number): void {
  for (const name of Object.values(HOSTS)) {
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  for (const [index, rate] of MBITS.slice(0, links).entries()) {
    const device = `v${String(index)}`;
    ip('-n', HOSTS.client, 'link', 'add', device, 'type', 'veth', 'peer', 'name', device, 'netns', HOSTS.server);
    for (const [host, last] of [
      ['client', '2'],
      ['server', '1'],
    ] as const) {
      ip('-n', HOSTS[host], 'addr', 'add', `10.9.${String(index)}.${last}/24`, 'dev', device);
      ip(...within(host, 'sysctl', '-qw', `net.ipv4.conf.${device}.arp_ignore=1`));
      ip('-n', HOSTS[host], 'link', 'set', device, 'up');
      const shape = ['tbf', 'rate', `${String(rate)}mbit`, 'burst', '16kb', 'latency', '50ms'];
      ip(...within(host, 'tc', 'qdisc', 'add', 'dev', device, 'root', ...shape));
    }
  }
}

function remove(): void {
  for (const child of children) child.kill('SIGKILL');
  for (const name of Object.values(HOSTS)) {
    try {
      execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    } catch {
      // It was never made.
    }
  }
}

/** From now on everything on a link is dropped. */
function cut(device: string): void {
  const rules = ['input iifname', 'output oifname'].map((hook) => {
    const [chain = '', match = ''] = hook.split(' ');
    return `chain ${chain} {\n type filter hook ${chain} priority 0\n ${match} "${device}" drop\n}`;
  });
  execFileSync('ip', within('server', 'nft', '-f', '-'), { input: `table inet cut {\n${rules.join('\n')}\n}\n` });
}

async function icepath(links: number, onFlow: Cut): Promise<Result> {
  const kinds = ['ethernet', 'wifi', 'cellular'];
  const interfaces = kinds.slice(0, links).flatMap((kind, index) => ['--interface', `v${String(index)}=${kind}`]);
  const common = [...interfaces];
  const server = start('server', false, process.execPath, CLI, 'server', '--once', ...common);
  const invite = await new Promise<string>((resolve, reject) => {
    textOf(server.stdout, (all) => {
      const found = /icepath:\/\/\S+(?=\n)/.exec(all)?.[0];
      if (found !== undefined) resolve(found);
    });
    server.on('close', () => {
      reject(new Error('icepath server ended before its invite'));
    });
  });
  textOf(server.stderr);
  const record = join(folder, 'record.jsonl');
  const asked = ['--arms', 'random,stun', '--duration', seconds, '--transfer', 'download', '--record', record];
  const client = start('client', false, process.execPath, CLI, 'client', invite, '--json', ...common, ...asked);
  let flows = false;
  textOf(client.stdout);
  textOf(client.stderr, (all) => {
    if (flows || !all.includes('transfer.started')) return;
    flows = true;
    onFlow?.(null);
  });
  await ended(client);
  server.kill('SIGKILL');
  const events = readFileSync(record, 'utf8').trim().split('\n');
  const own = events.map((line) => recordEventSchema.parse(JSON.parse(line)));
  const begun = own.find((event) => event.type === 'transfer' && event.host === 'client');
  const over = own.find((event) => event.type === 'transferred' && event.host === 'client');
  if (over?.type !== 'transferred') throw new Error('icepath carried nothing');
  return {
    firstByteMs: begun?.t ?? null,
    megabits: (over.receivedBytes * 8) / 1000 / over.afterMs,
    longestPauseMs: over.longestPauseMs,
  };
}

async function webrtc(onFlow: Cut): Promise<Result> {
  const server = start('server', true, process.execPath, WEBRTC, 'answer', seconds);
  const client = start('client', true, process.execPath, WEBRTC, 'offer', seconds);
  for (const { stdout, stderr } of [server, client]) for (const stream of [stdout, stderr]) textOf(stream);
  try {
    return await new Promise<Result>((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error('libwebrtc: nothing came to an end'));
      }, LIMIT_MS);
      const done = (result: Result): void => {
        clearTimeout(late);
        resolve(result);
      };
      for (const [from, to] of [
        [server, client],
        [client, server],
      ] as const) {
        from.on('message', (message) => {
          const heard = message as Signal | Received | Flowing;
          if (heard.kind === 'flowing') onFlow?.(heard.address);
          else if (heard.kind === 'result') done(heard);
          else if (to.connected) to.send(heard, () => undefined);
        });
        from.on('close', (code) => {
          reject(new Error(`libwebrtc's process ended (${String(code)})`));
        });
      }
    });
  } finally {
    for (const child of [server, client]) child.kill('SIGKILL');
  }
}

/** As scripts/bench-quic.ts asks it: a download of so many bytes, further paths from the other links' addresses. */
async function picoquic(program: string, links: number): Promise<Result> {
  const identity = await createIdentity();
  writeFileSync(join(folder, 'cert.pem'), identity.certificate);
  writeFileSync(join(folder, 'key.pem'), identity.key, { mode: 0o600 });
  const server = start('server', false, program, ...'-p 4433 -c cert.pem -k key.pem -G cubic -M -1'.split(' '));
  for (const stream of [server.stdout, server.stderr]) textOf(stream);
  await pause(500);
  const further = Array.from({ length: links - 1 }, (_, index) => {
    const device = `v${String(index + 1)}`;
    const number = ip('-n', HOSTS.client, '-o', 'link', 'show', device).split(':')[0] ?? '';
    ip('-n', HOSTS.client, 'route', 'add', '10.9.0.1', 'via', `10.9.${String(index + 1)}.1`, 'table', `9${number}`);
    ip('-n', HOSTS.client, 'rule', 'add', 'from', `10.9.${String(index + 1)}.2`, 'table', `9${number}`);
    return `10.9.${String(index + 1)}.2/${number}`;
  });
  const bytes = (MBITS.slice(0, links).reduce((sum, rate) => sum + rate, 0) / 8) * SECONDS * 1_000_000;
  const more = further.length > 0 ? ['-A', further.join(',')] : [];
  const asked = ['-D', '-a', 'perf', '-n', 'localhost', '-G', 'cubic', '-M', ...more, '10.9.0.1', '4433'];
  const client = start('client', false, program, ...asked, `*1:397:${String(Math.round(bytes))};`);
  let output = '';
  textOf(client.stdout, (all) => {
    output = all;
  });
  textOf(client.stderr);
  await ended(client);
  server.kill('SIGKILL');
  const megabits = Number(/Download_Mbps: ([\d.]+)/.exec(output)?.[1]);
  return { firstByteMs: null, megabits, longestPauseMs: null };
}

/** One measurement in a network of its own; where it fails, why. */
async function measure(links: number, run: () => Promise<Result>): Promise<Result | string> {
  try {
    build(links);
    return await run();
  } catch (error) {
    return String(error);
  } finally {
    remove();
    await pause(300);
  }
}

const STACKS: Readonly<Record<string, ((links: number, onFlow: Cut) => Promise<Result>) | null>> = {
  icepath,
  'libwebrtc data channel': (_links, onFlow) => webrtc(onFlow),
  picoquic: PICOQUIC === undefined ? null : (links) => picoquic(PICOQUIC, links),
};
const failures: string[] = [];
const cell = (value: number | null | undefined, digits: number): string =>
  value === null || value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits);

process.on('exit', () => {
  rmSync(folder, { recursive: true, force: true });
});
print(`links of ${MBITS.join(', ')} Mbit/s, downloads of ${seconds} s`);
print('| stack | first byte | 1 path | 2 paths | 3 paths | longest pause, link cut |');
print('| ----- | ---------- | ------ | ------- | ------- | ----------------------- |');
for (const [name, run] of Object.entries(STACKS)) {
  if (run === null) {
    failures.push('no picoquic: PICOQUIC_DEMO names no program');
    continue;
  }
  const results: (Result | null)[] = [];
  const took = (result: Result | string, what: string): Result | null => {
    if (typeof result === 'string') failures.push(`${name}, ${what}: ${result}`);
    return typeof result === 'string' ? null : result;
  };
  for (const links of [1, 2, 3])
    results.push(took(await measure(links, () => run(links, null)), `${String(links)} paths`));
  // picoquic's program tells of no pause.
  const half = (address: string | null): void => {
    setTimeout(() => {
      cut(address === null ? 'v0' : `v${address.split('.')[2] ?? '0'}`);
    }, SECONDS * 500);
  };
  const failover = name === 'picoquic' ? null : took(await measure(2, () => run(2, half)), 'failover');
  const goodput = results.map((result) => `${cell(result?.megabits, 1)} Mbit/s`);
  const first = `${cell(results[0]?.firstByteMs, 0)} ms`;
  print(`| ${name} | ${first} | ${goodput.join(' | ')} | ${cell(failover?.longestPauseMs, 0)} ms |`);
}
for (const failure of failures) print(failure);
