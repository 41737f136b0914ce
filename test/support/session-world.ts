import { type Family, inPrefix, sameAddress, transportAddress, type TransportAddress } from '../../src/base/address.js';
import type { HostInterface, InterfaceKind } from '../../src/base/interface.js';
import { fraction, integerBetween, type Random, SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { ClientSession, type ClientPlan } from '../../src/session/client.js';
import type { CounterSnapshot, EgressCheck, EgressResult, SessionInput, SessionOutput } from '../../src/session/io.js';
import { judge } from '../../src/session/judge.js';
import type { RecordEvent } from '../../src/session/record.js';
import { Reflector } from '../../src/session/reflector.js';
import { ServerSession } from '../../src/session/server.js';
import type { Report } from '../../src/verdict/report.js';
import { type NatBehaviour, SimulatedNat } from './nat.js';
import { ARM_NAMES } from '../../src/mutation/names.js';

export const REFERENCE = transportAddress('198.51.100.10', 3478);
const ALTERNATE = transportAddress('198.51.100.20', 3479);
export const REFERENCE6 = transportAddress('2001:db8:f::10', 3478);
const ALTERNATE6 = transportAddress('2001:db8:f::20', 3479);
const GUARDED: NatBehaviour = { kind: 'linux', guarded: true };
const OPEN_FIREWALL: NatBehaviour = { kind: 'firewall', filtering: 'apdf' };

/** What an uplink does with a packet; `out` leaves its host, `in` comes to it. `remote` is the public far address. */
export type Filter = (packet: {
  readonly bytes: Uint8Array;
  readonly way: 'out' | 'in';
  /** The uplink's own public address of the flow. */
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  readonly now: Ms;
}) => 'pass' | 'drop';

export interface Uplink {
  readonly nat?: NatBehaviour;
  /** Of its IPv6 addresses, which are translated by nothing. */
  readonly firewall?: NatBehaviour & { readonly kind: 'none' | 'firewall' };
  /** Uplinks of one name share a NAT, which does not hairpin; addresses in one /24 a LAN. */
  readonly behind?: string;
  readonly filter?: Filter;
  /** While nothing at all passes, TCP included. */
  readonly outage?: (now: Ms) => boolean;
  /** Loss each way, independent. */
  readonly loss?: number;
  /** Gilbert–Elliott, both ways at once: everything is lost for `burstMs` on average, `loss` of the time. */
  readonly bursts?: { readonly loss: number; readonly burstMs: Ms };
  readonly oneWayMs?: Ms;
  /** Of packets that come in, where that is another than the way out. */
  readonly inwardMs?: Ms;
  /** Up to so much more, drawn for each packet, which reorders them. */
  readonly jitterMs?: Ms;
  /** Share of packets that arrive twice. */
  readonly duplicates?: number;
}

export interface WorldOptions {
  readonly seed?: string | number;
  readonly plan?: Partial<ClientPlan>;
  /** By interface: `client.wwan0`, `server.usb0` … Interfaces not named are open, behind a guarded Linux NAT. */
  readonly uplinks?: Readonly<Record<string, Uplink>>;
  readonly referenceDown?: boolean;
  /** When the reference dies. */
  readonly referenceDies?: Ms;
  /** The reference has one address only. */
  readonly withoutAlternate?: boolean;
  /** One way, of what the ends tell each other. */
  readonly controlMs?: Ms;
  /** How much later than the client the server starts. */
  readonly serverLateMs?: Ms;
  readonly referenceTcp?: (host: 'client' | 'server', on: string) => boolean;
  readonly egress?: (host: 'client' | 'server', check: EgressCheck) => Partial<EgressResult>;
  readonly counters?: (host: 'client' | 'server', reading: number) => CounterSnapshot;
  readonly interfaces?: { readonly client?: readonly HostInterface[]; readonly server?: readonly HostInterface[] };
  /** What happens to the hosts meanwhile. */
  readonly during?: readonly { readonly at: Ms; readonly act: (world: SessionWorld) => void }[];
}

export function hostInterface(name: string, kind: InterfaceKind, label: string, ...addresses: string[]): HostInterface {
  return {
    name,
    kind,
    label,
    addresses: addresses.map((address) => ({
      family: address.includes(':') ? 'ipv6' : 'ipv4',
      address,
      prefixLength: address.includes(':') ? 64 : 24,
    })),
  };
}

/** The mesh of verdicts.md: L has eth0, wlan0 (hhg), wwan0 (o2); D has eth0, wlan0 (hh2), usb0 (telekom). */
const CLIENT = [
  hostInterface('eth0', 'ethernet', 'lan', '192.168.77.1'),
  hostInterface('wlan0', 'wifi', 'hhg', '10.1.0.2'),
  hostInterface('wwan0', 'cellular', 'o2', '10.2.0.2'),
];
const SERVER = [
  hostInterface('eth0', 'ethernet', 'lan', '192.168.77.2'),
  hostInterface('wlan0', 'wifi', 'hh2', '10.3.0.2'),
  hostInterface('usb0', 'cellular', 'telekom', '10.4.0.2'),
];

type Role = 'client' | 'server';

interface Site {
  readonly key: string;
  readonly on: HostInterface;
  readonly family: Family;
  readonly nat: SimulatedNat;
  /** The public addresses that lead here. */
  readonly outside: readonly string[];
  readonly uplink: Uplink;
  readonly bursts: Bursts | null;
}

/** Up and down in turns, each for an exponentially distributed time. */
class Bursts {
  readonly #random: Random;
  readonly #loss: number;
  readonly #burstMs: Ms;
  #down = false;
  #until: Ms = 0;

  constructor(random: Random, { loss, burstMs }: NonNullable<Uplink['bursts']>) {
    this.#random = random;
    this.#loss = loss;
    this.#burstMs = burstMs;
  }

  lost(now: Ms): boolean {
    while (this.#until <= now) {
      this.#down = this.#until === 0 ? fraction(this.#random) < this.#loss : !this.#down;
      const mean = this.#down ? this.#burstMs : (this.#burstMs * (1 - this.#loss)) / this.#loss;
      this.#until += Math.max(1, -Math.log(1 - fraction(this.#random)) * mean);
    }
    return this.#down;
  }
}

/** Two complete sessions, a reflector, and NATs and filters between them, on a virtual clock. */
export class SessionWorld {
  now: Ms = 0;
  readonly events: Record<Role, RecordEvent[]> = { client: [], server: [] };
  readonly logs: { host: Role; level: string; name: string; fields: Readonly<Record<string, unknown>> }[] = [];
  readonly #options: WorldOptions;
  readonly #random: SeededRandom;
  readonly #machines: Record<Role, ClientSession | ServerSession>;
  readonly #reflectors: readonly Reflector[];
  readonly #reflectorSockets = new Map<
    string,
    { readonly reflector: Reflector; readonly socket: string; readonly local: TransportAddress }
  >();
  readonly #sockets = new Map<string, { role: Role; socket: string; local: TransportAddress; site: Site | null }>();
  readonly #sites = new Map<string, Site>();
  /** The soonest first; at one time, in the order in which they were planned. */
  readonly #queue: { readonly at: Ms; readonly run: () => void }[] = [];
  readonly #alive: Record<Role, boolean> = { client: true, server: true };
  readonly #readings: Record<Role, number> = { client: 0, server: 0 };

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? 1);
    const client = options.interfaces?.client ?? CLIENT;
    const server = options.interfaces?.server ?? SERVER;
    const common = {
      version: 'test',
      backend: 'virtual',
      label: null,
      seed: options.seed ?? 1,
      pinning: 'device' as const,
    };
    const plan: ClientPlan = {
      policy: 'cellular,wifi,ethernet',
      arms: ARM_NAMES,
      firstOnly: false,
      wanted: [{ client: 'wwan0', server: 'usb0' }],
      pin: true,
      references: [REFERENCE],
      checksPerPair: 7,
      webrtc: false,
      ...options.plan,
    };
    const random = (name: string): SeededRandom => new SeededRandom(`${name} ${options.seed ?? 1}`);
    this.#machines = {
      client: new ClientSession(plan, { ...common, name: 'L', random: random('L'), references: plan.references }),
      server: new ServerSession({ ...common, name: 'D', random: random('D'), references: [], pin: null }),
    };
    this.#reflectors = [
      { listen: REFERENCE, alternate: ALTERNATE },
      { listen: REFERENCE6, alternate: ALTERNATE6 },
    ].map(
      ({ listen, alternate }) =>
        new Reflector({
          listen,
          alternate: options.withoutAlternate ? null : alternate,
          ports: [],
          random: random(listen.address),
        }),
    );
    for (const [role, interfaces] of [
      ['client', client],
      ['server', server],
    ] as const) {
      for (const on of interfaces) this.#connect(role, on, options.uplinks?.[`${role}.${on.name}`] ?? {});
    }
    for (const reflector of this.#reflectors)
      this.#feedReflector(reflector, { type: 'start', startedAt: '', interfaces: [], counters: null });
    for (const [role, interfaces] of [
      ['client', client],
      ['server', server],
    ] as const) {
      this.#at(role === 'server' ? (options.serverLateMs ?? 0) : 0, () => {
        this.#feed(role, {
          type: 'start',
          startedAt: '2024-06-06T11:46:00.000Z',
          interfaces,
          counters: this.#counters(role),
        });
        this.#feed(role, { type: 'peer-connected', address: 'test' });
      });
    }
    for (const { at, act } of options.during ?? []) {
      this.#at(at, () => {
        act(this);
      });
    }
  }

  /** Runs to the end and judges the client's record. */
  run(limitMs: Ms = 180_000): Report {
    for (;;) {
      const deadline = Math.min(this.#deadline('client'), this.#deadline('server'));
      const next = this.#queue[0]?.at ?? Number.POSITIVE_INFINITY;
      const now = Math.max(this.now, Math.min(next, deadline));
      if (!this.#alive.client || now === Number.POSITIVE_INFINITY) break;
      if (now > limitMs) throw new Error(`the run did not end within ${String(limitMs)} ms`);
      this.now = now;
      if (next <= now) this.#queue.shift()?.run();
      else
        for (const role of ['client', 'server'] as const)
          if (this.#deadline(role) <= now) this.#feed(role, { type: 'timeout' });
    }
    return judge(this.events.client);
  }

  /** As kill -9: nothing is said any more, and the control channel breaks. */
  kill(role: Role): void {
    this.#alive[role] = false;
    const other = role === 'client' ? 'server' : 'client';
    this.#at(1, () => {
      this.#feed(other, { type: 'peer-lost', reason: 'the connection was reset' });
    });
  }

  interrupt(role: Role): void {
    this.#feed(role, { type: 'interrupt' });
  }

  #connect(role: Role, on: HostInterface, uplink: Uplink): void {
    const key = `${role}.${on.name}`;
    const sites = [...this.#sites.values()];
    for (const family of new Set(on.addresses.map((address) => address.family))) {
      const own = on.addresses.filter((address) => address.family === family).map(({ address }) => address);
      const behaviour = family === 'ipv6' ? (uplink.firewall ?? OPEN_FIREWALL) : (uplink.nat ?? GUARDED);
      const shared =
        uplink.behind === undefined
          ? undefined
          : sites.find((site) => site.uplink.behind === uplink.behind && site.family === family);
      const translated =
        behaviour.kind === 'none' || behaviour.kind === 'firewall' ? null : `203.0.113.${this.#sites.size + 1}`;
      const outside = shared?.outside ?? (translated === null ? own : [translated]);
      const nat = shared?.nat ?? new SimulatedNat(behaviour, outside[0] ?? '', this.#random);
      const bursts = uplink.bursts ? new Bursts(this.#random, uplink.bursts) : null;
      this.#sites.set(`${key} ${family}`, { key, on, family, nat, outside, uplink, bursts });
    }
  }

  #deadline(role: Role): Ms {
    return this.#alive[role] ? this.#machines[role].deadline() : Number.POSITIVE_INFINITY;
  }

  #at(after: Ms, run: () => void): void {
    const at = this.now + after;
    let place = this.#queue.length;
    while (place > 0 && (this.#queue[place - 1]?.at ?? 0) > at) place -= 1;
    this.#queue.splice(place, 0, { at, run });
  }

  #feed(role: Role, input: SessionInput): void {
    if (!this.#alive[role]) return;
    const machine = this.#machines[role];
    machine.handle(input, this.now);
    for (let output = machine.poll(); output !== undefined; output = machine.poll()) this.#output(role, output);
  }

  #output(role: Role, output: SessionOutput): void {
    const other = role === 'client' ? 'server' : 'client';
    const later = (after: Ms, input: SessionInput): void => {
      this.#at(after, () => {
        this.#feed(role, input);
      });
    };
    switch (output.type) {
      case 'open': {
        const local = { ...output.address, port: output.address.port || integerBetween(this.#random, 32_768, 60_999) };
        const site = this.#sites.get(`${role}.${output.interface} ${output.address.family}`) ?? null;
        this.#sockets.set(`${role}.${output.socket}`, { role, socket: output.socket, local, site });
        later(0, { type: 'opened', socket: output.socket, local, pinned: true });
        break;
      }
      case 'close':
        this.#sockets.delete(`${role}.${output.socket}`);
        break;
      case 'send':
        later(0, { type: 'sent', token: output.token, code: null });
        this.#send(`${role}.${output.socket}`, output.to, output.bytes);
        break;
      case 'check-egress': {
        const results = output.checks.map((check) => this.#egress(role, check));
        later(5, { type: 'egress', token: output.token, results });
        break;
      }
      case 'read-counters':
        later(5, { type: 'counters', token: output.token, counters: this.#counters(role) });
        break;
      case 'connect-tcp': {
        const site = this.#sites.get(`${role}.${output.interface} ${output.to.family}`);
        const ok =
          !this.#referenceDown && (this.#options.referenceTcp?.(role, output.interface) ?? output.interface !== 'eth0');
        // Its SYN is sent again after 1 s, as Linux does.
        const connect = (afterMs: Ms): void => {
          const lost = !site || this.#lost(site) || this.#lost(site);
          if (ok && !lost) later(80, { type: 'tcp', token: output.token, code: null, afterMs: afterMs + 80 });
          else if (afterMs > 0) later(2000, { type: 'tcp', token: output.token, code: 'ETIMEDOUT', afterMs: 3000 });
          else
            this.#at(1000, () => {
              connect(1000);
            });
        };
        connect(0);
        break;
      }
      case 'message': {
        const message = JSON.parse(JSON.stringify(output.message)) as unknown;
        this.#at(this.#options.controlMs ?? 5, () => {
          this.#feed(other, { type: 'message', message });
        });
        break;
      }
      case 'event':
        this.events[role].push(output.event);
        break;
      case 'log':
        this.logs.push({ host: role, level: output.level, name: output.name, fields: output.fields });
        break;
      case 'disconnect':
        this.#at((this.#options.controlMs ?? 5) + 1, () => {
          this.#feed(other, { type: 'peer-lost', reason: output.reason });
        });
        break;
      case 'yardstick':
        break;
      case 'finished':
        this.#alive[role] = false;
    }
  }

  #egress(role: Role, check: EgressCheck): EgressResult {
    const routed = check.interface !== 'eth0' || check.to.startsWith('192.168.77.');
    return {
      ...check,
      verdict: 'verified',
      routed,
      device: check.interface,
      gateway: null,
      neighbour: null,
      reason: `leaves by ${check.interface}`,
      ...this.#options.egress?.(role, check),
    };
  }

  #counters(role: Role): CounterSnapshot {
    this.#readings[role] += 1;
    return this.#options.counters?.(role, this.#readings[role]) ?? { interfaces: {}, host: {}, rpFilter: {} };
  }

  #send(key: string, to: TransportAddress, bytes: Uint8Array): void {
    const from = this.#sockets.get(key);
    if (!from?.site) return;
    const { site, local } = from;
    if (site.on.kind === 'ethernet') {
      this.#at(1, () => {
        this.#deliver(to, local, bytes, (socket) => socket.site?.on.kind === 'ethernet');
      });
      return;
    }
    const neighbour = [...this.#sites.values()].find(
      ({ uplink, on }) =>
        site.uplink.behind !== undefined &&
        uplink.behind === site.uplink.behind &&
        on.addresses.some(({ address }) => address === to.address && inPrefix(to.address, local.address, 24)),
    );
    if (neighbour) {
      this.#at(1, () => {
        this.#deliver(to, local, bytes, (socket) => socket.site === neighbour);
      });
      return;
    }
    const outside = site.nat.outbound(local, to);
    if (this.#dropped(site, { bytes, way: 'out', local: outside, remote: to })) return;
    this.#travel(site, site.uplink.oneWayMs ?? 20, () => {
      this.#arrive(outside, to, bytes);
    });
  }

  #travel(site: Site, delay: Ms, arrive: () => void): void {
    const { jitterMs = 0, duplicates = 0 } = site.uplink;
    for (let copies = fraction(this.#random) < duplicates ? 2 : 1; copies > 0; copies -= 1)
      this.#at(delay + Math.floor(fraction(this.#random) * jitterMs), arrive);
  }

  get #referenceDown(): boolean {
    return (
      this.#options.referenceDown === true || this.now >= (this.#options.referenceDies ?? Number.POSITIVE_INFINITY)
    );
  }

  /** On the public side: towards the reference, or through the NAT that has the address. */
  #arrive(from: TransportAddress, to: TransportAddress, bytes: Uint8Array): void {
    const reference = [...this.#reflectorSockets.values()].find(({ local }) => sameAddress(local, to));
    if (reference !== undefined) {
      const { reflector, socket } = reference;
      if (!this.#referenceDown) this.#feedReflector(reflector, { type: 'datagram', socket, from, bytes });
      return;
    }
    const sites = [...this.#sites.values()].filter(({ outside }) => outside.includes(to.address));
    const [first] = sites;
    // A NAT that does not hairpin drops what one of its own hosts sends to its outside.
    if (!first || (first.uplink.behind !== undefined && first.outside.includes(from.address))) return;
    if (this.#dropped(first, { bytes, way: 'in', local: to, remote: from })) return;
    const inside = first.nat.inbound(from, to);
    if (!inside) return;
    const site = sites.find(({ on }) => on.addresses.some(({ address }) => address === inside.address)) ?? first;
    this.#travel(site, site.uplink.inwardMs ?? site.uplink.oneWayMs ?? 20, () => {
      this.#deliver(inside, from, bytes, (socket) => socket.site === site);
    });
  }

  #dropped(site: Site, packet: Omit<Parameters<Filter>[0], 'now'>): boolean {
    return this.#lost(site) || site.uplink.filter?.({ ...packet, now: this.now }) === 'drop';
  }

  /** What befalls any packet there, TCP as UDP. */
  #lost({ uplink, bursts }: Site): boolean {
    if (uplink.outage?.(this.now) === true || bursts?.lost(this.now) === true) return true;
    return fraction(this.#random) < (uplink.loss ?? 0);
  }

  #deliver(
    to: TransportAddress,
    from: TransportAddress,
    bytes: Uint8Array,
    on: (socket: { site: Site | null }) => boolean,
  ): void {
    for (const socket of this.#sockets.values()) {
      if (!sameAddress(socket.local, to) || !on(socket)) continue;
      this.#feed(socket.role, { type: 'datagram', socket: socket.socket, from, bytes });
      return;
    }
  }

  #feedReflector(reflector: Reflector, input: SessionInput): void {
    reflector.handle(input, this.now);
    for (let output = reflector.poll(); output !== undefined; output = reflector.poll()) {
      const id = 'socket' in output ? `${String(this.#reflectors.indexOf(reflector))} ${output.socket}` : '';
      if (output.type === 'open') {
        this.#reflectorSockets.set(id, { reflector, socket: output.socket, local: output.address });
        this.#feedReflector(reflector, { type: 'opened', socket: output.socket, local: output.address, pinned: false });
      } else if (output.type === 'send') {
        const from = this.#reflectorSockets.get(id)?.local;
        const { to, bytes } = output;
        if (from)
          this.#at(20, () => {
            this.#arrive(from, to, bytes);
          });
      }
    }
  }
}

/** The public server networks: what a carrier that drops peer-to-peer UDP lets through. */
export function isReference({ address }: TransportAddress): boolean {
  return [REFERENCE, ALTERNATE, REFERENCE6, ALTERNATE6].some((reference) => reference.address === address);
}
