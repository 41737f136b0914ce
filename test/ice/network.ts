import { formatTransportAddress, parseTransportAddress, type TransportAddress } from '../../src/base/address.js';
import type { InterfaceKind } from '../../src/base/interface.js';
import { drain } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { IceAgent, type IceAgentOptions } from '../../src/ice/agent.js';
import { EQUAL_POLICY } from '../../src/ice/policy.js';
import type { Credentials, IceInput, IceOutput } from '../../src/ice/types.js';
import { xorMappedAddress } from '../../src/stun/attributes.js';
import { shortTermKey, signed } from '../../src/stun/integrity.js';
import { encodeMessage, parseStrict } from '../../src/stun/message.js';

export type Send = Extract<IceOutput, { type: 'send' }>;
export type Logged<T> = T & { readonly at: number };

export interface Packet {
  readonly from: TransportAddress;
  readonly to: TransportAddress;
  readonly send: Send;
  readonly at: number;
}

/** A NAT with endpoint-independent (or per-destination) mapping and address-and-port-dependent filtering. */
export interface Nat {
  readonly outside: string;
  readonly symmetric?: boolean;
}

interface Interface {
  readonly kind: InterfaceKind;
  readonly address: string;
  readonly label?: string;
  readonly nat?: Nat;
}

export interface EndOptions extends Partial<IceAgentOptions> {
  readonly interfaces: Readonly<Record<string, Interface>>;
}

export class End {
  readonly agent: IceAgent;
  readonly credentials: Credentials;
  readonly outputs: Logged<IceOutput>[] = [];
  readonly interfaces: EndOptions['interfaces'];
  peer: End | null = null;
  silent = false;

  readonly name: string;

  constructor(name: string, options: EndOptions, seed: string | number) {
    this.name = name;
    this.interfaces = options.interfaces;
    this.credentials = options.credentials ?? {
      ufrag: `frag${name}`,
      password: `password-of-${name}-0123456789`,
    };
    this.agent = new IceAgent({
      controlling: name === 'L',
      tieBreaker: name === 'L' ? 2n : 1n,
      random: new SeededRandom(`${seed}/${name}`),
      policy: EQUAL_POLICY,
      mode: 'all',
      servers: [],
      arm: 'stun',
      ...options,
      credentials: this.credentials,
    });
  }

  of<T extends IceOutput['type']>(type: T): Logged<Extract<IceOutput, { type: T }>>[] {
    return this.outputs.filter((output): output is Logged<Extract<IceOutput, { type: T }>> => output.type === type);
  }

  /** Requests in the order sent. */
  checks(): Logged<Send>[] {
    return this.of('send').filter(({ purpose }) => purpose === 'check');
  }

  /** `eth0>eth0` for a pair: near interface, far interface. */
  nameOf(pair: string | null): string {
    const view = this.agent.pair(pair ?? '');
    return view ? `${view.local.interface}>${view.remote.interface ?? '?'}` : '?';
  }
}

export interface NetworkOptions {
  readonly delayMs?: number;
  readonly signalMs?: number;
  readonly loss?: number;
  readonly drop?: (packet: Packet) => boolean;
  readonly seed?: string | number;
  /** Everything but the integrity is cut out of messages on the way, as in the arm `stun~attributes`. */
  readonly strip?: boolean;
  /** What the kernel says of a send. */
  readonly refuse?: (packet: Packet) => string | null;
}

/** Two agents, a few wires and a clock that only moves when nothing is left to do at its time. */
export class Network {
  now = 0;
  readonly ends: readonly [End, End];
  readonly packets: Packet[] = [];
  options: NetworkOptions;
  readonly #random: SeededRandom;
  readonly #events: { readonly at: number; readonly run: () => void }[] = [];
  readonly #mappings = new Map<string, { readonly inside: TransportAddress; readonly peers: Set<string> }>();
  #nextPort = 40_000;

  constructor(left: EndOptions, right: EndOptions, options: NetworkOptions = {}) {
    this.options = options;
    const seed = options.seed ?? 1;
    this.#random = new SeededRandom(`network ${seed}`);
    this.ends = [new End('L', left, seed), new End('R', right, seed)];
    this.ends[0].peer = this.ends[1];
    this.ends[1].peer = this.ends[0];
  }

  /** Opens every base, signals everything. */
  start({ credentials = true }: { readonly credentials?: boolean } = {}): this {
    for (const end of this.ends) {
      if (credentials) this.signal(end, { type: 'remote-credentials', credentials: end.credentials, lite: false });
      for (const [name, { kind, address, label }] of Object.entries(end.interfaces)) {
        const base = {
          id: `${end.name}/${name}`,
          address: parseTransportAddress(address),
          interface: name,
          kind,
          label: label ?? name,
        };
        this.feed(end, { type: 'base', base });
      }
      this.feed(end, { type: 'bases-end' });
    }
    return this;
  }

  feed(end: End, input: IceInput): void {
    end.agent.handle(input, this.now);
    for (const output of drain(end.agent)) this.#output(end, output);
  }

  /** To the other end, over the signalling. */
  signal(from: End, input: IceInput): void {
    this.at(this.now + (this.options.signalMs ?? 0), () => {
      if (from.peer) this.feed(from.peer, input);
    });
  }

  at(time: number, run: () => void): void {
    const later = this.#events.findIndex((event) => event.at > time);
    this.#events.splice(later < 0 ? this.#events.length : later, 0, { at: time, run });
  }

