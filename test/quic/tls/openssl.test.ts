import { duplexPair } from 'node:stream';
import * as tls from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { toHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305 } from '../../../src/quic/crypto/suites.js';
import { pinned, trusted } from '../../../src/quic/tls/certificates.js';
import { type ClientOptions, TlsClient } from '../../../src/quic/tls/client.js';
import { exportKey } from '../../../src/quic/tls/key-schedule.js';
import { type ServerOptions, TlsServer } from '../../../src/quic/tls/server.js';
import { certificate, identityOf, type Issued, type KeyKind } from '../../support/quic-certificates.js';
import { TlsRecords } from '../../support/tls-records.js';

/** Node's TLS, which is OpenSSL, as the far end: it knows nothing of this program. */

const HOST = 'desktop.example';
const KINDS: KeyKind[] = ['p256', 'p384', 'rsa', 'ed25519'];
const roots = {} as Record<KeyKind, Issued>;
const leaves = {} as Record<KeyKind, Issued>;

beforeAll(async () => {
  for (const kind of KINDS) {
    roots[kind] = await certificate(`root ${kind}`, kind, { ca: true });
    leaves[kind] = await certificate(HOST, kind, { issuer: roots[kind], hosts: [HOST] });
  }
});

const validAt = Date.parse('2026-06-01T00:00:00Z');
const trust = (kind: KeyKind) => trusted({ roots: [roots[kind].der], host: HOST, validAt });

function client(kind: KeyKind, options: Partial<ClientOptions> = {}): TlsClient {
  return new TlsClient({
    random: new SeededRandom(`client ${kind}`),
    alpn: ['icepath'],
    transportParameters: null,
    check: trust(kind),
    identity: null,
    serverName: HOST,
    ...options,
  });
}

function server(kind: KeyKind, options: Partial<ServerOptions> = {}): TlsServer {
  return new TlsServer({
    random: new SeededRandom(`server ${kind}`),
    alpn: ['icepath'],
    transportParameters: null,
    identity: identityOf(leaves[kind], [roots[kind]]),
    check: null,
    ...options,
  });
}

interface Met {
  readonly ours: TlsRecords;
  readonly theirs: tls.TLSSocket;
  readonly keylog: string[];
  readonly error: Error | null;
}

/** Runs the handshake, then a word each way under the application's keys. */
async function meet(
  machine: TlsClient | TlsServer,
  options: tls.ConnectionOptions & tls.TLSSocketOptions,
): Promise<Met> {
  const [near, far] = duplexPair();
  const keylog: string[] = [];
  const common = { minVersion: 'TLSv1.3', ALPNProtocols: ['icepath'], ...options } as const;
  const theirs =
    machine.role === 'client'
      ? new tls.TLSSocket(far, { ...common, isServer: true })
      : tls.connect({ socket: far, servername: HOST, ...common });
  theirs.on('keylog', (line: Buffer) => keylog.push(line.toString().trim()));
  let error: Error | null = null;
  const secure = new Promise<void>((resolve) => {
    theirs.on(machine.role === 'client' ? 'secure' : 'secureConnect', () => {
      resolve();
    });
    theirs.on('error', (failure: Error) => {
      error = failure;
      resolve();
    });
    // Where we failed and hung up, OpenSSL does not learn why.
    theirs.on('close', () => {
      resolve();
    });
  });
  const ours = new TlsRecords(machine, near);
  void ours.done.then(() => {
    if (ours.error !== null) theirs.destroy();
  });
  await Promise.all([ours.done, secure]);
  return { ours, theirs, keylog, error };
}

async function expectWords({ ours, theirs }: Met): Promise<void> {
  const heard = new Promise<string>((resolve) => {
    theirs.once('data', (data: Buffer) => {
      resolve(data.toString());
    });
  });
  ours.say('from us');
  expect(await heard).toBe('from us');
  theirs.write('from OpenSSL');
  await expect.poll(() => ours.received).toBe('from OpenSSL');
  theirs.destroy();
}

const serving = (kind: KeyKind) => ({ key: leaves[kind].key, cert: leaves[kind].pem });

