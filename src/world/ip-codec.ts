import { addressBytes, type Family, formatAddressBytes } from '../base/address.js';
import { viewOf } from '../base/bytes.js';
import { checksumOf, sumOfWords } from './checksum.js';
import { IP_HEADER_BYTES, isEchoRequest, type Packet, type Protocol, UDP_HEADER_BYTES } from './packet.js';

/** Why bytes are no packet of this world; `unsupported`: a protocol or an ICMP type that it does not know. */
export type ParseFailure = 'malformed' | 'bad-checksum' | 'fragment' | 'unsupported';

const TCP_HEADER_BYTES = 20;
const ICMP_HEADER_BYTES = 8;
/** Protocol numbers, and those of IPv6 extension headers that are passed over. */
const UDP = 17;
const TCP = 6;
const ICMP: Readonly<Record<Family, number>> = { ipv4: 1, ipv6: 58 };
const [HOP_BY_HOP, FRAGMENT, DESTINATION_OPTIONS] = [0, 44, 60];
const ECHO: Readonly<Record<Family, { readonly request: number; readonly reply: number }>> = {
  ipv4: { request: 8, reply: 0 },
  ipv6: { request: 128, reply: 129 },
};
/** Unreachable, (too big,) time exceeded, parameter problem. */
const ERRORS: Readonly<Record<Family, readonly number[]>> = { ipv4: [3, 11, 12], ipv6: [1, 2, 3, 4] };
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;
const NOTHING = new Uint8Array(0);

/**
 * The packet as raw IPv4 or IPv6 with all its checksums. A quoted packet has the total length that it had, and no
 * transport checksum where its payload is cut: nobody can compute that any more. Throws `RangeError` beyond 65,535
 * bytes, and where an address is not of the packet's family.
 */
export function encodePacket(packet: Packet, identification = 0): Uint8Array {
  const bytes = new Uint8Array(wireBytes(packet));
  if (bytes.length > 0xffff) throw new RangeError(`no IP packet has ${bytes.length} bytes`);
  writePacket(bytes, viewOf(bytes), 0, packet, bytes.length, identification);
  return bytes;
}

function wireBytes({ family, protocol, payload, tcp, icmp }: Packet): number {
  const header = IP_HEADER_BYTES[family];
  if (protocol === 'udp') return header + UDP_HEADER_BYTES + payload.length;
  if (protocol === 'tcp') return header + TCP_HEADER_BYTES + (tcp?.options.length ?? 0) + payload.length;
  return header + ICMP_HEADER_BYTES + (icmp?.quoted ? wireBytes(icmp.quoted) : payload.length);
}

/** From `at` to the end of the buffer; `totalBytes` is what the header says. */
function writePacket(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  packet: Packet,
  totalBytes: number,
  identification: number,
): void {
  const { family, protocol, ttl, trafficClass, source, destination } = packet;
  const number = protocol === 'udp' ? UDP : protocol === 'tcp' ? TCP : ICMP[family];
  const transportAt = at + IP_HEADER_BYTES[family];
  const transportBytes = totalBytes - IP_HEADER_BYTES[family];
  let pseudoHeader = 0;
  if (family === 'ipv4') {
    bytes[at] = 0x45;
    bytes[at + 1] = trafficClass;
    view.setUint16(at + 2, totalBytes);
    view.setUint16(at + 4, identification);
    view.setUint16(at + 6, packet.dontFragment ? DONT_FRAGMENT : 0);
    bytes[at + 8] = ttl;
    bytes[at + 9] = number;
    bytes.set(bytesOf(source, family), at + 12);
    bytes.set(bytesOf(destination, family), at + 16);
    view.setUint16(at + 10, checksumOf(sumOfWords(view, at, transportAt)));
    if (protocol !== 'icmp') pseudoHeader = sumOfWords(view, at + 12, transportAt) + number + transportBytes;
  } else {
    view.setUint32(at, (6 << 28) | (trafficClass << 20));
    view.setUint16(at + 4, transportBytes);
    bytes[at + 6] = number;
    bytes[at + 7] = ttl;
    bytes.set(bytesOf(source, family), at + 8);
    bytes.set(bytesOf(destination, family), at + 24);
    pseudoHeader = sumOfWords(view, at + 8, transportAt) + number + transportBytes;
  }
  const checksumAt = writeTransport(bytes, view, transportAt, packet, transportBytes);
  if (transportAt + transportBytes !== bytes.length) return;
  const checksum = checksumOf(pseudoHeader + sumOfWords(view, transportAt, bytes.length));
  // RFC 768: 0 says that there is none.
  view.setUint16(checksumAt, checksum === 0 && protocol === 'udp' ? 0xffff : checksum);
}

