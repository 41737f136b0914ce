import { createSocket, type Socket } from 'node:dgram';
import { transportAddress, type TransportAddress } from '../../base/address.js';
import { errorCode } from '../../base/errors.js';
import { type BatchedUdp, type BatchedUdpOptions, MOST_SEGMENTS, RECEIVE_BATCH } from '../../os/batched-udp.js';
import { bound, pinnedOrNot, plainBytes } from './open.js';
import type { QuicSocket, SocketBackEnd, SocketHandler } from './socket.js';

/** UDP_SEGMENT and recvmmsg, through koffi. */
export function fastSockets(open: (options: BatchedUdpOptions) => BatchedUdp, sendBuffer: Uint8Array): SocketBackEnd {
  return {
    name: 'UDP_SEGMENT and recvmmsg',
    sendBuffer,
    mostSegments: MOST_SEGMENTS,
    async open(request, handler) {
      const { made: kernel, pinned } = pinnedOrNot(request, (device) => open({ local: request.local, device }));
      const { family } = request.local;
      const waker = createSocket({ type: family === 'ipv4' ? 'udp4' : 'udp6', ipv6Only: family === 'ipv6' });
      try {
        const listening = bound(waker);
        waker.bind({ fd: kernel.fd, exclusive: true });
        await listening;
      } catch (error) {
        kernel.close();
        throw error;
      }
      return new FastSocket(kernel, waker, pinned, handler);
    },
  };
}

/** So many are taken before the event loop goes on: what is left wakes it again at once. */
const BATCHES_AT_ONCE = 4;
/** What waits for room in the kernel; more is lost, as in a router. */
const MOST_WAITING_BYTES = 256 * 1024;
const RETRY_MS = 1;
/** What the kernel says where a device cannot cut (udp_send_skb). */
const CANNOT_SEGMENT = new Set(['EIO', 'EINVAL']);

interface Waiting {
  readonly to: TransportAddress;
  readonly bytes: Uint8Array;
  readonly segmentBytes: number;
}

/**
 * Nothing in Node tells that a descriptor can be read without reading from it. So `dgram` takes the first datagram of
 * each batch, and what stands behind it is taken by recvmmsg before `dgram` looks again: its cost is paid once a batch.
 */
class FastSocket implements QuicSocket {
  readonly local: TransportAddress;
  readonly pinned: boolean;
  readonly #kernel: BatchedUdp;
  readonly #waker: Socket;
  readonly #handler: SocketHandler;
  readonly #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;
  #refused = 0;
  #canSegment = true;
  #lastFrom: TransportAddress | null = null;

  constructor(kernel: BatchedUdp, waker: Socket, pinned: boolean, handler: SocketHandler) {
    this.local = kernel.localAddress();
    this.pinned = pinned;
    this.#kernel = kernel;
    this.#waker = waker;
    this.#handler = handler;
    waker.on('message', (bytes, { address, port }) => {
      if (this.#closed) return;
      handler.datagram(plainBytes(bytes), this.#from(address, port), 'none');
      this.#receive();
      handler.batchEnd();
    });
    waker.on('error', (error) => {
      if (this.#closed) return;
      this.close();
      handler.failed(errorCode(error));
    });
  }

  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  get refused(): number {
    return this.#refused;
  }

  send(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): void {
    if (this.#closed) return;
    if (segmentBytes === 0 || this.#canSegment) this.#sendOne(to, bytes, segmentBytes);
    else {
      for (let at = 0; at < bytes.length; at += segmentBytes) {
        this.#sendOne(to, bytes.subarray(at, at + segmentBytes), 0);
      }
    }
  }

  #sendOne(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): void {
    if (this.#waiting.length > 0) {
      this.#wait(to, bytes, segmentBytes);
      return;
    }
    const code = this.#kernel.send(to, bytes, segmentBytes);
    if (code === null) return;
    if (code === 'EAGAIN') this.#wait(to, bytes, segmentBytes);
    else if (segmentBytes > 0 && CANNOT_SEGMENT.has(code)) this.#sendSingly(to, bytes, segmentBytes, code);
    else this.#refuse(bytes, segmentBytes);
  }

  /** Where the first segment alone gets through, the device cannot cut; else it is too large for it. */
  #sendSingly(to: TransportAddress, bytes: Uint8Array, segmentBytes: number, why: string): void {
    const code = this.#kernel.send(to, bytes.subarray(0, segmentBytes), 0);
    if (code === 'EAGAIN') this.#wait(to, bytes, segmentBytes);
    else if (code === null) {
      this.#canSegment = false;
      this.#handler.noted?.('segments-refused', why);
      this.send(to, bytes.subarray(segmentBytes), segmentBytes);
    } else this.#refuse(bytes, segmentBytes);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#retry) clearTimeout(this.#retry);
    // It owns the descriptor.
    this.#waker.close();
  }

  #receive(): void {
    const take = (bytes: Uint8Array, from: TransportAddress): void => {
      if (!this.#closed) this.#handler.datagram(bytes, from, 'none');
    };
    for (let batch = 0; batch < BATCHES_AT_ONCE && !this.#closed; batch += 1) {
      if (this.#kernel.receive(take) < RECEIVE_BATCH) return;
    }
  }

  #from(address: string, port: number): TransportAddress {
    if (this.#lastFrom?.port !== port || this.#lastFrom.address !== address) {
      this.#lastFrom = transportAddress(address, port);
    }
    return this.#lastFrom;
  }

  #wait(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): void {
    if (this.#waitingBytes + bytes.length > MOST_WAITING_BYTES) {
      this.#refuse(bytes, segmentBytes);
      return;
    }
    this.#waiting.push({ to, bytes: bytes.slice(), segmentBytes });
    this.#waitingBytes += bytes.length;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.#sendWaiting();
    }, RETRY_MS);
  }

  #sendWaiting(): void {
    const waiting = this.#waiting.splice(0);
    this.#waitingBytes = 0;
    // What still finds no room waits again, and all behind it.
    for (const { to, bytes, segmentBytes } of waiting) this.send(to, bytes, segmentBytes);
    if (!this.isFull) this.#handler.writable();
  }

  #refuse(bytes: Uint8Array, segmentBytes: number): void {
    this.#refused += segmentBytes > 0 ? Math.ceil(bytes.length / segmentBytes) : 1;
  }
}
