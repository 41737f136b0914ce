import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { monotonicNow } from '../../src/net/clock.js';
import { backEnd } from '../../src/net/quic/back-end.js';
import { QuicHost } from '../../src/net/quic/host.js';
import { identityFromPem } from '../../src/net/quic/identity.js';
import type { QuicLink } from '../../src/net/quic/link.js';
import { PERF_ALPN, requestPerf, servePerf } from '../../src/net/quic/perf.js';
import { Connection } from '../../src/quic/connection/connection.js';
import type { CloseReason, ConnectionOptions, Observed } from '../../src/quic/connection/types.js';
import { CHACHA20_POLY1305, SUITES } from '../../src/quic/crypto/suites.js';
import type { ServerPolicy } from '../../src/quic/endpoint/types.js';
import { trusted } from '../../src/quic/tls/certificates.js';
import { type Bench, HOST_NAME, picoquicBench, printed } from '../support/picoquic.js';
import { describeWith } from '../support/skip.js';

/** What the issue asks for; a smaller one where the size is not the point. */
const LARGE = 100_000_000;
const SMALL = 5_000_000;
const TOKEN = 397;

// 100 MB on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

describeWith(['linux', 'picoquic'], 'with picoquic at the other end', () => {
  let bench: Bench;
  const hosts: QuicHost[] = [];
  beforeAll(async () => {
    bench = await picoquicBench();
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host.close()));
    bench.close();
  });

  /** Our client on a link to picoquic's server, and what it saw. */
  async function connect(port: number, options: Partial<ConnectionOptions> = {}, kind: 'fast' | 'plain' = 'fast') {
    const host = new QuicHost({ connections: Connection, backEnd: backEnd(kind) });
    hosts.push(host);
    const seen: Observed[] = [];
    const local = await host.open({ local: transportAddress('127.0.0.1', 0), device: null });
    const remote = transportAddress('127.0.0.1', port);
    const link = host.connect({
      tuple: { local, remote },
      alpn: [PERF_ALPN],
      check: trusted({ roots: [bench.root.der], host: HOST_NAME, validAt: Date.parse('2026-01-01') }),
      serverName: HOST_NAME,
      observe: (observed) => {
        if (!observed.type.startsWith('packet') && observed.type !== 'metrics') seen.push(observed);
      },
      ...options,
    });
    await link.ready();
    await link.confirmed();
    return { host, link, seen, remote };
  }

  const transfer = (link: QuicLink, uploadBytes: number, downloadBytes: number, onProgress?: (bytes: number) => void) =>
    requestPerf(link, { uploadBytes, downloadBytes }, monotonicNow, onProgress);

  async function twoPaths(): Promise<Awaited<ReturnType<typeof connect>> & { readonly path: number }> {
    const connected = await connect(await bench.serve());
    const { host, link, remote } = connected;
    const local = await host.open({ local: transportAddress('127.0.0.2', 0), device: null });
    const validated = new Promise<void>((resolve) => {
      link.on('path', ({ type }) => {
        if (type === 'path-validated') resolve();
      });
    });
    const path = link.openPath({ local, remote });
    expect(path).not.toBeNull();
    await validated;
    return { ...connected, path: path ?? 0 };
  }

  test.each(['fast', 'plain'] as const)('our client downloads 100 MB, %s back end', async (kind) => {
    const { link } = await connect(await bench.serve(), {}, kind);
    expect(link.handshake).toMatchObject({ alpn: 'perf', multipath: true });
    expect(await transfer(link, TOKEN, LARGE)).toMatchObject({ downloadedBytes: LARGE });
    await link.close();
  });

  test('our client uploads 100 MB', async () => {
    const { link } = await connect(await bench.serve());
    expect(await transfer(link, LARGE, TOKEN)).toMatchObject({ uploadedBytes: LARGE, downloadedBytes: TOKEN });
    await link.close();
  });

  test('our client opens a second path, and both carry what is sent and what comes', async () => {
    const { link, path } = await twoPaths();
    // Large, as picoquic alone decides how soon it uses a second path.
    await transfer(link, LARGE / 2, LARGE);
    const [first, second] = link.paths;
    expect(second).toMatchObject({ path, state: 'open' });
    for (const used of [first, second]) {
      expect(used?.sentBytes).toBeGreaterThan(SMALL / 20);
      expect(used?.receivedBytes).toBeGreaterThan(SMALL / 20);
    }
    await link.close();
  });

  test('our client abandons a path in the middle of a transfer, which the other finishes', async () => {
    const { link, path } = await twoPaths();
    const abandoned: unknown[] = [];
    link.on('path', (event) => {
      if (event.type === 'path-abandoned') abandoned.push(event);
    });
    let done = false;
    const result = await transfer(link, TOKEN, 4 * SMALL, (bytes) => {
      if (!done && bytes > SMALL) done = link.abandonPath(path);
    });
    expect(result.downloadedBytes).toBe(4 * SMALL);
    expect(abandoned).toEqual([expect.objectContaining({ path, by: 'local' })]);
    await link.close();
  });

  test('our client updates its keys in the middle of a transfer', async () => {
    const { link, seen } = await connect(await bench.serve());
    let updates = 0;
    const result = await transfer(link, TOKEN, 4 * SMALL, (bytes) => {
      if (bytes > SMALL * (updates + 1) && link.updateKeys()) updates += 1;
    });
    expect(result.downloadedBytes).toBe(4 * SMALL);
    expect(updates).toBeGreaterThan(0);
    expect(seen.filter(({ type }) => type === 'key-update')).toHaveLength(updates);
    await link.close();
  });

  test('our client follows a Retry', async () => {
    const { link, seen } = await connect(await bench.serve('-r'));
    expect(seen.find((each) => each.type === 'parameters' && each.whose === 'remote')).toMatchObject({
      parameters: { retrySourceConnectionId: expect.any(Uint8Array) as Uint8Array },
    });
    expect(await transfer(link, TOKEN, SMALL)).toMatchObject({ downloadedBytes: SMALL });
    await link.close();
  });

  test.each(SUITES)('our client speaks $name', async (suite) => {
    const { link } = await connect(await bench.serve(), { suites: [suite] });
    expect(link.handshake?.suite.name).toBe(suite.name);
    expect(await transfer(link, SMALL, SMALL)).toMatchObject({ downloadedBytes: SMALL });
    await link.close();
  });

  test('our client lets nobody in whose certificate leads to another root', async () => {
    const port = await bench.serve();
    const other = await picoquicBench();
    const check = trusted({ roots: [other.root.der], host: HOST_NAME, validAt: Date.parse('2026-01-01') });
    other.close();
    await expect(connect(port, { check } as Partial<ConnectionOptions>)).rejects.toMatchObject({
      code: 'quic-connection-closed',
      message: expect.stringContaining('CRYPTO_ERROR(48)') as string,
    });
  });

  /** Our server, and the links that came to it. */
  async function serve(
    policy: Partial<ServerPolicy> = {},
    options: Partial<ConnectionOptions> = {},
    onLink: (link: QuicLink) => void = () => undefined,
  ) {
    const seen: Observed[] = [];
    const closed: CloseReason[] = [];
    const links: QuicLink[] = [];
    const host = new QuicHost({
      connections: Connection,
      server: {
        accept: () => ({
          alpn: [PERF_ALPN],
          identity: identityFromPem(bench.leaf.pem, bench.leaf.key),
          check: null,
          observe: (observed) => {
            if (!observed.type.startsWith('packet') && observed.type !== 'metrics') seen.push(observed);
          },
          ...options,
        }),
        ...policy,
      },
    });
    hosts.push(host);
    host.on('connection', (link) => {
      links.push(link);
      link.on('closed', (reason) => closed.push(reason));
      link.on('stream', (stream) => {
        servePerf(stream).catch(() => undefined);
      });
      onLink(link);
    });
    const { port } = await host.open({ local: transportAddress('127.0.0.1', 0), device: null });
    return { host, port, seen, links, closed };
  }

  function expectTransfer(output: string, uploadBytes: number, downloadBytes: number): void {
    expect(printed(output, 'Upload_bytes'), output).toBe(String(uploadBytes));
    expect(printed(output, 'Download_bytes')).toBe(String(downloadBytes));
    expect(output).toContain('verified: 1');
    expect(output).toContain('Client exit with code = 0');
  }

  test('our server gives 100 MB', async () => {
    const { port, closed } = await serve();
    const output = await bench.fetch(port, TOKEN, LARGE);
    expectTransfer(output, TOKEN, LARGE);
    expect(printed(output, 'Enable multipath')).toBe('Success.');
    expect(closed).toEqual([expect.objectContaining({ by: 'remote', code: 0 })]);
  });

  test('our server takes 100 MB', async () => {
    const { port } = await serve();
    expectTransfer(await bench.fetch(port, LARGE, TOKEN), LARGE, TOKEN);
  });

  test('our server uses the second path that the client opens', async () => {
    let paths: QuicLink['paths'] = [];
    const { port } = await serve({}, {}, (link) => {
      link.on('path', () => {
        paths = link.paths;
      });
      link.on('closed', () => {
        paths = link.paths;
      });
    });
    expectTransfer(await bench.fetch(port, TOKEN, LARGE, '-A', '127.0.0.2/1'), TOKEN, LARGE);
    expect(paths.length).toBeGreaterThan(1);
    for (const { sentBytes } of paths.slice(0, 2)) expect(sentBytes).toBeGreaterThan(LARGE / 20);
  });

  test('our server abandons one of two paths, and the transfer finishes', async () => {
    const abandoned: unknown[] = [];
    const { port } = await serve({}, {}, (link) => {
      link.on('path', (event) => {
        if (event.type === 'path-validated' && event.path !== 0) setTimeout(() => link.abandonPath(event.path), 50);
        if (event.type === 'path-abandoned') abandoned.push(event);
      });
    });
    expectTransfer(await bench.fetch(port, TOKEN, LARGE, '-A', '127.0.0.2/1'), TOKEN, LARGE);
    expect(abandoned).toEqual([expect.objectContaining({ by: 'local' })]);
  });

  test('our server follows a key update of the client’s', async () => {
    const { port, seen } = await serve();
    expectTransfer(await bench.fetch(port, TOKEN, 4 * SMALL, '-u', '1000'), TOKEN, 4 * SMALL);
    expect(seen).toContainEqual(expect.objectContaining({ type: 'key-update', by: 'remote' }));
  });

  test('our server asks for an address by Retry', async () => {
    const { host, port } = await serve({ retry: 'always' });
    expectTransfer(await bench.fetch(port, TOKEN, SMALL), TOKEN, SMALL);
    expect(host.counters).toMatchObject({ retries: 1, accepted: 1 });
  });

  test('our server speaks ChaCha20', async () => {
    const { port, links } = await serve();
    expectTransfer(await bench.fetch(port, SMALL, SMALL, '-C', '20'), SMALL, SMALL);
    expect(links[0]?.handshake?.suite).toBe(CHACHA20_POLY1305);
  });

  test('our server asks for another key share by HelloRetryRequest', async () => {
    const { port } = await serve();
    expectTransfer(await bench.fetch(port, TOKEN, SMALL, '-z'), TOKEN, SMALL);
  });
});
