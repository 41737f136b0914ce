import type { Ms } from '../base/time.js';
import { concatBytes, toHex, viewOf } from '../base/bytes.js';
import { checksumOf, sumOfWords } from './checksum.js';
import { encodePacket } from './ip-codec.js';
import { IP_HEADER_BYTES, type Packet } from './packet.js';

const FRAGMENT_HEADER_BYTES = 8;
const [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS] = [0, 43, 44, 60];
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;

/**
 * The packet as it goes into a link of that MTU: one encoded packet, or its fragments (RFC 791 §3.2, RFC 8200 §4.5);
 * none at all where it is too big and must not be fragmented.
 */
export function fragment(packet: Packet, mtuBytes: number, identification: number): Uint8Array[] {
  const whole = encodePacket(packet, identification);
  if (whole.length <= mtuBytes) return [whole];
  if (packet.dontFragment) return [];
  const headerBytes = IP_HEADER_BYTES[packet.family];
  const header = whole.subarray(0, headerBytes);
  const payload = whole.subarray(headerBytes);
  const ownBytes = packet.family === 'ipv4' ? headerBytes : headerBytes + FRAGMENT_HEADER_BYTES;
  const stepBytes = (mtuBytes - ownBytes) & ~7;
  if (stepBytes <= 0) return [];
  const fragments: Uint8Array[] = [];
  for (let offset = 0; offset < payload.length; offset += stepBytes) {
    const piece = payload.subarray(offset, offset + stepBytes);
    const isLast = offset + stepBytes >= payload.length;
    fragments.push(
      packet.family === 'ipv4'
        ? ipv4With(header, piece, (offset >> 3) | (isLast ? 0 : MORE_FRAGMENTS))
        : ipv6With(header, fragmentHeader(header[6] ?? 0, offset | (isLast ? 0 : 1), identification), piece),
    );
  }
  return fragments;
}

/** The header with the payload and these flags and offset. */
function ipv4With(header: Uint8Array, payload: Uint8Array, flagsAndOffset: number): Uint8Array {
  const bytes = concatBytes(header, payload);
  const view = viewOf(bytes);
  view.setUint16(2, bytes.length);
  view.setUint16(6, flagsAndOffset);
  view.setUint16(10, 0);
  view.setUint16(10, checksumOf(sumOfWords(view, 0, header.length)));
  return bytes;
}

function ipv6With(unfragmentable: Uint8Array, header: Uint8Array, payload: Uint8Array): Uint8Array {
  const bytes = concatBytes(unfragmentable, header, payload);
  viewOf(bytes).setUint16(4, bytes.length - IP_HEADER_BYTES.ipv6);
  // The last header before the fragment header is the IPv6 header itself, or names it already.
  if (unfragmentable.length === IP_HEADER_BYTES.ipv6) bytes[6] = FRAGMENT;
  return bytes;
}

function fragmentHeader(next: number, offsetAndMore: number, identification: number): Uint8Array {
  const header = new Uint8Array(FRAGMENT_HEADER_BYTES);
  const view = viewOf(header);
  header[0] = next;
  view.setUint16(2, offsetAndMore);
  view.setUint32(4, identification);
  return header;
}

export interface ReassemblyLimits {
  /** RFC 1122 §3.3.2, RFC 8200 §4.5. */
  readonly timeoutMs: Ms;
  readonly datagrams: number;
  readonly fragmentsEach: number;
  /** Of all fragments together; the oldest datagram goes first. */
  readonly bytes: number;
}

const LIMITS: ReassemblyLimits = { timeoutMs: 60_000, datagrams: 256, fragmentsEach: 256, bytes: 4 * 1024 * 1024 };
const LARGEST_BYTES = 0xffff;

interface Fragment {
  readonly key: string;
  /** Of the first fragment: what comes before the payload of the whole. */
  readonly header: Uint8Array;
  readonly offset: number;
  readonly payload: Uint8Array;
  readonly isLast: boolean;
}

