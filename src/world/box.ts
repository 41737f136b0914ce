import type { Ms } from '../base/time.js';
import { makeRoom, REMEMBERED } from './bounded.js';
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
  /** It has been started again: a NAT knows no mapping any more, a firewall no flow. */
  restart?(): void;
}

/** How often Linux sends ICMP errors to one destination: 6 at once, then at this pace (`icmp_ratelimit`, kernel 6.18). */
const ERRORS = { everyMs: { ipv4: 1000, ipv6: 100 }, burst: 6 } as const;

/** Keeps a box from sending more ICMP errors to one destination than a kernel does. */
export class IcmpBudget {
  readonly #credit = new Map<string, { tokens: number; at: Ms }>();

  take(destination: string, now: Ms): boolean {
    let credit = this.#credit.get(destination);
    if (!credit) {
      makeRoom(this.#credit, REMEMBERED);
      credit = { tokens: ERRORS.burst, at: now };
      this.#credit.set(destination, credit);
    }
    const everyMs = ERRORS.everyMs[destination.includes(':') ? 'ipv6' : 'ipv4'];
    credit.tokens = Math.min(ERRORS.burst, credit.tokens + (now - credit.at) / everyMs);
    credit.at = now;
    if (credit.tokens < 1) return false;
    credit.tokens -= 1;
    return true;
  }
}
