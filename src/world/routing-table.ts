import { scopeOf } from '../base/address.js';
import type { InterfaceAddress } from '../base/interface.js';
import type { EgressCheck, EgressResult } from '../session/io.js';
import { makeRoom, REMEMBERED } from './bounded.js';
import { contains, parsePrefix, type Prefix } from './prefix.js';

export interface Route {
  /** `0.0.0.0/0`, `::/0`, a network. */
  readonly to: string;
  readonly interface: string;
  readonly gateway?: string;
  /** Among routes to the same network the lowest wins. */
  readonly metric?: number;
  /** `main` by default. */
  readonly table?: string;
}

/** `ip rule`: packets that it matches are looked up in `table` first; rules in order of priority, then `main`. */
export interface PolicyRule {
  readonly priority: number;
  readonly from?: string;
  readonly to?: string;
  /** Sockets that are pinned to this device. */
  readonly oif?: string;
  readonly table: string;
}

export interface RouteQuestion {
  readonly to: string;
  readonly from: string;
  /** The device that the socket is pinned to; `null`: it is not. */
  readonly oif: string | null;
}

interface Parsed extends Route {
  readonly prefix: Prefix;
}

interface ParsedRule extends PolicyRule {
  readonly source: Prefix | null;
  readonly target: Prefix | null;
}

/** What the table must know of an interface. */
export interface RoutedInterface {
  readonly name: string;
  readonly addresses: () => readonly InterfaceAddress[];
  readonly pointToPoint: boolean;
  /** Administratively: a link that does not carry keeps its routes. */
  readonly isUp: () => boolean;
}

/** The routing table of a host, asked as the kernel asks it: longest prefix, then lowest metric, table by table. */
export class RoutingTable {
  readonly #interfaces: ReadonlyMap<string, RoutedInterface>;
  readonly #static: readonly Parsed[];
  /** Interfaces without their default routes. */
  readonly #unrouted = new Set<string>();
  /** With those that the kernel adds by itself, one for each address. */
  #routes: readonly Parsed[] = [];
  #own: ReadonlySet<string> = new Set();
  readonly #rules: readonly ParsedRule[];
  readonly #found = new Map<string, Route | null>();

  constructor(interfaces: readonly RoutedInterface[], routes: readonly Route[], rules: readonly PolicyRule[]) {
    this.#interfaces = new Map(interfaces.map((one) => [one.name, one]));
    this.#static = routes.map(parsed);
    this.#rules = [...rules]
      .sort((left, right) => left.priority - right.priority)
      .map((rule) => ({
        ...rule,
        source: rule.from === undefined ? null : parsePrefix(rule.from),
        target: rule.to === undefined ? null : parsePrefix(rule.to),
      }));
    this.forget();
  }

  /** To be called when an interface went up or down or got other addresses. */
  forget(): void {
    this.#found.clear();
    const connected = [...this.#interfaces.values()].flatMap(({ name, addresses }) =>
      addresses().map(({ address, prefixLength }) => parsed({ to: `${address}/${prefixLength}`, interface: name })),
    );
    const configured = this.#static.filter(({ to, interface: on }) => !to.endsWith('/0') || !this.#unrouted.has(on));
    this.#routes = [...connected, ...configured];
    // IPv4 addresses stay the host's while their interface is down, IPv6 ones do not (tried on kernel 6.18).
    const own = [...this.#interfaces.values()].flatMap(({ addresses, isUp }) =>
      addresses().filter(({ family }) => family === 'ipv4' || isUp()),
    );
    this.#own = new Set(own.map(({ address }) => address));
  }

  /** `ip route del|add default dev …`. */
  setDefaultRoutes(name: string, there: boolean): void {
    if (there) this.#unrouted.delete(name);
    else this.#unrouted.add(name);
    this.forget();
  }

  isOwn(address: string): boolean {
    return this.#own.has(address);
  }

  /** Whether the kernel routes packets with that source: for IPv4 it must be the host's, for IPv6 it does not ask. */
  isSource(address: string): boolean {
    return address.includes(':') || address === '0.0.0.0' || this.isOwn(address);
  }

  /** The route that a packet takes; `null`: none. */
  lookup(question: RouteQuestion): Route | null {
    const key = `${question.to} ${question.from} ${question.oif ?? ''}`;
    let found = this.#found.get(key);
    if (found === undefined) {
      found = this.#lookup(question);
      makeRoom(this.#found, REMEMBERED);
      this.#found.set(key, found);
    }
    return found;
  }

  #lookup({ to, from, oif }: RouteQuestion): Route | null {
    const tables = this.#rules
      .filter(
        (rule) =>
          (rule.source === null || contains(rule.source, from)) &&
          (rule.target === null || contains(rule.target, to)) &&
          (rule.oif === undefined || rule.oif === oif),
      )
      .map(({ table }) => table);
    for (const table of [...tables, 'main']) {
      const routes = this.#covering(to).filter(
        (route) => (route.table ?? 'main') === table && (oif === null || route.interface === oif),
      );
      const [best] = routes.sort(
        (left, right) => right.prefix.length - left.prefix.length || (left.metric ?? 0) - (right.metric ?? 0),
      );
      if (best) return best;
    }
    return null;
  }

  #covering(to: string): Parsed[] {
    return this.#routes.filter(
      (route) => contains(route.prefix, to) && this.#interfaces.get(route.interface)?.isUp() === true,
    );
  }

  /** What `ip route get` and the neighbour table say, in the words of the real driver. */
  checkEgress(check: EgressCheck, pin: boolean): EgressResult {
    const { interface: name, from, to } = check;
    const what = `packets from ${from} to ${to}`;
    if (this.isOwn(to) || scopeOf(to) === 'loopback') {
      const reason = `${to} is an address of this host: ${what} never leave it`;
      return { ...check, verdict: 'verified', routed: true, device: 'lo', gateway: null, neighbour: null, reason };
    }
    const on = this.#interfaces.get(name);
    const route = this.isSource(from) ? this.lookup({ to, from, oif: pin && on ? name : null }) : null;
    // With `oif` and no route the kernel takes every IPv4 address for on-link.
    const pretends = route === null && pin && on?.isUp() === true && !to.includes(':') && this.isSource(from);
    const device = route?.interface ?? (pretends ? name : null);
    const gateway = route?.gateway ?? null;
    const via = gateway === null ? '' : ` via ${gateway}`;
    const routed = this.#covering(to).some((one) => one.interface === name) || (pretends && on.pointToPoint);
    const neighbour = route !== null && on?.pointToPoint === false ? 'reachable' : null;
    const known = { ...check, routed, device, gateway, neighbour };
    if (device !== null && device !== name) {
      return { ...known, verdict: 'mismatch', reason: `${what} leave by ${device}${via}, not by ${name}` };
    }
    if (!routed) {
      const reason = `${name} has no route to ${to}: no gateway there, and the address is outside of the interface's own network`;
      return { ...known, verdict: 'unknown', reason };
    }
    if (device === null) return { ...known, verdict: 'unknown', reason: `the kernel has no route for ${what}` };
    return { ...known, verdict: 'verified', reason: `${what} leave by ${name}${via}` };
  }
}

function parsed(route: Route): Parsed {
  return { ...route, prefix: parsePrefix(route.to) };
}
