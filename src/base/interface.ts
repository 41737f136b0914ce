import type { Family } from './address.js';

/** What carries an interface. The user's label wins over what the machine says (a phone on WiFi is a WiFi uplink). */
export const INTERFACE_KINDS = ['ethernet', 'wifi', 'cellular', 'tethered', 'loopback', 'other'] as const;
export type InterfaceKind = (typeof INTERFACE_KINDS)[number];

export interface InterfaceAddress {
  readonly family: Family;
  readonly address: string;
  readonly prefixLength: number;
}

/** An interface as one run sees it. `label` is the user's word for the carrier behind it ("o2"), or its name. */
export interface HostInterface {
  readonly name: string;
  readonly kind: InterfaceKind;
  readonly label: string;
  readonly addresses: readonly InterfaceAddress[];
  /** An interface with IPv6 alone: the prefix (RFC 6052) behind which its network may translate to IPv4. */
  readonly nat64?: Nat64Prefix;
}

export interface Nat64Prefix {
  /** `64:ff9b::/96`. */
  readonly prefix: string;
  /** Told by a resolver (RFC 7050), or tried because many networks have it. */
  readonly source: 'dns' | 'well-known';
}
