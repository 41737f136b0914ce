import { formatTransportAddress, type TransportAddress } from '../base/address.js';
import { integerBetween, type Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import type { Network } from './network.js';
import { destinationOf, type Packet, sourceOf, tcpPacket, type TcpSegment } from './packet.js';

export interface TcpQuestion {
  readonly from: string;
  readonly device: string | null;
  readonly to: TransportAddress;
  readonly request: Uint8Array;
  readonly timeoutMs: Ms;
}

/** What a listener answers to a request; `null`: it is silent. */
export type TcpAnswer = (request: Uint8Array, remote: TransportAddress) => Uint8Array | null;

interface Connection {
  readonly question: TcpQuestion;
  readonly local: TransportAddress;
  readonly began: Ms;
  readonly done: (code: string | null, answer: Uint8Array | null, afterMs: Ms) => void;
  established: boolean;
}

const PORTS = [32_768, 60_999] as const;
/** RFC 6298 §2.1: the first timeout of a connection, doubled each time. */
const FIRST_TIMEOUT_MS: Ms = 1000;
/** What Linux waits at least once it has a round trip. */
const LEAST_TIMEOUT_MS: Ms = 200;

/**
 * As much of TCP as the control of a measurement needs: connect, one request, one answer, with retransmissions. The
 * answer acknowledges the request, so a lost segment is sent again and nothing is ever taken twice.
 */
export class TcpEnd {
  network: Network | null = null;
  readonly #send: (packet: Packet, device: string | null) => string | null;
  readonly #random: Random;
  readonly #listeners = new Map<string, TcpAnswer>();
  readonly #connections = new Map<string, Connection>();

  constructor(send: (packet: Packet, device: string | null) => string | null, random: Random) {
    this.#send = send;
    this.#random = random;
  }

  listen(at: TransportAddress, answer: TcpAnswer): void {
    this.#listeners.set(formatTransportAddress(at), answer);
  }

  /** Connects, asks, waits for the answer; `done` gets `null` with the answer, else the kernel's error. */
  ask(question: TcpQuestion, done: Connection['done']): void {
    const began = this.network?.now ?? 0;
    let local: TransportAddress;
    do {
      const port = integerBetween(this.#random, ...PORTS);
      local = { family: question.to.family, address: question.from, port };
    } while (this.#connections.has(formatTransportAddress(local)));
    const connection: Connection = { question, local, began, done, established: false };
    this.#connections.set(formatTransportAddress(local), connection);
    this.network?.after(question.timeoutMs, () => {
      this.#end(connection, 'ETIMEDOUT', null);
    });
    this.#transmit(connection, 'syn', FIRST_TIMEOUT_MS);
  }

  receive(packet: Packet): void {
    const [local, remote] = [destinationOf(packet), sourceOf(packet)];
    const connection = this.#connections.get(formatTransportAddress(local));
    if (connection) this.#answered(connection, packet);
    else if (packet.tcp === 'syn' || packet.tcp === 'data') this.#serve(packet, local, remote);
  }

  /** An ICMP error about a segment of ours ends an attempt, as Linux does while it connects. */
  failed(quoted: Packet, type: number, code: number): void {
    const connection = this.#connections.get(formatTransportAddress(sourceOf(quoted)));
    if (!connection || connection.established) return;
    const unreachable = quoted.family === 'ipv4' ? type === 3 : type === 1;
    if (!unreachable) return;
    const isPort = code === (quoted.family === 'ipv4' ? 3 : 4);
    this.#end(connection, isPort ? 'ECONNREFUSED' : 'EHOSTUNREACH', null);
  }

  #answered(connection: Connection, { tcp, payload }: Packet): void {
    if (tcp === 'rst') this.#end(connection, 'ECONNREFUSED', null);
    else if (tcp === 'data') this.#end(connection, null, payload);
    else if (tcp === 'syn-ack' && !connection.established) {
      connection.established = true;
      this.#transmit(connection, 'data', LEAST_TIMEOUT_MS);
    }
  }

  #transmit(connection: Connection, segment: TcpSegment, timeoutMs: Ms): void {
    const isOver = this.#connections.get(formatTransportAddress(connection.local)) !== connection;
    if (isOver || (segment === 'syn' && connection.established)) return;
    const { question, local } = connection;
    const payload = segment === 'data' ? question.request : undefined;
    const code = this.#send(tcpPacket(local, question.to, segment, payload), question.device);
    if (code !== null) {
      this.#end(connection, code, null);
      return;
    }
    this.network?.after(timeoutMs, () => {
      this.#transmit(connection, segment, 2 * timeoutMs);
    });
  }

  #serve({ tcp, payload }: Packet, local: TransportAddress, remote: TransportAddress): void {
    const answer = this.#listeners.get(formatTransportAddress(local));
    if (!answer) this.#send(tcpPacket(local, remote, 'rst'), null);
    else if (tcp === 'syn') this.#send(tcpPacket(local, remote, 'syn-ack'), null);
    else {
      const bytes = answer(payload, remote);
      if (bytes) this.#send(tcpPacket(local, remote, 'data', bytes), null);
    }
  }

  #end(connection: Connection, code: string | null, answer: Uint8Array | null): void {
    const key = formatTransportAddress(connection.local);
    if (this.#connections.get(key) !== connection) return;
    this.#connections.delete(key);
    const afterMs = (this.network?.now ?? 0) - connection.began;
    connection.done(code, answer, afterMs);
  }
}