/** Gives the place of the checksum. */
function writeTransport(bytes: Uint8Array, view: DataView, at: number, packet: Packet, transportBytes: number): number {
  const { protocol, sourcePort, destinationPort, payload, tcp, icmp } = packet;
  if (protocol === 'icmp') {
    bytes[at] = icmp?.type ?? 0;
    bytes[at + 1] = icmp?.code ?? 0;
    if (icmp?.quoted) {
      // RFC 1191 has 16 bits for it, RFC 4443 has 32.
      if (packet.family === 'ipv4') view.setUint16(at + 6, Math.min(icmp.mtuBytes ?? 0, 0xffff));
      else view.setUint32(at + 4, icmp.mtuBytes ?? 0);
      const quotedAt = at + ICMP_HEADER_BYTES;
      const totalBytes = Math.min(0xffff, Math.max(icmp.quoted.sizeBytes, bytes.length - quotedAt));
      writePacket(bytes, view, quotedAt, icmp.quoted, totalBytes, 0);
    } else {
      view.setUint16(at + 4, isEchoRequest(packet) ? sourcePort : destinationPort);
      view.setUint16(at + 6, icmp?.sequence ?? 0);
      bytes.set(payload, at + ICMP_HEADER_BYTES);
    }
    return at + 2;
  }
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, destinationPort);
  if (protocol === 'udp') {
    view.setUint16(at + 4, transportBytes);
    bytes.set(payload, at + UDP_HEADER_BYTES);
    return at + 6;
  }
  const options = tcp?.options ?? NOTHING;
  const payloadAt = at + TCP_HEADER_BYTES + options.length;
  view.setUint32(at + 4, tcp?.sequence ?? 0);
  view.setUint32(at + 8, tcp?.acknowledgment ?? 0);
  bytes[at + 12] = ((payloadAt - at) >> 2) << 4;
  bytes[at + 13] = tcp?.flags ?? 0;
  view.setUint16(at + 14, tcp?.window ?? 0);
  bytes.set(options, at + TCP_HEADER_BYTES);
  bytes.set(payload, payloadAt);
  return at + 16;
}

/**
 * A whole IP packet; what lies behind it is ignored. IPv4 options and IPv6 hop-by-hop and destination options are
 * passed over, and `sizeBytes` is without them. IPv6 counts as "don't fragment" unless there is a fragment header (an
 * atomic one, RFC 6946: what `Reassembler` leaves). Payloads are views on `bytes`. Never throws.
 */
export function parsePacket(bytes: Uint8Array): Packet | ParseFailure {
  return parseAt(bytes, viewOf(bytes), 0, false);
}

/** What both families say before the transport header, which is at [from, to) as far as it is there. */
interface IpHeader {
  readonly family: Family;
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly trafficClass: number;
  readonly dontFragment: boolean;
  readonly from: number;
  readonly to: number;
  /** As the header says; a quoted packet has fewer. */
  readonly transportBytes: number;
  /** Addresses and protocol; the length is not in it. */
  readonly pseudoHeader: number;
}

function parseAt(bytes: Uint8Array, view: DataView, at: number, isQuoted: boolean): Packet | ParseFailure {
  if (bytes.length - at < IP_HEADER_BYTES.ipv4) return 'malformed';
  const version = view.getUint8(at) >> 4;
  if (version !== 4 && version !== 6) return 'malformed';
  const ip = version === 4 ? parseIpv4(view, at, isQuoted) : parseIpv6(view, at, isQuoted);
  if (typeof ip === 'string') return ip;
  if (ip.protocol === UDP) return parseUdp(bytes, view, ip, isQuoted);
  if (ip.protocol === TCP) return parseTcp(bytes, view, ip, isQuoted);
  if (ip.protocol === ICMP[ip.family]) return parseIcmp(bytes, view, ip, isQuoted);
  return 'unsupported';
}

function parseIpv4(view: DataView, at: number, isQuoted: boolean): IpHeader | ParseFailure {
  const headerBytes = (view.getUint8(at) & 0x0f) * 4;
  const totalBytes = view.getUint16(at + 2);
  const availableBytes = view.byteLength - at;
  if (headerBytes < IP_HEADER_BYTES.ipv4 || headerBytes > availableBytes || totalBytes < headerBytes)
    return 'malformed';
  if (totalBytes > availableBytes && !isQuoted) return 'malformed';
  const from = at + headerBytes;
  if (!isQuoted && checksumOf(sumOfWords(view, at, from)) !== 0) return 'bad-checksum';
  const fragment = view.getUint16(at + 6);
  if ((fragment & FRAGMENT_OFFSET) !== 0 || ((fragment & MORE_FRAGMENTS) !== 0 && !isQuoted)) return 'fragment';
  const protocol = view.getUint8(at + 9);
  return {
    family: 'ipv4',
    protocol,
    source: textAt(view, at + 12, 'ipv4'),
    destination: textAt(view, at + 16, 'ipv4'),
    ttl: view.getUint8(at + 8),
    trafficClass: view.getUint8(at + 1),
    dontFragment: (fragment & DONT_FRAGMENT) !== 0,
    from,
    to: at + Math.min(totalBytes, availableBytes),
    transportBytes: totalBytes - headerBytes,
    pseudoHeader: sumOfWords(view, at + 12, at + 20) + protocol,
  };
}