  /** Until `time`, or until `stop` says so. */
  run(time: number, stop: () => boolean = () => false): this {
    for (let steps = 0; !stop(); steps += 1) {
      if (steps > 500_000) throw new Error(`no end at ${this.now} ms`);
      const [event] = this.#events;
      const due = this.ends.map((end) => end.agent.deadline());
      const next = Math.max(this.now, Math.min(event?.at ?? Infinity, ...due));
      if (next > time) {
        this.now = time;
        return this;
      }
      this.now = next;
      if (event && event.at <= next) {
        this.#events.shift();
        event.run();
      } else {
        for (const end of this.ends) if (end.agent.deadline() <= this.now) this.#timeout(end);
      }
    }
    return this;
  }

  #timeout(end: End): void {
    this.feed(end, { type: 'timeout' });
    if (end.agent.deadline() <= this.now) {
      this.feed(end, { type: 'timeout' });
      if (end.agent.deadline() <= this.now) throw new Error(`${end.name} wants a timeout for ever at ${this.now} ms`);
    }
  }

  #output(end: End, output: IceOutput): void {
    end.outputs.push({ ...output, at: this.now });
    if (output.type === 'candidate') {
      this.signal(end, { type: 'remote-candidate', candidate: output.candidate });
    } else if (output.type === 'candidates-end') this.signal(end, { type: 'remote-candidates-end' });
    else if (output.type === 'send') this.#send(end, output);
  }

  #send(end: End, send: Send): void {
    const inside = parseTransportAddress(this.#interface(end, send.base).address);
    const packet: Packet = { from: this.#translate(end, send, inside), to: send.to, send, at: this.now };
    this.packets.push(packet);
    const code = this.options.refuse?.(packet) ?? null;
    if (code !== null) {
      this.feed(end, { type: 'send-failed', transaction: send.transaction, code });
      return;
    }
    const lost = this.#random.uint32() / 2 ** 32 < (this.options.loss ?? 0);
    if (lost || end.silent || this.options.drop?.(packet)) return;
    this.at(this.now + (this.options.delayMs ?? 10), () => {
      this.#deliver(end, packet);
    });
  }

  #interface(end: End, base: string): Interface {
    const found = end.interfaces[base.slice(2)];
    if (!found) throw new Error(`no interface ${base}`);
    return found;
  }

  #translate(end: End, send: Send, inside: TransportAddress): TransportAddress {
    const { nat } = this.#interface(end, send.base);
    if (!nat) return inside;
    const peer = formatTransportAddress(send.to);
    for (const [outside, mapping] of this.#mappings) {
      const own = mapping.inside.address === inside.address && mapping.inside.port === inside.port;
      if (own && (!nat.symmetric || mapping.peers.has(peer))) {
        mapping.peers.add(peer);
        return parseTransportAddress(outside);
      }
    }
    const outside = `${nat.outside}:${this.#nextPort}`;
    this.#nextPort += 1;
    this.#mappings.set(outside, { inside, peers: new Set([peer]) });
    return parseTransportAddress(outside);
  }

  #deliver(sender: End, { from, to, send }: Packet): void {
    if (sender.agent.localCandidates().length > 0 && send.purpose === 'gather') {
      this.#answerAsServer(sender, send, from, to);
      return;
    }
    const mapping = this.#mappings.get(formatTransportAddress(to));
    if (mapping && !mapping.peers.has(formatTransportAddress(from))) return;
    const inside = formatTransportAddress(mapping?.inside ?? to);
    for (const end of this.ends) {
      if (end.silent) continue;
      for (const [name, each] of Object.entries(end.interfaces)) {
        if (each.address !== inside || (each.nat && !mapping)) continue;
        const key = send.purpose === 'response' ? sender.credentials : end.credentials;
        const message = this.options.strip ? stripped(send.message, key) : send.message;
        this.feed(end, { type: 'datagram', base: `${end.name}/${name}`, from, message, arm: send.arm });
      }
    }
  }

  #answerAsServer(end: End, { base, message }: Send, from: TransportAddress, server: TransportAddress): void {
    const parsed = parseStrict(message);
    if (!parsed.ok) throw new Error('not STUN');
    const { method, transactionId } = parsed.message;
    const attributes = [xorMappedAddress(from, transactionId)];
    const answer = encodeMessage({ method, class: 'success', transactionId, attributes });
    this.at(this.now + (this.options.delayMs ?? 10), () => {
      this.feed(end, { type: 'datagram', base, from: server, message: answer, arm: 'stun' });
    });
  }
}

/** Three interfaces a host, all on public addresses: an open mesh. */
export function triple(host: number): EndOptions['interfaces'] {
  return {
    eth0: { kind: 'ethernet', address: `203.0.113.${host}:5000` },
    wlan0: { kind: 'wifi', address: `198.51.100.${host}:5000` },
    wwan0: { kind: 'cellular', address: `192.0.2.${host}:5000` },
  };
}

export function single(host: number, extra: Partial<Interface> = {}): EndOptions['interfaces'] {
  return { eth0: { kind: 'ethernet', address: `203.0.113.${host}:5000`, ...extra } };
}

function stripped(message: Uint8Array, { password }: Credentials): Uint8Array {
  const parsed = parseStrict(message);
  if (!parsed.ok) throw new Error('not STUN');
  return signed({ ...parsed.message, attributes: [] }, { key: shortTermKey(password) });
}
