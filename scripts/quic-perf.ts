import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseTransportAddress, transportAddress } from '../src/base/address.js';
import { monotonicNow } from '../src/net/clock.js';
import { backEnd } from '../src/net/quic/back-end.js';
import { QuicHost } from '../src/net/quic/host.js';
import { identityFromPem, readChain } from '../src/net/quic/identity.js';
import { describeClose } from '../src/net/quic/link.js';
import { PERF_ALPN, requestPerf, servePerf } from '../src/net/quic/perf.js';
import { Connection } from '../src/quic/connection/connection.js';
import { SUITES } from '../src/quic/crypto/suites.js';
import { CONTROLLERS } from '../src/quic/recovery/controllers.js';
import { fingerprintOf, pinned } from '../src/quic/tls/certificates.js';

// quic-perf: one end of the `perf` protocol, for benchmarks and interop tests.
//   node dist/scripts/quic-perf.js server --listen 127.0.0.1:4433 --cert cert.pem --key key.pem
//   node dist/scripts/quic-perf.js client --to 127.0.0.1:4433 --cert cert.pem --download 100000000 --path 127.0.0.2
// Prints one JSON object a line: what it took, events of paths, the result.

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    listen: { type: 'string', default: '127.0.0.1:4433' },
    to: { type: 'string', default: '127.0.0.1:4433' },
    from: { type: 'string', default: '127.0.0.1' },
    'back-end': { type: 'string', default: 'fast' },
    cert: { type: 'string', default: 'cert.pem' },
    key: { type: 'string', default: 'key.pem' },
    download: { type: 'string', default: '0' },
    upload: { type: 'string', default: '8' },
    path: { type: 'string', multiple: true, default: [] },
    'abandon-at': { type: 'string' },
    'update-keys-at': { type: 'string' },
    suite: { type: 'string' },
    congestion: { type: 'string', default: 'cubic' },
    retry: { type: 'boolean', default: false },
    once: { type: 'boolean', default: false },
    qlog: { type: 'string' },
    statistics: { type: 'string' },
    // The largest UDP payload to be tried, instead of what the link takes.
    'most-datagram-bytes': { type: 'string' },
  },
});

// Whoever read along is gone (`| head`): nobody is told any more, the transfer goes on.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
const say = (fields: Readonly<Record<string, unknown>>): void => {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
};
const suites = SUITES.filter(({ aead }) => options.suite === undefined || aead === options.suite);
const ALPN = [PERF_ALPN];
const controller = Object.entries(CONTROLLERS).find(([name]) => name === options.congestion)?.[1] ?? CONTROLLERS.cubic;

const mostDatagramBytes = options['most-datagram-bytes'];
const isServer = positionals[0] === 'server';
const host = new QuicHost({
  connections: Connection,
  backEnd: backEnd(options['back-end'] === 'plain' ? 'plain' : 'fast'),
  log: (level, name, fields) => {
    say({ level, name, ...fields });
  },
  ...(mostDatagramBytes !== undefined && { linkBytes: () => Number(mostDatagramBytes) }),
  ...(options.qlog !== undefined && { qlogFolder: options.qlog }),
  ...(options.statistics !== undefined && { statisticsMs: Number(options.statistics) }),
  server: isServer
    ? {
        accept: () => ({
          alpn: ALPN,
          suites,
          controller,
          identity: identityFromPem(readFileSync(options.cert, 'utf8'), readFileSync(options.key, 'utf8')),
          check: null,
        }),
        retry: options.retry ? 'always' : 'under-load',
      }
    : null,
});

/** What was spent before a connection was there, on starting, is not the transfer's. */
let usedBefore = process.cpuUsage();
function usage(): Record<string, unknown> {
  const { user, system } = process.cpuUsage(usedBefore);
  return { cpuMs: Math.round((user + system) / 1000), rssBytes: process.memoryUsage.rss() };
}

async function serve(): Promise<void> {
  say({ name: 'listening', ...(await host.open({ local: parseTransportAddress(options.listen), device: null })) });
  host.on('connection', (link) => {
    link.on('handshake', ({ suite, alpn, multipath }) => {
      usedBefore = process.cpuUsage();
      say({ name: 'handshake', suite: suite.name, alpn, multipath });
    });
    link.on('path', (event) => {
      say({ name: 'path', event: event.type, path: event.path });
    });
    link.on('stream', (stream) => {
      stream.on('error', () => undefined);
      servePerf(stream).catch((error: unknown) => {
        say({ name: 'stream-failed', message: String(error) });
      });
    });
    link.on('statistics', (paths) => {
      say({ name: 'statistics', paths, ...usage() });
    });
    link.on('closed', (reason) => {
      say({ name: 'closed', reason: describeClose(reason), ...usage(), counters: host.counters, paths: link.paths });
      if (options.once) void host.close();
    });
  });
  process.once('SIGTERM', () => {
    void host.close();
  });
}

async function request(): Promise<void> {
  const to = parseTransportAddress(options.to);
  const local = await host.open({ local: transportAddress(options.from, 0), device: null });
  const [leaf] = readChain(readFileSync(options.cert, 'utf8'));
  const connectedAt = monotonicNow();
  const link = host.connect({
    tuple: { local, remote: to },
    alpn: ALPN,
    suites,
    controller,
    check: pinned(leaf === undefined ? [] : [fingerprintOf(leaf)]),
    serverName: 'test.example.com',
  });
  link.on('path', (event) => {
    say({ name: 'path', event: event.type, path: event.path });
  });
  link.on('statistics', (paths) => {
    say({ name: 'statistics', paths, ...usage() });
  });
  const { suite, multipath } = await link.ready();
  usedBefore = process.cpuUsage();
  say({ name: 'handshake', suite: suite.name, multipath });
  await link.confirmed();
  const opened: number[] = [];
  for (const address of options.path) {
    const further = await host.open({ local: transportAddress(address, 0), device: null });
    const path = link.openPath({ local: further, remote: to });
    say({ name: 'path', event: 'asked for', path });
    if (path !== null) opened.push(path);
  }
  let abandonAt = Number(options['abandon-at'] ?? Infinity);
  let updateAt = Number(options['update-keys-at'] ?? Infinity);
  const result = await requestPerf(
    link,
    { uploadBytes: Number(options.upload), downloadBytes: Number(options.download) },
    monotonicNow,
    (bytes) => {
      if (bytes >= abandonAt) {
        abandonAt = Infinity;
        say({ name: 'abandon', done: link.abandonPath(opened.at(-1) ?? 0) });
      }
      if (bytes >= updateAt && link.updateKeys()) {
        updateAt = Infinity;
        say({ name: 'key-update' });
      }
    },
  );
  // From the first packet on, handshake included, as picoquic counts it.
  const milliseconds = monotonicNow() - connectedAt;
  const megabits = ((result.downloadedBytes + result.uploadedBytes) * 8) / milliseconds / 1000;
  say({ name: 'result', ...result, milliseconds, megabits, ...usage(), paths: link.paths });
  await link.close();
  await host.close();
}

if (isServer) await serve();
else await request();
