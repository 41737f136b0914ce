import 'reflect-metadata';
import fc from 'fast-check';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Chain, MAX_CHAIN, signatureRefusal, trusted } from '../../../src/quic/tls/certificates.js';
import { readCertificate } from '../../../src/quic/tls/der.js';
import { certificate, identityOf, type Issued } from '../../support/quic-certificates.js';

const HOST = 'desktop.example';
const NOW = Date.parse('2026-06-01T00:00:00Z');
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

let root: Issued;
let middle: Issued;
let leaf: Issued;

beforeAll(async () => {
  root = await certificate('root', 'p256', { ca: true });
  middle = await certificate('middle', 'rsa', { issuer: root, ca: true, pathLength: 0 });
  leaf = await certificate('leaf', 'ed25519', { issuer: middle, hosts: [HOST, '192.0.2.1'] });
});

const judge = (chain: readonly Issued[], options: { host?: string | null; at?: number; roots?: Chain } = {}) =>
  trusted({
    roots: options.roots ?? [root.der],
    host: options.host === undefined ? HOST : options.host,
    validAt: options.at ?? NOW,
  })(
    chain.map(({ der }) => der),
    'server',
  );

test('a chain to the root is taken, for each of its names, in any order, with and without the root', () => {
  expect(judge([leaf, middle])).toBeNull();
  expect(judge([leaf, middle, root])).toBeNull();
  expect(judge([leaf, root, middle])).toBeNull();
  expect(judge([leaf, middle], { host: '192.0.2.1' })).toBeNull();
  expect(judge([leaf, middle], { host: null })).toBeNull();
});

test('a certificate that is itself trusted is taken', async () => {
  const self = await certificate('self', 'p256', { hosts: [HOST] });
  expect(judge([self], { roots: [self.der] })).toBeNull();
  expect(judge([self])).toMatchObject({ alert: 'unknown_ca' });
});

