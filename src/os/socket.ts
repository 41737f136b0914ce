import type { TransportAddress } from '../base/address.js';
import { utf8Bytes, viewOf } from '../base/bytes.js';
import { drainErrorQueue } from './error-queue.js';
import type { QueuedError } from './error-queue.js';
import { errnoName, loadLibc, SystemCallError } from './libc.js';
import type { Libc } from './libc.js';
import { integerControlMessage, MessageBuffer } from './message.js';
import { addressFamily, decodeSockaddr, encodeSockaddr, SOCKADDR_BYTES } from './sockaddr.js';

export type { QueuedError } from './error-queue.js';

export interface SocketOptions {
  readonly protocol: 'udp' | 'tcp';
  readonly local: TransportAddress;
  /** The interface that every packet must leave by (SO_BINDTODEVICE); `null`: where the routes say. */
  readonly device: string | null;
  /** Whether a UDP socket queues ICMP errors, which somebody then has to take off again; true without it. */
  readonly errorQueue?: boolean;
}

/** Sockets by file descriptor, with what Node leaves out. All methods are synchronous system calls. */
export interface KernelSockets {
  /** Non-blocking and bound; a UDP socket has an error queue. Throws {@link SystemCallError}. */
  open(options: SocketOptions): number;
  /** `null`, or the code with which the kernel refused. `ttl` is set for this datagram alone. */
  send(fd: number, to: TransportAddress, bytes: Uint8Array, ttl?: number): string | null;
  drainErrors(fd: number): QueuedError[];
  /** Begins to connect. Throws {@link SystemCallError} when that fails at once. */
  connect(fd: number, to: TransportAddress): void;
  /** How a connection that was begun stands: `null` while it is under way, else the code, or `connected`. */
  connection(fd: number): string | null;
  localAddress(fd: number): TransportAddress;
  close(fd: number): void;
}

export type KernelSocketsState =
  { readonly sockets: KernelSockets; readonly reason: null } | { readonly sockets: null; readonly reason: string };

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_IP = 0;
const IP_TTL = 2;
const IP_RECVERR = 11;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_BINDTODEVICE = 25;
const SOL_IPV6 = 41;
const IPV6_RECVERR = 25;
const IPV6_V6ONLY = 26;
const IPV6_HOPLIMIT = 52;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EINPROGRESS = 115;
const ENOTCONN = 107;
const NO_CONTROL = new Uint8Array(0);

let state: KernelSocketsState | undefined;

/** The kernel's sockets, or why they are not to be had. The same answer for the life of the process. */
export function kernelSockets(): KernelSocketsState {
  if (!state) {
    const { libc, reason } = loadLibc();
    state = libc ? { sockets: new LibcSockets(libc), reason: null } : { sockets: null, reason };
  }
  return state;
}

class LibcSockets implements KernelSockets {
  readonly #libc: Libc;
  readonly #buffer: MessageBuffer;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#buffer = new MessageBuffer(libc);
  }

  open({ protocol, local, device, errorQueue = true }: SocketOptions): number {
    const type = (protocol === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = this.#check(this.#libc.socket(addressFamily(local.family), type, 0), 'socket', local.family);
    try {
      if (device !== null) this.#set(fd, SOL_SOCKET, SO_BINDTODEVICE, utf8Bytes(`${device}\0`), `device ${device}`);
      if (local.family === 'ipv6') this.#set(fd, SOL_IPV6, IPV6_V6ONLY, integer(1), 'IPV6_V6ONLY');
      if (protocol === 'udp' && errorQueue) {
        if (local.family === 'ipv4') this.#set(fd, SOL_IP, IP_RECVERR, integer(1), 'IP_RECVERR');
        else this.#set(fd, SOL_IPV6, IPV6_RECVERR, integer(1), 'IPV6_RECVERR');
      }
      const name = encodeSockaddr(local);
      this.#check(this.#libc.bind(fd, name, name.length), 'bind', `${local.address} port ${String(local.port)}`);
    } catch (error) {
      this.close(fd);
      throw error;
    }
    return fd;
  }

  send(fd: number, to: TransportAddress, bytes: Uint8Array, ttl?: number): string | null {
    const errno = this.#buffer.send(fd, to, bytes, ttlControl(to, ttl), MSG_DONTWAIT | MSG_NOSIGNAL);
    return errno === 0 ? null : errnoName(errno);
  }

  drainErrors(fd: number): QueuedError[] {
    return drainErrorQueue(this.#buffer, fd);
  }

  connect(fd: number, to: TransportAddress): void {
    const name = encodeSockaddr(to);
    if (this.#libc.connect(fd, name, name.length) === 0 || this.#libc.errno() === EINPROGRESS) return;
    this.#check(-1, 'connect', to.address);
  }

  connection(fd: number): string | null {
    const value = integer(0);
    this.#check(
      this.#libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, integer(value.length)),
      'getsockopt',
      'SO_ERROR',
    );
    const errno = viewOf(value).getInt32(0, true);
    if (errno !== 0) return errnoName(errno);
    const name = new Uint8Array(SOCKADDR_BYTES);
    if (this.#libc.getpeername(fd, name, integer(name.length)) === 0) return 'connected';
    const failure = this.#libc.errno();
    return failure === ENOTCONN ? null : errnoName(failure);
  }

  localAddress(fd: number): TransportAddress {
    const name = new Uint8Array(SOCKADDR_BYTES);
    this.#check(this.#libc.getsockname(fd, name, integer(name.length)), 'getsockname', String(fd));
    const address = decodeSockaddr(name);
    if (!address) throw new SystemCallError('getsockname', 'EAFNOSUPPORT', String(fd));
    return address;
  }

  close(fd: number): void {
    this.#libc.close(fd);
  }

  #set(fd: number, level: number, name: number, value: Uint8Array, detail: string): void {
    this.#check(this.#libc.setsockopt(fd, level, name, value, value.length), 'setsockopt', detail);
  }

  #check(result: number, syscall: string, detail: string): number {
    if (result < 0) throw new SystemCallError(syscall, errnoName(this.#libc.errno()), detail);
    return result;
  }
}

function ttlControl(to: TransportAddress, ttl: number | undefined): Uint8Array {
  if (ttl === undefined) return NO_CONTROL;
  return to.family === 'ipv4'
    ? integerControlMessage(SOL_IP, IP_TTL, ttl)
    : integerControlMessage(SOL_IPV6, IPV6_HOPLIMIT, ttl);
}

function integer(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setInt32(0, value, true);
  return bytes;
}