function parseIpv6(view: DataView, at: number, isQuoted: boolean): IpHeader | ParseFailure {
  const availableBytes = view.byteLength - at - IP_HEADER_BYTES.ipv6;
  if (availableBytes < 0) return 'malformed';
  const payloadBytes = view.getUint16(at + 4);
  if (payloadBytes > availableBytes && !isQuoted) return 'malformed';
  const begin = at + IP_HEADER_BYTES.ipv6;
  const to = begin + Math.min(payloadBytes, availableBytes);
  let from = begin;
  let protocol = view.getUint8(at + 6);
  let dontFragment = true;
  while (protocol === HOP_BY_HOP || protocol === DESTINATION_OPTIONS || protocol === FRAGMENT) {
    if (from + 8 > to) return 'malformed';
    if (protocol === FRAGMENT) {
      const fragment = view.getUint16(from + 2);
      if (fragment >> 3 !== 0 || ((fragment & 1) !== 0 && !isQuoted)) return 'fragment';
      dontFragment = false;
    }
    const headerBytes = protocol === FRAGMENT ? 8 : (view.getUint8(from + 1) + 1) * 8;
    protocol = view.getUint8(from);
    from += headerBytes;
  }
  if (from > to) return 'malformed';
  return {
    family: 'ipv6',
    protocol,
    source: textAt(view, at + 8, 'ipv6'),
    destination: textAt(view, at + 24, 'ipv6'),
    ttl: view.getUint8(at + 7),
    trafficClass: (view.getUint16(at) >> 4) & 0xff,
    dontFragment,
    from,
    to,
    transportBytes: payloadBytes - (from - begin),
    pseudoHeader: sumOfWords(view, at + 8, begin) + protocol,
  };
}

function parseUdp(bytes: Uint8Array, view: DataView, ip: IpHeader, isQuoted: boolean): Packet | ParseFailure {
  const { from, to, family } = ip;
  if (to - from < UDP_HEADER_BYTES) return 'malformed';
  const length = isQuoted ? ip.transportBytes : view.getUint16(from + 4);
  if (!isQuoted) {
    if (length < UDP_HEADER_BYTES || length > to - from) return 'malformed';
    const hasChecksum = view.getUint16(from + 6) !== 0;
    // RFC 8200 §8.1: without one an IPv6 node discards it.
    if (hasChecksum || family === 'ipv6') {
      const isGood = hasChecksum && checksumOf(ip.pseudoHeader + length + sumOfWords(view, from, from + length)) === 0;
      if (!isGood) return 'bad-checksum';
    }
  }
  const payload = bytes.subarray(from + UDP_HEADER_BYTES, Math.min(to, from + length));
  return packetOf(ip, 'udp', view.getUint16(from), view.getUint16(from + 2), payload, length);
}

function parseTcp(bytes: Uint8Array, view: DataView, ip: IpHeader, isQuoted: boolean): Packet | ParseFailure {
  const { from, to } = ip;
  // RFC 792 promises 8 bytes of what is quoted: the ports and the sequence number.
  if (to - from < (isQuoted ? 8 : TCP_HEADER_BYTES)) return 'malformed';
  const hasHeader = to - from >= TCP_HEADER_BYTES;
  const headerBytes = hasHeader ? (view.getUint8(from + 12) >> 4) * 4 : TCP_HEADER_BYTES;
  if (headerBytes < TCP_HEADER_BYTES || (headerBytes > to - from && !isQuoted)) return 'malformed';
  if (!isQuoted && !isSumRight(view, ip)) return 'bad-checksum';
  const payload = from + headerBytes < to ? bytes.subarray(from + headerBytes, to) : NOTHING;
  return {
    ...packetOf(ip, 'tcp', view.getUint16(from), view.getUint16(from + 2), payload, ip.transportBytes),
    tcp: {
      sequence: view.getUint32(from + 4),
      acknowledgment: hasHeader ? view.getUint32(from + 8) : 0,
      flags: hasHeader ? view.getUint8(from + 13) : 0,
      window: hasHeader ? view.getUint16(from + 14) : 0,
      options: from + headerBytes <= to ? bytes.subarray(from + TCP_HEADER_BYTES, from + headerBytes) : NOTHING,
    },
  };
}

