import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { concatBytes, fromHex, utf8Bytes } from '../base/bytes.js';

/** A key and its certificate; the far end knows it by the fingerprint and by nothing else. */
export interface Identity {
  /** PEM. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of the certificate in DER. */
  readonly fingerprint: Uint8Array;
}

export function fingerprintOf(der: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(der).digest());
}

/**
 * A fresh P-256 key with a self-signed certificate (RFC 5280 §4.1, version 3 without extensions). It names nobody and
 * never expires: it lives as long as the process, and a host whose clock is wrong must connect all the same.
 */
export function createIdentity(): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const tbs = sequence(
    der(0xa0, der(INTEGER, Uint8Array.of(2))),
    der(INTEGER, concatBytes(Uint8Array.of(0x40), randomBytes(15))),
    ECDSA_WITH_SHA256,
    NAME,
    sequence(time('20200101000000Z'), time('99991231235959Z')),
    NAME,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = der(BIT_STRING, concatBytes(Uint8Array.of(0), sign('sha256', tbs, privateKey)));
  const certificate = sequence(tbs, ECDSA_WITH_SHA256, signature);
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: pem(certificate),
    fingerprint: fingerprintOf(certificate),
  };
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;

/** 1.2.840.10045.4.3.2 (RFC 5758 §3.2). */
const ECDSA_WITH_SHA256 = sequence(der(OBJECT_IDENTIFIER, fromHex('2a8648ce3d040302')));
/** CN=icepath; 2.5.4.3 is the common name. */
const NAME = sequence(
  der(SET, sequence(der(OBJECT_IDENTIFIER, fromHex('550403')), der(UTF8_STRING, utf8Bytes('icepath')))),
);

/** RFC 5280 §4.1.2.5: two-digit years through 2049, four-digit ones from then on. */
function time(text: string): Uint8Array {
  return text < '2050' ? der(UTC_TIME, utf8Bytes(text.slice(2))) : der(GENERALIZED_TIME, utf8Bytes(text));
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(SEQUENCE, concatBytes(...parts));
}

/** One value in DER (X.690 §8.1); none here is longer than 65 535 bytes. */
function der(tag: number, value: Uint8Array): Uint8Array {
  const { length } = value;
  const header =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return concatBytes(Uint8Array.from(header), value);
}

function pem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
