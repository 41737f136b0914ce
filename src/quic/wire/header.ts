import { Reader } from './reader.js';
import type { PacketNumberLength } from './packet-number.js';
import type { Writer } from './writer.js';

/** QUIC version 1 (RFC 9000 §15). */
export const VERSION_1 = 0x0000_0001;

/** RFC 9000 §17.2: of this version; others may have up to 255 (RFC 8999 §5.1). */
export const MAX_CONNECTION_ID_BYTES = 20;

/** RFC 9000 §14.1: datagrams with an Initial are at least so large. */
export const MIN_INITIAL_DATAGRAM_BYTES = 1200;

const NOTHING = new Uint8Array();

export type LongPacketType = 'initial' | '0-rtt' | 'handshake';
const LONG_TYPES = ['initial', '0-rtt', 'handshake', 'retry'] as const;

/** A packet whose header is still protected; offsets are those of the datagram. */
export interface ProtectedPacket {
  readonly type: LongPacketType | '1-rtt';
  readonly destination: Uint8Array;
  /** Empty in short headers. */
  readonly source: Uint8Array;
  /** Of an Initial; empty in all others. */
  readonly token: Uint8Array;
  readonly start: number;
  readonly packetNumberAt: number;
  readonly end: number;
}

export interface RetryPacket {
  readonly type: 'retry';
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly token: Uint8Array;
  /** 16 bytes. */
  readonly integrityTag: Uint8Array;
  /** The packet without its tag. */
  readonly untagged: Uint8Array;
  readonly end: number;
}

export interface VersionNegotiationPacket {
  readonly type: 'version-negotiation';
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly versions: readonly number[];
  readonly end: number;
}

/** A long header of a version that is not ours (RFC 8999); the rest of the datagram belongs to it. */
export interface OtherVersionPacket {
  readonly type: 'other-version';
  readonly version: number;
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly end: number;
}

export type Packet = ProtectedPacket | RetryPacket | VersionNegotiationPacket | OtherVersionPacket;

/**
 * The header of the packet that begins at `start` of a datagram; coalesced packets follow at `end` (RFC 9000 §12.2).
 * `null` for what can be no packet of ours: it is passed over, and ends nothing. A short header does not say how long
 * its connection id is: `shortIdBytes` is the length of those that this end issues.
 */
export function parsePacket(datagram: Uint8Array, start: number, shortIdBytes: number): Packet | null {
  const first = datagram[start];
  if (first === undefined) return null;
  if ((first & 0x80) !== 0) return parseLong(new Reader(datagram, start + 1), first, start);
  const packetNumberAt = start + 1 + shortIdBytes;
  const end = datagram.length;
  if ((first & 0x40) === 0 || packetNumberAt > end) return null;
  const destination = datagram.subarray(start + 1, packetNumberAt);
  return { type: '1-rtt', destination, source: NOTHING, token: NOTHING, start, packetNumberAt, end };
}

function parseLong(reader: Reader, first: number, start: number): Packet | null {
  const version = reader.uint32();
  const destination = reader.take(reader.uint8());
  const source = reader.take(reader.uint8());
  if (reader.failed()) return null;
  const ids = { destination, source };
  if (version === 0) return versionNegotiation(reader, ids);
  if (version !== VERSION_1) return { type: 'other-version', version, ...ids, end: reader.end };
  if (destination.length > MAX_CONNECTION_ID_BYTES || source.length > MAX_CONNECTION_ID_BYTES) return null;
  if ((first & 0x40) === 0) return null;
  const type = LONG_TYPES[(first >> 4) & 3] ?? 'retry';
  if (type === 'retry') return retry(reader, ids, start);
  const token = type === 'initial' ? reader.take(reader.varint()) : reader.take(0);
  const length = reader.varint();
  const packetNumberAt = reader.offset;
  reader.take(length);
  return reader.failed() ? null : { type, ...ids, token, start, packetNumberAt, end: reader.offset };
}

interface Ids {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
}

/** RFC 9000 §17.2.1. */
function versionNegotiation(reader: Reader, ids: Ids): VersionNegotiationPacket | null {
  if (reader.left === 0 || reader.left % 4 !== 0) return null;
  const versions: number[] = [];
  while (reader.left > 0) versions.push(reader.uint32());
  return { type: 'version-negotiation', ...ids, versions, end: reader.end };
}

/** RFC 9000 §17.2.5. A Retry without a token is none. */
function retry(reader: Reader, ids: Ids, start: number): RetryPacket | null {
  const token = reader.take(reader.left - 16);
  if (reader.failed() || token.length === 0) return null;
  const untagged = reader.bytes.subarray(start, reader.offset);
  const integrityTag = reader.take(16);
  return { type: 'retry', ...ids, token, integrityTag, untagged, end: reader.end };
}

/** Long enough for every packet, so that it can be written before the packet's length is known. */
const LENGTH_BYTES = 2;
/** What fits into {@link LENGTH_BYTES}. */
export const MAX_LONG_PACKET_BYTES = 0x3fff;

export interface LongHeader {
  readonly type: LongPacketType;
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  /** Of an Initial. */
  readonly token: Uint8Array;
  /** Truncated by who writes it. */
  readonly packetNumber: number;
  readonly packetNumberLength: PacketNumberLength;
}

/** RFC 9000 §17.2. Returns where the packet number stands; {@link writeLongLength} fills in the length afterwards. */
export function writeLongHeader(writer: Writer, header: LongHeader): number {
  const { type, destination, source, token, packetNumber, packetNumberLength } = header;
  writer.uint8(0xc0 | (LONG_TYPES.indexOf(type) << 4) | (packetNumberLength - 1));
  writer.uint32(VERSION_1);
  writer.uint8(destination.length);
  writer.put(destination);
  writer.uint8(source.length);
  writer.put(source);
  if (type === 'initial') {
    writer.varint(token.length);
    writer.put(token);
  }
  writer.varint(0, LENGTH_BYTES);
  const packetNumberAt = writer.offset;
  writer.unsigned(packetNumber, packetNumberLength);
  return packetNumberAt;
}

/** `end`: behind the last byte of the packet, the tag of its protection included. */
export function writeLongLength(bytes: Uint8Array, packetNumberAt: number, end: number): void {
  const length = end - packetNumberAt;
  if (length > MAX_LONG_PACKET_BYTES) throw new RangeError('too long for a long header of ours');
  bytes[packetNumberAt - 2] = 0x40 | (length >> 8);
  bytes[packetNumberAt - 1] = length & 0xff;
}

export function longHeaderLength(header: Omit<LongHeader, 'packetNumber'>): number {
  const { type, destination, source, token, packetNumberLength } = header;
  const tokenBytes = type === 'initial' ? (token.length < 0x40 ? 1 : 2) + token.length : 0;
  return 7 + destination.length + source.length + tokenBytes + LENGTH_BYTES + packetNumberLength;
}

export interface ShortHeader {
  readonly destination: Uint8Array;
  readonly keyPhase: 0 | 1;
  readonly spin: 0 | 1;
  readonly packetNumber: number;
  readonly packetNumberLength: PacketNumberLength;
}

/** RFC 9000 §17.3.1. Returns where the packet number stands. */
export function writeShortHeader(writer: Writer, header: ShortHeader): number {
  writer.uint8(0x40 | (header.spin << 5) | (header.keyPhase << 2) | (header.packetNumberLength - 1));
  writer.put(header.destination);
  const packetNumberAt = writer.offset;
  writer.unsigned(header.packetNumber, header.packetNumberLength);
  return packetNumberAt;
}