function parseIcmp(bytes: Uint8Array, view: DataView, ip: IpHeader, isQuoted: boolean): Packet | ParseFailure {
  const { family, from, to, transportBytes } = ip;
  if (to - from < ICMP_HEADER_BYTES) return 'malformed';
  if (!isQuoted && !isSumRight(view, ip)) return 'bad-checksum';
  const [type, code] = [view.getUint8(from), view.getUint8(from + 1)];
  if (type === ECHO[family].request || type === ECHO[family].reply) {
    const identifier = view.getUint16(from + 4);
    const isRequest = type === ECHO[family].request;
    const payload = bytes.subarray(from + ICMP_HEADER_BYTES, to);
    return {
      ...packetOf(ip, 'icmp', isRequest ? identifier : 0, isRequest ? 0 : identifier, payload, transportBytes),
      icmp: { type, code, mtuBytes: null, sequence: view.getUint16(from + 6), quoted: null },
    };
  }
  // An error about an error is never sent (RFC 1122 §3.2.2).
  if (isQuoted || !ERRORS[family].includes(type)) return 'unsupported';
  const quoted = parseAt(bytes.subarray(0, to), new DataView(view.buffer, view.byteOffset, to), from + 8, true);
  if (quoted === 'fragment') return 'unsupported';
  if (typeof quoted === 'string') return quoted;
  if (quoted.family !== family) return 'malformed';
  return {
    ...packetOf(ip, 'icmp', 0, 0, NOTHING, ICMP_HEADER_BYTES + wireBytes(quoted)),
    icmp: { type, code, mtuBytes: mtuAt(view, from, family, type, code), sequence: 0, quoted },
  };
}

function mtuAt(view: DataView, at: number, family: Family, type: number, code: number): number | null {
  if (family === 'ipv6') return type === 2 ? view.getUint32(at + 4) || null : null;
  return type === 3 && code === 4 ? view.getUint16(at + 6) || null : null;
}

function isSumRight(view: DataView, { protocol, pseudoHeader, transportBytes, from, to }: IpHeader): boolean {
  const extra = protocol === ICMP.ipv4 ? 0 : pseudoHeader + transportBytes;
  return checksumOf(extra + sumOfWords(view, from, to)) === 0;
}

function packetOf(
  { family, source, destination, ttl, trafficClass, dontFragment }: IpHeader,
  protocol: Protocol,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array,
  transportBytes: number,
): Packet {
  return {
    family,
    protocol,
    source,
    sourcePort,
    destination,
    destinationPort,
    ttl,
    trafficClass,
    dontFragment,
    payload,
    sizeBytes: IP_HEADER_BYTES[family] + transportBytes,
    tcp: null,
    icmp: null,
  };
}

/** A power of two; far more addresses than a world has, and a stranger's flood only makes them be written anew. */
const CACHED_ADDRESSES = 2048;

interface KnownAddress {
  readonly family: Family;
  readonly words: readonly [number, number, number, number];
  readonly text: string;
}

const texts: (KnownAddress | undefined)[] = Array<undefined>(CACHED_ADDRESSES).fill(undefined);

function textAt(view: DataView, at: number, family: Family): string {
  const isV6 = family === 'ipv6';
  const a = view.getUint32(at);
  const b = isV6 ? view.getUint32(at + 4) : 0;
  const c = isV6 ? view.getUint32(at + 8) : 0;
  const d = isV6 ? view.getUint32(at + 12) : 0;
  const mixed = Math.imul(
    a ^ Math.imul(b ^ Math.imul(c ^ Math.imul(d, 0x85ebca6b), 0x85ebca6b), 0x85ebca6b),
    0x9e3779b1,
  );
  const slot = (mixed ^ (mixed >>> 15)) & (CACHED_ADDRESSES - 1);
  const known = texts[slot];
  if (known?.family === family) {
    const { words } = known;
    if (words[0] === a && words[1] === b && words[2] === c && words[3] === d) return known.text;
  }
  const text = formatAddressBytes(new Uint8Array(view.buffer, view.byteOffset + at, isV6 ? 16 : 4));
  texts[slot] = { family, words: [a, b, c, d], text };
  return text;
}

const wireForms: Readonly<Record<Family, Map<string, Uint8Array>>> = { ipv4: new Map(), ipv6: new Map() };

function bytesOf(text: string, family: Family): Uint8Array {
  const known = wireForms[family];
  let bytes = known.get(text);
  if (!bytes) {
    bytes = addressBytes(text);
    // `addressBytes` takes ::ffff:0:0/96 for IPv4; here it stands in an IPv6 header.
    if (family === 'ipv6' && bytes.length === 4)
      bytes = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes);
    if (bytes.length !== (family === 'ipv4' ? 4 : 16)) throw new RangeError(`not an ${family} address: ${text}`);
    if (known.size >= CACHED_ADDRESSES) known.clear();
    known.set(text, bytes);
  }
  return bytes;
}
