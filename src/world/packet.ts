import type { Family, TransportAddress } from '../base/address.js';

export type Protocol = 'udp' | 'tcp' | 'icmp';

/** The fixed part of a TCP header beside the ports (RFC 9293 §3.1), and its options as they are. */
export interface TcpHeader {
  readonly sequence: number;
  readonly acknowledgment: number;
  /** `TCP_FLAGS`, or-ed. */
  readonly flags: number;
  /** As on the wire: not scaled. */
  readonly window: number;
  /** Padded to a multiple of four bytes. */
  readonly options: Uint8Array;
}

export const TCP_FLAGS = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10 } as const;

export interface IcmpMessage {
  readonly type: number;
  readonly code: number;
  /** Of "packet too big"; `null` elsewhere. */
  readonly mtuBytes: number | null;
  /** Of an echo request or reply; 0 elsewhere. */
  readonly sequence: number;
  /** The packet that an error is about, its payload cut; `null`: no error but an echo request or reply. */
  readonly quoted: Packet | null;
}

/**
 * An IP packet as the model sees it; never changed in place, since taps and queues hold on to it. The ports of an
 * echo request are (identifier, 0), of a reply (0, identifier), so that a box treats them as a flow like any other.
 */
export interface Packet {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** DSCP and ECN: IPv4's type of service, IPv6's traffic class. */
  readonly trafficClass: number;
  /** IPv4's DF; IPv6 routers never fragment. */
  readonly dontFragment: boolean;
  readonly payload: Uint8Array;
  /** Of the whole packet, IP header included. */
  readonly sizeBytes: number;
  readonly tcp: TcpHeader | null;
  readonly icmp: IcmpMessage | null;
}

export const IP_HEADER_BYTES: Readonly<Record<Family, number>> = { ipv4: 20, ipv6: 40 };
/** The same for UDP and for the fixed part of ICMP. */
export const UDP_HEADER_BYTES = 8;
/** The fixed part. */
export const TCP_HEADER_BYTES = 20;
/** What Linux gives to sockets that ask for no port (`ip_local_port_range`). */
export const EPHEMERAL_PORTS = [32_768, 60_999] as const;
/** What Linux sends with. */
export const DEFAULT_TTL = 64;
const NOTHING = new Uint8Array(0);

export function udpPacket(
  from: TransportAddress,
  to: TransportAddress,
  payload: Uint8Array,
  ttl = DEFAULT_TTL,
): Packet {
  return {
    family: from.family,
    protocol: 'udp',
    source: from.address,
    sourcePort: from.port,
    destination: to.address,
    destinationPort: to.port,
    ttl,
    trafficClass: 0,
    dontFragment: true,
    payload,
    sizeBytes: IP_HEADER_BYTES[from.family] + UDP_HEADER_BYTES + payload.length,
    tcp: null,
    icmp: null,
  };
}

export function tcpPacket(
  from: TransportAddress,
  to: TransportAddress,
  tcp: TcpHeader,
  payload: Uint8Array = NOTHING,
): Packet {
  const sizeBytes = IP_HEADER_BYTES[from.family] + TCP_HEADER_BYTES + tcp.options.length + payload.length;
  return { ...udpPacket(from, to, payload), protocol: 'tcp', tcp, sizeBytes };
}

/** ICMP errors by what they say: [type, code] of RFC 792 and RFC 4443. */
export const ICMP_ERRORS = {
  'no-route': { ipv4: [3, 0], ipv6: [1, 0] },
  'host-unreachable': { ipv4: [3, 1], ipv6: [1, 3] },
  'port-unreachable': { ipv4: [3, 3], ipv6: [1, 4] },
  'too-big': { ipv4: [3, 4], ipv6: [2, 0] },
  'admin-prohibited': { ipv4: [3, 13], ipv6: [1, 1] },
  'time-exceeded': { ipv4: [11, 0], ipv6: [3, 0] },
} as const satisfies Record<string, Record<Family, readonly [number, number]>>;
export type IcmpErrorName = keyof typeof ICMP_ERRORS;

