import { concatBytes } from '../../src/base/bytes.js';

/** A UDP datagram of a capture; `frame` counts from 1, as tshark does. */
export interface CapturedDatagram {
  readonly frame: number;
  readonly payload: Uint8Array;
}

const ETHERNET = 1;
const RAW_IP = 101;

/** UDP over IPv4 in a little-endian pcap file of Ethernet frames; everything else in it is passed over. */
export function readPcap(file: Uint8Array): CapturedDatagram[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0, true) !== 0xa1b2c3d4 || view.getUint32(20, true) !== ETHERNET)
    throw new Error('not such a pcap');
  const datagrams: CapturedDatagram[] = [];
  let frame = 1;
  for (let offset = 24; offset + 16 <= file.length; frame += 1) {
    const length = view.getUint32(offset + 8, true);
    const payload = udpPayload(file.subarray(offset + 16, offset + 16 + length));
    if (payload) datagrams.push({ frame, payload });
    offset += 16 + length;
  }
  return datagrams;
}

function udpPayload(frame: Uint8Array): Uint8Array | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 42 || view.getUint16(12) !== 0x0800 || frame[14 + 9] !== 17) return null;
  const udp = 14 + ((frame[14] ?? 0) % 16) * 4;
  return frame.subarray(udp + 8, udp + view.getUint16(udp + 4));
}

/** A pcap file of raw IPv4 packets, one a payload, all from port `port` to port `port`. */
export function writePcap(payloads: readonly Uint8Array[], port: number): Uint8Array {
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 65535, true);
  view.setUint32(20, RAW_IP, true);
  return concatBytes(header, ...payloads.map((payload) => packetRecord(payload, port)));
}

function packetRecord(payload: Uint8Array, port: number): Uint8Array {
  const head = new Uint8Array(16 + 20 + 8);
  const view = new DataView(head.buffer);
  const length = 28 + payload.length;
  view.setUint32(8, length, true);
  view.setUint32(12, length, true);
  head.set([0x45, 0, length >> 8, length & 0xff, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2], 16);
  view.setUint16(36, port);
  view.setUint16(38, port);
  view.setUint16(40, 8 + payload.length);
  return concatBytes(head, payload);
}
