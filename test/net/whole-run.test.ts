import { createSocket } from 'node:dgram';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { quicInitial } from '../../src/mutation/quic-initial.js';
import type { IcepathProcess } from '../support/lab-process.js';
import { Programs } from '../support/programs.js';
import { meddling } from './rendezvous-support.js';

// Server, client and rendezvous as people start them, on loopback: a whole run with data.

const LIMIT_MS = 120_000;

describe('a whole run through icepath rendezvous', () => {
  let programs: Programs;
  let folder: string;
  beforeAll(() => {
    programs = new Programs();
    folder = mkdtempSync(join(tmpdir(), 'icepath-whole-'));
  }, 60_000);
  afterEach(async () => {
    await programs.end();
  });
  afterAll(() => {
    programs.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const rendezvous = async (): Promise<string> => {
    const { next } = await programs
      .start('rendezvous', '--listen', '127.0.0.1:0')
      .logs(({ msg }) => msg === 'listening');
    return String(next).replace(/^.*THIS-HOST/, 'ws://127.0.0.1');
  };
  const client = (invite: string, ...more: string[]): IcepathProcess => {
    const what = ['--interface', 'lo', '--first-only', '--arms', 'random,stun', '--json'];
    return programs.start('client', invite, ...what, '--duration', '4', '--rate', '200 kbit/s', ...more);
  };
  const server = (url: string, ...more: string[]): IcepathProcess =>
    programs.start('server', '--interface', 'lo', '--rendezvous', url, '--once', ...more);

  test('data flow, strangers at the sockets notwithstanding, and a record on a full disk costs the record alone', async () => {
    const url = await rendezvous();
    const record = join(folder, 'server.jsonl');
    const far = server(url, '--record', record);
    const near = client(await far.invite(), '--record', '/dev/full');
    expect((await near.logs(({ msg }) => msg === 'connected')).server).toBe(`through ${url}/`);
    await near.logs(({ msg }) => msg === 'transfer.started');
    const flood = new Flood(far.child.pid ?? 0);
    expect(await near.ended(LIMIT_MS), near.story()).toBe(6);
    flood.stop();
    expect(flood.sent).toBeGreaterThan(50);
    expect(near.told()).toContain('[record-incomplete]');
    const { transfer, exit, paths } = near.report();
    // lo has two families: --first-only ends the search at one of them, often before the other was tried.
    const untried = paths.filter(({ cause }) => cause === 'priority-starved').length;
    expect(paths.filter(({ state }) => state === 'established')).toHaveLength(2 - untried);
    expect(exit.code).toBe(untried > 0 ? 4 : 0);
    expect(transfer).toMatchObject({ complete: true, error: null });
    expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
    expect(transfer?.bytesSent).toBeGreaterThan(190_000);
    expect(await far.ended(LIMIT_MS), far.story()).toBe(0);
    expect(readFileSync(record, 'utf8').trim().split('\n').at(-1)).toContain('"type":"end"');
  });

  test.each([
    ['changes what it carries', (message: Buffer) => [flipped(message)], 'rendezvous-tampered'],
    ['says everything twice', (message: Buffer) => [message, message], 'rendezvous-tampered'],
  ])('one that %s is told by name, at both ends', async (_what, meddle, code) => {
    let seen = 0;
    // The first kilobytes are the handshake: what changes there lets nobody in at all.
    const bytes = (message: Buffer): readonly Buffer[] => {
      seen += message.length;
      return seen > 6000 ? meddle(message) : [message];
    };
    const url = await meddling(await rendezvous(), { bytes });
    const far = server(url);
    const near = client(await far.invite());
    await near.ended(LIMIT_MS);
    await far.ended(LIMIT_MS);
    expect(near.child.exitCode).toBe(6);
    for (const end of [near, far]) expect(end.told(), end.role).toContain(code);
  });

  test('one that ends the connection under way: both ends say so, and end', async () => {
    let seen = 0;
    const bytes = (message: Buffer, close: () => void): readonly Buffer[] => {
      seen += message.length;
      if (seen > 6000) close();
      return [message];
    };
    const url = await meddling(await rendezvous(), { bytes });
    const far = server(url);
    const near = client(await far.invite());
    await near.ended(LIMIT_MS);
    await far.ended(LIMIT_MS);
    for (const end of [near, far])
      expect(
        end.log.some(({ msg }) => msg === 'control.lost'),
        end.story(),
      ).toBe(true);
  });
});

function flipped(message: Buffer): Buffer {
  const changed = Buffer.from(message);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  return changed;
}

/** Garbage and Initials of nobody's to every UDP socket of a process on loopback, until it is stopped. */
class Flood {
  sent = 0;
  readonly #socket = createSocket('udp4');
  readonly #random = new SeededRandom('flood');
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#socket.on('error', () => undefined);
    this.#timer = setInterval(() => {
      for (const port of portsOf(pid)) {
        const initial = quicInitial(this.#random.bytes(60), 1200, this.#random);
        for (const bytes of [initial, this.#random.bytes(1200), this.#random.bytes(40)]) {
          this.sent += 1;
          this.#socket.send(bytes, port, '127.0.0.1');
        }
      }
    }, 20);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }
}

/** Local ports of a process's UDP sockets on 127.0.0.1. */
function portsOf(pid: number): number[] {
  try {
    const links = readdirSync(`/proc/${String(pid)}/fd`).map((fd) => readlinkSync(`/proc/${String(pid)}/fd/${fd}`));
    const own = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
    const lines = readFileSync(`/proc/${String(pid)}/net/udp`, 'utf8')
      .split('\n')
      .slice(1);
    return lines.flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const [address = '', port = ''] = (fields[1] ?? '').split(':');
      return address === '0100007F' && own.has(fields[9] ?? '') ? [parseInt(port, 16)] : [];
    });
  } catch {
    // It closed one while we looked.
    return [];
  }
}
