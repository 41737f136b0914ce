import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transportAddress, type TransportAddress } from '../../src/base/address.js';

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
  const { username, password } = COTURN_USER;
  const child = spawn(
    'turnserver',
    [
      ...['-n', '-v', '--no-tls', '--no-dtls', '--no-cli', '-L', '127.0.0.1', '-L', '::1', '-p', String(port)],
      ...['--lt-cred-mech', '-u', `${username}:${password}`, '-r', 'example.org', '--allow-loopback-peers'],
      ...[`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`, '--log-file=stdout', '--simple-log'],
      ...options,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      log += text.toString();
    });
  }
  const listens = ['127.0.0.1', '::1'].map((address) => `UDP listener opened on: ${address}:${port}`);
  while (!listens.every((line) => log.includes(line))) {
    if (child.exitCode !== null) throw new Error(`turnserver ended: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    ipv4: transportAddress('127.0.0.1', port),
    ipv6: transportAddress('::1', port),
    log: () => log,
    kill: async () => {
      await ended(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
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
