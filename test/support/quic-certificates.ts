import 'reflect-metadata';
import { constants, createPrivateKey, KeyObject, sign, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Identity } from '../../src/quic/tls/certificates.js';
import type { SignatureScheme } from '../../src/quic/tls/codes.js';

x509.cryptoProvider.set(webcrypto);

export type KeyKind = 'p256' | 'p384' | 'rsa' | 'rsa1024' | 'rsasha1' | 'ed25519';

type Algorithm = webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams | { readonly name: string };
const rsa = (modulusLength: number, hash = 'SHA-256') => ({
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash,
});
const ALGORITHMS: Readonly<Record<KeyKind, Algorithm & { readonly hash?: string }>> = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa: rsa(2048),
  rsa1024: rsa(1024),
  rsasha1: rsa(2048, 'SHA-1'),
  ed25519: { name: 'Ed25519' },
};
const SCHEMES: Readonly<Record<KeyKind, readonly SignatureScheme[]>> = {
  p256: ['ecdsa_secp256r1_sha256'],
  p384: ['ecdsa_secp384r1_sha384'],
  rsa: ['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'],
  rsa1024: ['rsa_pss_rsae_sha256'],
  rsasha1: ['rsa_pss_rsae_sha256'],
  ed25519: ['ed25519'],
};

export interface Issued {
  readonly kind: KeyKind;
  readonly name: string;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly certificate: x509.X509Certificate;
  readonly der: Uint8Array;
  /** PEM. */
  readonly pem: string;
  readonly key: string;
}

export interface CertificateOptions {
  readonly issuer?: Issued;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly hosts?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly extensions?: readonly x509.Extension[];
}

let serial = 0;

/** A certificate of a fresh key; self-signed without an issuer. */
export async function certificate(name: string, kind: KeyKind, options: CertificateOptions = {}): Promise<Issued> {
  const algorithm = ALGORITHMS[kind];
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const { issuer, ca = false, pathLength, hosts = [], extensions = [] } = options;
  const signer = ALGORITHMS[issuer?.kind ?? kind];
  serial += 1;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: String(serial).padStart(4, '0'),
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    notBefore: new Date(options.from ?? '2024-01-01T00:00:00Z'),
    notAfter: new Date(options.to ?? '2034-01-01T00:00:00Z'),
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: signer as webcrypto.EcdsaParams,
    extensions: [
      ...(ca ? [new x509.BasicConstraintsExtension(true, pathLength, true)] : []),
      ...(hosts.length > 0
        ? [
            new x509.SubjectAlternativeNameExtension(
              hosts.map((value) => ({ type: /^[\d.]+$/.test(value) ? ('ip' as const) : ('dns' as const), value })),
            ),
          ]
        : []),
      ...extensions,
    ],
  });
  return {
    kind,
    name,
    keys,
    certificate: made,
    der: new Uint8Array(made.rawData),
    pem: made.toString('pem'),
    key: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** What a {@link Issued} proves itself with; `issuers` are sent behind it. */
export function identityOf(own: Issued, issuers: readonly Issued[] = []): Identity {
  const key = createPrivateKey(own.key);
  return {
    chain: [own, ...issuers].map(({ der }) => der),
    schemes: SCHEMES[own.kind],
    sign: (scheme, content) => {
      if (scheme === 'ed25519') return new Uint8Array(sign(null, content, key));
      const digest = `sha${scheme.slice(-3)}`;
      if (scheme.startsWith('ecdsa')) return new Uint8Array(sign(digest, content, key));
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      return new Uint8Array(sign(digest, content, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }));
    },
  };
}
