import { formatTransportAddress, parseTransportAddress, type TransportAddress } from '../../src/base/address.js';
import { utf8Bytes, utf8Text } from '../../src/base/bytes.js';
import { drain, type Machine } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { TurnClient } from '../../src/turn/client.js';
import type { TurnClientOptions, TurnInput, TurnOutput } from '../../src/turn/types.js';
import { TurnServer, type TurnServerOptions } from '../../src/world/turn-server.js';

export const CREDENTIALS = { username: 'alice', password: 'a-secret-word' };
export const SERVER = parseTransportAddress('203.0.113.1:3478');
export const CLIENT = parseTransportAddress('192.0.2.1:5000');
export const PEER = parseTransportAddress('198.51.100.7:4711');

export type Logged<T> = T & { readonly at: number };

export interface Packet {
  readonly from: TransportAddress;
  readonly to: TransportAddress;
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** Anything that is pumped by the clock of a network. */
interface Pumped {
  readonly deadline: () => number;
  readonly timeout: () => void;
}

/** TURN servers, sockets and a clock that only moves when nothing is left to do at its time. */
export class TurnNetwork {
  now = 0;
  readonly packets: Packet[] = [];
  /** Whether a packet is lost on the way. */
  drop: (packet: Packet) => boolean = () => false;
  readonly #random: SeededRandom;
  readonly #sockets = new Map<string, (from: TransportAddress, bytes: Uint8Array, at: TransportAddress) => void>();
  readonly #delays = new Map<string, number>();
  readonly #events: { readonly at: number; readonly run: () => void }[] = [];
  readonly #pumped: Pumped[] = [];

  constructor(seed: string | number = 1) {
    this.#random = new SeededRandom(seed);
  }

  random(): SeededRandom {
    return new SeededRandom(this.#random.uint32());
  }

  /** A server; `delayMs` is the way to and from it, 10 where nothing is said. */
  server(
    options: Partial<TurnServerOptions> & { readonly address?: TransportAddress; readonly delayMs?: number } = {},
  ) {
    const { address = SERVER, delayMs = 10 } = options;
    const server = new TurnServer({
      random: this.random(),
      users: new Map([[CREDENTIALS.username, CREDENTIALS.password]]),
      relays: { ipv4: address.address },
      ...options,
    });
    this.#delays.set(address.address, delayMs);
    const take = (from: TransportAddress, bytes: Uint8Array, at: TransportAddress): void => {
      server.handle({ type: 'datagram', at, from, bytes }, this.now);
      pump();
    };
    const pump = (): void => {
      for (const output of drain(server)) {
        if (output.type === 'send') this.send(output.from, output.to, output.bytes);
        else if (output.type === 'open') this.open(output.address, take);
        else this.#sockets.delete(formatTransportAddress(output.address));
      }
    };
    this.open(address, take);
    this.#pump(server, pump);
    return server;
  }

  /** From now on the way to and from this address takes so long. */
  delay(address: string, delayMs: number): void {
    this.#delays.set(address, delayMs);
  }

  /** A client on a socket of its own, and what it wanted. */
  client(options: Partial<TurnClientOptions> & { readonly at?: TransportAddress } = {}) {
    const client = new TurnClient({
      server: { address: SERVER, credentials: CREDENTIALS },
      family: 'ipv4',
      random: this.random(),
      ...options,
    });
    return this.attach(client, options.at ?? CLIENT);
  }

  attach(client: TurnClient, address: TransportAddress): ClientOnNetwork {
    const outputs: Logged<TurnOutput>[] = [];
    const pump = (): void => {
      for (const output of drain(client)) {
        outputs.push({ ...output, at: this.now });
        if (output.type === 'send') this.send(address, output.to, output.bytes);
      }
    };
    const feed = (input: TurnInput): void => {
      client.handle(input, this.now);
      pump();
    };
    this.open(address, (from, bytes) => {
      feed({ type: 'datagram', from, bytes });
    });
    this.#pump(client, pump);
    return new ClientOnNetwork(client, outputs, feed);
  }

  /** A socket that only listens; `said` is what it got, as text. */
  peer(address: TransportAddress = PEER) {
    const said: { readonly from: TransportAddress; readonly text: string; readonly at: number }[] = [];
    this.open(address, (from, bytes) => said.push({ from, text: utf8Text(bytes), at: this.now }));
    const say = (to: TransportAddress, text: string): void => {
      this.send(address, to, utf8Bytes(text));
    };
    return { said, say, address };
  }

  open(
    address: TransportAddress,
    take: (from: TransportAddress, bytes: Uint8Array, at: TransportAddress) => void,
  ): void {
    this.#sockets.set(formatTransportAddress(address), take);
  }

  send(from: TransportAddress, to: TransportAddress, bytes: Uint8Array): void {
    const packet = { from, to, bytes, at: this.now };
    this.packets.push(packet);
    if (this.drop(packet)) return;
    const delayMs = this.#delays.get(to.address) ?? this.#delays.get(from.address) ?? 10;
    this.at(this.now + delayMs, () => this.#sockets.get(formatTransportAddress(to))?.(from, bytes, to));
  }

  at(time: number, run: () => void): void {
    const later = this.#events.findIndex((event) => event.at > time);
    this.#events.splice(later < 0 ? this.#events.length : later, 0, { at: time, run });
  }

  /** Anything else that has a deadline. */
  add(pumped: Pumped): void {
    this.#pumped.push(pumped);
  }

  run(time: number): this {
    for (let steps = 0; ; steps += 1) {
      if (steps > 200_000) throw new Error(`no end at ${this.now} ms`);
      const [event] = this.#events;
      const next = Math.max(this.now, Math.min(event?.at ?? Infinity, ...this.#pumped.map((each) => each.deadline())));
      if (next > time) {
        this.now = time;
        return this;
      }
      this.now = next;
      if (event && event.at <= next) {
        this.#events.shift();
        event.run();
      } else for (const each of this.#pumped) if (each.deadline() <= this.now) each.timeout();
    }
  }

  #pump(machine: Machine<{ readonly type: 'timeout' }, unknown>, pump: () => void): void {
    this.add({
      deadline: () => machine.deadline(),
      timeout: () => {
        machine.handle({ type: 'timeout' }, this.now);
        pump();
      },
    });
  }
}

export class ClientOnNetwork {
  readonly client: TurnClient;
  readonly outputs: Logged<TurnOutput>[];
  readonly feed: (input: TurnInput) => void;

  constructor(client: TurnClient, outputs: Logged<TurnOutput>[], feed: (input: TurnInput) => void) {
    this.client = client;
    this.outputs = outputs;
    this.feed = feed;
  }

  of<T extends TurnOutput['type']>(type: T): Logged<Extract<TurnOutput, { type: T }>>[] {
    return this.outputs.filter((output): output is Logged<Extract<TurnOutput, { type: T }>> => output.type === type);
  }

  get relayed(): TransportAddress {
    const [allocated] = this.of('allocated');
    if (!allocated) throw new Error('no allocation');
    return allocated.relayed;
  }

  say(peer: TransportAddress, text: string): void {
    this.feed({ type: 'data', peer, data: utf8Bytes(text) });
  }

  /** What peers said, as text. */
  heard(): { readonly peer: TransportAddress; readonly text: string; readonly channel: number | null }[] {
    return this.of('data').map(({ peer, data, channel }) => ({ peer, text: utf8Text(data), channel }));
  }
}
