import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTlsPlain, createServer as createTlsServer } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import { formatInvite, parseInvite, type Invite, type InviteAddress } from '../../src/control/invite.js';
import { createIdentity } from '../../src/net/certificate.js';
import { connectControl } from '../../src/net/control-client.js';
import type { ControlPort } from '../../src/net/control-port.js';
import { listenControl, type ListenOptions } from '../../src/net/control-server.js';

const secret = Uint8Array.from({ length: 16 }, (_, index) => index * 3);
/** Only the tests that wait for a loss use it: an end that is busy for so long is not lost elsewhere. */
const quick = { pingMs: 50, lostMs: 400 };
const timeoutMs = 10_000;

interface Running {
  readonly invite: Invite;
  readonly port: number;
  readonly refused: string[];
  readonly close: () => Promise<void>;
  /** The next client that gets in. */
  readonly peer: () => Promise<ControlPort>;
  readonly peers: () => number;
}

async function serve(options: Partial<ListenOptions> = {}): Promise<Running> {
  const refused: string[] = [];
  const arrived: ControlPort[] = [];
  const waiting: ((port: ControlPort) => void)[] = [];
  let count = 0;
  const server = await listenControl({
    listen: { address: '127.0.0.1', port: 0 },
    secret,
    onPeer: (port) => {
      count += 1;
      const take = waiting.shift();
      if (take) take(port);
      else arrived.push(port);
    },
    onRefused: (_, code) => refused.push(code),
    ...options,
  });
  onTestFinished(() => server.close());
  const peer = (): Promise<ControlPort> =>
    new Promise((resolve) => {
      const first = arrived.shift();
      if (first) resolve(first);
      else waiting.push(resolve);
    });
  const port = server.invite.addresses[0]?.port ?? 0;
  return { invite: server.invite, port, refused, close: () => server.close(), peer, peers: () => count };
}

async function join(running: Running, invite = running.invite): Promise<{ client: ControlPort; server: ControlPort }> {
  const client = await connectControl(invite, { timeoutMs });
  onTestFinished(() => {
    client.close('test over');
  });
  return { client, server: await running.peer() };
}

const messagesOf = (port: ControlPort, count: number): Promise<unknown[]> =>
  new Promise((resolve) => {
    const messages: unknown[] = [];
    port.onMessage = (message) => {
      messages.push(message);
      if (messages.length === count) resolve(messages);
    };
  });

const lossOf = (port: ControlPort): Promise<string> =>
  new Promise((resolve) => {
    port.onLost = resolve;
  });

async function errorOf(attempt: Promise<unknown>): Promise<IcepathError> {
  const error = await attempt.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof IcepathError)) throw new Error(`no coded error but ${String(error)}`);
  expect(error.nextStep).toMatch(/\w/);
  return error;
}

const codeOf = async (invite: Invite, limit = timeoutMs): Promise<string> =>
  (await errorOf(connectControl(invite, { timeoutMs: limit }))).code;

/** Some other server on loopback. */
async function listening(server: ReturnType<typeof createServer>): Promise<InviteAddress> {
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** Takes connections and never says a word. */
async function mute(): Promise<InviteAddress> {
  const sockets: Socket[] = [];
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  return listening(createServer((socket) => sockets.push(socket.on('error', () => undefined))));
}

/** Opens a plain TCP connection and waits until the far end has closed it. */
async function knock(port: number, write: (socket: Socket) => void): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  write(socket);
  await new Promise((resolve) => socket.once('close', resolve));
}

