import { sameAddress, transportAddress, type TransportAddress } from '../../src/base/address.js';
import type { HostInterface, InterfaceKind } from '../../src/base/interface.js';
import { fraction, integerBetween, SeededRandom } from '../../src/base/random.js';
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
const GUARDED: NatBehaviour = { kind: 'linux', guarded: true };

/** What an uplink does with a packet; `out` leaves its host, `in` comes to it. `remote` is the public far address. */
export type Filter = (packet: { bytes: Uint8Array; way: 'out' | 'in'; remote: TransportAddress }) => 'pass' | 'drop';

export interface Uplink {
  readonly nat?: NatBehaviour;
  readonly filter?: Filter;
  /** Loss each way, independent. */
  readonly loss?: number;
  readonly oneWayMs?: Ms;
}

export interface WorldOptions {
  readonly seed?: string | number;
  readonly plan?: Partial<ClientPlan>;
  /** By interface: `client.wwan0`, `server.usb0` … Interfaces not named are open, behind a guarded Linux NAT. */
  readonly uplinks?: Readonly<Record<string, Uplink>>;
  readonly referenceDown?: boolean;
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
  readonly nat: SimulatedNat;
  readonly outside: string;
  readonly uplink: Uplink;
}

/** Two complete sessions, a reflector, and NATs and filters between them, on a virtual clock. */
export class SessionWorld {
  now: Ms = 0;
  readonly events: Record<Role, RecordEvent[]> = { client: [], server: [] };
  readonly logs: { host: Role; level: string; name: string; fields: Readonly<Record<string, unknown>> }[] = [];
  readonly #options: WorldOptions;
  readonly #random: SeededRandom;
  readonly #machines: Record<Role, ClientSession | ServerSession>;
  readonly #reflector: Reflector;
  readonly #reflectorSockets = new Map<string, TransportAddress>();
  readonly #sockets = new Map<string, { role: Role; socket: string; local: TransportAddress; site: Site | null }>();
  readonly #sites = new Map<string, Site>();
  readonly #queue: { at: Ms; order: number; run: () => void }[] = [];
  readonly #alive: Record<Role, boolean> = { client: true, server: true };
  readonly #readings: Record<Role, number> = { client: 0, server: 0 };
  #order = 0;

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
    this.#reflector = new Reflector({ listen: REFERENCE, alternate: ALTERNATE, ports: [], random: random('R') });
    for (const [role, interfaces] of [
      ['client', client],
      ['server', server],
    ] as const) {
      for (const on of interfaces) {
        const key = `${role}.${on.name}`;
        const outside = `203.0.113.${this.#sites.size + 1}`;
        const uplink = options.uplinks?.[key] ?? {};
        const nat = new SimulatedNat(uplink.nat ?? GUARDED, outside, this.#random);
        this.#sites.set(key, { key, on, nat, outside, uplink });
      }
    }
    this.#feedReflector({ type: 'start', startedAt: '', interfaces: [], counters: null });
    for (const [role, interfaces] of [
      ['client', client],
      ['server', server],
    ] as const) {
      this.#at(0, () => {
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
      this.#queue.sort((left, right) => left.at - right.at || left.order - right.order);
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

  #deadline(role: Role): Ms {
    return this.#alive[role] ? this.#machines[role].deadline() : Number.POSITIVE_INFINITY;
  }

  #at(after: Ms, run: () => void): void {
    this.#order += 1;
    this.#queue.push({ at: this.now + after, order: this.#order, run });
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
        const site = this.#sites.get(`${role}.${output.interface}`) ?? null;
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
        const ok =
          !this.#options.referenceDown &&
          (this.#options.referenceTcp?.(role, output.interface) ?? output.interface !== 'eth0');
        later(80, { type: 'tcp', token: output.token, code: ok ? null : 'ETIMEDOUT', afterMs: 80 });
        break;
      }
      case 'message': {
        const message = JSON.parse(JSON.stringify(output.message)) as unknown;
        this.#at(5, () => {
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
        this.#at(6, () => {
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
    const outside = site.nat.outbound(local, to);
    if (this.#dropped(site, bytes, 'out', to)) return;
    const hop = site.uplink.oneWayMs ?? 20;
    this.#at(hop, () => {
      this.#arrive(outside, to, bytes);
    });
  }

  /** On the public side: towards the reference, or through the NAT that has the address. */
  #arrive(from: TransportAddress, to: TransportAddress, bytes: Uint8Array): void {
    const reflector = [...this.#reflectorSockets].find(([, address]) => sameAddress(address, to))?.[0];
    if (reflector !== undefined) {
      if (!this.#options.referenceDown) this.#feedReflector({ type: 'datagram', socket: reflector, from, bytes });
      return;
    }
    const site = [...this.#sites.values()].find(({ outside }) => outside === to.address);
    if (!site || this.#dropped(site, bytes, 'in', from)) return;
    const inside = site.nat.inbound(from, to);
    if (!inside) return;
    this.#at(site.uplink.oneWayMs ?? 20, () => {
      this.#deliver(inside, from, bytes, (socket) => socket.site === site);
    });
  }

  #dropped(site: Site, bytes: Uint8Array, way: 'out' | 'in', remote: TransportAddress): boolean {
    const { filter, loss = 0 } = site.uplink;
    return filter?.({ bytes, way, remote }) === 'drop' || fraction(this.#random) < loss;
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

  #feedReflector(input: SessionInput): void {
    this.#reflector.handle(input, this.now);
    for (let output = this.#reflector.poll(); output !== undefined; output = this.#reflector.poll()) {
      if (output.type === 'open') {
        this.#reflectorSockets.set(output.socket, output.address);
        this.#feedReflector({ type: 'opened', socket: output.socket, local: output.address, pinned: false });
      } else if (output.type === 'send') {
        const from = this.#reflectorSockets.get(output.socket);
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
  return address === REFERENCE.address || address === ALTERNATE.address;
}
