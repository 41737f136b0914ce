import { fraction, type Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import type { Packet } from './packet.js';

/** One direction of a link. */
export interface LinkOptions {
  readonly delayMs?: Ms;
  /** Up to so much more, uniformly, for each packet. */
  readonly jitterMs?: Ms;
  /** Whether jitter may put packets out of order; else a late one holds up those behind it. */
  readonly reorders?: boolean;
  /** Bits a second; without it packets take no time to send and there is no queue. */
  readonly rateBps?: number;
  /** What may wait to be sent, the packet under way included; more is dropped at the tail. */
  readonly queueBytes?: number;
  readonly mtuBytes?: number;
  /** Share of packets that are lost, each on its own. */
  readonly loss?: number;
  /** Gilbert–Elliott on the clock: for `loss` of the time, `burstMs` on average, everything is lost. */
  readonly bursts?: { readonly loss: number; readonly burstMs: Ms };
  /** Share of packets that arrive twice. */
  readonly duplicates?: number;
}

/** What became of a packet that was given to a link; only `sent` ones may arrive. */
export type Fate = 'sent' | 'lost' | 'queue-full' | 'too-big' | 'down';

const DEFAULT_QUEUE_BYTES = 256 * 1024;

/** One direction of a link: when packets arrive at its other end, and which do not. */
export class Link {
  /** Down: everything that is given to it is dropped; what is under way arrives. */
  up = true;
  readonly counts: Record<Fate, number> = { sent: 0, lost: 0, 'queue-full': 0, 'too-big': 0, down: 0 };
  #options: LinkOptions;
  readonly #random: Random;
  #bursts: Bursts | null;
  /** When the last byte of what was taken has been sent. */
  #busyUntil: Ms = 0;
  #lastArrival: Ms = 0;

  constructor(options: LinkOptions, random: Random) {
    this.#options = options;
    this.#random = random;
    this.#bursts = options.bursts ? new Bursts(options.bursts, random) : null;
  }

  get mtuBytes(): number {
    return this.#options.mtuBytes ?? Number.POSITIVE_INFINITY;
  }

  /** From now on: a modem that moves to a worse cell. */
  change(options: LinkOptions): void {
    this.#options = options;
    this.#bursts = options.bursts ? new Bursts(options.bursts, this.#random) : null;
  }

  /** Takes a packet at `now`; calls `arrive` with the time of each of its arrivals. */
  transmit(packet: Packet, now: Ms, arrive: (at: Ms) => void): Fate {
    const fate = this.#transmit(packet.sizeBytes, now, arrive);
    this.counts[fate] += 1;
    return fate;
  }

  #transmit(sizeBytes: number, now: Ms, arrive: (at: Ms) => void): Fate {
    const { rateBps, queueBytes = DEFAULT_QUEUE_BYTES, loss = 0, duplicates = 0 } = this.#options;
    if (!this.up) return 'down';
    if (sizeBytes > this.mtuBytes) return 'too-big';
    let left = now;
    if (rateBps !== undefined) {
      const begins = Math.max(now, this.#busyUntil);
      const waitingBytes = ((begins - now) * rateBps) / 8000;
      if (waitingBytes + sizeBytes > queueBytes) return 'queue-full';
      left = begins + (sizeBytes * 8000) / rateBps;
      this.#busyUntil = left;
    }
    if (this.#bursts?.isLost(left) === true || (loss > 0 && fraction(this.#random) < loss)) return 'lost';
    this.#arrive(left, arrive);
    if (duplicates > 0 && fraction(this.#random) < duplicates) this.#arrive(left, arrive);
    return 'sent';
  }

  #arrive(left: Ms, arrive: (at: Ms) => void): void {
    const { delayMs = 0, jitterMs = 0, reorders = false } = this.#options;
    let at = left + delayMs + (jitterMs > 0 ? fraction(this.#random) * jitterMs : 0);
    if (!reorders) at = Math.max(at, this.#lastArrival);
    this.#lastArrival = at;
    arrive(at);
  }
}

/** Good and bad in turns, each for an exponentially distributed time; it begins as it is on average. */
class Bursts {
  readonly #random: Random;
  readonly #meanMs: Readonly<Record<'good' | 'bad', Ms>>;
  #bad: boolean;
  #until: Ms | null = null;

  constructor({ loss, burstMs }: NonNullable<LinkOptions['bursts']>, random: Random) {
    this.#random = random;
    this.#meanMs = { good: (burstMs * (1 - loss)) / loss, bad: burstMs };
    this.#bad = fraction(random) < loss;
  }

  isLost(now: Ms): boolean {
    this.#until ??= now + this.#stay();
    while (this.#until <= now) {
      this.#bad = !this.#bad;
      this.#until += this.#stay();
    }
    return this.#bad;
  }

  #stay(): Ms {
    return -Math.log(1 - fraction(this.#random)) * this.#meanMs[this.#bad ? 'bad' : 'good'];
  }
}
