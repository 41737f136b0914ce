import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { transportAddress } from '../../../src/base/address.js';
import { SeededRandom } from '../../../src/base/random.js';
import { createIdentity, type Identity } from '../../../src/net/certificate.js';
import { type BackEnd, backEnd } from '../../../src/net/quic/back-end.js';
import { QuicHost, type QuicHostOptions } from '../../../src/net/quic/host.js';
import { identityFromPem } from '../../../src/net/quic/identity.js';
import { Connection } from '../../../src/quic/connection/connection.js';
import type { Observed } from '../../../src/quic/connection/types.js';
import { pinned } from '../../../src/quic/tls/certificates.js';

let identity: Identity;
beforeAll(async () => {
  identity = await createIdentity();
});

const hosts: QuicHost[] = [];
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
});

async function open(options: Partial<QuicHostOptions> = {}) {
  const host = new QuicHost({ connections: Connection, ...options });
  hosts.push(host);
  return { host, local: await host.open({ local: transportAddress('127.0.0.1', 0), device: null }) };
}

/** Longer than any freeze of a machine: these are no tests of idleness. */
const PATIENT = { parameters: { maxIdleTimeoutMs: 600_000 } };

/** A server that sends back what comes. */
async function echo(options: Partial<QuicHostOptions> = {}, observe: (observed: Observed) => void = () => undefined) {
  const accept = () => ({
    alpn: ['echo'],
    identity: identityFromPem(identity.certificate, identity.key),
    check: null,
    observe,
    ...PATIENT,
  });
  const server = await open({ server: { accept }, ...options });
  server.host.on('connection', (link) => {
    link.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.pipe(stream);
    });
  });
  return server;
}

describe.each(['fast', 'plain'] as const)('two hosts on loopback, %s', (kind) => {
  test('a stream comes back as it was sent', async () => {
    const drops: unknown[] = [];
    let isOpen = false;
    const observe = (observed: Observed) => {
      if (observed.type !== 'packet-dropped') return;
      // On a busy machine the end of the handshake is sent again, and comes when its keys are gone (RFC 9001, 4.9).
      if (!(isOpen && observed.why === 'no-keys')) drops.push(observed);
    };
    const server = await echo({ backEnd: backEnd(kind) }, observe);
    const { host, local } = await open({ backEnd: backEnd(kind) });
    const tuple = { local, remote: server.local };
    const link = host.connect({ tuple, alpn: ['echo'], check: pinned([identity.fingerprint]), ...PATIENT });
    const stream = await link.openStream();
    isOpen = true;
    const data = new SeededRandom('echo').bytes(1_000_000);
    stream.end(data);
    const back: Uint8Array[] = [];
    for await (const chunk of stream) back.push(chunk as Uint8Array);
    expect(Buffer.concat(back).equals(data)).toBe(true);
    await link.close(3, 'done');
    // Not even the very first packet of the client: to send it again would cost a second.
    expect(drops).toEqual([]);
    expect(link.closed).toMatchObject({ by: 'local', layer: 'application', code: 3 });
  });
});

test.each([
  ['to what the link takes', 'fast', undefined, loopbackBytes()],
  ['to what the link takes', 'plain', undefined, loopbackBytes()],
  ['as on Ethernet where nobody knows the link', 'fast', (): null => null, 1472],
  ['no more than is said', 'plain', (): number => 1300, 1300],
] as const)('datagrams grow: %s (%s)', async (_, kind, linkBytes, bytes) => {
  const given: Partial<QuicHostOptions> = { backEnd: backEnd(kind), ...(linkBytes && { linkBytes }) };
  const server = await echo(given);
  const { host, local } = await open(given);
  const tuple = { local, remote: server.local };
  const link = host.connect({ tuple, alpn: ['echo'], check: pinned([identity.fingerprint]), ...PATIENT });
  const stream = await link.openStream();
  const data = new SeededRandom('grow').bytes(300_000);
  stream.end(data);
  const back: Uint8Array[] = [];
  for await (const chunk of stream) back.push(chunk as Uint8Array);
  expect(Buffer.concat(back).equals(data)).toBe(true);
  await vi.waitFor(() => {
    expect(link.paths.map(({ datagramBytes }) => datagramBytes)).toEqual([bytes]);
  }, 20_000);
});

/** An IPv4 packet of 20 + 8 bytes more fills it, and jumbo frames are the most that is tried. */
function loopbackBytes(): number {
  try {
    return Math.min(8972, Number(readFileSync('/sys/class/net/lo/mtu', 'latin1')) - 28);
  } catch {
    return 1472;
  }
}