interface Datagram {
  readonly since: Ms;
  /** By offset; `null` once it is given up: what still comes of it must not begin it anew (RFC 5722). */
  fragments: Fragment[] | null;
  bytes: number;
}

/** Puts fragments together; bounded in number, bytes and time. */
export class Reassembler {
  /** Fragments that led to nothing: malformed, overlapping, too late, too many. */
  dropped = 0;
  readonly #limits: ReassemblyLimits;
  /** The oldest first. */
  readonly #datagrams = new Map<string, Datagram>();
  #bytes = 0;

  constructor(limits: Partial<ReassemblyLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Of all fragments that wait for others. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /**
   * The whole packet when this was its last missing piece; `null` while others are missing, and for one that is
   * dropped. What is no fragment comes back as it is. A whole IPv6 packet keeps an atomic fragment header (RFC 6946),
   * from which `parsePacket` sees that it may be fragmented again. Keeps copies: the buffer may be used again.
   */
  push(bytes: Uint8Array, now: Ms): Uint8Array | null {
    const read = readFragment(bytes);
    if (read === 'whole') return bytes;
    this.#expire(now);
    if (read === 'malformed') {
      this.dropped += 1;
      return null;
    }
    const datagram = this.#datagramOf(read.key, now);
    const { fragments } = datagram;
    if (fragments === null) {
      this.dropped += 1;
      return null;
    }
    if (fragments.some((one) => one.offset === read.offset && one.payload.length === read.payload.length)) return null;
    if (!fits(read, fragments) || fragments.length >= this.#limits.fragmentsEach) {
      this.dropped += 1;
      this.#release(datagram);
      return null;
    }
    const at = fragments.findIndex(({ offset }) => offset > read.offset);
    fragments.splice(at === -1 ? fragments.length : at, 0, read);
    datagram.bytes += read.header.length + read.payload.length;
    this.#bytes += read.header.length + read.payload.length;
    const whole = joined(fragments);
    if (whole) {
      this.#forget(read.key);
      return whole;
    }
    for (const [key, { fragments: lost }] of this.#datagrams) {
      if (this.#bytes <= this.#limits.bytes) break;
      this.dropped += lost?.length ?? 0;
      this.#forget(key);
    }
    return null;
  }

  #datagramOf(key: string, now: Ms): Datagram {
    let datagram = this.#datagrams.get(key);
    if (!datagram) {
      const [oldest] = this.#datagrams;
      if (oldest && this.#datagrams.size >= this.#limits.datagrams) {
        this.dropped += oldest[1].fragments?.length ?? 0;
        this.#forget(oldest[0]);
      }
      datagram = { since: now, fragments: [], bytes: 0 };
      this.#datagrams.set(key, datagram);
    }
    return datagram;
  }

  #expire(now: Ms): void {
    for (const [key, { since, fragments }] of this.#datagrams) {
      if (now - since < this.#limits.timeoutMs) return;
      this.dropped += fragments?.length ?? 0;
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    const datagram = this.#datagrams.get(key);
    if (datagram) this.#bytes -= datagram.bytes;
    this.#datagrams.delete(key);
  }

  #release(datagram: Datagram): void {
    this.dropped += datagram.fragments?.length ?? 0;
    this.#bytes -= datagram.bytes;
    datagram.fragments = null;
    datagram.bytes = 0;
  }
}

function fits({ offset, payload, isLast }: Fragment, others: readonly Fragment[]): boolean {
  const end = offset + payload.length;
  return others.every((other) => {
    const otherEnd = other.offset + other.payload.length;
    if (isLast && otherEnd > offset) return false;
    if (other.isLast && end > other.offset) return false;
    return end <= other.offset || otherEnd <= offset;
  });
}

function joined(fragments: readonly Fragment[]): Uint8Array | null {
  let end = 0;
  for (const { offset, payload } of fragments) {
    if (offset !== end) return null;
    end += payload.length;
  }
  const [first] = fragments;
  if (!first || fragments.at(-1)?.isLast !== true) return null;
  const payload = concatBytes(...fragments.map((one) => one.payload));
  const isV4 = (first.header[0] ?? 0) >> 4 === 4;
  const wholeBytes = first.header.length + payload.length - (isV4 ? 0 : IP_HEADER_BYTES.ipv6);
  if (wholeBytes > LARGEST_BYTES) return null;
  if (isV4) return ipv4With(first.header, payload, 0);
  const at = first.header.length - FRAGMENT_HEADER_BYTES;
  const atomic = first.header.slice(at);
  viewOf(atomic).setUint16(2, 0);
  return ipv6With(first.header.subarray(0, at), atomic, payload);
}

function readFragment(bytes: Uint8Array): Fragment | 'whole' | 'malformed' {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= IP_HEADER_BYTES.ipv4) return readIpv4(bytes);
  if (version === 6 && bytes.length >= IP_HEADER_BYTES.ipv6) return readIpv6(bytes);
  return 'whole';
}

