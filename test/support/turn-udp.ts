import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { transportAddress, type TransportAddress } from '../../src/base/address.js';
import { utf8Bytes, utf8Text } from '../../src/base/bytes.js';
import { drain } from '../../src/base/machine.js';
import type { Random } from '../../src/base/random.js';
import { TurnClient } from '../../src/turn/client.js';
import type { TurnClientOptions, TurnInput, TurnOutput } from '../../src/turn/types.js';

const random: Random = {
  uint32: () => randomBytes(4).readUInt32BE(),
  bytes: (length) => Uint8Array.from(randomBytes(length)),
};

/** A TURN client on a real UDP socket of this machine, of the family of its server. */
export class TurnOnUdp {
  readonly client: TurnClient;
  readonly outputs: TurnOutput[] = [];
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: Omit<TurnClientOptions, 'random'>) {
    this.client = new TurnClient({ random, ...options });
    const { family } = options.server.address;
    this.#socket = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
    this.#socket.on('message', (bytes, { address, port }) => {
      this.feed({ type: 'datagram', from: transportAddress(address, port), bytes });
    });
    this.#socket.bind(0, family === 'ipv4' ? '127.0.0.1' : '::1');
  }

  feed(input: TurnInput): void {
    this.client.handle(input, performance.now());
    for (const output of drain(this.client)) {
      this.outputs.push(output);
      if (output.type === 'send') this.#socket.send(output.bytes, output.to.port, output.to.address);
    }
    clearTimeout(this.#timer);
    const deadline = this.client.deadline();
    if (deadline < Infinity) {
      const wait = Math.max(0, deadline - performance.now());
      this.#timer = setTimeout(() => {
        this.feed({ type: 'timeout' });
      }, wait + 1);
    }
    for (const look of [...this.#waiting]) look();
  }

  /** The first output of this type that there is, or will be; the end of the client where that comes first. */
  async next<T extends TurnOutput['type']>(type: T): Promise<Extract<TurnOutput, { type: T }>> {
    for (;;) {
      const found = this.outputs.find((each): each is Extract<TurnOutput, { type: T }> => each.type === type);
      if (found) return found;
      const over = this.outputs.find((each) => each.type === 'failed' || each.type === 'lost');
      if (over) throw over.error;
      await new Promise<void>((resolve) => {
        const look = (): void => {
          this.#waiting.delete(look);
          resolve();
        };
        this.#waiting.add(look);
      });
    }
  }

  async allocate(): Promise<TransportAddress> {
    this.feed({ type: 'allocate' });
    return (await this.next('allocated')).relayed;
  }

  /** The next data, and who said it. */
  async heard(): Promise<{ readonly peer: TransportAddress; readonly text: string; readonly channel: number | null }> {
    const { peer, data, channel } = await this.next('data');
    this.outputs.length = 0;
    return { peer, text: utf8Text(data), channel };
  }

  say(peer: TransportAddress, text: string): void {
    this.feed({ type: 'data', peer, data: utf8Bytes(text) });
  }

  async close(): Promise<void> {
    if (this.client.state !== 'ended') {
      this.feed({ type: 'close' });
      await this.next('closed');
    }
    this.abandon();
  }

  /** The socket is gone, and the server hears nothing of it. */
  abandon(): void {
    clearTimeout(this.#timer);
    this.#socket.close();
  }
}

/** A socket on the loopback that is somebody's peer. */
export class UdpPeer {
  readonly #socket: Socket;
  readonly #got: { readonly from: TransportAddress; readonly text: string }[] = [];
  #wake: () => void = () => undefined;

  constructor(family: 'ipv4' | 'ipv6') {
    this.#socket = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
    this.#socket.on('message', (bytes, { address, port }) => {
      this.#got.push({ from: transportAddress(address, port), text: utf8Text(bytes) });
      this.#wake();
    });
    this.#socket.bind(0, family === 'ipv4' ? '127.0.0.1' : '::1');
  }

  async address(): Promise<TransportAddress> {
    if (!this.#isBound()) await once(this.#socket, 'listening');
    const { address, port } = this.#socket.address();
    return transportAddress(address, port);
  }

  async heard(): Promise<{ readonly from: TransportAddress; readonly text: string }> {
    for (;;) {
      const got = this.#got.shift();
      if (got) return got;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  say(to: TransportAddress, text: string): void {
    this.#socket.send(text, to.port, to.address);
  }

  close(): void {
    this.#socket.close();
  }

  #isBound(): boolean {
    try {
      return this.#socket.address().port > 0;
    } catch {
      return false;
    }
  }
}
