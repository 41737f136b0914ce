import type { HostInterface } from '../base/interface.js';
import type { Host, SocketOwner } from './host.js';
import type { SocketId } from './io.js';

/**
 * The sockets of ICE's bases: one for each address of this host (RFC 8445 §5.1.1.1), and for each port that its user
 * named. Addresses come and go with their interfaces; only what changed is opened or closed.
 */
export class LocalAddresses {
  readonly #host: Host;
  readonly #owner: SocketOwner;
  readonly #ports: readonly number[];
  readonly #pin: boolean;
  /** By interface and address, the sockets that were opened there. */
  readonly #sockets = new Map<string, SocketId[]>();

  constructor(
    host: Host,
    owner: SocketOwner,
    { ports, pin }: { readonly ports: readonly number[]; readonly pin: boolean },
  ) {
    this.#host = host;
    this.#owner = owner;
    this.#ports = ports;
    this.#pin = pin;
  }

  /** Opens what is new and forgets what is gone, and gives both: sockets that are gone have still to be closed. */
  change(interfaces: readonly HostInterface[]): {
    readonly opened: readonly SocketId[];
    readonly gone: readonly SocketId[];
  } {
    const present = new Set(interfaces.flatMap((on) => on.addresses.map(({ address }) => keyOf(on, address))));
    const gone: SocketId[] = [];
    for (const [key, ids] of this.#sockets) {
      if (present.has(key)) continue;
      this.#sockets.delete(key);
      gone.push(...ids);
    }
    const opened: SocketId[] = [];
    for (const on of interfaces) {
      for (const { family, address } of on.addresses) {
        if (this.#sockets.has(keyOf(on, address))) continue;
        const ids = [0, ...this.#ports].map((port) =>
          this.#host.open(this.#owner, on, { family, address, port }, this.#pin),
        );
        this.#sockets.set(keyOf(on, address), ids);
        opened.push(...ids);
      }
    }
    return { opened, gone };
  }
}

const keyOf = ({ name }: HostInterface, address: string): string => `${name} ${address}`;

/** A port that was named goes with the same port of the far end, so that both are let through; all others as ever. */
export function portsFit(ports: readonly number[], local: number, remote: number): boolean {
  return local === remote || !(ports.includes(local) || ports.includes(remote));
}
