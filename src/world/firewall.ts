import type { Family } from '../base/address.js';
import type { Ms } from '../base/time.js';
import { DEFAULT_FLOWS, FlowTable } from './bounded.js';
import { across, type Box, type Emit, IcmpBudget, type Side } from './box.js';
import { icmpError, isIcmpError, type Packet } from './packet.js';

export interface FirewallOptions {
  /** What it looks at; packets of other families pass. */
  readonly families: readonly Family[];
  /** Who may answer what was sent out (RFC 6092 recommends `eif` for UDP; most boxes do `apdf`). */
  readonly filtering?: 'eif' | 'adf' | 'apdf';
  /** Of a flow of UDP or pings. */
  readonly lifetimeMs?: Ms;
  /** Flows; when it is full, packets of new ones are dropped. */
  readonly capacity?: number;
  /** Who sends ICMP admin-prohibited for what is not let in; without it such packets are dropped. */
  readonly rejectFrom?: string;
}

/** RFC 6092 REC-14: two minutes at least. */
const DEFAULT_LIFETIME_MS: Ms = 120_000;
/** RFC 6092 REC-35: two hours and four minutes at least. */
const TCP_LIFETIME_MS: Ms = 7_440_000;

/** A stateful firewall: what goes out opens the way back in. */
export class Firewall implements Box {
  readonly #options: FirewallOptions;
  readonly #open: FlowTable<{ readonly key: string; expiresAt: Ms }>;
  readonly #budget = new IcmpBudget();

  constructor(options: FirewallOptions) {
    this.#options = options;
    this.#open = new FlowTable(options.capacity ?? DEFAULT_FLOWS);
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    if (!this.#options.families.includes(packet.family)) emit(packet, across(from));
    else if (from === 'inside') {
      if (isIcmpError(packet) || this.#opens(this.#outboundKey(packet), packet, now)) emit(packet, 'outside');
    } else if (this.#isAnswer(packet, now)) emit(packet, 'inside');
    else this.#reject(packet, now, emit);
  }

  restart(): void {
    this.#open.clear();
  }

  #isAnswer(packet: Packet, now: Ms): boolean {
    const key = isIcmpError(packet) ? this.#outboundKey(packet.icmp.quoted) : this.#inboundKey(packet);
    return this.#open.get(key, now) !== null && (isIcmpError(packet) || this.#opens(key, packet, now));
  }

  /** Opens a flow, or keeps it open; `false`: there is no room for it. */
  #opens(key: string, { protocol }: Packet, now: Ms): boolean {
    const { lifetimeMs = DEFAULT_LIFETIME_MS } = this.#options;
    const expiresAt = now + (protocol === 'tcp' ? TCP_LIFETIME_MS : lifetimeMs);
    const flow = this.#open.get(key, now);
    if (flow) flow.expiresAt = expiresAt;
    else if (!this.#open.hasRoom(now)) return false;
    else this.#open.add({ key, expiresAt }, now);
    return true;
  }

  #reject(packet: Packet, now: Ms, emit: Emit): void {
    const { rejectFrom } = this.#options;
    const error = rejectFrom === undefined ? null : icmpError(packet, rejectFrom, 'admin-prohibited');
    if (error && this.#budget.take(error.destination, now)) emit(error, 'outside');
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
