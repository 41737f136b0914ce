import type { NetworkNode, Plug } from './network.js';
import type { Packet } from './packet.js';

/** The port towards the carrier. */
export const UPSTREAM = 'upstream';

/** What several hosts are plugged in at before one carrier: a WiFi, a switch, the radio of a cell. No hop of its own. */
export class AccessPoint implements NetworkNode {
  readonly #portOf: ReadonlyMap<string, string>;
  readonly #isolates: boolean;
  readonly #plugs = new Map<string, Plug>();

  /** `portOf`: by the hosts' addresses. `isolates`: what one host sends to another's address is dropped. */
  constructor(portOf: ReadonlyMap<string, string>, isolates: boolean) {
    this.#portOf = portOf;
    this.#isolates = isolates;
  }

  plugIn(port: string, plug: Plug): void {
    this.#plugs.set(port, plug);
  }

  receive(packet: Packet, port: string): void {
    const neighbour = this.#portOf.get(packet.destination);
    if (port === UPSTREAM) {
      if (neighbour !== undefined) this.#plugs.get(neighbour)?.send(packet);
    } else if (neighbour === undefined) this.#plugs.get(UPSTREAM)?.send(packet);
    else if (!this.#isolates) this.#plugs.get(neighbour)?.send(packet);
  }
}
