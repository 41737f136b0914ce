import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { transportAddress } from '../../../src/base/address.js';
import { toHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { createIdentity } from '../../../src/net/certificate.js';
import { backEnd } from '../../../src/net/quic/back-end.js';
import { QuicHost, type QuicHostOptions } from '../../../src/net/quic/host.js';
import { identityFromPem } from '../../../src/net/quic/identity.js';
import { Connection } from '../../../src/quic/connection/connection.js';
import { type CipherSuite, SUITES } from '../../../src/quic/crypto/suites.js';
import { pinned } from '../../../src/quic/tls/certificates.js';
import { DatagramTap } from '../../support/datagram-tap.js';
import { describeWith } from '../../support/skip.js';
import { tsharkDecrypted } from '../../support/tshark.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-keylog-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** A client that sends `data` on one stream to a server, and both ends' datagrams as a capture. */
async function transfer(data: Uint8Array, suites: readonly CipherSuite[], options: Partial<QuicHostOptions> = {}) {
  const identity = await createIdentity();
  const tap = new DatagramTap();
  const open = async (more: Partial<QuicHostOptions>) => {
    const host = new QuicHost({ connections: Connection, backEnd: tap.on(backEnd()), ...options, ...more });
    return { host, local: await host.open({ local: transportAddress('127.0.0.1', 0), device: null }) };
  };
  // tshark 4.0 knows an earlier draft of multipath, whose nonces and frames are others.
  const parameters = { initialMaxPathId: null };
  const accept = () => ({
    alpn: ['test'],
    identity: identityFromPem(identity.certificate, identity.key),
    check: null,
    parameters,
  });
  const server = await open({ server: { accept } });
  const client = await open({});
  try {
    const came = new Promise<void>((resolve) => {
      server.host.on('connection', (link) => {
        link.on('stream', (stream) => {
          stream.resume();
          stream.on('error', () => undefined);
          stream.on('end', () => {
            stream.end();
            resolve();
          });
        });
      });
    });
    const tuple = { local: client.local, remote: server.local };
    const check = pinned([identity.fingerprint]);
    const link = client.host.connect({ tuple, alpn: ['test'], check, suites, parameters });
    const stream = await link.openStream();
    const over = new Promise((resolve) => stream.once('close', resolve));
    stream.resume();
    stream.end(data);
    await came;
    await over;
    await link.close(7, 'bye');
  } finally {
    await client.host.close();
    await server.host.close();
  }
  return { capture: tap.capture(), clientPort: client.local.port };
}

describeWith(['tshark'], 'what SSLKEYLOGFILE names', () => {
  test.each(SUITES)('lets tshark read a whole transfer: $name', async (suite) => {
    const keylog = join(folder, 'keys.txt');
    vi.stubEnv('SSLKEYLOGFILE', keylog);
    const data = new SeededRandom('keylog').bytes(200_000);
    const { capture, clientPort } = await transfer(data, [suite]);
    const file = join(folder, 'capture.pcapng');
    writeFileSync(file, capture);
    const filter = `udp.srcport == ${String(clientPort)}`;
    const fields = ['quic.stream.stream_id', 'quic.stream.offset', 'quic.stream.length', 'quic.stream_data'];
    const rows = tsharkDecrypted({ file, keylog }, filter, ...fields);
    // Put together by offset, whatever was sent twice.
    const read = new Uint8Array(data.length);
    const seen = new Uint8Array(data.length);
    for (const [streams = '', offsets = '', , parts = ''] of rows) {
      if (streams === '') continue;
      expect(new Set(streams.split(','))).toEqual(new Set(['0']));
      // The first frame of a stream has no offset.
      const at = offsets === '' ? 0 : Number(offsets.split(',').at(-1));
      const bytes = Buffer.from(parts.replaceAll(',', ''), 'hex');
      read.set(bytes, at);
      seen.fill(1, at, at + bytes.length);
    }
    expect(seen.every((each) => each === 1)).toBe(true);
    expect(toHex(read)).toBe(toHex(data));
    const close = ['quic.cc.error_code.app', 'quic.cc.reason_phrase'];
    const closes = tsharkDecrypted({ file, keylog }, `${filter} && quic.frame_type == 0x1d`, ...close);
    expect(closes).toEqual([['7', 'bye']]);
  });
});

test('a key log that cannot be written is told of, and the transfer goes on', async () => {
  vi.stubEnv('SSLKEYLOGFILE', join(folder, 'no such folder', 'keys.txt'));
  const told: string[] = [];
  await transfer(new Uint8Array(10), SUITES, { log: (_, name) => told.push(name) });
  expect(told).toContain('quic.keylog-failed');
});

test('without it nothing is written', async () => {
  vi.stubEnv('SSLKEYLOGFILE', '');
  const told: string[] = [];
  await transfer(new Uint8Array(10), SUITES, { log: (_, name) => told.push(name) });
  expect(told.filter((name) => name.includes('keylog'))).toEqual([]);
});
