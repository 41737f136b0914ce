import { addressBytes, type Family, inPrefix } from '../base/address.js';
import { makeRoom, REMEMBERED } from './bounded.js';

/** A network: `192.0.2.0/24`, `2001:db8::/32`. */
export interface Prefix {
  readonly family: Family;
  readonly address: string;
  readonly length: number;
}

/** An address alone is a network of one. Throws `RangeError` on anything else. */
export function parsePrefix(text: string): Prefix {
  const [address = '', digits] = text.split('/');
  const bits = addressBytes(address).length * 8;
  const length = digits === undefined ? bits : Number(digits);
  if (!Number.isInteger(length) || length < 0 || length > bits) throw new RangeError(`not a network: ${text}`);
  return { family: bits === 32 ? 'ipv4' : 'ipv6', address, length };
}

export function contains({ address, length }: Prefix, candidate: string): boolean {
  return inPrefix(candidate, address, length);
}

/** Whether an address is in one of several networks, remembering the answers: a network has few addresses. */
export class PrefixSet {
  readonly #prefixes: readonly Prefix[];
  readonly #known = new Map<string, boolean>();

  constructor(networks: readonly string[]) {
    this.#prefixes = networks.map(parsePrefix);
  }

  has(address: string): boolean {
    let known = this.#known.get(address);
    if (known === undefined) {
      known = this.#prefixes.some((prefix) => contains(prefix, address));
      makeRoom(this.#known, REMEMBERED);
      this.#known.set(address, known);
    }
    return known;
  }
}
