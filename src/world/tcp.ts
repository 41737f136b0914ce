import { type Family, formatTransportAddress, type TransportAddress } from '../base/address.js';
import { integerBetween, type Random } from '../base/random.js';
import { unreachableCode } from './icmp-socket-error.js';
import type { Network } from './network.js';
import {
  destinationOf,
  EPHEMERAL_PORTS,
  ICMP_ERRORS,
  type IcmpErrorPacket,
  IP_HEADER_BYTES,
  type Packet,
  sourceOf,
  TCP_HEADER_BYTES,
  tcpPacket,
} from './packet.js';
import { TcpConnection, type TcpInput } from './tcp-connection.js';
import { DEFAULT_MSS_BYTES, has, resetFor, type TcpSegment } from './tcp-segment.js';
import { type TcpHandlers, TcpSocket, type TcpStream } from './tcp-socket.js';

export interface TcpTarget {
  /** Of this host; `null`: the one that belongs to the route. */
  readonly from: string | null;
  /** The device that the socket is pinned to. */
  readonly device: string | null;
  readonly to: TransportAddress;
}

/** How a host reaches a destination. */
export interface TcpWay {
  readonly from: string;
  readonly mtuBytes: number;
}

export interface TcpStackOptions {
  readonly random: Random;
  /** The way to a target, or the kernel's error. */
  readonly wayTo: (target: TcpTarget) => TcpWay | string;
  /** The kernel's error; `null`: it was taken. */
  readonly send: (packet: Packet, device: string | null) => string | null;
}

/** More than any measurement has open; who asks for more at once gets no answer, as with a full backlog. */
const MAX_CONNECTIONS = 4096;

/** The TCP of a host: its listeners and its connections. */
export class TcpStack {
  #network: Network | null = null;
  readonly #options: TcpStackOptions;
  readonly #listeners = new Map<string, (stream: TcpStream) => TcpHandlers>();
  /** By local and remote address. */
  readonly #sockets = new Map<string, TcpSocket>();

  constructor(options: TcpStackOptions) {
    this.#options = options;
  }

  /** The clock that it runs on. To be given before anything is sent. */
  plugIn(network: Network): void {
    this.#network = network;
  }

