import { viewOf } from '../base/bytes.js';
import type { TransportAddress } from '../base/address.js';
import { errnoName, loadLibc, SystemCallError } from './libc.js';
import type { Libc } from './libc.js';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_BYTES } from './sockaddr.js';
import { kernelSockets } from './socket.js';

export interface BatchedUdpOptions {
  readonly local: TransportAddress;
  /** The interface that every packet must leave by (SO_BINDTODEVICE); `null`: where the routes say. */
  readonly device: string | null;
}

/** One datagram that came; `bytes` is good until the next call of `receive`. The same sender is the same object. */
export type TakeDatagram = (bytes: Uint8Array, from: TransportAddress) => void;

/**
 * A UDP socket that takes many datagrams with one system call (recvmmsg), and sends many with one (UDP_SEGMENT). Nothing
 * is fragmented on the way (IP_PMTUDISC_PROBE), so that datagrams can probe for the path's MTU. All calls are
 * synchronous and never wait.
 */
export interface BatchedUdp {
  readonly fd: number;
  /** Takes what waits, up to {@link RECEIVE_BATCH}; the number of datagrams, 0 where none waits. */
  receive(take: TakeDatagram): number;
  /**
   * `segmentBytes` 0: one datagram. Else several of so many bytes, the last of which may be shorter. `null`, or the code
   * with which the kernel refused: `EAGAIN` where it has no room now, `EIO` or `EINVAL` where it cannot cut into segments,
   * or where a segment is too large for it.
   */
  send(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): string | null;
  localAddress(): TransportAddress;
  close(): void;
}

export type BatchedUdpState =
  | {
      readonly open: (options: BatchedUdpOptions) => BatchedUdp;
      /** What is sent from here need not be copied. */
      readonly sendBuffer: Uint8Array;
      readonly reason: null;
    }
  | { readonly open: null; readonly sendBuffer: null; readonly reason: string };

let state: BatchedUdpState | undefined;

/** Batched sockets, or why they are not to be had. The same answer for the life of the process. */
export function batchedUdp(): BatchedUdpState {
  if (!state) {
    const { libc, reason } = loadLibc();
    if (libc === null) state = { open: null, sendBuffer: null, reason };
    else {
      const memory = new Memory(libc);
      const open = (options: BatchedUdpOptions): BatchedUdp => new LibcBatchedUdp(libc, memory, options);
      state = { open, sendBuffer: memory.sendBuffer, reason: null };
    }
  }
  return state;
}

export const RECEIVE_BATCH = 64;
/** Larger datagrams than any path of ours carries are cut, and so lost. */
const RECEIVE_BYTES = 9216;
const SEND_BYTES = 65_536;
/** UDP_MAX_SEGMENTS of Linux, and what fits into a UDP packet over IPv4. */
export const MOST_SEGMENTS = 64;
export const MOST_SEND_BYTES = 65_507;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_IP = 0;
const IP_MTU_DISCOVER = 10;
const SOL_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const PMTUDISC_PROBE = 3;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const ENOBUFS = 105;
/** Doubled by the kernel; for users other than root cut to what the administrator allows (net.core.rmem_max). */
const BUFFER_BYTES = 4 << 20;

/** `struct mmsghdr`, `struct iovec`, and room for the rest; see message.ts. */
const HEADER_BYTES = 64;
const IOVEC_BYTES = 16;
const NAME_BYTES = 32;
const LENGTH_AT = 56;
const FLAGS_AT = 48;
const SEND_IOVEC_AT = 64;
const SEND_NAME_AT = 96;
const SEND_CONTROL_AT = 128;
const SEND_CONTROL_BYTES = 24;
const SEND_PAYLOAD_AT = 256;

/** What system calls read and write; every call is over before the next begins, so one for all sockets is enough. */
class Memory {
  readonly receiveAddress: bigint;
  readonly receiveView: DataView;
  readonly payloads: readonly Uint8Array[];
  readonly names: readonly Uint8Array[];
  readonly sendAddress: bigint;
  readonly sendBytes: Uint8Array;
  readonly sendView: DataView;
  readonly sendBuffer: Uint8Array;

