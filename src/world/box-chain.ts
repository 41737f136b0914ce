import { across, type Box, type Emit, type Side } from './box.js';
import type { Network, NetworkNode, Plug } from './network.js';
import { icmpError, type Packet } from './packet.js';

/** Boxes in a row as one node with the ports `inside` and `outside`; the first box is the customer's nearest. */
export class BoxChain implements NetworkNode {
  readonly #boxes: readonly Box[];
  readonly #emits: readonly Emit[];
  readonly #address: (packet: Packet, side: Side) => string;
  readonly #plugs = new Map<string, Plug>();
  #network: Network | null = null;

  /** `address`: who it says it is when a packet is too big for the link on that side. */
  constructor(boxes: readonly Box[], address: (packet: Packet, side: Side) => string) {
    this.#boxes = boxes;
    this.#address = address;
    this.#emits = boxes.map((_box, index) => (packet, to) => {
      this.#pass(packet, to === 'outside' ? index + 1 : index - 1, across(to));
    });
  }

  plugIn(port: string, plug: Plug, network: Network): void {
    this.#plugs.set(port, plug);
    this.#network = network;
  }

  receive(packet: Packet, port: string): void {
    if (port === 'inside') this.#pass(packet, 0, 'inside');
    else this.#pass(packet, this.#boxes.length - 1, 'outside');
  }

  /** All of them have lost what they knew. */
  restart(): void {
    for (const box of this.#boxes) box.restart?.();
  }

  #pass(packet: Packet, index: number, from: Side): void {
    const box = this.#boxes[index];
    const emit = this.#emits[index];
    if (box && emit) {
      box.handle(packet, from, this.#network?.now ?? 0, emit);
      return;
    }
    const side = across(from);
    const plug = this.#plugs.get(side);
    if (plug?.send(packet) !== 'too-big') return;
    const error = icmpError(packet, this.#address(packet, side), 'too-big', plug.mtuBytes);
    if (error) this.receive(error, side);
  }
}
