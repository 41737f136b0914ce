import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { formatInvite, parseInvite } from '../../src/control/invite.js';
import { SUBPROTOCOL } from '../../src/control/rendezvous.js';
import { connectControl } from '../../src/net/control-client.js';
import {
  codeOf,
  errorOf,
  join,
  listening,
  lossOf,
  messagesOf,
  mute,
  own,
  secret,
  serve,
  timeoutMs,
} from './control-support.js';
import { joinAt, rendezvous, serveAt, urlOf } from './rendezvous-support.js';

describe('through a rendezvous', () => {
  test('both ends get in and hear each other, the pasted line being all that the client knows', async () => {
    const { url } = await rendezvous();
    const running = await serveAt(url);
    const { client, server } = await join(running, parseInvite(formatInvite(running.invite)));
    client.send({ type: 'up', text: 'ä' });
    server.send({ type: 'down' });
    expect(await messagesOf(server, 1)).toEqual([{ type: 'up', text: 'ä' }]);
    expect(await messagesOf(client, 1)).toEqual([{ type: 'down' }]);
    expect([client.peerAddress, server.peerAddress]).toEqual([`through ${url}`, `through ${url}`]);
  });

  test('megabytes arrive whole, then the goodbye, and nothing was wrong with the rendezvous', async () => {
    const { client, server } = await joinAt(await serveAt((await rendezvous()).url));
    const text = 'x'.repeat(500_000);
    for (let n = 0; n < 10; n += 1) client.send({ type: 'much', n, text });
    client.close('done');
    const lost = lossOf(server);
    expect(await messagesOf(server, 10)).toEqual(Array.from({ length: 10 }, (_, n) => ({ type: 'much', n, text })));
    expect(await lost).toContain('done');
    expect(server.failure).toBeNull();
  });

  test('a second client is refused as a direct server would, and the next may come after the first', async () => {
    const running = await serveAt((await rendezvous()).url);
    const { client, server } = await joinAt(running);
    expect(await codeOf(running.invite)).toBe('control-busy');
    client.send({ type: 'still here' });
    expect(await messagesOf(server, 1)).toEqual([{ type: 'still here' }]);
    const lost = lossOf(server);
    client.close('first');
    await lost;
    await joinAt(running);
    expect(running.peers()).toBe(2);
  });

  test('a client who came directly keeps one out who comes by the rendezvous', async () => {
    const { url } = await rendezvous();
    const running = await serve({ rendezvous: url });
    const direct = { ...running.invite, addresses: running.invite.addresses };
    const { client } = await join(running, direct);
    expect(client.peerAddress).toBe(`127.0.0.1:${String(running.port)}`);
    expect(await codeOf({ ...running.invite, addresses: [] })).toBe('control-busy');
  });

  test('the addresses of an invite being dead, the rendezvous serves', async () => {
    const { url } = await rendezvous();
    const running = await serve({ rendezvous: url });
    const { client } = await join(running, { ...running.invite, addresses: [{ host: '127.0.0.1', port: 1 }] });
    expect(client.peerAddress).toBe(`through ${url}`);
  });

  test('killed and started again before the client comes, it serves', async () => {
    const first = await rendezvous();
    const changes: (string | null)[] = [];
    let back: () => void = () => undefined;
    const returned = new Promise<void>((resolve) => (back = resolve));
    const running = await serve({
      listen: null,
      rendezvous: first.url,
      onRendezvous: (code) => {
        changes.push(code);
        if (code === null) back();
      },
    });
    await first.close();
    await rendezvous(first.port);
    await returned;
    await joinAt(running);
    expect(changes).toEqual(['rendezvous-cut', null]);
  });
});

describe('whoever is not invited', () => {
  test('does not find the room', async () => {
    const running = await serveAt((await rendezvous()).url);
    const error = await errorOf(connectControl({ ...running.invite, secret: new Uint8Array(16) }, { timeoutMs }));
    expect(error.code).toBe('rendezvous-no-server');
    expect(error.message).toContain(running.invite.rendezvous);
    expect(running.peers()).toBe(0);
  });

  test('a client that finds another certificate there than it was told gives nothing away', async () => {
    const { invite, refused, peers } = await serveAt((await rendezvous()).url);
    expect(await codeOf({ ...invite, fingerprint: new Uint8Array(32) })).toBe('control-wrong-fingerprint');
    await expect.poll(() => refused.length).toBe(1);
    expect(peers()).toBe(0);
  });

  test('a page in a browser is not let in, nor another WebSocket client', async () => {
    const { url } = await rendezvous();
    for (const socket of [new WebSocket(url, SUBPROTOCOL, { origin: 'https://evil.example' }), new WebSocket(url)]) {
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error.message).toContain('403');
    }
  });

  test('garbage, a flood and a plain browser do not disturb it', async () => {
    const { url, port } = await rendezvous();
    const raw = connect(port, '127.0.0.1').on('error', () => undefined);
    raw.resume().write(Buffer.alloc(100_000, 0xa5));
    await once(raw, 'close');
    const socket = new WebSocket(url, SUBPROTOCOL);
    await once(socket, 'open');
    socket.on('error', () => undefined).send(Buffer.alloc(1024 * 1024));
    expect((await once(socket, 'close'))[0]).toBe(1009);
    const answer = await fetch(`http://127.0.0.1:${String(port)}/`);
    expect({ status: answer.status, text: await answer.text() }).toEqual({
      status: 426,
      text: expect.stringContaining('icepath rendezvous') as string,
    });
    await joinAt(await serveAt(url));
  });
});

describe('what is no rendezvous is told', () => {
  const startAt = async (url: string): Promise<string> => (await errorOf(serveAt(url))).code;

  test('nothing listens', async () => {
    expect(await startAt(urlOf(1))).toBe('rendezvous-unreachable');
    const { invite } = await serveAt((await rendezvous()).url);
    expect(await codeOf({ ...invite, rendezvous: urlOf(1) })).toBe('rendezvous-unreachable');
  });

  test('nothing answers', async () => {
    const { port } = await mute();
    expect(await startAt(urlOf(port))).toBe('rendezvous-unreachable');
  });

  test('a web server', async () => {
    const { port } = await listening(createHttpServer((_, response) => response.end('hello')));
    expect(await startAt(urlOf(port))).toBe('rendezvous-not-one');
  });

  test('something that is not HTTP', async () => {
    const { port } = await listening(createServer((socket) => socket.on('error', () => undefined).end('220 mail\r\n')));
    expect(await startAt(urlOf(port))).toBe('rendezvous-not-one');
  });

  test('wss:// with a certificate that nobody vouches for', async () => {
    const server = createHttpsServer(await own());
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await startAt(`wss://127.0.0.1:${String(port)}/`)).toBe('rendezvous-certificate');
  });

  test('another server waits in the same room', async () => {
    const { url } = await rendezvous();
    await serveAt(url);
    const error = await errorOf(serve({ listen: null, rendezvous: url, secret }));
    expect(error.code).toBe('rendezvous-protocol');
  });
});