  constructor(libc: Libc) {
    const each = HEADER_BYTES + IOVEC_BYTES + NAME_BYTES + RECEIVE_BYTES;
    const receive = libc.allocate(RECEIVE_BATCH * each);
    const iovecsAt = RECEIVE_BATCH * HEADER_BYTES;
    const namesAt = iovecsAt + RECEIVE_BATCH * IOVEC_BYTES;
    const payloadsAt = namesAt + RECEIVE_BATCH * NAME_BYTES;
    const pointer = (offset: number): bigint => receive.address + BigInt(offset);
    const slots = Array.from({ length: RECEIVE_BATCH }, (_, index) => index);
    receive.bytes.fill(0, 0, payloadsAt);
    this.receiveAddress = receive.address;
    this.receiveView = viewOf(receive.bytes);
    for (const index of slots) {
      const header = index * HEADER_BYTES;
      const iovec = iovecsAt + index * IOVEC_BYTES;
      this.receiveView.setBigUint64(header, pointer(namesAt + index * NAME_BYTES), true);
      this.receiveView.setUint32(header + 8, SOCKADDR_BYTES, true);
      this.receiveView.setBigUint64(header + 16, pointer(iovec), true);
      this.receiveView.setBigUint64(header + 24, 1n, true);
      this.receiveView.setBigUint64(iovec, pointer(payloadsAt + index * RECEIVE_BYTES), true);
      this.receiveView.setBigUint64(iovec + 8, BigInt(RECEIVE_BYTES), true);
    }
    const part = (at: number, length: number) => (index: number) =>
      receive.bytes.subarray(at + index * length, at + (index + 1) * length);
    this.names = slots.map(part(namesAt, NAME_BYTES));
    this.payloads = slots.map(part(payloadsAt, RECEIVE_BYTES));

    const send = libc.allocate(SEND_PAYLOAD_AT + SEND_BYTES);
    send.bytes.fill(0, 0, SEND_PAYLOAD_AT);
    this.sendAddress = send.address;
    this.sendBytes = send.bytes;
    this.sendView = viewOf(send.bytes);
    this.sendBuffer = send.bytes.subarray(SEND_PAYLOAD_AT, SEND_PAYLOAD_AT + SEND_BYTES);
    const view = this.sendView;
    view.setBigUint64(0, send.address + BigInt(SEND_NAME_AT), true);
    view.setBigUint64(16, send.address + BigInt(SEND_IOVEC_AT), true);
    view.setBigUint64(24, 1n, true);
    view.setBigUint64(32, send.address + BigInt(SEND_CONTROL_AT), true);
    // struct cmsghdr with one uint16_t.
    view.setBigUint64(SEND_CONTROL_AT, 18n, true);
    view.setInt32(SEND_CONTROL_AT + 8, SOL_UDP, true);
    view.setInt32(SEND_CONTROL_AT + 12, UDP_SEGMENT, true);
  }
}

/** So many senders are remembered at once. */
const MOST_SENDERS = 4096;

class LibcBatchedUdp implements BatchedUdp {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #memory: Memory;
  readonly #senders = new Map<string, TransportAddress>();
  readonly #names = new WeakMap<TransportAddress, Uint8Array>();
  readonly #lastName = new Uint8Array(NAME_BYTES);
  #lastSender: TransportAddress | null = null;

  constructor(libc: Libc, memory: Memory, { local, device }: BatchedUdpOptions) {
    const { sockets, reason } = kernelSockets();
    if (!sockets) throw new SystemCallError('socket', 'ENOSYS', reason);
    this.#libc = libc;
    this.#memory = memory;
    this.fd = sockets.open({ protocol: 'udp', local, device, errorQueue: false });
    const set = (level: number, name: number, value: number): boolean => {
      const bytes = new Uint8Array(4);
      viewOf(bytes).setInt32(0, value, true);
      return libc.setsockopt(this.fd, level, name, bytes, bytes.length) === 0;
    };
    if (!set(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)) set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    if (!set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)) set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    if (local.family === 'ipv4') set(SOL_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE);
    else set(SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
  }

