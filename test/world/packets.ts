import { parseTransportAddress } from '../../src/base/address.js';
import type { Ms } from '../../src/base/time.js';
import type { Box, Side } from '../../src/world/box.js';
import { type Packet, udpPacket } from '../../src/world/packet.js';

/** `udp('10.0.0.2:5000', '192.0.2.1:3478', …)`. */
export function udp(from: string, to: string, payload: Uint8Array | number = 8, ttl?: number): Packet {
  const bytes = typeof payload === 'number' ? new Uint8Array(payload).fill(0x61) : payload;
  return udpPacket(parseTransportAddress(from), parseTransportAddress(to), bytes, ttl);
}

export function source({ source: address, sourcePort }: Packet): string {
  return `${address}:${sourcePort}`;
}

export function destination({ destination: address, destinationPort }: Packet): string {
  return `${address}:${destinationPort}`;
}

/** What comes out of a box for one packet. */
export function through(box: Box, packet: Packet, from: Side, now: Ms = 0): { packet: Packet; to: Side }[] {
  const out: { packet: Packet; to: Side }[] = [];
  box.handle(packet, from, now, (emitted, to) => out.push({ packet: emitted, to }));
  return out;
}

/** The one packet that comes out on the far side; `null`: none does. */
export function across(box: Box, packet: Packet, from: Side, now: Ms = 0): Packet | null {
  const to = from === 'inside' ? 'outside' : 'inside';
  return through(box, packet, from, now).find((one) => one.to === to)?.packet ?? null;
}

export function present<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('there is none');
  return value;
}
