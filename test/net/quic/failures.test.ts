import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { transportAddress, type TransportAddress } from '../../../src/base/address.js';
import { SeededRandom } from '../../../src/base/random.js';
import { createIdentity, type Identity } from '../../../src/net/certificate.js';
import { type BackEnd, backEnd } from '../../../src/net/quic/back-end.js';
import { fastSockets } from '../../../src/net/quic/fast-socket.js';
import { QuicHost, type QuicHostOptions } from '../../../src/net/quic/host.js';
import { identityFromPem } from '../../../src/net/quic/identity.js';
import type { SocketBackEnd, SocketHandler } from '../../../src/net/quic/socket.js';
import { batchedUdp, type BatchedUdp } from '../../../src/os/batched-udp.js';
import { Connection } from '../../../src/quic/connection/connection.js';
import { pinned } from '../../../src/quic/tls/certificates.js';
import { describeWith } from '../../support/skip.js';

// What kernels and machines do to sockets: whatever it is, the transfer goes on, or both ends hear why not.

let identity: Identity;
beforeAll(async () => {
  identity = await createIdentity();
});

const hosts: QuicHost[] = [];
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
});

const ANY = transportAddress('127.0.0.1', 0);

async function open(options: Partial<QuicHostOptions>, local = ANY) {
  const host = new QuicHost({ connections: Connection, ...options });
  hosts.push(host);
  return { host, local: await host.open({ local, device: null }) };
}

/** A server that keeps what comes, by stream, and a call for the end of the next one. */
async function sink(options: Partial<QuicHostOptions> = {}, local = ANY) {
  const accept = () => ({
    alpn: ['sink'],
    identity: identityFromPem(identity.certificate, identity.key),
    check: null,
  });
  const server = await open({ server: { accept }, ...options }, local);
  const next = () =>
    new Promise<Buffer>((resolve) => {
      server.host.once('connection', (link) => {
        link.on('stream', (stream) => {
          const came: Buffer[] = [];
          stream.on('error', () => undefined);
          stream.on('data', (chunk: Buffer) => came.push(chunk));
          stream.on('end', () => {
            resolve(Buffer.concat(came));
          });
        });
      });
    });
  return { ...server, next };
}

/** A client on a link to a server, confirmed. */
async function connect(server: TransportAddress, options: Partial<QuicHostOptions> = {}) {
  const client = await open(options);
  const tuple = { local: client.local, remote: server };
  const link = client.host.connect({ tuple, alpn: ['sink'], check: pinned([identity.fingerprint]) });
  link.on('closed', () => undefined);
  await link.ready();
  await link.confirmed();
  return { ...client, link };
}

async function send(link: Awaited<ReturnType<typeof connect>>['link'], data: Uint8Array): Promise<void> {
  const stream = await link.openStream('uni');
  stream.on('error', () => undefined);
  stream.end(data);
}

const DATA = new SeededRandom('failures').bytes(3_000_000);

describeWith(['linux', 'koffi'], 'a kernel that refuses', () => {
  /** The fast back end on a kernel whose `send` is looked at first: what it gives but `undefined` is the answer. */
  function moody(refuse: (segmentBytes: number) => string | undefined, onTaken: (count: number) => void): BackEnd {
    const { open: openKernel, sendBuffer } = batchedUdp();
    if (openKernel === null) throw new Error('no batched sockets');
    const sockets: SocketBackEnd = fastSockets((request) => {
      const real = openKernel(request);
      const kernel: BatchedUdp = {
        fd: real.fd,
        receive: (take) => real.receive(take),
        send: (to, bytes, segmentBytes) => {
          const code = refuse(bytes.length > segmentBytes ? segmentBytes : 0) ?? real.send(to, bytes, segmentBytes);
          if (code === null) onTaken(segmentBytes > 0 ? Math.ceil(bytes.length / segmentBytes) : 1);
          return code;
        },
        localAddress: () => real.localAddress(),
        close: () => {
          real.close();
        },
      };
      return kernel;
    }, sendBuffer);
    return { ...backEnd('fast'), sockets };
  }

  test('for want of room (EAGAIN, ENOBUFS): the sender waits, and nothing is lost', async () => {
    const server = await sink();
    const next = server.next();
    let [calls, refusals, taken] = [0, 0, 0];
    // Of ten calls four are refused, in a row.
    const refuse = (): string | undefined => {
      calls += 1;
      if (calls % 10 >= 4) return undefined;
      refusals += 1;
      return 'EAGAIN';
    };
    const kernel = moody(refuse, (count) => {
      taken += count;
    });
    const { link } = await connect(server.local, { backEnd: kernel });
    await send(link, DATA);
    expect((await next).equals(DATA)).toBe(true);
    expect(refusals).toBeGreaterThan(20);
    // Whatever the connection has sent, the kernel has had, once.
    await vi.waitFor(() => {
      expect(taken).toBe(link.paths[0]?.sentDatagrams);
    });
    expect(link.closed).toBeNull();
  });

  test('to cut datagrams (UDP_SEGMENT): they leave singly, and the log says so, once', async () => {
    const server = await sink();
    const next = server.next();
    const log: [string, unknown][] = [];
    const refuse = (segmentBytes: number) => (segmentBytes > 0 ? 'EIO' : undefined);
    const kernel = moody(refuse, () => undefined);
    const { link } = await connect(server.local, {
      backEnd: kernel,
      log: (_, name, { code }) => log.push([name, code]),
    });
    await send(link, DATA);
    expect((await next).equals(DATA)).toBe(true);
    expect(log.filter(([name]) => name === 'quic.segments-refused')).toEqual([['quic.segments-refused', 'EIO']]);
  });
});