describe('our client, OpenSSL as server', () => {
  test.each(KINDS)('certificates with %s', async (kind) => {
    const met = await meet(client(kind), serving(kind));
    expect(met.ours.error).toBeNull();
    expect(met.ours.result).toMatchObject({ alpn: 'icepath', group: 'x25519' });
    await expectWords(met);
  });

  test.each([AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305])('$name', async (suite) => {
    const met = await meet(client('p256', { suites: [suite] }), serving('p256'));
    expect(met.ours.result?.suite).toBe(suite);
    expect(met.theirs.getCipher().standardName).toBe(suite.name);
    // The lines with which Wireshark decrypts, and a key that both export.
    const secrets = met.keylog.filter((line) => !line.startsWith('EXPORTER'));
    expect(met.ours.keylog).toEqual(expect.arrayContaining(secrets));
    expect(secrets).toHaveLength(4);
    const exported = met.theirs.exportKeyingMaterial(32, 'EXPORTER-icepath', Buffer.from('context'));
    const own = exportKey(
      suite.hash,
      met.ours.result?.exporterSecret ?? new Uint8Array(),
      'EXPORTER-icepath',
      new TextEncoder().encode('context'),
      32,
    );
    expect(toHex(own)).toBe(exported.toString('hex'));
    await expectWords(met);
  });

  test('HelloRetryRequest: the server takes P-256 alone', async () => {
    const met = await meet(client('p256'), { ...serving('p256'), ecdhCurve: 'P-256' });
    expect(met.ours.result?.group).toBe('secp256r1');
    await expectWords(met);
  });

  test('HelloRetryRequest with SHA-384', async () => {
    const met = await meet(client('p256', { suites: [AES_256_GCM] }), { ...serving('p256'), ecdhCurve: 'P-256' });
    expect(met.ours.error).toBeNull();
    await expectWords(met);
  });

  test('the server asks for a certificate: ours is taken', async () => {
    const identity = identityOf(leaves.ed25519);
    const options = { ...serving('p256'), requestCert: true, rejectUnauthorized: false };
    const met = await meet(client('p256', { identity }), options);
    expect(met.ours.error).toBeNull();
    expect(met.theirs.getPeerX509Certificate()?.raw.toString('hex')).toBe(toHex(leaves.ed25519.der));
    await expectWords(met);
  });

  test('the server asks for a certificate: we have none, and say so', async () => {
    const met = await meet(client('p256'), { ...serving('p256'), requestCert: true, rejectUnauthorized: false });
    expect(met.ours.error).toBeNull();
    await expectWords(met);
  });

  test.each<[string, Partial<ClientOptions> | (() => Partial<ClientOptions>), number]>([
    ['another fingerprint', { check: pinned([new Uint8Array(32)]) }, 42],
    ['another root', () => ({ check: trust('rsa') }), 48],
    ['another host', () => ({ check: trusted({ roots: [roots.p256.der], host: 'laptop.example', validAt }) }), 42],
    [
      'another time',
      () => ({ check: trusted({ roots: [roots.p256.der], host: HOST, validAt: Date.parse('2040-01-01') }) }),
      45,
    ],
  ])('fails closed: %s', async (_, given, alert) => {
    const met = await meet(client('p256', typeof given === 'function' ? given() : given), {
      ...serving('p256'),
    });
    expect(met.ours.error?.code).toBe(0x100 + alert);
    expect(met.ours.result).toBeNull();
  });

  test('fails closed: a server that speaks TLS 1.2 only, one without our protocol', async () => {
    const old = await meet(client('p256'), { ...serving('p256'), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    expect(old.ours.result).toBeNull();
    expect(old.ours.alerts).toContain(70);
    const other = await meet(client('p256'), { ...serving('p256'), ALPNProtocols: [] });
    expect(other.ours.error?.code).toBe(0x100 + 120);
  });
});

describe('our server, OpenSSL as client', () => {
  const trusting = (kind: KeyKind) => ({ ca: [roots[kind].pem] });

  test.each(KINDS)('certificates with %s', async (kind) => {
    const met = await meet(server(kind), trusting(kind));
    expect(met.error).toBeNull();
    expect(met.theirs.authorized).toBe(true);
    expect(met.theirs.alpnProtocol).toBe('icepath');
    await expectWords(met);
  });

  test.each([AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305])('$name', async (suite) => {
    const met = await meet(server('p256'), { ...trusting('p256'), ciphers: suite.name });
    expect(met.ours.result?.suite).toBe(suite);
    expect(met.ours.keylog).toEqual(expect.arrayContaining(met.keylog.filter((line) => !line.startsWith('EXPORTER'))));
    await expectWords(met);
  });

  test('HelloRetryRequest: the client guesses X25519, we take P-256 alone', async () => {
    const met = await meet(server('p256', { groups: ['secp256r1'] }), {
      ...trusting('p256'),
      ecdhCurve: 'X25519:P-256',
    });
    expect(met.error).toBeNull();
    expect(met.ours.result?.group).toBe('secp256r1');
    await expectWords(met);
  });

  test('the client has to show a certificate: it does, it has another, it has none', async () => {
    const check = pinned([new Uint8Array(await crypto.subtle.digest('SHA-256', Buffer.from(leaves.rsa.der)))]);
    const good = await meet(server('p256', { check }), { ...trusting('p256'), ...serving('rsa') });
    expect(good.ours.error).toBeNull();
    expect(good.ours.result?.peerChain[0]).toEqual(leaves.rsa.der);
    await expectWords(good);
    const other = await meet(server('p256', { check }), { ...trusting('p256'), ...serving('p256') });
    expect(other.ours.error?.code).toBe(0x100 + 42);
    const none = await meet(server('p256', { check }), trusting('p256'));
    expect(none.ours.error?.code).toBe(0x100 + 116);
  });

  test('fails closed: a client of TLS 1.2, one without our protocol, one with no group of ours', async () => {
    const old = await meet(server('p256'), { ...trusting('p256'), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    expect(old.ours.error?.code).toBe(0x100 + 70);
    const other = await meet(server('p256'), { ...trusting('p256'), ALPNProtocols: ['h3'] });
    expect(other.ours.error?.code).toBe(0x100 + 120);
    const group = await meet(server('p256'), { ...trusting('p256'), ecdhCurve: 'P-521' });
    expect(group.ours.error?.code).toBe(0x100 + 40);
  });
});
