import { concatBytes, utf8Bytes, viewOf } from '../base/bytes.js';

/**
 * Blocks of the pcapng format (draft-ietf-opsawg-pcapng), little-endian, one section of raw IP. A file is a section
 * header, a description of each interface (their ids count from 0 in that order), then packets, then statistics.
 */
const BLOCKS = { section: 0x0a0d0d0a, interface: 1, statistics: 5, packet: 6 } as const;
const LINKTYPE_RAW = 101;
/** 10^-9 s. */
const NANOSECONDS = 9;
const DIRECTIONS = { inbound: 1, outbound: 2 } as const;
const LARGEST_IP_BYTES = 0xffff;

type Option = readonly [code: number, value: Uint8Array];

export function sectionHeader(about: { hardware: string; application: string }): Uint8Array {
  const body = new Uint8Array(16);
  const view = viewOf(body);
  view.setUint32(0, 0x1a2b3c4d, true);
  view.setUint16(4, 1, true);
  // Section length: not known beforehand.
  view.setBigInt64(8, -1n, true);
  return block(BLOCKS.section, body, [
    [2, utf8Bytes(about.hardware)],
    [4, utf8Bytes(about.application)],
  ]);
}

export function interfaceDescription(name: string): Uint8Array {
  const body = new Uint8Array(8);
  const view = viewOf(body);
  view.setUint16(0, LINKTYPE_RAW, true);
  view.setUint32(4, LARGEST_IP_BYTES, true);
  return block(BLOCKS.interface, body, [
    [2, utf8Bytes(name)],
    [9, Uint8Array.of(NANOSECONDS)],
  ]);
}

/** `atNs`: since 1970. */
export function enhancedPacket(
  interfaceId: number,
  atNs: bigint,
  packet: Uint8Array,
  direction: keyof typeof DIRECTIONS,
): Uint8Array {
  const body = new Uint8Array(20 + padded(packet.length));
  const view = viewOf(body);
  view.setUint32(0, interfaceId, true);
  setTime(view, 4, atNs);
  view.setUint32(12, packet.length, true);
  view.setUint32(16, packet.length, true);
  body.set(packet, 20);
  return block(BLOCKS.packet, body, [[2, Uint8Array.of(DIRECTIONS[direction], 0, 0, 0)]]);
}

/** When the capture began and ended, and how many packets the interface had. */
export function interfaceStatistics(
  interfaceId: number,
  beganAtNs: bigint,
  endedAtNs: bigint,
  packets: number,
): Uint8Array {
  const body = new Uint8Array(12);
  viewOf(body).setUint32(0, interfaceId, true);
  setTime(viewOf(body), 4, endedAtNs);
  const [began, ended, received] = [new Uint8Array(8), new Uint8Array(8), new Uint8Array(8)];
  setTime(viewOf(began), 0, beganAtNs);
  setTime(viewOf(ended), 0, endedAtNs);
  viewOf(received).setBigUint64(0, BigInt(packets), true);
  return block(BLOCKS.statistics, body, [
    [2, began],
    [3, ended],
    [4, received],
  ]);
}

/** The upper half comes first, in either byte order. */
function setTime(view: DataView, at: number, ns: bigint): void {
  view.setUint32(at, Number(ns >> 32n), true);
  view.setUint32(at + 4, Number(ns & 0xffff_ffffn), true);
}

function block(type: number, body: Uint8Array, options: readonly Option[]): Uint8Array {
  const encoded = [...options.map(encodeOption), new Uint8Array(4)];
  const head = new Uint8Array(8);
  const tail = new Uint8Array(4);
  const whole = concatBytes(head, body, ...encoded, tail);
  const view = viewOf(whole);
  view.setUint32(0, type, true);
  view.setUint32(4, whole.length, true);
  view.setUint32(whole.length - 4, whole.length, true);
  return whole;
}

function encodeOption([code, value]: Option): Uint8Array {
  const bytes = new Uint8Array(4 + padded(value.length));
  const view = viewOf(bytes);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  bytes.set(value, 4);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
