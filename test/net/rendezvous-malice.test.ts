import { describe, expect, test } from 'vitest';
import { roomOf } from '../../src/control/rendezvous.js';
import { connectControl } from '../../src/net/control-client.js';
import type { ControlPort } from '../../src/net/control-port.js';
import { errorOf, lossOf, serve, timeoutMs } from './control-support.js';
import { joinAt, meddling, rendezvous, serveAt, type Meddler } from './rendezvous-support.js';

const flipped = (message: Buffer): Buffer => {
  const changed = Buffer.from(message);
  const middle = changed.length >> 1;
  changed[middle] = (changed[middle] ?? 0) ^ 1;
  return changed;
};

/** Two ends that are joined and authenticated, and a meddler who begins only then. */
async function joinedUnder(
  bytes: NonNullable<Meddler['bytes']>,
  keepalive?: { pingMs: number; lostMs: number },
): Promise<{ url: string; client: ControlPort; server: ControlPort }> {
  const meddler: Meddler = {};
  const url = await meddling((await rendezvous()).url, meddler);
  const ends = await joinAt(await serveAt(url, keepalive), keepalive);
  meddler.bytes = bytes;
  return { url, ...ends };
}

const TOLD = ['rendezvous-tampered', 'rendezvous-cut'];

describe('a rendezvous that', () => {
  const held: Buffer[] = [];
  let dropped = false;
  test.each<[string, NonNullable<Meddler['bytes']>]>([
    ['changes a bit', (message) => [flipped(message)]],
    ['replays a message', (message) => [message, message]],
    ['leaves one out', (message) => (dropped ? [message] : ((dropped = true), []))],
    [
      'changes the order',
      (message) => {
        held.push(message);
        return held.length < 2 ? [] : held.splice(0).reverse();
      },
    ],
    ['cuts a message short', (message) => [message.subarray(0, message.length - 1)]],
    ['adds bytes of its own', (message) => [message, Buffer.alloc(100, 0x17)]],
  ])('%s is told at both ends, by name and code, and nothing of it is heard', async (_, bytes) => {
    const { url, client, server } = await joinedUnder(bytes);
    const heard: unknown[] = [];
    server.onMessage = (message) => heard.push(message);
    const losses = Promise.all([lossOf(client), lossOf(server)]);
    for (let n = 0; n < 3; n += 1) {
      client.send({ type: 'count', n });
      // Each a message of its own on the wire.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const reason of await losses) expect(reason).toContain(url);
    expect(server.failure?.code).toBe('rendezvous-tampered');
    expect(TOLD).toContain(client.failure?.code);
    expect([[], [{ type: 'count', n: 0 }]]).toContainEqual(heard);
  });

  test('ends the connection is told at both ends: nobody had said goodbye', async () => {
    const { url, client, server } = await joinedUnder((_, close) => {
      close();
      return [];
    });
    const losses = Promise.all([lossOf(client), lossOf(server)]);
    client.send({ type: 'last' });
    for (const reason of await losses) expect(reason).toContain(url);
    expect([client.failure?.code, server.failure?.code]).toEqual(['rendezvous-cut', 'rendezvous-cut']);
  });

  test('holds everything back is told as silence, by name', async () => {
    const { url, client, server } = await joinedUnder(() => [], { pingMs: 50, lostMs: 400 });
    for (const reason of await Promise.all([lossOf(client), lossOf(server)])) expect(reason).toContain(url);
    expect(server.failure?.code).toBe('control-silent');
    expect(['control-silent', ...TOLD]).toContain(client.failure?.code);
  });

  test('changes the very first bytes is told at both ends, and nobody is let in', async () => {
    let first = true;
    const bytes = (message: Buffer): Buffer[] => {
      const sent = first ? flipped(message) : message;
      first = false;
      return [sent];
    };
    const url = await meddling((await rendezvous()).url, { bytes });
    const running = await serveAt(url);
    const error = await errorOf(connectControl(running.invite, { timeoutMs }));
    expect(TOLD).toContain(error.code);
    expect(error.message).toContain(url);
    await expect.poll(() => running.refused.length).toBe(1);
    expect(TOLD).toContain(running.refused[0]);
    expect(running.peers()).toBe(0);
  });

  test('brings the client to another server is told: it is not the invited one', async () => {
    const { url: genuine } = await rendezvous();
    const other = new Uint8Array(16).fill(9);
    const wrong = await serve({ listen: null, rendezvous: genuine, secret: other });
    let swap = '';
    const url = await meddling(genuine, {
      text: (text) => (text.includes('"join"') ? text.replace(/"room":"[^"]*"/, `"room":"${swap}"`) : text),
    });
    const right = await serveAt(url);
    swap = roomOf(other);
    const error = await errorOf(connectControl(right.invite, { timeoutMs }));
    expect(error.code).toBe('control-wrong-fingerprint');
    expect(error.message).toContain(url);
    await expect.poll(() => wrong.refused.length).toBe(1);
    expect([right.peers(), wrong.peers()]).toEqual([0, 0]);
  });
});
