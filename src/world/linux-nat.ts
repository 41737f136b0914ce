import { integerBetween, type Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { DEFAULT_FLOWS, FlowTable } from './bounded.js';
import { type Box, type Emit, IcmpBudget, type Side } from './box.js';
import { beginsFlow, type Lifetimes, LINUX_LIFETIMES, prolong, reopens, type TrackedFlow } from './conntrack.js';
import { type IcmpErrorPacket, isIcmpError, type Packet, withDestination, withQuoted, withSource } from './packet.js';
import { unattendedAnswer } from './unattended.js';

export interface LinuxNatOptions {
  /** Its address outside: `masquerade` knows one. */
  readonly outside: string;
  /** Whether a rule on input drops UDP that comes from outside unasked. Without it such a packet claims its tuple. */
  readonly guarded: boolean;
  /** `masquerade random`: a port of its own for each flow, which reads as APDM. */
  readonly randomPorts?: boolean;
  /** `nf_conntrack_max`. */
  readonly capacity?: number;
  readonly lifetimes?: Lifetimes;
}

/** `NF_NAT_MAX_ATTEMPTS`: then the packet is dropped. */
const PORTS_TRIED = 128;

/**
 * The NAT of Linux (`nft masquerade`), and so of most home routers and of phones that tether. It knows flows, not
 * mappings: one inside port keeps its number towards every destination *unless the tuple is taken*. An early packet
 * from outside takes it, where no rule on input drops it first: then the inside's own flow to that address gets
 * another port, and a simultaneous punch fails on both sides. test/lab compares it with the kernel, packet by packet.
 */
export class LinuxNat implements Box {
  readonly #options: LinuxNatOptions;
  readonly #random: Random;
  readonly #flows: FlowTable<TrackedFlow>;
  readonly #byInside = new Map<string, TrackedFlow>();
  /** The last flow of each port inside. */
  readonly #latest = new Map<string, TrackedFlow>();
  /** The first of these has to go where the table is full (`early_drop`). */
  readonly #unreplied = new Set<TrackedFlow>();
  readonly #budget = new IcmpBudget();

  constructor(options: LinuxNatOptions, random: Random) {
    this.#options = options;
    this.#random = random;
    this.#flows = new FlowTable(options.capacity ?? DEFAULT_FLOWS, (flow) => {
      this.#unreplied.delete(flow);
      if (!flow.inside) return;
      this.#byInside.delete(flow.inside.key);
      if (this.#latest.get(flow.inside.source) === flow) this.#latest.delete(flow.inside.source);
    });
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    if (packet.family !== 'ipv4') emit(packet, from === 'inside' ? 'outside' : 'inside');
    // Nobody else has its address (`fib_validate_source`).
    else if (packet.source === this.#options.outside) return;
    else if (from === 'inside') this.#outbound(packet, now, emit);
    else this.#inbound(packet, now, emit);
  }

  /** `conntrack -F`. */
  restart(): void {
    this.#flows.clear();
  }

  #outbound(packet: Packet, now: Ms, emit: Emit): void {
    const { outside } = this.#options;
    if (packet.destination === outside) {
      // For the box itself: there is no way back in without a DNAT rule.
      this.#answer(packet, now, 'inside', emit);
      return;
    }
    if (isIcmpError(packet)) {
      emit(this.#outboundError(packet, now), 'outside');
      return;
    }
    const key = insideKey(packet);
    let flow = this.#flows.alive(this.#byInside.get(key), now);
    if (flow && reopens(flow, packet)) {
      this.#flows.forget(flow);
      flow = null;
    }
    if (!flow) {
      // What conntrack calls invalid no NAT rule sees: it leaves with the address that it has.
      if (!beginsFlow(packet)) {
        emit(packet, 'outside');
        return;
      }
      const source = `${packet.protocol} ${packet.source} ${packet.sourcePort}`;
      const outsidePort = this.#freePort(packet, source, now);
      if (outsidePort === null) return;
      const inside = { key, source, address: packet.source, port: packet.sourcePort };
      flow = this.#track({ key: outsideKey(packet, outsidePort), inside, outsidePort }, now);
      if (!flow) return;
      this.#byInside.set(key, flow);
      this.#latest.set(source, flow);
    }
    this.#prolong(flow, packet, false, now);
    emit(withSource(packet, outside, flow.outsidePort), 'outside');
  }

  /** What is about no flow is `invalid`, too. */
  #outboundError(error: IcmpErrorPacket, now: Ms): Packet {
    const { outside } = this.#options;
    const { quoted } = error.icmp;
    const flow = this.#flows.alive(this.#byInside.get(insideKey(reversed(quoted))), now);
    if (!flow) return error;
    return withQuoted({ ...error, source: outside }, withDestination(quoted, outside, flow.outsidePort));
  }

  #inbound(packet: Packet, now: Ms, emit: Emit): void {
    if (packet.destination !== this.#options.outside) return;
    if (isIcmpError(packet)) {
      this.#inboundError(packet, now, emit);
      return;
    }
    const key = tuple(packet.protocol, packet.destinationPort, packet.source, packet.sourcePort);
    const flow = this.#flows.get(key, now);
    if (flow?.inside) {
      this.#unreplied.delete(flow);
      this.#prolong(flow, packet, true, now);
      emit(withDestination(packet, flow.inside.address, flow.inside.port), 'inside');
      return;
    }
    if (packet.protocol === 'udp' && this.#options.guarded) return;
    // A ping’s claim is in nobody’s way, and the box’s own reset ends a connection’s at once.
    if (packet.protocol === 'udp') {
      const claim = flow ?? this.#track({ key, inside: null, outsidePort: packet.destinationPort }, now);
      if (!claim) return;
      this.#prolong(claim, packet, false, now);
    }
    this.#answer(packet, now, 'outside', emit);
  }

  #inboundError(error: IcmpErrorPacket, now: Ms, emit: Emit): void {
    const { quoted } = error.icmp;
    const key = tuple(quoted.protocol, quoted.sourcePort, quoted.destination, quoted.destinationPort);
    const flow = quoted.source === this.#options.outside ? this.#flows.get(key, now) : null;
    if (!flow?.inside) return;
    const { address, port } = flow.inside;
    emit(withQuoted({ ...error, destination: address }, withSource(quoted, address, port)), 'inside');
  }

  #answer(packet: Packet, now: Ms, to: Side, emit: Emit): void {
    const answer = unattendedAnswer(packet, this.#budget, now);
    if (answer) emit(answer, to);
  }

  #prolong(flow: TrackedFlow, packet: Packet, isAnswer: boolean, now: Ms): void {
    prolong(flow, packet, isAnswer, this.#options.lifetimes ?? LINUX_LIFETIMES, now);
  }

  /** `null`: the table is full, and every flow in it was answered: the packet is dropped. */
  #track(flow: Pick<TrackedFlow, 'key' | 'inside' | 'outsidePort'>, now: Ms): TrackedFlow | null {
    if (!this.#flows.hasRoom(now)) {
      const [first] = this.#unreplied;
      if (!first) return null;
      this.#flows.forget(first);
    }
    const tracked = { ...flow, beganAt: now, answered: false, closed: false, expiresAt: now };
    this.#flows.add(tracked, now);
    this.#unreplied.add(tracked);
    return tracked;
  }

  /** `get_unique_tuple` of the kernel's nf_nat_core.c; `null`: none was found. */
  #freePort(packet: Packet, source: string, now: Ms): number | null {
    const isFree = (port: number): boolean => this.#flows.get(outsideKey(packet, port), now) === null;
    if (this.#options.randomPorts !== true) {
      // What an inside port has towards one destination it gets towards the next, a moved one included.
      const latest = this.#flows.alive(this.#latest.get(source), now);
      if (latest && isFree(latest.outsidePort)) return latest.outsidePort;
      if (isFree(packet.sourcePort)) return packet.sourcePort;
    }
    const [low, high] = portsLike(packet);
    for (let tried = 0; tried < PORTS_TRIED; tried += 1) {
      const port = integerBetween(this.#random, low, high);
      if (isFree(port)) return port;
    }
    return null;
  }
}

/** Privileged ports stay among themselves (`nf_nat_l4proto_unique_tuple`); identifiers of pings are all alike. */
function portsLike({ protocol, sourcePort }: Packet): readonly [low: number, high: number] {
  if (protocol === 'icmp') return [0, 0xffff];
  if (sourcePort >= 1024) return [1024, 0xffff];
  return sourcePort < 512 ? [1, 511] : [600, 1023];
}

function reversed(packet: Packet): Packet {
  const { source, sourcePort, destination, destinationPort } = packet;
  return withDestination(withSource(packet, destination, destinationPort), source, sourcePort);
}

function insideKey({ protocol, source, sourcePort, destination, destinationPort }: Packet): string {
  return `${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`;
}

function outsideKey({ protocol, destination, destinationPort }: Packet, outsidePort: number): string {
  return tuple(protocol, outsidePort, destination, destinationPort);
}

function tuple(protocol: string, outsidePort: number, remote: string, remotePort: number): string {
  return `${protocol} ${outsidePort} ${remote} ${remotePort}`;
}
