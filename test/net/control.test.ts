import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { formatInvite, parseInvite, type InviteAddress } from '../../src/control/invite.js';
import { connectControl } from '../../src/net/control-client.js';
import { codeOf, join, listening, lossOf, messagesOf, mute, serve, timeoutMs } from './control-support.js';

/** Only the tests that wait for a loss use it: an end that is busy for so long is not lost elsewhere. */
const quick = { pingMs: 50, lostMs: 400 };

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

  test('a slow address that got in first is not spoiled by the next one, which finds the server busy', async () => {
    const running = await serve();
    const slow = createServer((left) => {
      const right = connect(running.port, '127.0.0.1').on('error', () => undefined);
      left.on('error', () => undefined).pipe(right);
      right.on('data', (bytes: Buffer) => setTimeout(() => left.write(bytes), 220));
      right.on('close', () => left.destroy());
    });
    const addresses = [await listening(slow), ...running.invite.addresses];
    const { client, server } = await join(running, { ...running.invite, addresses });
    client.send({ type: 'up' });
    expect(await messagesOf(server, 1)).toEqual([{ type: 'up' }]);
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