describe('with the right invite', () => {
  test('both ends get in and hear each other, the pasted line being all that the client knows', async () => {
    const running = await serve();
    const { client, server } = await join(running, parseInvite(formatInvite(running.invite)));
    client.send({ type: 'up', text: 'ä' });
    server.send({ type: 'down' });
    expect(await messagesOf(server, 1)).toEqual([{ type: 'up', text: 'ä' }]);
    expect(await messagesOf(client, 1)).toEqual([{ type: 'down' }]);
    expect(client.peerAddress).toBe(`127.0.0.1:${String(running.port)}`);
    expect(server.peerAddress).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test('close lets what was sent leave, then the far end is told why', async () => {
    const { client, server } = await join(await serve());
    const text = 'x'.repeat(500_000);
    for (let n = 0; n < 10; n += 1) client.send({ type: 'much', n, text });
    client.close('done');
    client.send({ type: 'too late' });
    const lost = lossOf(server);
    expect(await messagesOf(server, 10)).toEqual(Array.from({ length: 10 }, (_, n) => ({ type: 'much', n, text })));
    expect(await lost).toContain('done');
  });

  test('messages and a loss from before the listeners were set are not missed', async () => {
    const { client, server } = await join(await serve());
    const answered = messagesOf(client, 1);
    client.send({ type: 'early' });
    client.send({ type: 'early too' });
    server.send({ type: 'meanwhile' });
    await answered;
    client.close('gone');
    const order: unknown[] = [];
    await new Promise<void>((resolve) => {
      server.onMessage = (message) => order.push(message);
      server.onLost = (reason) => {
        order.push(reason);
        resolve();
      };
    });
    expect(order).toEqual([{ type: 'early' }, { type: 'early too' }, expect.stringContaining('gone')]);
  });

  test('the next client may come when one has ended', async () => {
    const running = await serve();
    const first = await join(running);
    const lost = lossOf(first.server);
    first.client.close('first');
    await lost;
    await join(running);
    expect(running.peers()).toBe(2);
  });

  test('with `once` nobody comes after the first', async () => {
    const running = await serve({ once: true });
    const first = await join(running);
    const lost = lossOf(first.server);
    first.client.close('first');
    await lost;
    expect(await codeOf(running.invite)).toBe('control-connection-refused');
  });

  test('one dead address in front does no harm', async () => {
    const running = await serve();
    const dead = [{ host: '127.0.0.1', port: 1 }, await mute()];
    await join(running, { ...running.invite, addresses: [...dead, ...running.invite.addresses] });
    expect(running.peers()).toBe(1);
  });

  test('several addresses of one server are one client', async () => {
    const running = await serve({ listen: { address: null, port: 0 }, loopback: true });
    const { port } = running;
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((host) => ({ host, port }));
    const { client, server } = await join(running, { ...running.invite, addresses });
    client.send({ type: 'up' });
    await messagesOf(server, 1);
    expect(running.peers()).toBe(1);
  });

  test('listening everywhere, the invite names addresses that a client can use, and no link-local one', async () => {
    const running = await serve({ listen: { address: null, port: 0 }, loopback: true });
    const hosts = running.invite.addresses.map(({ host }) => host);
    expect(hosts).toContain('127.0.0.1');
    expect(hosts.filter((host) => /^(fe[89ab]|169\.254\.)/.test(host))).toEqual([]);
    const unspecified = await serve({ listen: { address: '0.0.0.0', port: 0 }, loopback: true });
    expect(unspecified.invite.addresses.map(({ host }) => host)).toContain('127.0.0.1');
    expect(unspecified.invite.addresses.map(({ host }) => host)).not.toContain('0.0.0.0');
  });

  test('the server ends: the client is told, the port is free', async () => {
    const running = await serve();
    const { client } = await join(running);
    const lost = lossOf(client);
    await running.close();
    expect(await lost).toContain('The server ends.');
    await serve({ listen: { address: '127.0.0.1', port: running.port } });
  });
});

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
    ['another protocol', { ...own(), ALPNProtocols: ['http/1.1'] }],
    ['no protocol', own()],
    ['TLS 1.2', { ...own(), ALPNProtocols: ['icepath/1'], maxVersion: 'TLSv1.2' as const }],
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
      ...own(),
    });
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(1_000_000, 0x7b));
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(running.refused).toEqual(['control-protocol']);
  });

  test('50 idle connections do not keep the right client out', async () => {
    const running = await serve();
    const idle = Array.from({ length: 50 }, () => connect(running.port, '127.0.0.1').on('error', () => undefined));
    onTestFinished(() => {
      for (const socket of idle) socket.destroy();
    });
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    await join(running);
    expect(running.peers()).toBe(1);
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
    const web = createTlsServer(own());
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
    expect((await errorOf(listen('192.0.2.1', 0))).code).toBe('address-not-local');
  });
});

describe('a loss is noticed', () => {
  /** A wire that can be cut without a word, or torn so that the kernel tells. */
  async function wire(target: number): Promise<{ address: InviteAddress; cut: () => void; tear: () => void }> {
    const pairs: Socket[] = [];
    const proxy = createServer((left) => {
      const right = connect(target, '127.0.0.1');
      pairs.push(
        left.on('error', () => undefined),
        right.on('error', () => undefined),
      );
      left.pipe(right).pipe(left);
    });
    const tear = (): void => {
      for (const socket of pairs) socket.resetAndDestroy();
    };
    onTestFinished(tear);
    const cut = (): void => {
      for (const socket of pairs) socket.unpipe().pause();
    };
    return { address: await listening(proxy), cut, tear };
  }

  test('by both ends when the path falls silent', async () => {
    const running = await serve({ keepalive: quick });
    const { address, cut } = await wire(running.port);
    const invite = { ...running.invite, addresses: [address] };
    const client = await connectControl(invite, { timeoutMs, keepalive: quick });
    const server = await running.peer();
    cut();
    const reasons = await Promise.all([lossOf(client), lossOf(server)]);
    for (const reason of reasons) expect(reason).toContain('Nothing was heard');
  });

  test('by both ends when the connection is reset', async () => {
    const running = await serve();
    const { address, tear } = await wire(running.port);
    const { client, server } = await join(running, { ...running.invite, addresses: [address] });
    tear();
    const reasons = await Promise.all([lossOf(client), lossOf(server)]);
    for (const reason of reasons) expect(reason).toMatch(/^The connection to the far end (broke|has ended)/);
    await join(running);
  });

  test('a far end that takes nothing does not fill the memory', async () => {
    const running = await serve();
    const { address, cut } = await wire(running.port);
    const { server } = await join(running, { ...running.invite, addresses: [address] });
    const lost = lossOf(server);
    cut();
    for (let n = 0; n < 40; n += 1) server.send({ type: 'much', text: 'x'.repeat(1_000_000) });
    expect(await lost).toContain('does not take');
  });

  test('a far end that says more than is fetched does not fill the memory', async () => {
    const { client, server } = await join(await serve());
    const lost = lossOf(server);
    for (let n = 0; n < 14; n += 1) {
      client.send({ type: 'much', text: 'x'.repeat(900_000) });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await lost).toContain('faster than it is heard');
  });
});

function own(): { key: string; cert: string } {
  const { key, certificate } = createIdentity();
  return { key, cert: certificate };
}
