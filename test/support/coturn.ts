import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transportAddress, type TransportAddress } from '../../src/base/address.js';
import type { Netns } from './netns.js';

/** Of TURN over UDP (RFC 8656 §18.6). */
export const TURN_PORT = 3478;
export const COTURN_USER = { username: 'alice', password: 'a-secret-word' };

export interface Coturn {
  /** Where it listens, on the loopback of each family, and has its relays. */
  readonly ipv4: TransportAddress;
  readonly ipv6: TransportAddress;
  /** What it logged so far. */
  log(): string;
  /** As after a crash: nothing is said to anybody. */
  kill(): Promise<void>;
}

/** A `turnserver` of this machine, on a fresh port where none is given; resolves when it listens. */
export async function coturn(options: readonly string[] = [], at?: number): Promise<Coturn> {
  const folder = mkdtempSync(join(tmpdir(), 'icepath-coturn-'));
  const port = at ?? (await freePort());
  const files = [`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`];
  const listens = ['127.0.0.1', '::1'].map((address) => `${address}:${port}`);
  const where = ['-L', '127.0.0.1', '-L', '::1', '-p', String(port), '--allow-loopback-peers'];
  const { child, log } = await turnserver([], [...where, ...files, ...options], listens);
  return {
    ipv4: transportAddress('127.0.0.1', port),
    ipv6: transportAddress('::1', port),
    log,
    kill: async () => {
      await killed(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One in a network namespace, at an address of that, which is its relays', too. Resolves when it listens. */
export async function coturnIn(host: Netns, address: string): Promise<ChildProcess> {
  const where = ['-L', address, '-E', address, '-p', String(TURN_PORT), '--pidfile=/dev/null', '--userdb=/dev/null'];
  const { child } = await turnserver(['ip', 'netns', 'exec', host.name], where, [`${address}:${TURN_PORT}`]);
  return child;
}

/** As after a crash: nothing is said to anybody. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

async function turnserver(
  within: readonly string[],
  options: readonly string[],
  listens: readonly string[],
): Promise<{ readonly child: ChildProcess; readonly log: () => string }> {
  const { username, password } = COTURN_USER;
  const common = ['-n', '-v', '--no-tls', '--no-dtls', '--no-cli', '--log-file=stdout', '--simple-log'];
  const who = ['--lt-cred-mech', '-u', `${username}:${password}`, '-r', 'example.org'];
  const [program = '', ...args] = [...within, 'turnserver', ...common, ...who, ...options];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      log += text.toString();
    });
  }
  while (!listens.every((address) => log.includes(`UDP listener opened on: ${address}`))) {
    if (child.exitCode !== null) throw new Error(`turnserver ended: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { child, log: () => log };
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp6');
  socket.bind(0);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
