import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createIdentity } from '../../src/net/certificate.js';
import { bindingOf, connectTls, tlsServerOptions } from '../../src/net/tls.js';

describe('the certificate', () => {
  test('is a self-signed P-256 certificate as OpenSSL reads it, known by its SHA-256', async () => {
    const { certificate, fingerprint } = await createIdentity();
    const read = new X509Certificate(certificate);
    expect(read.subject).toBe('CN=icepath');
    expect(read.verify(read.publicKey)).toBe(true);
    expect(read.checkIssued(read)).toBe(true);
    expect(read.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
    expect(read.validFrom).toBe('Jan  1 00:00:00 2020 GMT');
    expect(read.validTo).toBe('Dec 31 23:59:59 9999 GMT');
    // RFC 5280 §4.1.2.2: positive, at most 20 octets.
    expect(read.serialNumber).toMatch(/^[0-9A-F]{1,40}$/);
    expect(Buffer.from(fingerprint).toString('hex')).toBe(createHash('sha256').update(read.raw).digest('hex'));
    expect(read.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(Buffer.from(fingerprint).toString('hex'));
  });

  test('is another one each time', async () => {
    const [one, other] = [await createIdentity(), await createIdentity()];
    expect(one.fingerprint).not.toEqual(other.fingerprint);
    expect(new X509Certificate(one.certificate).serialNumber).not.toBe(
      new X509Certificate(other.certificate).serialNumber,
    );
  });
});

describe('the TLS connection', () => {
  test('is 1.3, and both ends bind to the same things', async () => {
    const [left, right] = [await createIdentity(), await createIdentity()];
    const server = createServer(tlsServerOptions(right, 5000));
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    const socket = connectTls(left, '127.0.0.1', (server.address() as AddressInfo).port);
    await once(socket, 'secureConnect');
    const [far] = await accepted;
    expect(socket.getProtocol()).toBe('TLSv1.3');
    const binding = bindingOf(socket, 'client', left);
    expect(binding).toEqual(bindingOf(far, 'server', right));
    expect(binding).toMatchObject({ clientFingerprint: left.fingerprint, serverFingerprint: right.fingerprint });
    expect(binding?.exporter).toHaveLength(32);
    socket.destroy();
    far.destroy();
  });
});
