import { constants, createHash, verify, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { equalBytes } from '../../base/bytes.js';
import type { AlertName, SignatureScheme } from './codes.js';
import { basicConstraints, type CertificateFields, extendedKeyUsage, keyUsage, readCertificate } from './der.js';

/** A chain in DER, the end's own certificate first. */
export type Chain = readonly Uint8Array[];

/** Why a certificate is not taken; `null` where it is. */
export type Refusal = { readonly alert: AlertName; readonly reason: string } | null;

/** Decides whose certificate is good. */
export type CertificateCheck = (chain: Chain, role: 'client' | 'server') => Refusal;

/** What an end proves itself with. Signing draws randomness, so it comes from outside. */
export interface Identity {
  readonly chain: Chain;
  /** Those that the key can do, in the order of preference. */
  readonly schemes: readonly SignatureScheme[];
  sign(scheme: SignatureScheme, content: Uint8Array): Uint8Array;
}

/** SHA-256 of a certificate in DER: how it is known where it is pinned. */
export function fingerprintOf(der: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(der).digest());
}

/** Takes the certificates with these SHA-256 fingerprints, whoever made them and however old, and no others. */
export function pinned(fingerprints: readonly Uint8Array[]): CertificateCheck {
  return ([leaf = new Uint8Array()]) => {
    const fingerprint = fingerprintOf(leaf);
    if (fingerprints.some((known) => equalBytes(known, fingerprint))) return null;
    return { alert: 'bad_certificate', reason: 'the certificate has another fingerprint' };
  };
}

/** Longer chains are refused before anything is computed. */
export const MAX_CHAIN = 8;

export interface ChainOptions {
  /** DER. */
  readonly roots: Chain;
  /** Host name or address that the certificate has to be for; `null` asks for none. */
  readonly host: string | null;
  /** Milliseconds since 1970: the wall clock, as an argument. */
  readonly validAt: number;
}

/**
 * Path validation (RFC 5280 §6) from the leaf to one of `roots`: signatures, dates, names, basic constraints with their
 * path lengths, key usages. What it does not understand it refuses: critical extensions that it does not know, name
 * constraints, weak signatures. Revocation is not asked for.
 */
export function trusted({ roots, host, validAt }: ChainOptions): CertificateCheck {
  const anchors = roots.map(open).filter((certificate) => certificate !== null);
  return (chain, role) => {
    if (chain.length > MAX_CHAIN) return { alert: 'bad_certificate', reason: 'the chain is too long' };
    const given = chain.map(open);
    const [leaf] = given;
    if (!leaf || given.includes(null)) return { alert: 'bad_certificate', reason: 'not a certificate' };
    const wrong = leafRefusal(leaf, host, role);
    if (wrong !== null) return wrong;
    return pathRefusal(leaf, given.slice(1) as Opened[], anchors, validAt);
  };
}

interface Opened {
  readonly x509: X509Certificate;
  readonly key: X509Certificate['publicKey'];
  readonly fields: CertificateFields;
}

function open(der: Uint8Array): Opened | null {
  const fields = readCertificate(der);
  try {
    const x509 = new X509Certificate(der);
    // Asked for here, as it throws where the certificate is one and its key is none.
    return fields && { x509, key: x509.publicKey, fields };
  } catch {
    return null;
  }
}

/** One step up at a time; an issuer is a root, or else the next that was sent. */
function pathRefusal(leaf: Opened, others: readonly Opened[], anchors: readonly Opened[], validAt: number): Refusal {
  let subject = leaf;
  const unused = [...others];
  for (let below = 0; ; below += 1) {
    const wrong = ownRefusal(subject, validAt);
    if (wrong !== null) return wrong;
    const current = subject;
    if (anchors.some((root) => equalBytes(root.x509.raw, current.x509.raw))) return null;
    const anchor = anchors.find((root) => isIssuedBy(current, root));
    if (anchor) return dateRefusal(anchor, validAt) ?? caRefusal(anchor, below);
    const next = unused.findIndex((issuer) => isIssuedBy(current, issuer));
    const [issuer] = next < 0 ? [] : unused.splice(next, 1);
    if (issuer === undefined) return { alert: 'unknown_ca', reason: 'the chain leads to no root that is trusted' };
    const notCa = caRefusal(issuer, below);
    if (notCa !== null) return notCa;
    subject = issuer;
  }
}

function isIssuedBy(subject: Opened, issuer: Opened): boolean {
  try {
    return subject.x509.checkIssued(issuer.x509) && subject.x509.verify(issuer.key);
  } catch {
    return false;
  }
}

/** ECDSA and RSA with SHA-2, RSA-PSS, Ed25519. */
const SIGNATURES = new Set([
  ...['1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'],
  ...['1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13', '1.2.840.113549.1.1.10'],
  '1.3.101.112',
]);

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const NAME_CONSTRAINTS = '2.5.29.30';
const UNDERSTOOD = new Set([BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, '2.5.29.17', '2.5.29.32']);

