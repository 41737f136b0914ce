import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTlsPlain, createServer as createTlsServer } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Invite, InviteAddress } from '../../src/control/invite.js';
import { connectControl } from '../../src/net/control-client.js';
import { listenControl } from '../../src/net/control-server.js';
import {
  codeOf,
  errorOf,
  join,
  listening,
  messagesOf,
  mute,
  own,
  secret,
  serve,
  timeoutMs,
} from './control-support.js';

const mine = await own();

/** Opens a plain TCP connection and waits until the far end has closed it. */
async function knock(port: number, write: (socket: Socket) => void): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  write(socket);
  await new Promise((resolve) => socket.once('close', resolve));
}

describe('whoever is not invited', () => {
  test('wrong secret', async () => {
    const running = await serve();
    expect(await codeOf({ ...running.invite, secret: new Uint8Array(16) })).toBe('control-refused');
    expect(running.refused).toEqual(['control-refused']);
    expect(running.peers()).toBe(0);
  });

  test('another server in the way: the client gives nothing away', async () => {
    const running = await serve();
    const error = await errorOf(connectControl({ ...running.invite, fingerprint: new Uint8Array(32) }, { timeoutMs }));
    expect(error.code).toBe('control-wrong-fingerprint');
    expect(error.message).toContain('somebody is in the middle');
  });

  test('a second client is told that the first is there, and does not disturb it', async () => {
    const running = await serve();
    const { client, server } = await join(running);
    expect(await codeOf(running.invite)).toBe('control-busy');
    client.send({ type: 'still here' });
    expect(await messagesOf(server, 1)).toEqual([{ type: 'still here' }]);
  });

  test.each([
    ['an HTTP request', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['zeros', Buffer.alloc(4096)],
    ['100 MB of garbage', Buffer.alloc(100 * 1024 * 1024, 0xa5)],
    ['a TLS record that ends early', Buffer.from('1603010200010001fc0303', 'hex')],
  ])('%s on the port is thrown out; the right client gets in', async (_, bytes) => {
    const running = await serve({ handshakeMs: 300 });
    await knock(running.port, (socket) => socket.write(bytes));
    await join(running);
    expect(running.peers()).toBe(1);
  });

  test.each([
    ['no certificate', { ALPNProtocols: ['icepath/1'] }],
    ['another protocol', { ...mine, ALPNProtocols: ['http/1.1'] }],
    ['no protocol', mine],
    ['TLS 1.2', { ...mine, ALPNProtocols: ['icepath/1'], maxVersion: 'TLSv1.2' as const }],
  ])('a TLS client with %s is thrown out', async (_, options) => {
    const running = await serve();
    const socket = connectTlsPlain({ port: running.port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    socket.on('error', () => undefined);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(running.refused).toEqual(['control-not-icepath']);
  });

  test('a TLS client that talks garbage inside is thrown out', async () => {
    const running = await serve();
    const socket = connectTlsPlain({
      port: running.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['icepath/1'],
      ...mine,
    });
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(1_000_000, 0x7b));
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(running.refused).toEqual(['control-protocol']);
  });

  test('50 idle connections do not keep the right client out, and 16 are all that are kept', async () => {
    const running = await serve({ handshakeMs: 60_000 });
    const idle = Array.from({ length: 50 }, () => connect(running.port, '127.0.0.1').on('error', () => undefined));
    onTestFinished(() => {
      for (const socket of idle) socket.destroy();
    });
    let closed = 0;
    const enough = new Promise<void>((resolve) => {
      for (const socket of idle) {
        socket.resume().once('close', () => {
          closed += 1;
          if (closed === 35) resolve();
        });
      }
    });
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    await join(running);
    expect(running.peers()).toBe(1);
    // The right client was the 51st for a moment.
    await enough;
    expect(closed).toBe(35);
  });

  test('idle connections are closed in the end', async () => {
    const running = await serve({ handshakeMs: 100 });
    await Promise.all(Array.from({ length: 5 }, () => knock(running.port, () => undefined)));
    expect(running.peers()).toBe(0);
  });
});

describe('a client learns what is wrong', () => {
  const invite = (address: InviteAddress): Invite => ({ addresses: [address], secret, fingerprint: secret });

  test('nobody listens', async () => {
    const error = await errorOf(connectControl(invite({ host: '127.0.0.1', port: 1 }), { timeoutMs }));
    expect(error.code).toBe('control-connection-refused');
    expect(error.message).toContain('127.0.0.1 port 1');
  });

  test('nobody answers', async () => {
    expect(await codeOf(invite(await mute()), 300)).toBe('control-timeout');
  });

  test('something else answers', async () => {
    const http = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    expect(await codeOf(invite(await listening(http)))).toBe('control-not-icepath');
    const silent = createServer((socket) => socket.destroy());
    expect(await codeOf(invite(await listening(silent)))).toBe('control-not-icepath');
    const web = createTlsServer(mine);
    expect(await codeOf(invite(await listening(web)))).toBe('control-not-icepath');
  });

  test('the failure that tells the most stands first, all are named', async () => {
    const running = await serve();
    const addresses = [{ host: '127.0.0.1', port: 1 }, ...running.invite.addresses];
    const error = await errorOf(
      connectControl({ ...running.invite, addresses, secret: new Uint8Array(16) }, { timeoutMs }),
    );
    expect(error.code).toBe('control-refused');
    expect(error.message).toContain('127.0.0.1 port 1:');
  });
});

describe('a server that cannot listen says why', () => {
  const listen = (address: string, port: number) =>
    listenControl({ listen: { address, port }, secret, onPeer: () => undefined });

  test('port in use', async () => {
    const { port } = await mute();
    expect((await errorOf(listen('127.0.0.1', port))).code).toBe('port-in-use');
  });

  test('not an address of this host', async () => {
    expect((await errorOf(listen('198.51.100.77', 0))).code).toBe('address-not-local');
  });
});
