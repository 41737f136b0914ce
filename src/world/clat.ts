import type { Ms } from '../base/time.js';
import type { Box, Emit, Side } from './box.js';
import { convert, embed, extract, IPV6_MTU_BYTES, tooBigForIPv6, WELL_KNOWN_PREFIX } from './nat64.js';
import { isIcmpError, type Packet } from './packet.js';

export interface ClatOptions {
  /** The one IPv4 address inside; RFC 7335 keeps 192.0.0.0/29 for it. Others are dropped: a NAT before it shares it. */
  readonly inside: string;
  /** The IPv6 address that stands for it outside, nobody else's (RFC 6877 §6.3). */
  readonly outside: string;
  /** Who tells the inside that a packet is too big. */
  readonly gateway: string;
  /** The carrier's NAT64 prefix, /96. */
  readonly prefix?: string;
  /** Of the IPv6 link behind it. */
  readonly mtuBytes?: number;
}

/** Of ICMP errors from IPv6 routers, which have no IPv4 address (RFC 7600 §4.8). */
const DUMMY_ADDRESS = '192.0.0.8';

/**
 * The customer's half of 464XLAT (RFC 6877), in a phone or a modem: IPv4 becomes IPv6 towards the carrier's NAT64, and
 * back, statelessly (RFC 7915). IPv6 passes untouched.
 */
export class Clat implements Box {
  readonly #options: ClatOptions;

  constructor(options: ClatOptions) {
    this.#options = options;
  }

  handle(packet: Packet, from: Side, _now: Ms, emit: Emit): void {
    if (from === 'inside') this.#outbound(packet, emit);
    else this.#inbound(packet, emit);
  }

  #outbound(packet: Packet, emit: Emit): void {
    const { inside, outside, gateway, prefix = WELL_KNOWN_PREFIX, mtuBytes = IPV6_MTU_BYTES } = this.#options;
    if (packet.family === 'ipv6') {
      emit(packet, 'outside');
      return;
    }
    if (packet.source !== inside && !isIcmpError(packet)) return;
    const converted = convert(packet, 'ipv6', (address) => (address === inside ? outside : embed(address, prefix)));
    const error = tooBigForIPv6(packet, gateway, mtuBytes);
    if (error) emit(error, 'inside');
    else if (converted) emit(converted, 'outside');
  }

  #inbound(packet: Packet, emit: Emit): void {
    const { inside, outside, prefix = WELL_KNOWN_PREFIX } = this.#options;
    if (packet.destination !== outside) {
      emit(packet, 'inside');
      return;
    }
    // Only errors come from IPv6 hosts that have no IPv4 address: nobody inside could have sent to them.
    if (extract(packet.source, prefix) === null && !isIcmpError(packet)) return;
    const converted = convert(packet, 'ipv4', (address) =>
      address === outside ? inside : (extract(address, prefix) ?? DUMMY_ADDRESS),
    );
    if (converted) emit(converted, 'inside');
  }
}
