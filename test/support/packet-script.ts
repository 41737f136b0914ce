import type { Family, TransportAddress } from '../../src/base/address.js';
import { toHex } from '../../src/base/bytes.js';
import type { Ms } from '../../src/base/time.js';
import type { Side } from '../../src/world/box.js';
import {
  echoReply,
  echoRequest,
  ICMP_ERRORS,
  icmpError,
  type IcmpErrorName,
  isEchoRequest,
  type Packet,
  type Protocol,
  sourceOf,
  TCP_FLAGS,
  tcpPacket,
  udpPacket,
} from '../../src/world/packet.js';

/**
 * A packet script: what is sent through a router from both of its sides, and when. Every run of it has a site of its
 * own, with addresses that nobody else uses, so that many scripts can share one router.
 */
export interface PacketScript {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** `a` and `b` are inside, `r` and `s` outside; `box` is the router's own address outside, `gate` the one inside. */
export type HostName = 'a' | 'b' | 'r' | 's' | 'box' | 'gate';
export type Port = `${HostName}:${number}`;

export interface Step {
  /** In {@link TICK_MS}. */
  readonly at: number;
  readonly send: Send;
}

interface Given {
  readonly ttl?: number;
  readonly payload?: Uint8Array;
}

/** Where a packet refers to another step by its number and that one did not cross the router, it is not sent. */
export type Send =
  /** `to`: a port, or whatever the packet of that step came from, as its receiver saw it. */
  | (Given & { readonly type: 'udp' | 'syn'; readonly from: Port; readonly to: Port | number })
  /** An echo request; the port is its identifier. */
  | (Given & { readonly type: 'ping'; readonly from: Port; readonly to: HostName })
  /** From where the packet of that step arrived, back to where it came from. */
  | (Given & { readonly type: 'answer'; readonly to: number; readonly reset?: boolean })
  /** About the packet of that step, by its receiver or by another who saw it there. */
  | { readonly type: 'error'; readonly about: number; readonly error: IcmpErrorName; readonly from?: HostName };

/**
 * Between the steps of a script. The lifetimes that routers are given lie half way between multiples of it, so that a
 * late packet is on the same side of them in the end.
 */
export const TICK_MS: Ms = 800;

export interface Emission {
  readonly packet: Packet;
  readonly to: Side;
}

/** Gives what leaves a router for one packet. */
export type Pass = (packet: Packet, from: Side, now: Ms) => readonly Emission[];

export type Site = Readonly<Record<HostName, string>> & { readonly family: Family };

/** The router's own addresses in every site. */
export const ROUTER: Readonly<Record<Family, { readonly gate: string; readonly box: string }>> = {
  ipv4: { gate: '10.255.255.1', box: '203.0.113.1' },
  ipv6: { gate: '2001:db8:1:ffff::1', box: '2001:db8:1:ffff::1' },
};
/** Of the links on both of its sides. */
export const MTU_BYTES = 1400;
/** Whoever is inside, in every site. */
export const INSIDE: Readonly<Record<Family, string>> = { ipv4: '10.0.0.0/8', ipv6: '2001:db8:1::/48' };

export function siteOf(family: Family, number: number): Site {
  if (family === 'ipv6') {
    const host = (network: number, id: number): string => `2001:db8:${network}:${(number + 1).toString(16)}::${id}`;
    return { family, a: host(1, 1), b: host(1, 2), r: host(2, 1), s: host(2, 2), ...ROUTER.ipv6 };
  }
  const host = (network: string, id: number): string => `${network}.${number >> 6}.${(number & 63) * 4 + id}`;
  const inside = '10.0';
  return { family, a: host(inside, 1), b: host(inside, 2), r: host('198.18', 1), s: host('198.18', 2), ...ROUTER.ipv4 };
}

/** One run of a script through one router. */
export class ScriptRun {
  readonly #script: PacketScript;
  readonly #site: Site;
  /** By step: what crossed the router, and from where. */
  readonly #crossed: (Emission | undefined)[] = [];
  /** Ports that the router chose, in order of appearance. */
  readonly #chosen: number[] = [];
  readonly #literal = new Set<number>();
  readonly #names: ReadonlyMap<string, string>;

  constructor(script: PacketScript, site: Site) {
    this.#script = script;
    this.#site = site;
    this.#names = new Map((['gate', 'box', 'a', 'b', 'r', 's'] as const).map((name) => [site[name], name]));
  }

