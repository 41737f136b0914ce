import { integerBetween, type Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { type Box, type Emit, IcmpBudget, type Side } from './box.js';
import {
  icmpError,
  type IcmpErrorPacket,
  isIcmpError,
  type Packet,
  withDestination,
  withQuoted,
  withSource,
} from './packet.js';

export interface LinuxNatOptions {
  /** Its address outside: `masquerade` knows one. */
  readonly outside: string;
  /** Whether a rule on input drops what comes from outside unasked. Without it such a packet claims its tuple. */
  readonly guarded: boolean;
  /** `masquerade random`: a port of its own for each flow, which reads as APDM. */
  readonly randomPorts?: boolean;
}

/** An entry of conntrack: one flow, seen from outside as (outside port, remote). */
interface Flow {
  /** `null`: the packet came from outside and was for the box itself. */
  readonly inside: { readonly address: string; readonly port: number } | null;
  readonly outsidePort: number;
  expiresAt: Ms;
}

/** `nf_conntrack_udp_timeout` and `…_stream`. */
const UNREPLIED_MS: Ms = 30_000;
const REPLIED_MS: Ms = 120_000;
const PORTS = [1024, 0xffff] as const;

/**
 * The NAT of Linux (`nft masquerade`), and so of most home routers and of phones that tether. It knows flows, not
 * mappings: one inside port keeps its number towards every destination *unless the tuple is taken*. An early packet
 * from outside takes it, where no rule on input drops it first: then the inside's own flow to that address gets
 * another port, and a simultaneous punch fails on both sides. Measured with kernel 6.18, nft 1.0.6.
 */
export class LinuxNat implements Box {
  readonly #options: LinuxNatOptions;
  readonly #random: Random;
  readonly #byInside = new Map<string, Flow>();
  readonly #byOutside = new Map<string, Flow>();
  readonly #budget = new IcmpBudget();

  constructor(options: LinuxNatOptions, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    if (packet.family !== 'ipv4') emit(packet, from === 'inside' ? 'outside' : 'inside');
    else if (from === 'inside') this.#outbound(packet, now, emit);
    else this.#inbound(packet, now, emit);
  }

  #outbound(packet: Packet, now: Ms, emit: Emit): void {
    const { outside } = this.#options;
    if (packet.destination === outside) {
      // For the box itself: there is no way back in without a DNAT rule.
      this.#refuse(packet, now, 'inside', emit);
      return;
    }
    if (isIcmpError(packet)) {
      const { quoted } = packet.icmp;
      const key = `${quoted.protocol} ${quoted.destination} ${quoted.destinationPort} ${quoted.source} ${quoted.sourcePort}`;
      const flow = alive(this.#byInside.get(key), now);
      if (flow)
        emit(withQuoted({ ...packet, source: outside }, withDestination(quoted, outside, flow.outsidePort)), 'outside');
      return;
    }
    const key = `${packet.protocol} ${packet.source} ${packet.sourcePort} ${packet.destination} ${packet.destinationPort}`;
    let flow = alive(this.#byInside.get(key), now);
    if (!flow) {
      const inside = { address: packet.source, port: packet.sourcePort };
      flow = { inside, outsidePort: this.#freePort(packet, now), expiresAt: now + UNREPLIED_MS };
      this.#byInside.set(key, flow);
      this.#byOutside.set(this.#outsideKey(packet, flow.outsidePort), flow);
    }
    flow.expiresAt = Math.max(flow.expiresAt, now + UNREPLIED_MS);
    emit(withSource(packet, outside, flow.outsidePort), 'outside');
  }

  #inbound(packet: Packet, now: Ms, emit: Emit): void {
    if (isIcmpError(packet)) {
      this.#inboundError(packet, now, emit);
      return;
    }
    const key = tuple(packet.protocol, packet.destinationPort, packet.source, packet.sourcePort);
    const flow = packet.destination === this.#options.outside ? alive(this.#byOutside.get(key), now) : null;
    if (flow?.inside) {
      flow.expiresAt = now + REPLIED_MS;
      emit(withDestination(packet, flow.inside.address, flow.inside.port), 'inside');
      return;
    }
    if (packet.destination !== this.#options.outside || this.#options.guarded) return;
    this.#byOutside.set(key, { inside: null, outsidePort: packet.destinationPort, expiresAt: now + UNREPLIED_MS });
    this.#refuse(packet, now, 'outside', emit);
  }

  #inboundError(error: IcmpErrorPacket, now: Ms, emit: Emit): void {
    const { quoted } = error.icmp;
    const key = tuple(quoted.protocol, quoted.sourcePort, quoted.destination, quoted.destinationPort);
    const flow = quoted.source === this.#options.outside ? alive(this.#byOutside.get(key), now) : null;
    if (!flow?.inside) return;
    const { address, port } = flow.inside;
    emit(withQuoted({ ...error, destination: address }, withSource(quoted, address, port)), 'inside');
  }

  /** Nobody listens on the box. */
  #refuse(packet: Packet, now: Ms, to: Side, emit: Emit): void {
    if (packet.protocol !== 'udp') return;
    const error = icmpError(packet, this.#options.outside, 'port-unreachable');
    if (error && this.#budget.take(error.destination, now)) emit(error, to);
  }

  #outsideKey({ protocol, destination, destinationPort }: Packet, outsidePort: number): string {
    return tuple(protocol, outsidePort, destination, destinationPort);
  }

  #freePort(packet: Packet, now: Ms): number {
    const isFree = (port: number): boolean => !alive(this.#byOutside.get(this.#outsideKey(packet, port)), now);
    if (this.#options.randomPorts !== true && isFree(packet.sourcePort)) return packet.sourcePort;
    let port = integerBetween(this.#random, ...PORTS);
    while (!isFree(port)) port = integerBetween(this.#random, ...PORTS);
    return port;
  }
}

function tuple(protocol: string, outsidePort: number, remote: string, remotePort: number): string {
  return `${protocol} ${outsidePort} ${remote} ${remotePort}`;
}

function alive(flow: Flow | undefined, now: Ms): Flow | null {
  return flow && flow.expiresAt > now ? flow : null;
}
