import { addressBytes, formatAddressBytes } from './address.js';

/** RFC 6052 §2.1: what a NAT64 has where its network gives it no prefix of its own. */
export const WELL_KNOWN_PREFIX = '64:ff9b::/96';

/** RFC 6052 §2.2: the lengths that there are; the byte after the 64th bit stays zero. */
const LENGTHS = [32, 40, 48, 56, 64, 96] as const;
const RESERVED_BYTE = 8;
const LAST_LONG = 64;

interface Prefix {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** The places of the four IPv4 bytes behind a prefix. */
function places(length: number): number[] {
  const first = length / 8;
  return Array.from({ length: 4 }, (_, index) => first + index).map((place, index) =>
    length <= LAST_LONG && first + index >= RESERVED_BYTE ? place + 1 : place,
  );
}

function parse(prefix: string): Prefix | null {
  const [address = '', digits = '', ...rest] = prefix.split('/');
  const length = LENGTHS.find((one) => String(one) === digits);
  if (length === undefined || rest.length > 0) return null;
  try {
    const bytes = addressBytes(address);
    return bytes.length === 16 && bytes.subarray(length / 8).every((byte) => byte === 0) ? { bytes, length } : null;
  } catch {
    return null;
  }
}

/** Canonical text, `64:ff9b::/96`; `null`: not a prefix that RFC 6052 knows. */
export function nat64Prefix(text: string): string | null {
  const prefix = parse(text);
  return prefix && `${formatAddressBytes(prefix.bytes)}/${prefix.length}`;
}

/** `192.0.2.33` behind `64:ff9b::/96` is `64:ff9b::c000:221` (RFC 6052 §2.2). Throws `RangeError` on anything else. */
export function embedIPv4(prefix: string, address: string): string {
  const found = parse(prefix);
  const own = addressBytes(address);
  if (!found || own.length !== 4) throw new RangeError(`not a NAT64 prefix and an IPv4 address: ${prefix}, ${address}`);
  const bytes = Uint8Array.from(found.bytes);
  for (const [index, place] of places(found.length).entries()) bytes[place] = own[index] ?? 0;
  return formatAddressBytes(bytes);
}

/** The IPv4 address in one of the prefix; `null`: it is of another. */
export function extractIPv4(prefix: string, address: string): string | null {
  const found = parse(prefix);
  const bytes = addressBytes(address);
  if (!found || bytes.length !== 16) return null;
  if (found.bytes.subarray(0, found.length / 8).some((byte, index) => byte !== bytes[index])) return null;
  return formatAddressBytes(Uint8Array.from(places(found.length), (place) => bytes[place] ?? 0));
}

/** RFC 7050 §2.2: what `ipv4only.arpa` has, and nobody else. */
const KNOWN_IPV4 = ['192.0.0.170', '192.0.0.171'];

/** RFC 7050 §3: the prefix by which a resolver made an AAAA record of `ipv4only.arpa`; `null`: it made none. */
export function prefixOfKnown(address: string): string | null {
  const bytes = addressBytes(address);
  if (bytes.length !== 16) return null;
  for (const length of [...LENGTHS].reverse()) {
    const head = Uint8Array.from(bytes, (byte, index) => (index < length / 8 ? byte : 0));
    const prefix = `${formatAddressBytes(head)}/${length}`;
    if (KNOWN_IPV4.includes(extractIPv4(prefix, address) ?? '')) return prefix;
  }
  return null;
}