const DIGITAL_SIGNATURE = 0x80;
const KEY_CERT_SIGN = 0x04;
const PURPOSE = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' };
const ANY_PURPOSE = '2.5.29.37.0';

const extensionOf = ({ fields }: Opened, id: string): Uint8Array | undefined =>
  fields.extensions.find((extension) => extension.id === id)?.value;

/** What is wrong with a certificate whoever it is for. */
function ownRefusal(certificate: Opened, validAt: number): Refusal {
  const { fields, key } = certificate;
  const late = dateRefusal(certificate, validAt);
  if (late !== null) return late;
  if (!SIGNATURES.has(fields.signatureAlgorithm)) {
    return { alert: 'unsupported_certificate', reason: `signed with ${fields.signatureAlgorithm}` };
  }
  const unknown = fields.extensions.find(
    ({ id, critical }) => (critical && !UNDERSTOOD.has(id)) || id === NAME_CONSTRAINTS,
  );
  if (unknown) return { alert: 'unsupported_certificate', reason: `extension ${unknown.id} is not understood` };
  const details = key.asymmetricKeyDetails;
  if (details?.modulusLength !== undefined && details.modulusLength < 2048) {
    return { alert: 'bad_certificate', reason: 'an RSA key of less than 2048 bits' };
  }
  return null;
}

function dateRefusal({ x509 }: Opened, validAt: number): Refusal {
  const isValid = validAt >= Date.parse(x509.validFrom) && validAt <= Date.parse(x509.validTo);
  return isValid ? null : { alert: 'certificate_expired', reason: 'expired, or not valid yet' };
}

/** Whether it may issue a certificate that has `below` others between itself and the leaf. */
function caRefusal(issuer: Opened, below: number): Refusal {
  const value = extensionOf(issuer, BASIC_CONSTRAINTS);
  const constraints = value ? basicConstraints(value) : null;
  if (constraints?.ca !== true || !issuer.x509.ca)
    return { alert: 'bad_certificate', reason: 'issued by no authority' };
  if (below > constraints.pathLength) return { alert: 'bad_certificate', reason: 'the path is too long' };
  const usage = extensionOf(issuer, KEY_USAGE);
  if (usage && (keyUsage(usage) & KEY_CERT_SIGN) === 0) {
    return { alert: 'bad_certificate', reason: 'the issuer may not sign certificates' };
  }
  return null;
}

function leafRefusal(leaf: Opened, host: string | null, role: 'client' | 'server'): Refusal {
  const usage = extensionOf(leaf, KEY_USAGE);
  if (usage && (keyUsage(usage) & DIGITAL_SIGNATURE) === 0) {
    return { alert: 'bad_certificate', reason: 'the key may not sign' };
  }
  const purposes = extensionOf(leaf, EXTENDED_KEY_USAGE);
  if (purposes && !extendedKeyUsage(purposes).some((id) => id === PURPOSE[role] || id === ANY_PURPOSE)) {
    return { alert: 'bad_certificate', reason: `not the certificate of a ${role}` };
  }
  if (host === null) return null;
  // The subject's common name is no host name any more (RFC 9525 §2).
  const isFor = isIP(host) > 0 ? leaf.x509.checkIP(host) : leaf.x509.checkHost(host, { subject: 'never' });
  return isFor === undefined ? { alert: 'bad_certificate', reason: `not for ${host}` } : null;
}

/** Which key goes with which scheme (RFC 8446 §4.2.3). */
function fits(key: X509Certificate['publicKey'], scheme: SignatureScheme): boolean {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  switch (scheme) {
    case 'ed25519':
      return key.asymmetricKeyType === 'ed25519';
    case 'ecdsa_secp256r1_sha256':
      return key.asymmetricKeyType === 'ec' && curve === 'prime256v1';
    case 'ecdsa_secp384r1_sha384':
      return key.asymmetricKeyType === 'ec' && curve === 'secp384r1';
    case 'rsa_pss_rsae_sha256':
    case 'rsa_pss_rsae_sha384':
    case 'rsa_pss_rsae_sha512':
      return key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
  }
}

/** A signature in a CertificateVerify; the refusal where it is not good, or not of this key. */
export function signatureRefusal(
  leaf: Uint8Array,
  scheme: SignatureScheme,
  content: Uint8Array,
  signature: Uint8Array,
): Refusal {
  try {
    const key = new X509Certificate(leaf).publicKey;
    if (!fits(key, scheme)) return { alert: 'illegal_parameter', reason: `the key cannot do ${scheme}` };
    if (isSignature(key, scheme, content, signature)) return null;
  } catch {
    return { alert: 'bad_certificate', reason: 'not a certificate' };
  }
  return { alert: 'decrypt_error', reason: 'the signature is wrong' };
}

function isSignature(
  key: X509Certificate['publicKey'],
  scheme: SignatureScheme,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (scheme === 'ed25519') return verify(null, content, key, signature);
  const digest = `sha${scheme.slice(-3)}`;
  if (scheme.startsWith('ecdsa')) return verify(digest, content, { key, dsaEncoding: 'der' }, signature);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
  return verify(digest, content, { key, padding, saltLength }, signature);
}
