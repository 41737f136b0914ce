import type { Ms } from '../../base/time.js';

/** What is remembered of a packet until it is acknowledged or lost (RFC 9002 A.1.1). */
export interface SentPacket<Content = unknown> {
  readonly packetNumber: number;
  readonly sentAt: Ms;
  /** The packet with its protection, without UDP and IP. */
  readonly bytes: number;
  readonly isAckEliciting: boolean;
  /** Counts towards bytes in flight: it has more in it than an ACK. */
  readonly inFlight: boolean;
  /** Sent with ECT(0). */
  readonly isMarked: boolean;
  /** A probe for the path's MTU, of this size: its loss says nothing about congestion (RFC 9000 §14.4). */
  readonly mtuProbe: boolean;
  /** What was in it, for who sent it: comes back when the packet is acknowledged or lost. */
  readonly content: Content;
}

/** Packets by their number, which only grows: finding, adding at the end and removing take constant time. */
export class SentPackets<Content> {
  #packets: (SentPacket<Content> | undefined)[] = [];
  /** The number of the packet at index 0. */
  #base = 0;
  /** Nothing is left below this index. */
  #head = 0;
  #count = 0;

  get size(): number {
    return this.#count;
  }

  add(packet: SentPacket<Content>): void {
    if (this.#count === 0) {
      this.#packets = [];
      this.#head = 0;
      this.#base = packet.packetNumber;
    }
    const index = packet.packetNumber - this.#base;
    while (this.#packets.length < index) this.#packets.push(undefined);
    this.#packets.push(packet);
    this.#count += 1;
  }

  take(packetNumber: number): SentPacket<Content> | undefined {
    const index = packetNumber - this.#base;
    const packet = this.#packets[index];
    if (packet === undefined) return undefined;
    this.#packets[index] = undefined;
    this.#count -= 1;
    this.#trim();
    return packet;
  }

  /** Takes those of {@link between} out, to the end of `into`. */
  takeBetween(smallest: number, largest: number, into: SentPacket<Content>[]): void {
    const packets = this.#packets;
    const to = Math.min(packets.length - 1, largest - this.#base);
    for (let index = Math.max(this.#head, smallest - this.#base); index <= to; index += 1) {
      const packet = packets[index];
      if (packet === undefined) continue;
      packets[index] = undefined;
      this.#count -= 1;
      into.push(packet);
    }
    this.#trim();
  }

  get first(): SentPacket<Content> | undefined {
    return this.#packets[this.#head];
  }

  /** Those with numbers from `smallest` to `largest`, in order. However wide the range, only what is there is looked at. */
  *between(smallest: number, largest: number): Generator<SentPacket<Content>> {
    const from = Math.max(this.#head, smallest - this.#base);
    const to = Math.min(this.#packets.length - 1, largest - this.#base);
    const packets = this.#packets;
    for (let index = from; index <= to; index += 1) {
      const packet = packets[index];
      if (packet !== undefined) yield packet;
    }
  }

  clear(): SentPacket<Content>[] {
    const all = [...this.between(this.#base, Infinity)];
    this.#packets = [];
    this.#head = 0;
    this.#count = 0;
    return all;
  }

  /** Gives memory back where half of what is kept is gone. */
  #trim(): void {
    while (this.#head < this.#packets.length && this.#packets[this.#head] === undefined) this.#head += 1;
    if (this.#head < 64 || this.#head * 2 < this.#packets.length) return;
    this.#packets = this.#packets.slice(this.#head);
    this.#base += this.#head;
    this.#head = 0;
  }
}