describe.each(['fast', 'plain'] as const)('a socket that fails, %s', (kind) => {
  /** The back end, and a call that makes one of its sockets fail. */
  function fragile(): { readonly kind: BackEnd; readonly fail: (local: TransportAddress) => void } {
    const real = backEnd(kind);
    const handlers = new Map<number, () => void>();
    const openSocket = async (request: Parameters<SocketBackEnd['open']>[0], handler: SocketHandler) => {
      const socket = await real.sockets.open(request, handler);
      handlers.set(socket.local.port, () => {
        socket.close();
        handler.failed('ENETDOWN');
      });
      return socket;
    };
    return {
      kind: { ...real, sockets: { ...real.sockets, open: openSocket } },
      fail: ({ port }) => handlers.get(port)?.(),
    };
  }

  test('its path is left, both ends hear of it, and the transfer goes on by the other', async () => {
    const server = await sink();
    const next = server.next();
    const back = fragile();
    const { host, local, link } = await connect(server.local, { backEnd: back.kind });
    const second = await host.open({ local: ANY, device: null });
    const validated = new Promise((resolve) => link.once('path', resolve));
    expect(link.openPath({ local: second, remote: server.local })).toBe(1);
    await validated;
    const stream = await link.openStream('uni');
    stream.write(DATA.subarray(0, 1_000_000));
    const failed = new Promise((resolve) =>
      host.once('socket-failed', (...told) => {
        resolve(told);
      }),
    );
    const abandoned = new Promise((resolve) => link.once('path', resolve));
    back.fail(local);
    expect(await failed).toEqual([local, 'ENETDOWN']);
    expect(await abandoned).toMatchObject({ type: 'path-abandoned', path: 0, by: 'local' });
    stream.end(DATA.subarray(1_000_000));
    expect((await next).equals(DATA)).toBe(true);
    expect(link.paths.map(({ path }) => path)).toEqual([1]);
    expect(host.locals).toEqual([second]);
  });
});

test('a server that was restarted resets the connections from before, and the client hears of it', async () => {
  const secret = new SeededRandom('secret').bytes(32);
  const before = await sink({ secret });
  const came = before.next();
  const { link } = await connect(before.local);
  await send(link, Uint8Array.of(1));
  await came;
  const closed = new Promise((resolve) => link.once('closed', resolve));
  // As if it had died: nobody hears a word.
  before.host.closeSocket(before.local);
  const after = await sink({ secret }, before.local);
  await send(link, DATA.subarray(0, 10_000));
  expect(await closed).toMatchObject({ by: 'reset' });
  expect(after.host.counters.resets).toBeGreaterThan(0);
  // Who wants can come again at once.
  const again = after.next();
  const anew = await connect(after.local);
  await send(anew.link, DATA);
  expect((await again).equals(DATA)).toBe(true);
});

test('who has another secret resets nobody', async () => {
  const before = await sink();
  const { link } = await connect(before.local);
  before.host.closeSocket(before.local);
  const after = await sink({}, before.local);
  const heard = new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (after.host.counters.resets === 0) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
  await send(link, DATA.subarray(0, 10_000));
  await heard;
  // Its answer is on the way by now; a round trip here is a turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(link.closed).toBeNull();
});
