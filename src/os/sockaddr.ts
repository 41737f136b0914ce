import { addressBytes, formatAddressBytes, transportAddress } from '../base/address.js';
import type { Family, TransportAddress } from '../base/address.js';
import { viewOf } from '../base/bytes.js';

export const AF_INET = 2;
export const AF_INET6 = 10;
/** The length of `struct sockaddr_in6`, the longer of the two. */
export const SOCKADDR_BYTES = 28;
const SOCKADDR_IN_BYTES = 16;

export function addressFamily(family: Family): number {
  return family === 'ipv4' ? AF_INET : AF_INET6;
}

/** `struct sockaddr_in` or `sockaddr_in6` as Linux has them on little-endian machines. */
export function encodeSockaddr({ family, address, port }: TransportAddress): Uint8Array {
  const bytes = new Uint8Array(family === 'ipv4' ? SOCKADDR_IN_BYTES : SOCKADDR_BYTES);
  const view = viewOf(bytes);
  view.setUint16(0, addressFamily(family), true);
  view.setUint16(2, port);
  bytes.set(addressBytes(address), family === 'ipv4' ? 4 : 8);
  return bytes;
}

/** `null` when `bytes` holds no IP address. */
export function decodeSockaddr(bytes: Uint8Array): TransportAddress | null {
  if (bytes.length < 8) return null;
  const view = viewOf(bytes);
  const port = view.getUint16(2);
  switch (view.getUint16(0, true)) {
    case AF_INET:
      return transportAddress(formatAddressBytes(bytes.subarray(4, 8)), port);
    case AF_INET6:
      return bytes.length < 24 ? null : transportAddress(formatAddressBytes(bytes.subarray(8, 24)), port);
    default:
      return null;
  }
}
