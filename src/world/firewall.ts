import type { Family } from '../base/address.js';
import type { Ms } from '../base/time.js';
import { across, type Box, type Emit, type Side } from './box.js';
import { icmpError, isIcmpError, type Packet } from './packet.js';

export interface FirewallOptions {
  /** What it looks at; packets of other families pass. */
  readonly families: readonly Family[];
  /** Who may answer what was sent out (RFC 6092 recommends `eif` for UDP; most boxes do `apdf`). */
  readonly filtering?: 'eif' | 'adf' | 'apdf';
  readonly lifetimeMs?: Ms;
  /** Who sends ICMP admin-prohibited for what is not let in; without it such packets are dropped. */
  readonly rejectFrom?: string;
}

/** RFC 6092 REC-14: two minutes at least. */
const DEFAULT_LIFETIME_MS: Ms = 120_000;

/** A stateful firewall: what goes out opens the way back in. */
export class Firewall implements Box {
  readonly #options: FirewallOptions;
  readonly #openUntil = new Map<string, Ms>();

  constructor(options: FirewallOptions) {
    this.#options = options;
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    if (!this.#options.families.includes(packet.family)) emit(packet, across(from));
    else if (from === 'inside') {
      if (!isIcmpError(packet)) this.#open(this.#outboundKey(packet), now);
      emit(packet, 'outside');
    } else if (this.#isAnswer(packet, now)) emit(packet, 'inside');
    else this.#reject(packet, emit);
  }

  #isAnswer(packet: Packet, now: Ms): boolean {
    const key = isIcmpError(packet) ? this.#outboundKey(packet.icmp.quoted) : this.#inboundKey(packet);
    if ((this.#openUntil.get(key) ?? 0) <= now) return false;
    if (!isIcmpError(packet)) this.#open(key, now);
    return true;
  }

  #open(key: string, now: Ms): void {
    this.#openUntil.set(key, now + (this.#options.lifetimeMs ?? DEFAULT_LIFETIME_MS));
  }

  #reject(packet: Packet, emit: Emit): void {
    const { rejectFrom } = this.#options;
    const error = rejectFrom === undefined ? null : icmpError(packet, rejectFrom, 'admin-prohibited');
    if (error) emit(error, 'outside');
  }

  #outboundKey({ protocol, source, sourcePort, destination, destinationPort }: Packet): string {
    return this.#key(protocol, source, sourcePort, destination, destinationPort);
  }

  #inboundKey({ protocol, source, sourcePort, destination, destinationPort }: Packet): string {
    return this.#key(protocol, destination, destinationPort, source, sourcePort);
  }

  #key(protocol: string, inside: string, insidePort: number, remote: string, remotePort: number): string {
    const own = `${protocol} ${inside} ${insidePort}`;
    switch (this.#options.filtering ?? 'apdf') {
      case 'eif':
        return own;
      case 'adf':
        return `${own} ${remote}`;
      case 'apdf':
        return `${own} ${remote} ${remotePort}`;
    }
  }
}
