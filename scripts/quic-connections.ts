import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseTransportAddress, transportAddress } from '../src/base/address.js';
import { monotonicNow } from '../src/net/clock.js';
import { backEnd } from '../src/net/quic/back-end.js';
import { QuicHost } from '../src/net/quic/host.js';
import { readChain } from '../src/net/quic/identity.js';
import type { QuicLink } from '../src/net/quic/link.js';
import { PERF_ALPN, requestPerf } from '../src/net/quic/perf.js';
import { Connection } from '../src/quic/connection/connection.js';
import { fingerprintOf, pinned } from '../src/quic/tls/certificates.js';

// quic-connections: many clients of one `quic-perf server` in one process, over one socket. All connect, each fetches
// something, all are held open in silence, and each fetches again. Prints one JSON object a line, the result last.

const { values: options } = parseArgs({
  options: {
    to: { type: 'string', default: '127.0.0.1:4433' },
    'back-end': { type: 'string', default: 'fast' },
    cert: { type: 'string', default: 'cert.pem' },
    connections: { type: 'string', default: '1000' },
    hold: { type: 'string', default: '20' },
    bytes: { type: 'string', default: '20000' },
  },
});
const BYTES = Number(options.bytes);
/** So many connections begin at once: a server takes 256 new ones a second. */
const STEP = 20;
const STEP_MS = 100;

const say = (fields: Readonly<Record<string, unknown>>): void => {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
};
const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

const host = new QuicHost({
  connections: Connection,
  backEnd: backEnd(options['back-end'] === 'plain' ? 'plain' : 'fast'),
});
const remote = parseTransportAddress(options.to);
const local = await host.open({ local: transportAddress('127.0.0.1', 0), device: null });
const [leaf] = readChain(readFileSync(options.cert, 'utf8'));
const check = pinned(leaf === undefined ? [] : [fingerprintOf(leaf)]);

/** Whether all that was asked for came. */
async function fetches(link: QuicLink): Promise<boolean> {
  try {
    await requestPerf(link, { uploadBytes: 8, downloadBytes: BYTES }, monotonicNow);
    return true;
  } catch (error) {
    say({ name: 'failed', message: String(error) });
    return false;
  }
}

const count = (results: readonly boolean[]): number => results.filter(Boolean).length;

const startedAt = monotonicNow();
const links: QuicLink[] = [];
const first: Promise<boolean>[] = [];
for (let index = 0; index < Number(options.connections); index += 1) {
  const link = host.connect({ tuple: { local, remote }, alpn: [PERF_ALPN], check, serverName: 'test.example.com' });
  links.push(link);
  first.push(fetches(link));
  if (index % STEP === STEP - 1) await pause(STEP_MS);
}
const connected = count(await Promise.all(first));
const connectMs = monotonicNow() - startedAt;
const used = process.cpuUsage();
await pause(Number(options.hold) * 1000);
const { user, system } = process.cpuUsage(used);
const held = links.filter((link) => link.closed === null).length;
const again = count(await Promise.all(links.map(fetches)));
const { rss } = process.memoryUsage();
say({
  name: 'result',
  connected,
  connectMs,
  held,
  again,
  idleCpuMs: Math.round((user + system) / 1000),
  rssBytes: rss,
});
await host.close();
