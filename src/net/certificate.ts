import { KeyObject, webcrypto } from 'node:crypto';
import { fingerprintOf } from '../quic/tls/certificates.js';

/** A key and its certificate; the far end knows it by the fingerprint and by nothing else. */
export interface Identity {
  /** PEM. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of the certificate in DER. */
  readonly fingerprint: Uint8Array;
}

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/**
 * A fresh P-256 key with a self-signed certificate. It names nobody and never expires (RFC 5280 §4.1.2.5): it lives as
 * long as the process, and a host whose clock is wrong must connect all the same.
 */
export async function createIdentity(): Promise<Identity> {
  // Loaded here, as it costs a tenth of a second that `icepath --help` need not wait for.
  // The package's dependency injection throws unless this one is there first.
  await import('reflect-metadata');
  const { X509CertificateGenerator } = await import('@peculiar/x509');
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=icepath',
      keys,
      signingAlgorithm: ECDSA,
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('9999-12-31T23:59:59Z'),
    },
    webcrypto,
  );
  return {
    key: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: certificate.toString('pem'),
    fingerprint: fingerprintOf(new Uint8Array(certificate.rawData)),
  };
}