  get network(): Network {
    if (!this.#network) throw new RangeError('the host is not wired');
    return this.#network;
  }

  /** Takes connections to `at`; `accept` is called with each one that is open. Gives how to stop, or `EADDRINUSE`. */
  listen(at: TransportAddress, accept: (stream: TcpStream) => TcpHandlers): (() => void) | string {
    const key = formatTransportAddress(at);
    if (this.#listeners.has(key)) return 'EADDRINUSE';
    this.#listeners.set(key, accept);
    return () => {
      this.#listeners.delete(key);
    };
  }

  /** Begins to connect. Every failure comes by `handlers.failed`, and not within this call. */
  connect(target: TcpTarget, handlers: TcpHandlers): TcpStream {
    const { device, to } = target;
    const way = this.#options.wayTo(target);
    const { from, mtuBytes } = typeof way === 'string' ? { from: target.from ?? '', mtuBytes: 0 } : way;
    const socket = this.#open(this.#freePort(from, to), to, device, mtuBytes, handlers);
    this.network.after(0, () => {
      if (typeof way === 'string') socket.refuse(way);
      else socket.handle({ type: 'connect' });
    });
    return socket;
  }

  receive(packet: Packet, device: string): void {
    const segment = segmentOf(packet);
    if (!segment) return;
    const [local, remote] = [destinationOf(packet), sourceOf(packet)];
    const there = this.#sockets.get(keyOf(local, remote));
    if (there?.isReplacedBy(segment) === true) this.#sockets.delete(keyOf(local, remote));
    else if (there && (there.device === null || there.device === device)) {
      there.handle({ type: 'segment', segment });
      return;
    }
    const isNew = has(segment.header, 'syn') && !has(segment.header, 'ack') && !has(segment.header, 'rst');
    if (isNew && this.#listeners.has(formatTransportAddress(local))) this.#accept(local, remote, segment);
    else {
      const reset = resetFor(segment);
      if (reset) this.#options.send(tcpPacket(local, remote, reset.header), null);
    }
  }

  /** An ICMP error about a segment that this host sent. */
  failed({ icmp, family }: IcmpErrorPacket): void {
    const { quoted, type, code, mtuBytes } = icmp;
    const socket = this.#sockets.get(keyOf(sourceOf(quoted), destinationOf(quoted)));
    if (!socket || !quoted.tcp) return;
    const { sequence } = quoted.tcp;
    const [tooBigType, tooBigCode] = ICMP_ERRORS['too-big'][family];
    if (type === tooBigType && code === tooBigCode) {
      if (mtuBytes !== null) socket.handle({ type: 'too-big', mssBytes: mssFor(mtuBytes, family), sequence });
      return;
    }
    const reason = unreachableCode(family, type, code);
    if (reason !== null) socket.handle({ type: 'unreachable', code: reason, sequence });
  }

  #accept(local: TransportAddress, remote: TransportAddress, segment: TcpSegment): void {
    if (this.#sockets.size >= MAX_CONNECTIONS) return;
    const way = this.#options.wayTo({ from: local.address, device: null, to: remote });
    if (typeof way === 'string') return;
    const socket: TcpSocket = this.#open(local, remote, null, way.mtuBytes, null);
    socket.onOpen = () => {
      // Whoever stopped listening meanwhile takes it no more.
      const accept = this.#listeners.get(formatTransportAddress(local));
      if (!accept) socket.abort();
      else {
        socket.handlers = accept(socket);
        socket.handlers.open?.();
      }
    };
    socket.handle({ type: 'segment', segment });
  }

  #open(
    local: TransportAddress,
    remote: TransportAddress,
    device: string | null,
    mtuBytes: number,
    handlers: TcpHandlers | null,
  ): TcpSocket {
    const { family } = remote;
    const key = keyOf(local, remote);
    const socket: TcpSocket = new TcpSocket({
      local,
      remote,
      device,
      network: this.network,
      connection: new TcpConnection({
        initialSequence: this.#options.random.uint32(),
        mssBytes: mssFor(mtuBytes, family),
        defaultMssBytes: DEFAULT_MSS_BYTES[family],
      }),
      send: (segment) => this.#transmit(socket, segment),
      closed: () => {
        if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
      },
    });
    socket.handlers = handlers;
    this.#sockets.set(key, socket);
    return socket;
  }

  #transmit(socket: TcpSocket, { header, payload }: TcpSegment): TcpInput | null {
    const { local, remote, device } = socket;
    const { sequence } = header;
    const code = this.#options.send(tcpPacket(local, remote, header, payload), device);
    if (code === null) return null;
    if (code !== 'EMSGSIZE') return { type: 'unreachable', code, sequence };
    const way = this.#options.wayTo({ from: local.address, device, to: remote });
    if (typeof way === 'string') return null;
    return { type: 'too-big', mssBytes: mssFor(way.mtuBytes, remote.family), sequence };
  }

  #freePort(address: string, to: TransportAddress): TransportAddress {
    let local: TransportAddress;
    do {
      local = { family: to.family, address, port: integerBetween(this.#options.random, ...EPHEMERAL_PORTS) };
    } while (this.#sockets.has(keyOf(local, to)) || this.#listeners.has(formatTransportAddress(local)));
    return local;
  }
}

function segmentOf({ tcp, payload }: Packet): TcpSegment | null {
  return tcp && { header: tcp, payload };
}

function keyOf(local: TransportAddress, remote: TransportAddress): string {
  return `${formatTransportAddress(local)} ${formatTransportAddress(remote)}`;
}

function mssFor(mtuBytes: number, family: Family): number {
  return Math.min(0xffff, mtuBytes - IP_HEADER_BYTES[family] - TCP_HEADER_BYTES);
}
