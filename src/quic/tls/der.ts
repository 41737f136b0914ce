import { Reader } from '../wire/reader.js';

/**
 * As much DER as is needed to ask a certificate what `X509Certificate` does not tell: with which algorithm it was signed
 * and which extensions it has (RFC 5280 §4.1).
 */
export interface CertificateFields {
  /** Dotted. */
  readonly signatureAlgorithm: string;
  readonly extensions: readonly CertificateExtension[];
}

export interface CertificateExtension {
  /** Dotted. */
  readonly id: string;
  readonly critical: boolean;
  /** DER. */
  readonly value: Uint8Array;
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const SEQUENCE = 0x30;
const EXTENSIONS = 0xa3;

interface Element {
  readonly tag: number;
  readonly content: Reader;
}

/** One element; `null` where there is none that is whole. Indefinite lengths are no DER. */
function element(reader: Reader): Element | null {
  const tag = reader.uint8();
  const first = reader.uint8();
  let length = first;
  if (first >= 0x80) {
    const bytes = first & 0x7f;
    if (bytes < 1 || bytes > 3) return null;
    length = 0;
    for (let index = 0; index < bytes; index += 1) length = length * 256 + reader.uint8();
  }
  const content = reader.within(length);
  return reader.failed() ? null : { tag, content };
}

function expect(reader: Reader | undefined, tag: number): Reader | undefined {
  if (reader === undefined || reader.left === 0) return undefined;
  const found = element(reader);
  return found?.tag === tag ? found.content : undefined;
}

/** `null` for what is no certificate. */
export function readCertificate(der: Uint8Array): CertificateFields | null {
  const certificate = expect(new Reader(der), SEQUENCE);
  const body = expect(certificate, SEQUENCE);
  const algorithm = expect(expect(certificate, SEQUENCE), OBJECT_ID);
  if (body === undefined || algorithm === undefined) return null;
  const extensions: CertificateExtension[] = [];
  while (body.left > 0) {
    const part = element(body);
    if (part === null) return null;
    if (part.tag !== EXTENSIONS) continue;
    const list = expect(part.content, SEQUENCE);
    if (list === undefined) return null;
    while (list.left > 0) {
      const extension = readExtension(expect(list, SEQUENCE));
      if (extension === null) return null;
      extensions.push(extension);
    }
  }
  return { signatureAlgorithm: objectId(algorithm), extensions };
}

function readExtension(reader: Reader | undefined): CertificateExtension | null {
  const id = expect(reader, OBJECT_ID);
  if (reader === undefined || id === undefined) return null;
  let next = element(reader);
  let critical = false;
  if (next?.tag === BOOLEAN) {
    critical = next.content.uint8() !== 0;
    next = element(reader);
  }
  if (next?.tag !== OCTET_STRING) return null;
  return { id: objectId(id), critical, value: next.content.take(next.content.left) };
}

function objectId(reader: Reader): string {
  const first = reader.uint8();
  const parts = [Math.min(2, Math.floor(first / 40)), first < 80 ? first % 40 : first - 80];
  while (reader.left > 0) {
    let part = 0;
    let byte: number;
    do {
      byte = reader.uint8();
      part = part * 128 + (byte & 0x7f);
    } while (byte >= 0x80 && reader.left > 0);
    parts.push(part);
  }
  return parts.join('.');
}

/** RFC 5280 §4.2.1.9. `null` for what is none. */
export function basicConstraints(value: Uint8Array): { readonly ca: boolean; readonly pathLength: number } | null {
  const sequence = expect(new Reader(value), SEQUENCE);
  if (sequence === undefined) return null;
  let ca = false;
  let pathLength = Infinity;
  while (sequence.left > 0) {
    const part = element(sequence);
    if (part?.tag === BOOLEAN) ca = part.content.uint8() !== 0;
    else if (part?.tag === INTEGER && part.content.left <= 2) {
      pathLength = 0;
      while (part.content.left > 0) pathLength = pathLength * 256 + part.content.uint8();
    } else return null;
  }
  return { ca, pathLength };
}

/** The first eight bits of RFC 5280 §4.2.1.3, digitalSignature as the highest. */
export function keyUsage(value: Uint8Array): number {
  const bits = expect(new Reader(value), BIT_STRING);
  bits?.uint8();
  return bits?.uint8() ?? 0;
}

/** The dotted ids of RFC 5280 §4.2.1.12. */
export function extendedKeyUsage(value: Uint8Array): string[] {
  const list = expect(new Reader(value), SEQUENCE);
  const ids: string[] = [];
  while (list !== undefined && list.left > 0) {
    const id = expect(list, OBJECT_ID);
    if (id === undefined) return [];
    ids.push(objectId(id));
  }
  return ids;
}
