import { transportAddress } from '../../src/base/address.js';
import { concatBytes } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { Host } from '../../src/world/host.js';
import type { LinkOptions } from '../../src/world/link.js';
import { Network, type NetworkNode, type Plug } from '../../src/world/network.js';
import { type Packet, TCP_FLAGS } from '../../src/world/packet.js';
import { Router } from '../../src/world/router.js';
import { offsetOf } from '../../src/world/tcp-segment.js';
import type { TcpStream } from '../../src/world/tcp-socket.js';

export const SERVER = transportAddress('10.2.0.2', 80);
const CLIENT = '10.1.0.2';

/** A segment as tcpdump would show it: relative sequence numbers, flags by their letters. */
export interface Seen {
  readonly at: Ms;
  readonly from: 'client' | 'server';
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  readonly length: number;
  readonly packet: Packet;
}

/** What a process makes of its stream. */
export class Peer {
  stream: TcpStream | null = null;
  readonly received: Uint8Array[] = [];
  /** `open`, `end`, or why it failed. */
  readonly events: { readonly at: Ms; readonly what: string }[] = [];
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  readonly handlers = {
    open: (): void => {
      this.#note('open');
    },
    data: (bytes: Uint8Array): void => {
      this.received.push(bytes);
    },
    end: (): void => {
      this.#note('end');
    },
    failed: (code: string): void => {
      this.#note(code);
    },
  };

  get bytes(): Uint8Array {
    return concatBytes(...this.received);
  }

  get said(): string[] {
    return this.events.map(({ what }) => what);
  }

  #note(what: string): void {
    this.events.push({ at: this.#network.now, what });
  }
}

/** Passes on what `passes` lets through. */
class Gate implements NetworkNode {
  readonly #plugs = new Map<string, Plug>();
  readonly #passes: (packet: Packet) => boolean;

  constructor(passes: (packet: Packet) => boolean) {
    this.#passes = passes;
  }

  plugIn(port: string, plug: Plug): void {
    this.#plugs.set(port, plug);
  }

  receive(packet: Packet, port: string): void {
    if (this.#passes(packet)) this.#plugs.get(port === 'left' ? 'right' : 'left')?.send(packet);
  }
}

export interface PairOptions {
  readonly seed?: number;
  /** From the client to the server, and back; by default 10 ms. */
  readonly there?: LinkOptions;
  readonly back?: LinkOptions;
  readonly clientMtuBytes?: number;
  /** Of what comes and goes at the client; whether it may pass. */
  readonly passes?: (packet: Packet) => boolean;
}

/** Two hosts with a router between them: client – link – gate – router – server. */
export class Pair {
  readonly network: Network;
  readonly hosts: { readonly client: Host; readonly server: Host };
  readonly router = new Router({
    addresses: { ipv4: '10.1.0.1' },
    routes: [
      { to: '10.1.0.0/24', via: 'client' },
      { to: '10.2.0.0/24', via: 'server' },
    ],
  });
  /** What the client sent and received, in order. */
  readonly seen: Seen[] = [];
  readonly client: Peer;
  readonly server: Peer;
  stop: (() => void) | string = '';

  constructor(options: PairOptions = {}) {
    const { seed = 1, there = { delayMs: 10 }, back = there, passes = () => true } = options;
    this.network = new Network(new SeededRandom(seed));
    const host = (name: string, address: string, gateway: string, mtuBytes = 1500): Host =>
      new Host({
        name,
        interfaces: [
          {
            name: 'eth0',
            kind: 'ethernet',
            label: name,
            addresses: [{ family: 'ipv4', address, prefixLength: 24 }],
            mtuBytes,
          },
        ],
        routes: [{ to: '0.0.0.0/0', interface: 'eth0', gateway }],
        random: new SeededRandom(`${name} ${seed}`),
      });
    this.hosts = {
      client: host('client', CLIENT, '10.1.0.1', options.clientMtuBytes),
      server: host('server', SERVER.address, '10.2.0.1', back.mtuBytes),
    };
    const gate = new Gate(passes);
    this.network.connect({ node: this.hosts.client, port: 'eth0' }, { node: gate, port: 'left' });
    this.network.connect({ node: gate, port: 'right' }, { node: this.router, port: 'client' });
    this.network.connect({ node: this.router, port: 'server' }, { node: this.hosts.server, port: 'eth0' }, there, back);
    this.client = new Peer(this.network);
    this.server = new Peer(this.network);
    const initial = { client: 0, server: 0 };
    this.network.tap({ node: this.hosts.client, port: 'eth0' }, (packet, direction, at) => {
      if (!packet.tcp) return;
      const from = direction === 'sent' ? 'client' : 'server';
      const { sequence, acknowledgment, flags } = packet.tcp;
      if ((flags & TCP_FLAGS.syn) !== 0) initial[from] = sequence;
      const far = from === 'client' ? 'server' : 'client';
      const letters = (Object.keys(TCP_FLAGS) as (keyof typeof TCP_FLAGS)[]).filter((name) => flags & TCP_FLAGS[name]);
      const ack = letters.includes('ack') ? offsetOf(acknowledgment, initial[far], 0) : 0;
      const [seq, length] = [offsetOf(sequence, initial[from], 0), packet.payload.length];
      this.seen.push({ at, from, flags: letters.join(' '), seq, ack, length, packet });
    });
  }

  listen(): this {
    this.stop = this.hosts.server.tcp.listen(SERVER, (stream) => {
      this.server.stream = stream;
      return this.server.handlers;
    });
    return this;
  }

  connect(): this {
    this.client.stream = this.hosts.client.tcp.connect({ from: null, device: null, to: SERVER }, this.client.handlers);
    return this;
  }

  /** Both ends open, and nothing under way. */
  established(): this {
    this.listen().connect().run(1000);
    this.seen.length = 0;
    return this;
  }

  run(forMs: Ms): this {
    this.network.runUntil(this.network.now + forMs);
    return this;
  }

  /** `client syn 0 0 0`: from, flags, sequence, acknowledgment, length. */
  get trace(): string[] {
    return this.seen.map(({ from, flags, seq, ack, length }) => `${from} ${flags} ${seq} ${ack} ${length}`);
  }
}

export function randomBytes(seed: string | number, length: number): Uint8Array {
  return new SeededRandom(seed).bytes(length);
}
