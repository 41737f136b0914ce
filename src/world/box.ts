import type { Ms } from '../base/time.js';
import type { Packet } from './packet.js';

/** Of a box on a way: its customers, or the rest of the world. */
export type Side = 'inside' | 'outside';

export function across(side: Side): Side {
  return side === 'inside' ? 'outside' : 'inside';
}

/** Lets a packet leave a box on that side. */
export type Emit = (packet: Packet, to: Side) => void;

/** Something between two sides: a NAT, a firewall, a filter, a hop. What it does not emit is dropped. */
export interface Box {
  /** Takes a packet that came in on side `from`. */
  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void;
}

/** How often Linux sends ICMP errors to one destination: 1 a second, 6 at once (`icmp_ratelimit`). */
const ERRORS = { everyMs: 1000, burst: 6 } as const;

/** Keeps a box from sending more ICMP errors to one destination than a kernel does. */
export class IcmpBudget {
  readonly #credit = new Map<string, { tokens: number; at: Ms }>();

  take(destination: string, now: Ms): boolean {
    const credit = this.#credit.get(destination) ?? { tokens: ERRORS.burst, at: now };
    this.#credit.set(destination, credit);
    credit.tokens = Math.min(ERRORS.burst, credit.tokens + (now - credit.at) / ERRORS.everyMs);
    credit.at = now;
    if (credit.tokens < 1) return false;
    credit.tokens -= 1;
    return true;
  }
}
