import { setUint16, uint16At } from '../base/bytes.js';

/** The channels that RFC 8656 §12 lets a client bind; 0x5000–0x7fff are reserved, and a far end may not use them. */
export const FIRST_CHANNEL = 0x4000;
export const LAST_CHANNEL = 0x4fff;

const HEADER_BYTES = 4;

export interface ChannelData {
  readonly channel: number;
  /** A view on the datagram. */
  readonly data: Uint8Array;
}

/**
 * RFC 8656 §12.4, over UDP and so without padding. Throws `RangeError` on a channel that no client can have bound, and
 * on data of more than 65 535 bytes.
 */
export function encodeChannelData({ channel, data }: ChannelData): Uint8Array {
  if (!isChannel(channel)) throw new RangeError(`not a channel: ${channel}`);
  if (data.length > 0xffff) throw new RangeError('too long for ChannelData');
  const bytes = new Uint8Array(HEADER_BYTES + data.length);
  setUint16(bytes, 0, channel);
  setUint16(bytes, 2, data.length);
  bytes.set(data, HEADER_BYTES);
  return bytes;
}

/** `null` for what is no ChannelData message. Up to three bytes of padding may follow the data, even over UDP (§12.5). */
export function decodeChannelData(bytes: Uint8Array): ChannelData | null {
  if (bytes.length < HEADER_BYTES) return null;
  const channel = uint16At(bytes, 0);
  const length = uint16At(bytes, 2);
  const rest = bytes.length - HEADER_BYTES - length;
  if (!isChannel(channel) || rest < 0 || rest > 3) return null;
  return { channel, data: bytes.subarray(HEADER_BYTES, HEADER_BYTES + length) };
}

function isChannel(channel: number): boolean {
  return Number.isInteger(channel) && channel >= FIRST_CHANNEL && channel <= LAST_CHANNEL;
}