  receive(take: TakeDatagram): number {
    const { receiveAddress, receiveView: view, payloads } = this.#memory;
    const count = this.#libc.recvmmsg(this.fd, receiveAddress, RECEIVE_BATCH, MSG_DONTWAIT, null);
    for (let index = 0; index < count; index += 1) {
      const header = index * HEADER_BYTES;
      const length = view.getUint32(header + LENGTH_AT, true);
      const isCut = (view.getInt32(header + FLAGS_AT, true) & MSG_TRUNC) !== 0;
      view.setUint32(header + 8, SOCKADDR_BYTES, true);
      const from = isCut ? null : this.#sender(index);
      const payload = payloads[index];
      if (from !== null && payload !== undefined) take(payload.subarray(0, length), from);
    }
    return Math.max(0, count);
  }

  send(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): string | null {
    if (bytes.length > MOST_SEND_BYTES) return 'EMSGSIZE';
    const errno = this.#sendOne(to, bytes, segmentBytes > 0 && bytes.length > segmentBytes ? segmentBytes : 0);
    if (errno === 0) return null;
    return errno === ENOBUFS ? 'EAGAIN' : errnoName(errno);
  }

  #sendOne(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): number {
    const { sendAddress, sendBytes, sendView: view, sendBuffer } = this.#memory;
    const name = this.#encoded(to);
    sendBytes.set(name, SEND_NAME_AT);
    view.setUint32(8, name.length, true);
    let at = bytes.byteOffset;
    if (bytes.buffer !== sendBuffer.buffer) {
      sendBuffer.set(bytes);
      at = sendBuffer.byteOffset;
    }
    view.setBigUint64(SEND_IOVEC_AT, sendAddress + BigInt(at - sendBytes.byteOffset), true);
    view.setBigUint64(SEND_IOVEC_AT + 8, BigInt(bytes.length), true);
    view.setBigUint64(40, segmentBytes > 0 ? BigInt(SEND_CONTROL_BYTES) : 0n, true);
    if (segmentBytes > 0) view.setUint16(SEND_CONTROL_AT + 16, segmentBytes, true);
    return this.#libc.sendmsg(this.fd, sendAddress, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? this.#libc.errno() : 0;
  }

  localAddress(): TransportAddress {
    const { sockets, reason } = kernelSockets();
    if (!sockets) throw new SystemCallError('getsockname', 'ENOSYS', reason);
    return sockets.localAddress(this.fd);
  }

  close(): void {
    this.#libc.close(this.fd);
  }

  #encoded(to: TransportAddress): Uint8Array {
    let name = this.#names.get(to);
    if (name === undefined) this.#names.set(to, (name = encodeSockaddr(to)));
    return name;
  }

  /** Most datagrams come from whom the one before came. */
  #sender(index: number): TransportAddress | null {
    const name = this.#memory.names[index] ?? new Uint8Array(0);
    if (this.#lastSender !== null && sameName(name, this.#lastName)) return this.#lastSender;
    const key = String.fromCharCode(...name.subarray(0, SOCKADDR_BYTES));
    let sender = this.#senders.get(key) ?? null;
    if (sender === null) {
      sender = decodeSockaddr(name);
      if (sender === null) return null;
      if (this.#senders.size >= MOST_SENDERS) this.#senders.clear();
      this.#senders.set(key, sender);
    }
    this.#lastName.set(name);
    this.#lastSender = sender;
    return sender;
  }
}

function sameName(left: Uint8Array, right: Uint8Array): boolean {
  for (let index = 0; index < SOCKADDR_BYTES; index += 1) if (left[index] !== right[index]) return false;
  return true;
}