/** Nothing of this program runs meanwhile: as if the machine had frozen. */
function freeze(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe.each(['fast', 'plain'] as const)('a freeze longer than the idle timeout, %s', (kind) => {
  test('does not end a connection whose packets wait in the socket', async () => {
    const IDLE_MS = 1000;
    let isArmed = false;
    const real = backEnd(kind);
    const freezing: BackEnd = {
      ...real,
      sockets: {
        ...real.sockets,
        async open(request, handler) {
          const socket = await real.sockets.open(request, handler);
          const { local, pinned } = socket;
          return {
            local,
            pinned,
            isFull: false,
            refused: 0,
            send: (to, bytes, segmentBytes) => {
              socket.send(to, bytes, segmentBytes);
              if (!isArmed) return;
              isArmed = false;
              // It is in the client's socket, and only then everything stands still.
              freeze(2 * IDLE_MS);
            },
            close: () => {
              socket.close();
            },
          };
        },
      },
    };
    const server = await echo({ backEnd: freezing });
    const { host, local } = await open({ backEnd: backEnd(kind) });
    const tuple = { local, remote: server.local };
    const check = pinned([identity.fingerprint]);
    const link = host.connect({ tuple, alpn: ['echo'], check, parameters: { maxIdleTimeoutMs: IDLE_MS } });
    const stream = await link.openStream();
    stream.on('error', () => undefined);
    await link.confirmed();
    const back = new Promise((resolve) => {
      stream.once('data', (chunk: Buffer) => {
        resolve(chunk.toString());
      });
      link.once('closed', resolve);
    });
    stream.write('first');
    expect(await back).toBe('first');
    const again = new Promise((resolve) => {
      stream.once('data', (chunk: Buffer) => {
        resolve(chunk.toString());
      });
      link.once('closed', resolve);
    });
    // The server's answer, or its acknowledgement: either keeps the connection alive.
    stream.write('second');
    isArmed = true;
    expect(await again).toBe('second');
    expect(link.closed).toBeNull();
  });
});

test('nobody with another certificate than the pinned one is spoken to', async () => {
  const server = await echo();
  const { host, local } = await open();
  const tuple = { local, remote: server.local };
  const link = host.connect({ tuple, alpn: ['echo'], check: pinned([new Uint8Array(32)]) });
  await expect(link.openStream()).rejects.toMatchObject({
    code: 'quic-connection-closed',
    // RFC 9001 §4.8, RFC 8446 §6: bad_certificate is 42.
    message: expect.stringContaining('CRYPTO_ERROR(42)') as string,
  });
});

test('STUN on a socket of QUIC’s is handed out, and is answered by the same socket', async () => {
  const [left, right] = [await open(), await open()];
  const binding = Uint8Array.of(0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
  const heard = new Promise((resolve) => {
    right.host.on('other', (type, bytes, { remote }) => {
      resolve([type, [...bytes], remote]);
    });
  });
  expect(left.host.sendOther(left.local, right.local, binding)).toBe(true);
  expect(await heard).toEqual(['stun', [...binding], left.local]);
});

test('a connection leaves a qlog that is a JSON text sequence of qlog 0.3, and keys that Wireshark reads', async () => {
  const logs = mkdtempSync(join(tmpdir(), 'icepath-qlog-'));
  const keylogFile = join(logs, 'keys.txt');
  try {
    const server = await echo();
    const { host, local } = await open({ qlogFolder: logs, keylogFile });
    const tuple = { local, remote: server.local };
    const link = host.connect({ tuple, alpn: ['echo'], check: pinned([identity.fingerprint]), ...PATIENT });
    const stream = await link.openStream();
    stream.end('hello');
    stream.resume();
    await new Promise((resolve) => stream.once('end', resolve));
    await host.close();
    const [name = ''] = readdirSync(logs).filter((file) => file.endsWith('.sqlog'));
    expect(name).toMatch(/^client-/);
    await vi.waitFor(() => {
      expect(readFileSync(join(logs, name), 'utf8')).toContain('connectivity:connection_closed');
    });
    // RFC 7464: each record between a record separator and a line feed.
    const records = readFileSync(join(logs, name), 'utf8').split('\u001e').slice(1);
    const [header, ...events] = records.map((record) => JSON.parse(record) as Record<string, unknown>);
    expect(header).toMatchObject({
      qlog_format: 'JSON-SEQ',
      qlog_version: '0.3',
      trace: { vantage_point: { type: 'client' }, common_fields: { time_format: 'relative' } },
    });
    expect(events).toContainEqual(
      expect.objectContaining({
        name: 'transport:packet_sent',
        data: expect.objectContaining({
          header: { packet_type: 'initial', packet_number: 0 },
          frames: expect.arrayContaining([expect.objectContaining({ frame_type: 'crypto', offset: 0 })]) as unknown,
        }) as unknown,
      }),
    );
    const times = events.map(({ time }) => Number(time));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(readFileSync(keylogFile, 'utf8')).toMatch(/^CLIENT_HANDSHAKE_TRAFFIC_SECRET [0-9a-f]{64} [0-9a-f]{64,96}$/m);
  } finally {
    rmSync(logs, { recursive: true, force: true });
  }
});