function readIpv4(bytes: Uint8Array): Fragment | 'whole' | 'malformed' {
  const view = viewOf(bytes);
  const field = view.getUint16(6);
  if ((field & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) === 0) return 'whole';
  const headerBytes = ((bytes[0] ?? 0) & 0x0f) * 4;
  const totalBytes = view.getUint16(2);
  if (headerBytes < IP_HEADER_BYTES.ipv4 || totalBytes > bytes.length || totalBytes < headerBytes) return 'malformed';
  if (checksumOf(sumOfWords(view, 0, headerBytes)) !== 0) return 'malformed';
  const key = toHex(bytes.subarray(12, 20)) + toHex(bytes.subarray(4, 6)) + String(bytes[9]);
  const offset = (field & FRAGMENT_OFFSET) * 8;
  return fragmentOf(key, bytes.subarray(0, totalBytes), headerBytes, offset, (field & MORE_FRAGMENTS) === 0);
}

function readIpv6(bytes: Uint8Array): Fragment | 'whole' | 'malformed' {
  const view = viewOf(bytes);
  const to = IP_HEADER_BYTES.ipv6 + view.getUint16(4);
  let next = bytes[6] ?? 0;
  let at = IP_HEADER_BYTES.ipv6;
  while (next === HOP_BY_HOP || next === DESTINATION_OPTIONS || next === ROUTING) {
    if (at + 2 > bytes.length) return 'whole';
    next = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) * 8;
  }
  if (next !== FRAGMENT) return 'whole';
  const headerBytes = at + FRAGMENT_HEADER_BYTES;
  if (headerBytes > to || to > bytes.length) return 'malformed';
  const field = view.getUint16(at + 2);
  const offset = field & ~7;
  const isLast = (field & 1) === 0;
  if (offset === 0 && isLast) return 'whole';
  const key = toHex(bytes.subarray(8, 40)) + toHex(bytes.subarray(at + 4, headerBytes));
  return fragmentOf(key, bytes.subarray(0, to), headerBytes, offset, isLast);
}

function fragmentOf(
  key: string,
  bytes: Uint8Array,
  headerBytes: number,
  offset: number,
  isLast: boolean,
): Fragment | 'malformed' {
  const payloadBytes = bytes.length - headerBytes;
  // Only the last may end within an offset's unit, and the whole must be a packet.
  if (payloadBytes === 0 || (!isLast && payloadBytes % 8 !== 0)) return 'malformed';
  if (headerBytes + offset + payloadBytes > LARGEST_BYTES) return 'malformed';
  const header = offset === 0 ? bytes.slice(0, headerBytes) : new Uint8Array(0);
  return { key, header, offset, payload: bytes.slice(headerBytes), isLast };
}
