import type { Family } from '../base/address.js';
import { makeRoom, REMEMBERED } from './bounded.js';
import { IcmpBudget } from './box.js';
import type { Network, NetworkNode, Plug } from './network.js';
import { echoReply, icmpError, type IcmpErrorName, isEchoRequest, type Packet } from './packet.js';
import { contains, parsePrefix, type Prefix } from './prefix.js';

export interface RouterRoute {
  /** `0.0.0.0/0`, `192.0.2.0/24`, `2001:db8::1` … The longest that matches decides. */
  readonly to: string;
  /** A port; several share the flows between them (ECMP); `blackhole` drops, `unreachable` drops and says so. */
  readonly via: string | readonly string[] | { readonly discard: 'blackhole' | 'unreachable' };
}

export interface RouterOptions {
  /** Its own; it answers pings to them, and ICMP errors come from there. */
  readonly addresses: Readonly<Partial<Record<Family, string>>>;
  readonly routes: readonly RouterRoute[];
  /** Says nothing. */
  readonly silent?: boolean;
  /** Whether it is a switch: the TTL stays as it is. */
  readonly keepsTtl?: boolean;
}

type Via = RouterRoute['via'];

/** Static routes over any number of ports. */
export class Router implements NetworkNode {
  readonly #options: RouterOptions;
  readonly #routes: { readonly prefix: Prefix; readonly via: Via }[];
  /** Routes do not change: what was found for an address holds. */
  readonly #found = new Map<string, Via | null>();
  readonly #plugs = new Map<string, Plug>();
  readonly #budget = new IcmpBudget();
  #network: Network | null = null;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#routes = options.routes.map(({ to, via }) => ({ prefix: parsePrefix(to), via }));
  }

  /** A port that is wired later brings its routes along. */
  addRoute({ to, via }: RouterRoute): void {
    this.#routes.push({ prefix: parsePrefix(to), via });
    this.#found.clear();
  }

  plugIn(port: string, plug: Plug, network: Network): void {
    this.#plugs.set(port, plug);
    this.#network = network;
  }

  receive(packet: Packet): void {
    const own = this.#options.addresses[packet.family];
    if (packet.destination === own) {
      if (isEchoRequest(packet) && this.#options.silent !== true) this.#forward(echoReply(packet));
      return;
    }
    if (this.#options.keepsTtl === true) this.#forward(packet);
    else if (packet.ttl > 1) this.#forward({ ...packet, ttl: packet.ttl - 1 });
    else this.#tell(packet, 'time-exceeded');
  }

  #forward(packet: Packet): void {
    const via = this.#route(packet.destination);
    if (via === null) this.#tell(packet, 'no-route');
    else if (typeof via === 'string') this.#send(packet, via);
    else if ('discard' in via) {
      if (via.discard === 'unreachable') this.#tell(packet, 'host-unreachable');
    } else this.#send(packet, via[flowHash(packet) % via.length] ?? '');
  }

  #send(packet: Packet, port: string): void {
    const plug = this.#plugs.get(port);
    if (plug?.send(packet) === 'too-big') this.#tell(packet, 'too-big', plug.mtuBytes);
  }

  #tell(about: Packet, what: IcmpErrorName, mtuBytes: number | null = null): void {
    const own = this.#options.addresses[about.family];
    if (own === undefined || this.#options.silent === true) return;
    const error = icmpError(about, own, what, mtuBytes);
    if (error && this.#budget.take(error.destination, this.#network?.now ?? 0)) this.#forward(error);
  }

  #route(destination: string): Via | null {
    let found = this.#found.get(destination);
    if (found === undefined) {
      let best: { readonly prefix: Prefix; readonly via: Via } | null = null;
      for (const route of this.#routes) {
        if (contains(route.prefix, destination) && route.prefix.length > (best?.prefix.length ?? -1)) best = route;
      }
      found = best?.via ?? null;
      makeRoom(this.#found, REMEMBERED);
      this.#found.set(destination, found);
    }
    return found;
  }
}

/** FNV-1a over the 5-tuple: a flow stays on its member (RFC 2992). */
export function flowHash({ protocol, source, sourcePort, destination, destinationPort }: Packet): number {
  const text = `${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`;
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  // FNV's low bits depend on the low bits of its input alone: fold the high ones in.
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
