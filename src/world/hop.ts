import type { Family } from '../base/address.js';
import type { Ms } from '../base/time.js';
import { across, type Box, type Emit, IcmpBudget, type Side } from './box.js';
import { icmpError, type Packet } from './packet.js';
import { unattendedAnswer } from './unattended.js';

export interface HopOptions {
  /** Its own; answers to and errors of that family come from there. */
  readonly addresses: Readonly<Partial<Record<Family, string>>>;
  /** Says nothing: no time exceeded, no echo reply. */
  readonly silent?: boolean;
}

/** The routing part of a box: one off the TTL, and ICMP time exceeded where nothing is left of it (RFC 1812 §5.3.1). */
export class Hop implements Box {
  readonly #options: HopOptions;
  readonly #budget = new IcmpBudget();

  constructor(options: HopOptions) {
    this.#options = options;
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    const own = this.#options.addresses[packet.family];
    const talks = own !== undefined && this.#options.silent !== true;
    if (packet.destination === own) {
      const answer = talks ? unattendedAnswer(packet, this.#budget, now) : null;
      if (answer) emit(answer, from);
    } else if (packet.ttl > 1) emit({ ...packet, ttl: packet.ttl - 1 }, across(from));
    else if (talks) {
      const error = icmpError(packet, own, 'time-exceeded');
      if (error && this.#budget.take(error.destination, now)) emit(error, from);
    }
  }
}
