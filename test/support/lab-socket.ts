import { createSocket } from 'node:dgram';
import { once as event } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import koffi from 'koffi';
import { addressBytes, formatTransportAddress, transportAddress } from '../../src/base/address.js';
import type { Lab, Node } from './lab.js';

const CLONE_NEWNET = 0x40000000;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;

/** A UDP socket of this process that lives in a lab's namespace: a socket stays where it was made. */
export interface LabSocket {
  readonly port: number;
  readonly send: (payload: Uint8Array | string, to: string, port: number) => Promise<void>;
  /** The next datagram, in the order of arrival; `from` is `ADDRESS:PORT`. Waits for ever: the test has a timeout. */
  readonly next: () => Promise<{ readonly from: string; readonly text: string }>;
  /** What arrived and was not yet asked for. */
  readonly waiting: () => number;
  readonly close: () => void;
}

export interface SocketOptions {
  readonly address: string;
  readonly port?: number;
  /** SO_BINDTODEVICE. */
  readonly device?: string;
  /** Connects, so that ICMP errors are told. */
  readonly connect?: { readonly address: string; readonly port: number };
  readonly onError?: (error: Error) => void;
}

export async function openSocket(lab: Lab, node: Node, options: SocketOptions): Promise<LabSocket> {
  const fd = inNamespace(`/run/netns/${lab.namespace(node)}`, () => boundSocket(options));
  const socket = createSocket(isIPv4(options.address) ? 'udp4' : 'udp6');
  if (options.onError) socket.on('error', options.onError);
  const arrived: { from: string; text: string }[] = [];
  const readers: ((datagram: { from: string; text: string }) => void)[] = [];
  socket.on('message', (bytes, { address, port }) => {
    const datagram = { from: formatTransportAddress(transportAddress(address, port)), text: bytes.toString('latin1') };
    const reader = readers.shift();
    if (reader) reader(datagram);
    else arrived.push(datagram);
  });
  const listening = event(socket, 'listening');
  socket.bind({ fd });
  await listening;
  if (options.connect) {
    const connected = event(socket, 'connect');
    socket.connect(options.connect.port, options.connect.address);
    await connected;
  }
  return {
    port: socket.address().port,
    send: (payload, to, port) =>
      new Promise((resolve, reject) => {
        const done = (error: Error | null) => {
          if (error) reject(error);
          else resolve();
        };
        if (options.connect) socket.send(payload, done);
        else socket.send(payload, port, to, done);
      }),
    next: () =>
      new Promise((resolve) => {
        const datagram = arrived.shift();
        if (datagram) resolve(datagram);
        else readers.push(resolve);
      }),
    waiting: () => arrived.length,
    close: () => socket.close(),
  };
}

/** Loaded where it is used: this file is read on other systems too, where the labs are skipped. */
const libc = once(() => {
  const library = koffi.load('libc.so.6');
  return {
    setns: library.func('int setns(int fd, int type)') as (fd: number, type: number) => number,
    socket: library.func('int socket(int domain, int type, int protocol)') as (...args: number[]) => number,
    bind: library.func('int bind(int fd, void *address, uint length)') as (
      ...args: [number, Uint8Array, number]
    ) => number,
    setsockopt: library.func('int setsockopt(int fd, int level, int option, void *value, uint length)') as (
      ...args: [number, number, number, Uint8Array, number]
    ) => number,
  };
});

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** `body` must not await: the whole thread is in the namespace meanwhile. */
function inNamespace<T>(path: string, body: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const there = openSync(path, 'r');
  try {
    check(libc().setns(there, CLONE_NEWNET), 'setns');
    return body();
  } finally {
    check(libc().setns(home, CLONE_NEWNET), 'setns back');
    closeSync(there);
    closeSync(home);
  }
}

function boundSocket({ address, port = 0, device }: SocketOptions): number {
  const bytes = addressBytes(address);
  const v4 = bytes.length === 4;
  const fd = check(libc().socket(v4 ? 2 : 10, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'socket');
  if (device !== undefined) {
    const name = new TextEncoder().encode(`${device}\0`);
    check(libc().setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length), 'SO_BINDTODEVICE');
  }
  const sockaddr = Buffer.alloc(v4 ? 16 : 28);
  sockaddr.writeUInt16LE(v4 ? 2 : 10, 0);
  sockaddr.writeUInt16BE(port, 2);
  sockaddr.set(bytes, v4 ? 4 : 8);
  check(libc().bind(fd, sockaddr, sockaddr.length), 'bind');
  return fd;
}

function check(result: number, call: string): number {
  if (result < 0) throw new Error(`${call} failed: errno ${koffi.errno()}`);
  return result;
}
