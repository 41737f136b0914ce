import type { Family } from '../base/address.js';
import { viewOf } from '../base/bytes.js';
import { TCP_FLAGS, type TcpHeader } from './packet.js';

export interface TcpSegment {
  readonly header: TcpHeader;
  readonly payload: Uint8Array;
}

const NOTHING = new Uint8Array(0);
/** RFC 9293 §3.7.1: whoever says nothing takes this. */
export const DEFAULT_MSS_BYTES: Readonly<Record<Family, number>> = { ipv4: 536, ipv6: 1220 };
/** What a hostile far end may talk us down to (Linux, `tcp_min_snd_mss`). */
export const LEAST_MSS_BYTES = 48;
const OPTION = { end: 0, nothing: 1, mss: 2 } as const;

export function has({ flags }: TcpHeader, flag: keyof typeof TCP_FLAGS): boolean {
  return (flags & TCP_FLAGS[flag]) !== 0;
}

/** The flags of that name, or-ed. */
export function flagsOf(...names: readonly (keyof typeof TCP_FLAGS)[]): number {
  return names.reduce((flags, name) => flags | TCP_FLAGS[name], 0);
}

export function mssOption(mssBytes: number): Uint8Array {
  return Uint8Array.of(OPTION.mss, 4, mssBytes >> 8, mssBytes & 0xff);
}

/** The maximum segment size among the options; `null`: none is said. */
export function mssOf({ options }: TcpHeader): number | null {
  for (let at = 0; at < options.length;) {
    const kind = options[at];
    if (kind === OPTION.end) return null;
    const length = kind === OPTION.nothing ? 1 : (options[at + 1] ?? 0);
    if (length === 0 || at + length > options.length) return null;
    if (kind === OPTION.mss && length === 4) return viewOf(options).getUint16(at + 2);
    at += length;
  }
  return null;
}

/**
 * Within a connection bytes are counted from the initial sequence number on, which is that of the SYN: offset 0. So
 * nothing ever wraps around but what is on the wire. The offset meant is the one nearest to `near`.
 */
export function offsetOf(sequence: number, initial: number, near: number): number {
  return near + ((sequence - ((initial + near) >>> 0)) | 0);
}

export function sequenceOf(offset: number, initial: number): number {
  return (initial + offset) >>> 0;
}

/** What a segment takes of the sequence space: SYN and FIN count as a byte (RFC 9293 §3.4). */
export function lengthOf({ header, payload }: TcpSegment): number {
  return payload.length + (has(header, 'syn') ? 1 : 0) + (has(header, 'fin') ? 1 : 0);
}

/** The reset that answers a segment that belongs to no connection (RFC 9293 §3.10.7.1); `null`: none does. */
export function resetFor(segment: TcpSegment): TcpSegment | null {
  const { header } = segment;
  if (has(header, 'rst')) return null;
  const reset = { window: 0, options: NOTHING };
  if (has(header, 'ack')) {
    return {
      header: { ...reset, sequence: header.acknowledgment, acknowledgment: 0, flags: flagsOf('rst') },
      payload: NOTHING,
    };
  }
  const acknowledgment = sequenceOf(lengthOf(segment), header.sequence);
  return { header: { ...reset, sequence: 0, acknowledgment, flags: flagsOf('rst', 'ack') }, payload: NOTHING };
}