  /** Sends the packet of a step and tells its fate: the same words for the same fate, whatever ports a router draws. */
  step(index: number, pass: Pass, now: Ms): string {
    const send = this.#script.steps[index]?.send;
    const made = send && this.#make(send);
    if (!made) return 'not sent';
    for (const port of [made.packet.sourcePort, made.packet.destinationPort]) {
      if (!this.#chosen.includes(port)) this.#literal.add(port);
    }
    const emissions = pass(made.packet, made.from, now);
    this.#crossed[index] = emissions.find(({ to }) => to !== made.from);
    const fate = emissions.map(({ packet, to }) => `${to}: ${this.#tell(packet)}`);
    return fate.length === 0 ? 'dropped' : fate.join('; ');
  }

  /** Whether the packet of that step came out on the other side. */
  hasCrossed(index: number): boolean {
    return this.#crossed[index] !== undefined;
  }

  #make(send: Send): { readonly packet: Packet; readonly from: Side } | null {
    switch (send.type) {
      case 'udp':
      case 'syn': {
        const from = this.#port(send.from);
        const to = typeof send.to === 'number' ? this.#cameFrom(send.to, sideOf(send.from)) : this.#port(send.to);
        if (!to) return null;
        const packet =
          send.type === 'udp' ? udpPacket(from, to, send.payload ?? HELLO) : tcpPacket(from, to, { ...SYN });
        return { packet: { ...packet, ttl: send.ttl ?? 64 }, from: sideOf(send.from) };
      }
      case 'ping': {
        const { address, port } = this.#port(send.from);
        const packet = echoRequest(this.#site.family, address, this.#site[send.to], port, HELLO, send.ttl);
        return { packet, from: sideOf(send.from) };
      }
      case 'answer': {
        const crossed = this.#crossed[send.to];
        const packet = crossed && answerTo(crossed.packet, send);
        return packet ? { packet, from: crossed.to } : null;
      }
      case 'error': {
        const crossed = this.#crossed[send.about];
        const from = send.from ? this.#site[send.from] : crossed?.packet.destination;
        const packet = crossed && icmpError(crossed.packet, from ?? '', send.error, MTU_TOLD[send.error]);
        return packet ? { packet, from: crossed.to } : null;
      }
    }
  }

  #cameFrom(step: number, seenOn: Side): TransportAddress | null {
    const crossed = this.#crossed[step];
    return crossed?.to === seenOn && crossed.packet.protocol !== 'icmp' ? sourceOf(crossed.packet) : null;
  }

  #port(port: Port): TransportAddress {
    const [name, number] = port.split(':') as [HostName, string];
    return { family: this.#site.family, address: this.#site[name], port: Number(number) };
  }

  #tell(packet: Packet): string {
    const { protocol, ttl, icmp, payload } = packet;
    const quoted = icmp?.quoted;
    const what = icmp ? `icmp ${icmp.type}/${icmp.code}` : protocol;
    // A box that answers may count as one hop on the way in, too.
    const left = packet.source === this.#site.box || packet.source === this.#site.gate ? '' : ` ttl ${ttl}`;
    const flags = packet.tcp ? ` flags ${packet.tcp.flags} ${packet.tcp.sequence}/${packet.tcp.acknowledgment}` : '';
    if (quoted) {
      const mtu = icmp.mtuBytes ? ` mtu ${icmp.mtuBytes}` : '';
      const about = `${quoted.protocol} ${this.#ends(quoted)} ${digest(quoted.payload)}`;
      return `${what} ${this.#name(packet.source)} > ${this.#name(packet.destination)}${left}${mtu} about ${about}`;
    }
    return `${what} ${this.#ends(packet)}${flags}${left} ${digest(payload)}`;
  }

  #ends({ protocol, source, sourcePort, destination, destinationPort }: Packet): string {
    return `${this.#name(source)}:${this.#portName(protocol, sourcePort)} > ${this.#name(destination)}:${this.#portName(protocol, destinationPort)}`;
  }

  #name(address: string): string {
    return this.#names.get(address) ?? address;
  }

  /** A port that the script never named is the router's choice: all that counts is its range, and where it comes again. */
  #portName(protocol: Protocol, port: number): string {
    if (this.#literal.has(port)) return String(port);
    if (!this.#chosen.includes(port)) this.#chosen.push(port);
    const range = protocol === 'icmp' ? 'any' : port < 512 ? 'below 512' : port < 1024 ? 'below 1024' : 'high';
    return `(${range}, no. ${this.#chosen.indexOf(port) + 1})`;
  }
}

export function sideOf(port: Port): Side {
  return port.startsWith('a:') || port.startsWith('b:') ? 'inside' : 'outside';
}

const HELLO = Uint8Array.of(0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68);
const SYN = {
  sequence: 1000,
  acknowledgment: 0,
  flags: TCP_FLAGS.syn,
  window: 64_240,
  options: new Uint8Array(0),
} as const;
const MTU_TOLD: Partial<Record<IcmpErrorName, number>> = { 'too-big': 1280 };

function answerTo(packet: Packet, given: Extract<Send, { type: 'answer' }>): Packet | null {
  const { ttl = 64, payload, reset = false } = given;
  if (isEchoRequest(packet)) return { ...echoReply(packet), ttl };
  if (packet.icmp) return null;
  const from = { family: packet.family, address: packet.destination, port: packet.destinationPort };
  if (!packet.tcp) return udpPacket(from, sourceOf(packet), payload ?? packet.payload, ttl);
  const { flags, sequence, acknowledgment } = packet.tcp;
  const isSyn = (flags & TCP_FLAGS.syn) !== 0;
  const answered = (flags & TCP_FLAGS.ack) !== 0;
  const syn = isSyn && !answered && !reset ? TCP_FLAGS.syn : 0;
  const segment = {
    ...SYN,
    flags: (reset ? TCP_FLAGS.rst : syn) | TCP_FLAGS.ack,
    sequence: answered ? acknowledgment : reset ? 0 : 7000,
    acknowledgment: sequence + (isSyn ? 1 : 0),
  };
  return { ...tcpPacket(from, sourceOf(packet), segment), ttl };
}

function digest(payload: Uint8Array): string {
  const text = toHex(payload.subarray(0, 16));
  return `[${payload.length}${text === '' ? '' : ` ${text}`}]`;
}

/** Errors a host may send about what reached it. */
export const ERRORS = Object.keys(ICMP_ERRORS) as IcmpErrorName[];
