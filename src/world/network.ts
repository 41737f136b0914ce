import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { EventQueue } from './event-queue.js';
import { type Fate, Link, type LinkOptions } from './link.js';
import type { Packet } from './packet.js';

/** Where a node is plugged in: what leaves it there, and what it learns of that. */
export interface Plug {
  send(packet: Packet): Fate;
  readonly mtuBytes: number;
  /** Whether the link carries. */
  readonly up: boolean;
}

/** Something with ports. */
export interface NetworkNode {
  /** Called once for each port that is wired. */
  plugIn(port: string, plug: Plug, network: Network): void;
  receive(packet: Packet, port: string): void;
}

/** One end of a link. */
export interface Place {
  readonly node: NetworkNode;
  readonly port: string;
}

/** What a tap at a port sees; `sent` leaves the node, `received` comes to it. */
export type Tap = (packet: Packet, direction: 'sent' | 'received', now: Ms) => void;

export interface Cable {
  /** From the first end to the second, and back. */
  readonly there: Link;
  readonly back: Link;
  setUp(up: boolean): void;
}

interface End {
  readonly place: Place;
  readonly out: Link;
  readonly taps: Tap[];
}

/** Nodes, the links between them, and the clock. */
export class Network {
  now: Ms = 0;
  /** Packets that arrived somewhere: what a bench counts. */
  arrivals = 0;
  readonly #events = new EventQueue();
  readonly #random: Random;
  readonly #ends: End[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  connect(first: Place, second: Place, there: LinkOptions = {}, back: LinkOptions = there): Cable {
    const near: End = { place: first, out: new Link(there, this.#random), taps: [] };
    const far: End = { place: second, out: new Link(back, this.#random), taps: [] };
    this.#ends.push(near, far);
    first.node.plugIn(first.port, this.#plug(near, far), this);
    second.node.plugIn(second.port, this.#plug(far, near), this);
    return {
      there: near.out,
      back: far.out,
      setUp: (up) => {
        near.out.up = up;
        far.out.up = up;
      },
    };
  }

  /** Shows everything that leaves and reaches the node there. Throws `RangeError` where nothing is wired. */
  tap({ node, port }: Place, tap: Tap): void {
    const end = this.#ends.find(({ place }) => place.node === node && place.port === port);
    if (!end) throw new RangeError(`nothing is wired at ${port}`);
    end.taps.push(tap);
  }

  at(time: Ms, run: () => void): void {
    this.#events.push(Math.max(time, this.now), run);
  }

  after(ms: Ms, run: () => void): void {
    this.at(this.now + ms, run);
  }

  /** When something is due; `Infinity`: nothing is. */
  get nextAt(): Ms {
    return this.#events.nextAt;
  }

  /** Runs what is due up to `time`, included, or until `done` says so; the clock then stands there, or where it was done. */
  runUntil(time: Ms, done: () => boolean = () => false): void {
    while (this.#events.nextAt <= time) {
      const event = this.#events.pop();
      if (!event) break;
      this.now = event.at;
      event.run();
      if (done()) return;
    }
    if (time !== Number.POSITIVE_INFINITY) this.now = Math.max(this.now, time);
  }

  #plug(from: End, to: End): Plug {
    const { node, port } = to.place;
    const deliver = (packet: Packet): void => {
      this.arrivals += 1;
      for (const tap of to.taps) tap(packet, 'received', this.now);
      node.receive(packet, port);
    };
    return {
      send: (packet) => {
        for (const tap of from.taps) tap(packet, 'sent', this.now);
        return from.out.transmit(packet, this.now, (at) => {
          this.#events.push(at, () => {
            deliver(packet);
          });
        });
      },
      get mtuBytes() {
        return from.out.mtuBytes;
      },
      get up() {
        return from.out.up;
      },
    };
  }
}
