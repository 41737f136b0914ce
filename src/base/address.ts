import { isIP, isIPv4 } from 'node:net';

export type Family = 'ipv4' | 'ipv6';

/** An IP address and a UDP or TCP port. `address` is canonical text: RFC 5952 for IPv6, no zone. */
export interface TransportAddress {
  readonly family: Family;
  readonly address: string;
  readonly port: number;
}

const DOT = 0x2e;
const ZERO = 0x30;

/** What an address is good for; decides candidates and what may be called "across the public network". */
export type AddressScope = 'loopback' | 'link-local' | 'private' | 'shared' | 'multicast' | 'unspecified' | 'global';

/** Throws `RangeError` when `address` is no IP address or `port` no port. */
export function transportAddress(address: string, port: number): TransportAddress {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new RangeError(`not a port: ${String(port)}`);
  const bytes = addressBytes(address);
  const canonical = formatAddressBytes(bytes);
  return { family: isIPv4(canonical) ? 'ipv4' : 'ipv6', address: canonical, port };
}

/** The same from 4 or 16 bytes in network order. */
export function transportAddressOf(bytes: Uint8Array, port: number): TransportAddress {
  const own = unmapped(bytes);
  return { family: own.length === 4 ? 'ipv4' : 'ipv6', address: formatAddressBytes(own), port };
}

/** `1.2.3.4:5` or `[2001:db8::1]:5`; throws `RangeError` otherwise. Host names are not resolved here. */
export function parseTransportAddress(text: string): TransportAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim());
  if (!match) throw new RangeError(`not ADDRESS:PORT: ${text}`);
  return transportAddress(match[1] ?? match[2] ?? '', Number(match[3]));
}

export function formatTransportAddress({ family, address, port }: TransportAddress): string {
  return family === 'ipv6' ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
}

export function sameAddress(left: TransportAddress, right: TransportAddress): boolean {
  return left.address === right.address && left.port === right.port;
}

/** 4 or 16 bytes in network order; IPv4-mapped IPv6 becomes IPv4. Throws `RangeError` on anything else. */
export function addressBytes(text: string): Uint8Array {
  const plain = text.includes('%') ? text.slice(0, text.indexOf('%')) : text;
  switch (isIP(plain)) {
    case 4:
      return ipv4Bytes(plain);
    case 6:
      return unmapped(ipv6Bytes(plain));
    default:
      throw new RangeError(`not an IP address: ${text}`);
  }
}

function ipv4Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let index = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === DOT) index += 1;
    else bytes[index] = (bytes[index] ?? 0) * 10 + character - ZERO;
  }
  return bytes;
}

function unmapped(bytes: Uint8Array): Uint8Array {
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return mapped ? bytes.slice(12) : bytes;
}

function ipv6Bytes(text: string): Uint8Array {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let groups = text;
  if (dotted) {
    const [a = 0, b = 0, c = 0, d = 0] = (dotted[2] ?? '').split('.').map(Number);
    groups = `${dotted[1] ?? ''}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = groups.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = tail === undefined ? 0 : 8 - first.length - last.length;
  const words = [...first, ...Array<string>(middle).fill('0'), ...last].map((word) => Number.parseInt(word, 16));
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}

/** The canonical text of 4 or 16 bytes (RFC 5952 §4 for IPv6). */
export function formatAddressBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${String(bytes.length)}`);
  const words = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
  const run = longestZeroRun(words);
  const hex = words.map((word) => word.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

function longestZeroRun(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < words.length; start += 1) {
    let length = 0;
    while (words[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** RFC 6890 in the few classes that matter to a path. `shared` is 100.64.0.0/10 (RFC 6598), the CGNAT's inside. */
export function scopeOf(address: string): AddressScope {
  const bytes = addressBytes(address);
  const [a = 0, b = 0, c = 0] = bytes;
  if (bytes.every((byte) => byte === 0)) return 'unspecified';
  if (bytes.length === 4) {
    if (a === 127) return 'loopback';
    if (a === 169 && b === 254) return 'link-local';
    if (a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)) return 'private';
    // RFC 6890: 192.0.0.0/24 leads nowhere; a phone's CLAT has 192.0.0.4.
    if (a === 192 && b === 0 && c === 0) return 'private';
    if (a === 100 && b >= 64 && b < 128) return 'shared';
    if (a >= 224 && a < 240) return 'multicast';
    return 'global';
  }
  if (bytes.subarray(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return 'loopback';
  if (a === 0xfe && (b & 0xc0) === 0x80) return 'link-local';
  if ((a & 0xfe) === 0xfc) return 'private';
  if (a === 0xff) return 'multicast';
  return 'global';
}

/** Whether `address` lies in `prefix/length`; false across families. */
export function inPrefix(address: string, prefix: string, length: number): boolean {
  const left = addressBytes(address);
  const right = addressBytes(prefix);
  if (left.length !== right.length) return false;
  for (let bit = 0; bit < length; bit += 8) {
    const mask = length - bit >= 8 ? 0xff : (0xff << (8 - (length - bit))) & 0xff;
    if (((left[bit / 8] ?? 0) & mask) !== ((right[bit / 8] ?? 0) & mask)) return false;
  }
  return true;
}
