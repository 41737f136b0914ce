import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import { backEnd } from '../../src/net/quic/back-end.js';
import { QuicHost } from '../../src/net/quic/host.js';
import { identityFromPem } from '../../src/net/quic/identity.js';
import type { QuicLink } from '../../src/net/quic/link.js';
import { Connection } from '../../src/quic/connection/connection.js';
import type { CloseReason, ConnectionOptions, Observed } from '../../src/quic/connection/types.js';
import { trusted } from '../../src/quic/tls/certificates.js';
import { certificate, type Issued } from '../support/quic-certificates.js';
import { quicheClient, quicheEcho, quicheExchange } from '../support/quiche.js';
import { describeWith } from '../support/skip.js';

const HOST_NAME = 'test.example.com';
const ALPN = 'echo';
const DATA = new SeededRandom('quiche').bytes(5_000_000);
vi.setConfig({ testTimeout: 120_000 });

describeWith(['quiche'], 'with quiche (@matrixai/quic) at the other end', () => {
  let root: Issued;
  let leaf: Issued;
  beforeAll(async () => {
    root = await certificate('root', 'p256', { ca: true });
    leaf = await certificate(HOST_NAME, 'p256', { issuer: root, hosts: [HOST_NAME] });
  });
  const over: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of over.splice(0).reverse()) await end();
  });

  async function theirServer(): Promise<number> {
    const server = await quicheEcho({ cert: leaf.pem, key: leaf.key }, ALPN);
    over.push(() => server.stop({ force: true }));
    return server.port;
  }

  async function connect(port: number, options: Partial<ConnectionOptions> = {}, kind: 'fast' | 'plain' = 'fast') {
    const host = new QuicHost({ connections: Connection, backEnd: backEnd(kind) });
    over.push(() => host.close());
    const seen: Observed[] = [];
    const local = await host.open({ local: transportAddress('127.0.0.1', 0), device: null });
    const link = host.connect({
      tuple: { local, remote: transportAddress('127.0.0.1', port) },
      alpn: [ALPN],
      check: trusted({ roots: [root.der], host: HOST_NAME, validAt: Date.parse('2026-01-01') }),
      serverName: HOST_NAME,
      observe: (observed) => seen.push(observed),
      ...options,
    });
    await link.ready();
    await link.confirmed();
    return { link, seen };
  }

  async function exchange(link: QuicLink, data: Uint8Array, onBytes: (count: number) => void = () => undefined) {
    const stream = await link.openStream();
    stream.end(data);
    const came: Uint8Array[] = [];
    let count = 0;
    for await (const chunk of stream) {
      came.push(chunk as Uint8Array);
      count += (chunk as Uint8Array).length;
      onBytes(count);
    }
    return Buffer.concat(came);
  }

  test.each(['fast', 'plain'] as const)(
    'our client follows its Retry, 5 MB come back as they were, %s',
    async (kind) => {
      const { link, seen } = await connect(await theirServer(), {}, kind);
      expect(link.handshake).toMatchObject({ alpn: ALPN, multipath: false });
      expect(seen.find((each) => each.type === 'parameters' && each.whose === 'remote')).toMatchObject({
        parameters: { retrySourceConnectionId: expect.any(Uint8Array) as Uint8Array },
      });
      expect((await exchange(link, DATA)).equals(DATA)).toBe(true);
      await link.close();
    },
  );

  test('our client updates its keys in the middle of a transfer', async () => {
    const { link, seen } = await connect(await theirServer());
    let updates = 0;
    const came = await exchange(link, DATA, (count) => {
      if (count > 1_000_000 * (updates + 1) && link.updateKeys()) updates += 1;
    });
    expect(came.equals(DATA)).toBe(true);
    expect(updates).toBeGreaterThan(0);
    expect(seen.filter(({ type }) => type === 'key-update')).toHaveLength(updates);
    await link.close();
  });

  test('our client lets nobody in whose certificate leads to another root', async () => {
    const other = await certificate('other', 'p256', { ca: true });
    const check = trusted({ roots: [other.der], host: HOST_NAME, validAt: Date.parse('2026-01-01') });
    await expect(connect(await theirServer(), { check } as Partial<ConnectionOptions>)).rejects.toMatchObject({
      code: 'quic-connection-closed',
    });
  });

  async function ourServer(retry: 'always' | 'never' = 'never') {
    const closed: CloseReason[] = [];
    const accept = () => ({ alpn: [ALPN], identity: identityFromPem(leaf.pem, leaf.key), check: null });
    const host = new QuicHost({ connections: Connection, server: { accept, retry } });
    over.push(() => host.close());
    host.on('connection', (link) => {
      link.on('closed', (reason) => closed.push(reason));
      link.on('stream', (stream) => {
        stream.on('error', () => undefined);
        stream.pipe(stream);
      });
    });
    const { port } = await host.open({ local: transportAddress('127.0.0.1', 0), device: null });
    return { host, port, closed };
  }

  test('its client gets 5 MB back from our server as they were, and its last word is heard', async () => {
    const { port, closed } = await ourServer();
    const client = await quicheClient(port, root.pem, HOST_NAME, ALPN);
    const came = await quicheExchange(client.connection.newStream('bidi'), DATA);
    expect(Buffer.from(came).equals(DATA)).toBe(true);
    await client.destroy({ isApp: true, errorCode: 9, force: true });
    await vi.waitFor(() => {
      expect(closed).toMatchObject([{ by: 'remote', layer: 'application', code: 9 }]);
    });
  });

  test('its client follows our Retry', async () => {
    const { host, port } = await ourServer('always');
    const client = await quicheClient(port, root.pem, HOST_NAME, ALPN);
    const data = DATA.subarray(0, 1_000_000);
    expect(Buffer.from(await quicheExchange(client.connection.newStream('bidi'), data)).equals(data)).toBe(true);
    await client.destroy({ isApp: true, errorCode: 0, force: true });
    expect(host.counters).toMatchObject({ retries: 1, accepted: 1 });
  });

  test('its client does not take our server for one that another root vouches for', async () => {
    const { port } = await ourServer();
    const other = await certificate('other', 'p256', { ca: true });
    await expect(quicheClient(port, other.pem, HOST_NAME, ALPN)).rejects.toThrow();
  });
});
