import { concatBytes } from '../../base/bytes.js';

/** The vectors of RFC 8446 §3.4: bytes behind their length. */

export function uint8(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

export function uint16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

export function uint24(value: number): Uint8Array {
  return Uint8Array.of(value >> 16, (value >> 8) & 0xff, value & 0xff);
}

export function vector8(...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  if (content.length > 0xff) throw new RangeError('too long for a TLS vector');
  return concatBytes(uint8(content.length), content);
}

export function vector16(...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  if (content.length > 0xffff) throw new RangeError('too long for a TLS vector');
  return concatBytes(uint16(content.length), content);
}

export function vector24(...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  return concatBytes(uint24(content.length), content);
}

export function extension(type: number, ...value: readonly Uint8Array[]): Uint8Array {
  return concatBytes(uint16(type), vector16(...value));
}

/** A handshake message with its header (RFC 8446 §4). */
export function message(type: number, ...body: readonly Uint8Array[]): Uint8Array {
  return concatBytes(uint8(type), vector24(...body));
}