describe('refused', () => {
  test.each<[string, () => ReturnType<typeof judge>, string]>([
    ['nothing', () => judge([]), 'bad_certificate'],
    ['without what lies between', () => judge([leaf]), 'unknown_ca'],
    ['without roots', () => judge([leaf, middle, root], { roots: [] }), 'unknown_ca'],
    ['another name', () => judge([leaf, middle], { host: 'laptop.example' }), 'bad_certificate'],
    ['another address', () => judge([leaf, middle], { host: '192.0.2.2' }), 'bad_certificate'],
    ['the common name, which is no host name', () => judge([leaf, middle], { host: 'leaf' }), 'bad_certificate'],
    ['too early', () => judge([leaf, middle], { at: Date.parse('2023-12-31') }), 'certificate_expired'],
    ['too late', () => judge([leaf, middle], { at: Date.parse('2034-01-02') }), 'certificate_expired'],
    ['a long chain', () => judge([leaf, ...Array<Issued>(MAX_CHAIN).fill(middle)]), 'bad_certificate'],
  ])('%s', (_, of, alert) => {
    expect(of()).toMatchObject({ alert });
  });

  test('an issuer that is no authority', async () => {
    const plain = await certificate('plain', 'p256', { issuer: root, hosts: [HOST] });
    const child = await certificate('child', 'p256', { issuer: plain, hosts: [HOST] });
    expect(judge([plain])).toBeNull();
    expect(judge([child, plain])).toMatchObject({ alert: 'bad_certificate' });
  });

  test('a path that is longer than an authority allows', async () => {
    const below = await certificate('below', 'p256', { issuer: middle, ca: true });
    const child = await certificate('child', 'p256', { issuer: below, hosts: [HOST] });
    expect(judge([child, below, middle])).toMatchObject({ alert: 'bad_certificate', reason: 'the path is too long' });
  });

  test('an authority whose key may not sign certificates, a leaf whose key may not sign', async () => {
    const usage = (flags: x509.KeyUsageFlags) => [new x509.KeyUsagesExtension(flags, true)];
    const weak = await certificate('weak', 'p256', {
      issuer: root,
      ca: true,
      extensions: usage(x509.KeyUsageFlags.cRLSign),
    });
    const child = await certificate('child', 'p256', { issuer: weak, hosts: [HOST] });
    expect(judge([child, weak])).toMatchObject({ alert: expect.any(String) as string });
    const good = { issuer: root, hosts: [HOST], extensions: usage(x509.KeyUsageFlags.digitalSignature) };
    expect(judge([await certificate('good', 'p256', good)])).toBeNull();
    const bad = { ...good, extensions: usage(x509.KeyUsageFlags.keyAgreement) };
    expect(judge([await certificate('bad', 'p256', bad)])).toMatchObject({ reason: 'the key may not sign' });
  });

  test('a certificate for clients alone', async () => {
    const purpose = (...ids: string[]) => ({
      issuer: root,
      hosts: [HOST],
      extensions: [new x509.ExtendedKeyUsageExtension(ids)],
    });
    expect(judge([await certificate('one', 'p256', purpose(CLIENT_AUTH))])).toMatchObject({ alert: 'bad_certificate' });
    expect(judge([await certificate('two', 'p256', purpose(CLIENT_AUTH, SERVER_AUTH))])).toBeNull();
  });

  test('what is not understood: a critical extension, name constraints', async () => {
    const unknown = (critical: boolean) => ({
      issuer: root,
      hosts: [HOST],
      extensions: [new x509.Extension('1.2.3.4', critical, Uint8Array.of(5, 0))],
    });
    expect(judge([await certificate('one', 'p256', unknown(false))])).toBeNull();
    expect(judge([await certificate('two', 'p256', unknown(true))])).toMatchObject({
      alert: 'unsupported_certificate',
    });
    const names = [new x509.Extension('2.5.29.30', true, Uint8Array.of(0x30, 0))];
    const narrow = await certificate('narrow', 'p256', { issuer: root, ca: true, extensions: names });
    const child = await certificate('child', 'p256', { issuer: narrow, hosts: [HOST] });
    expect(judge([child, narrow])).toMatchObject({ alert: 'unsupported_certificate' });
  });

  test('SHA-1, and RSA with 1024 bits', async () => {
    const old = await certificate('old', 'rsasha1', { ca: true });
    const sha1 = await certificate('sha1', 'p256', { issuer: old, hosts: [HOST] });
    expect(judge([sha1], { roots: [old.der] })).toMatchObject({ alert: 'unsupported_certificate' });
    const short = await certificate('short', 'rsa1024', { issuer: root, hosts: [HOST] });
    expect(judge([short])).toMatchObject({ alert: 'bad_certificate' });
  });

  test('a signature of somebody with the same name', async () => {
    const impostor = await certificate('middle', 'p256', { ca: true });
    const child = await certificate('child', 'p256', { issuer: impostor, hosts: [HOST] });
    expect(judge([child, middle])).toMatchObject({ alert: 'unknown_ca' });
  });

  test('a certificate with any bit turned', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 7 }), (at, bit) => {
        const der = leaf.der.slice();
        der[at % der.length] = (der[at % der.length] ?? 0) ^ (1 << bit);
        expect(judge([{ ...leaf, der }, middle])).not.toBeNull();
      }),
      { numRuns: 100 },
    );
  });
});

test('the DER reader takes anything', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), fc.nat({ max: 255 }), (noise, at, byte) => {
      readCertificate(noise);
      const der = leaf.der.slice(0, at % leaf.der.length);
      der[at % 50] = byte;
      readCertificate(der);
    }),
    { numRuns: 500 },
  );
});

describe('signatures (RFC 8446 §4.2.3)', () => {
  const content = new TextEncoder().encode('content');

  test('only with the scheme of the key', () => {
    const identity = identityOf(leaf);
    const signature = identity.sign('ed25519', content);
    expect(signatureRefusal(leaf.der, 'ed25519', content, signature)).toBeNull();
    expect(signatureRefusal(leaf.der, 'ecdsa_secp256r1_sha256', content, signature)).toMatchObject({
      alert: 'illegal_parameter',
    });
    expect(signatureRefusal(root.der, 'ecdsa_secp256r1_sha256', content, signature)).toMatchObject({
      alert: 'decrypt_error',
    });
    expect(signatureRefusal(Uint8Array.of(1), 'ed25519', content, signature)).toMatchObject({
      alert: 'bad_certificate',
    });
  });
});
