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
  /** By interface and address: the sockets that were opened there, and how one more is. */
  readonly #sockets = new Map<string, { ids: readonly SocketId[]; readonly open: (port: number) => SocketId }>();

  constructor(
    host: Host,
    owner: SocketOwner,
    /** `port`: of the socket that each address has in any case; any, where left out. */
    { port = 0, ports, pin }: { readonly port?: number; readonly ports: readonly number[]; readonly pin: boolean },
  ) {
    this.#host = host;
    this.#owner = owner;
    this.#ports = [port, ...ports];
    this.#pin = pin;
  }

  /** Opens what is new and forgets what is gone, and gives both: sockets that are gone have still to be closed. */
  change(interfaces: readonly HostInterface[]): {
    readonly opened: readonly SocketId[];
    readonly gone: readonly SocketId[];
  } {
    const present = new Set(interfaces.flatMap((on) => on.addresses.map(({ address }) => keyOf(on, address))));
    const gone: SocketId[] = [];
    for (const [key, { ids }] of this.#sockets) {
      if (present.has(key)) continue;
      this.#sockets.delete(key);
      gone.push(...ids);
    }
    const opened: SocketId[] = [];
    for (const on of interfaces) {
      for (const { family, address } of on.addresses) {
        if (this.#sockets.has(keyOf(on, address))) continue;
        const open = (port: number): SocketId => this.#host.open(this.#owner, on, { family, address, port }, this.#pin);
        const ids = this.#ports.map(open);
        this.#sockets.set(keyOf(on, address), { ids, open });
        opened.push(...ids);
      }
    }
    return { opened, gone };
  }

  /** A socket at any port in place of one whose port somebody else has there. */
  instead(id: SocketId): SocketId | null {
    const there = [...this.#sockets.values()].find(({ ids }) => ids.includes(id));
    if (!there) return null;
    const other = there.open(0);
    there.ids = there.ids.map((one) => (one === id ? other : one));
    return other;
  }
}

const keyOf = ({ name }: HostInterface, address: string): string => `${name} ${address}`;

/** A port that was named goes with the same port of the far end, so that both are let through; all others as ever. */
export function portsFit(ports: readonly number[], local: number, remote: number): boolean {
  return local === remote || !(ports.includes(local) || ports.includes(remote));
}
