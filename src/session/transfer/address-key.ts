import { formatTransportAddress, type TransportAddress } from '../../base/address.js';

const keys = new WeakMap<TransportAddress, string>();

/** An address as a key of a map. It is asked for with each packet, and of the same few objects: each is written once. */
export function addressKey(address: TransportAddress): string {
  const known = keys.get(address);
  if (known !== undefined) return known;
  const key = formatTransportAddress(address);
  keys.set(address, key);
  return key;
}
