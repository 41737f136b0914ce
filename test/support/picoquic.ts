import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificate, type Issued } from './quic-certificates.js';

/** The program that `PICOQUIC_DEMO` names. */
export const PICOQUIC = process.env.PICOQUIC_DEMO ?? '';

export const HOST_NAME = 'test.example.com';
/** A transfer of 100 MB on a busy machine, with room. */
const MOST_SECONDS = 120;

/** A folder with what picoquic reads; everything that was started ends with `close`. */
export interface Bench {
  readonly root: Issued;
  readonly leaf: Issued;
  /** A server on a fresh port of every address. */
  serve(...options: readonly string[]): Promise<number>;
  /** A client of `perf`: what it printed, when it is over. */
  fetch(port: number, uploadBytes: number, downloadBytes: number, ...options: readonly string[]): Promise<string>;
  close(): void;
}

export async function picoquicBench(): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'icepath-picoquic-'));
  const root = await certificate('root', 'p256', { ca: true });
  const leaf = await certificate(HOST_NAME, 'p256', { issuer: root, hosts: [HOST_NAME] });
  writeFileSync(join(folder, 'root.pem'), root.pem);
  writeFileSync(join(folder, 'leaf.pem'), leaf.pem);
  writeFileSync(join(folder, 'leaf.key'), leaf.key);
  const children = new Set<ChildProcess>();

  const start = (...options: readonly string[]): ChildProcess => {
    const child = spawn(PICOQUIC, options, {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: MOST_SECONDS * 1000,
    });
    children.add(child);
    child.on('exit', () => children.delete(child));
    return child;
  };

  return {
    root,
    leaf,
    async serve(...options) {
      const port = await freePort();
      const child = start('-p', String(port), '-c', 'leaf.pem', '-k', 'leaf.key', '-G', 'cubic', '-M', ...options);
      child.stdout?.resume();
      child.stderr?.resume();
      return port;
    },
    fetch(port, uploadBytes, downloadBytes, ...options) {
      const child = start(
        ...['-D', '-a', 'perf', '-n', HOST_NAME, '-t', 'root.pem', '-G', 'cubic', '-M', ...options],
        ...['127.0.0.1', String(port), `*1:${String(uploadBytes)}:${String(downloadBytes)};`],
      );
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (text: Buffer) => {
          output += text.toString();
        });
      }
      return new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', () => {
          resolve(output);
        });
      });
    },
    close() {
      for (const child of children) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `Download_bytes: 100000000` of what a client printed. */
export function printed(output: string, name: string): string | null {
  return new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(output)?.[1]?.trim() ?? null;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, () => {
      const { port } = socket.address();
      socket.close(() => {
        resolve(port);
      });
    });
  });
}
