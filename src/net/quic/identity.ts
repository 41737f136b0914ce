import { constants, createPrivateKey, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { IcepathError } from '../../base/errors.js';
import type { Chain, Identity } from '../../quic/tls/certificates.js';
import type { SignatureScheme } from '../../quic/tls/codes.js';

/** All certificates of a PEM file, in its order, in DER. Throws `quic-certificate` where there is none. */
export function readChain(pem: string): Chain {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length === 0) throw new Error('there is no certificate in it');
    return blocks.map((block) => new Uint8Array(new X509Certificate(block).raw));
  } catch (error) {
    throw unusable('certificate', error);
  }
}

/** What a TLS end proves itself with, from PEM: its own certificate first. Throws `quic-certificate`. */
export function identityFromPem(certificates: string, privateKey: string): Identity {
  const chain = readChain(certificates);
  try {
    const key = createPrivateKey(privateKey);
    return { chain, schemes: schemesOf(key), sign: (scheme, content) => signWith(key, scheme, content) };
  } catch (error) {
    throw unusable('key', error);
  }
}

function unusable(what: string, error: unknown): IcepathError {
  return new IcepathError(
    'quic-certificate',
    `the ${what} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    'Give a certificate and its key in PEM: P-256, P-384, Ed25519 or RSA.',
    { cause: error },
  );
}

function schemesOf(key: KeyObject): readonly SignatureScheme[] {
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return ['ed25519'];
    case 'ec':
      if (namedCurve === 'prime256v1') return ['ecdsa_secp256r1_sha256'];
      if (namedCurve === 'secp384r1') return ['ecdsa_secp384r1_sha384'];
      break;
    case 'rsa':
      return ['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'];
    default:
  }
  throw new Error(`TLS 1.3 here signs with no ${namedCurve ?? key.asymmetricKeyType ?? 'such'} key`);
}

function signWith(key: KeyObject, scheme: SignatureScheme, content: Uint8Array): Uint8Array {
  if (scheme === 'ed25519') return new Uint8Array(sign(null, content, key));
  const digest = `sha${scheme.slice(-3)}`;
  if (scheme.startsWith('ecdsa')) return new Uint8Array(sign(digest, content, key));
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return new Uint8Array(sign(digest, content, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }));
}
