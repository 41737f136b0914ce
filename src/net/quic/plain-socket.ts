import { createSocket, type Socket } from 'node:dgram';
import { transportAddress, type TransportAddress } from '../../base/address.js';
import { errorCode } from '../../base/errors.js';
import { batchedUdp } from '../../os/batched-udp.js';
import { bound, pinnedOrNot, plainBytes } from './open.js';
import type { QuicSocket, SocketBackEnd, SocketHandler } from './socket.js';

/** `dgram`, one system call a datagram. Where the kernel's own calls are to be had, they open the socket and pin it. */
export const plainSockets: SocketBackEnd = {
  name: 'dgram',
  sendBuffer: new Uint8Array(65_536),
  mostSegments: 8,
  async open(request, handler) {
    const { family, address, port } = request.local;
    const socket = createSocket({ type: family === 'ipv4' ? 'udp4' : 'udp6', ipv6Only: family === 'ipv6' });
    const { open } = batchedUdp();
    let pinned = false;
    const listening = bound(socket);
    if (open === null) socket.bind({ address, port, exclusive: true });
    else {
      const opened = pinnedOrNot(request, (device) => open({ local: request.local, device }));
      pinned = opened.pinned;
      socket.bind({ fd: opened.made.fd, exclusive: true });
    }
    await listening;
    return new PlainSocket(socket, pinned, handler);
  },
};

/** Sends that are under way at once; beyond them the socket is full, and beyond twice as many they are lost. */
const MOST_SENDING = 256;
const MOST_SENDERS = 4096;

class PlainSocket implements QuicSocket {
  readonly local: TransportAddress;
  readonly pinned: boolean;
  readonly #socket: Socket;
  readonly #handler: SocketHandler;
  readonly #senders = new Map<string, TransportAddress>();
  #sending = 0;
  #wasFull = false;
  #closed = false;
  #refused = 0;
  #endsBatch = false;

  constructor(socket: Socket, pinned: boolean, handler: SocketHandler) {
    const { address, port } = socket.address();
    this.local = transportAddress(address, port);
    this.pinned = pinned;
    this.#socket = socket;
    this.#handler = handler;
    socket.on('message', (bytes, { address: from, port: fromPort }) => {
      if (this.#closed) return;
      handler.datagram(plainBytes(bytes), this.#from(from, fromPort), 'none');
      // `dgram` does not tell where a batch ends: what it reads in one go has come before this is called.
      if (this.#endsBatch) return;
      this.#endsBatch = true;
      setImmediate(() => {
        this.#endsBatch = false;
        if (!this.#closed) handler.batchEnd();
      });
    });
    socket.on('error', (error) => {
      if (this.#closed) return;
      this.close();
      handler.failed(errorCode(error));
    });
  }

  get isFull(): boolean {
    return this.#sending >= MOST_SENDING;
  }

  get refused(): number {
    return this.#refused;
  }

  send(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): void {
    const each = segmentBytes > 0 ? segmentBytes : bytes.length;
    // `dgram` keeps what it is given until it is sent.
    const copy = bytes.slice();
    for (let at = 0; at < copy.length; at += each) this.#sendOne(to, copy.subarray(at, at + each));
  }

  #sendOne({ address, port }: TransportAddress, bytes: Uint8Array): void {
    if (this.#closed || this.#sending >= 2 * MOST_SENDING) {
      this.#refused += 1;
      return;
    }
    this.#sending += 1;
    if (this.isFull) this.#wasFull = true;
    try {
      this.#socket.send(bytes, port, address, this.#onSent);
    } catch {
      this.#sending -= 1;
      this.#refused += 1;
    }
  }

  readonly #onSent = (error: Error | null): void => {
    this.#sending -= 1;
    if (error) this.#refused += 1;
    if (!this.#wasFull || this.#closed || this.#sending > MOST_SENDING / 2) return;
    this.#wasFull = false;
    this.#handler.writable();
  };

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #from(address: string, port: number): TransportAddress {
    const key = `${address} ${String(port)}`;
    let from = this.#senders.get(key);
    if (from === undefined) {
      if (this.#senders.size >= MOST_SENDERS) this.#senders.clear();
      this.#senders.set(key, (from = transportAddress(address, port)));
    }
    return from;
  }
}