/** Routers quote until their message has this size (RFC 1812 §4.3.2.3, RFC 4443 §3). */
const ERROR_BYTES: Readonly<Record<Family, number>> = { ipv4: 576, ipv6: 1280 };

/** The error that `from` sends about `about`; `null` where none may be sent: about an ICMP error (RFC 1122 §3.2.2). */
export function icmpError(
  about: Packet,
  from: string,
  error: IcmpErrorName | readonly [type: number, code: number],
  mtuBytes: number | null = null,
): Packet | null {
  if (isIcmpError(about)) return null;
  const { family } = about;
  const [type, code] = typeof error === 'string' ? ICMP_ERRORS[error][family] : error;
  const header = IP_HEADER_BYTES[family] + UDP_HEADER_BYTES;
  const inside = about.sizeBytes - about.payload.length;
  const quoted = { ...about, payload: about.payload.subarray(0, ERROR_BYTES[family] - header - inside) };
  return {
    ...icmpPacket(family, from, about.source, { type, code, mtuBytes, sequence: 0, quoted }),
    sizeBytes: header + inside + quoted.payload.length,
  };
}

/** An echo request ("ping") with `identifier`. */
export function echoRequest(
  family: Family,
  source: string,
  destination: string,
  identifier: number,
  payload: Uint8Array = NOTHING,
  ttl = DEFAULT_TTL,
  sequence = 0,
): Packet {
  const icmp = { type: family === 'ipv4' ? 8 : 128, code: 0, mtuBytes: null, sequence, quoted: null };
  const packet = icmpPacket(family, source, destination, icmp);
  return { ...packet, sourcePort: identifier, ttl, payload, sizeBytes: packet.sizeBytes + payload.length };
}

export function isEchoRequest({ icmp, family }: Packet): boolean {
  return icmp !== null && icmp.quoted === null && icmp.type === (family === 'ipv4' ? 8 : 128);
}

export function echoReply(request: Packet): Packet {
  const { sequence = 0 } = request.icmp ?? {};
  const icmp = { type: request.family === 'ipv4' ? 0 : 129, code: 0, mtuBytes: null, sequence, quoted: null };
  const { source, sourcePort, destination } = request;
  return {
    ...request,
    ttl: DEFAULT_TTL,
    source: destination,
    destination: source,
    sourcePort: 0,
    destinationPort: sourcePort,
    icmp,
  };
}

function icmpPacket(family: Family, source: string, destination: string, icmp: IcmpMessage): Packet {
  return {
    family,
    protocol: 'icmp',
    source,
    sourcePort: 0,
    destination,
    destinationPort: 0,
    ttl: DEFAULT_TTL,
    trafficClass: 0,
    dontFragment: false,
    payload: NOTHING,
    sizeBytes: IP_HEADER_BYTES[family] + UDP_HEADER_BYTES,
    tcp: null,
    icmp,
  };
}

export type IcmpErrorPacket = Packet & { readonly icmp: IcmpMessage & { readonly quoted: Packet } };

export function isIcmpError(packet: Packet): packet is IcmpErrorPacket {
  return packet.icmp !== null && packet.icmp.quoted !== null;
}

export function withSource(packet: Packet, source: string, sourcePort: number): Packet {
  return { ...packet, source, sourcePort };
}

export function withDestination(packet: Packet, destination: string, destinationPort: number): Packet {
  return { ...packet, destination, destinationPort };
}

export function withQuoted(error: IcmpErrorPacket, quoted: Packet): Packet {
  return { ...error, icmp: { ...error.icmp, quoted } };
}

export function sourceOf({ family, source, sourcePort }: Packet): TransportAddress {
  return { family, address: source, port: sourcePort };
}

export function destinationOf({ family, destination, destinationPort }: Packet): TransportAddress {
  return { family, address: destination, port: destinationPort };
}
