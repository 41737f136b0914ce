import type { Ms } from '../base/time.js';
import type { Expiring } from './bounded.js';
import { type Packet, TCP_FLAGS } from './packet.js';

/** An entry of Linux's connection tracking: one flow, seen from outside as (outside port, remote). */
export interface TrackedFlow extends Expiring {
  /** How it looks from outside. */
  readonly key: string;
  /** `null`: the packet came from outside and was for the box itself. */
  readonly inside: {
    /** How the flow looks from there. */
    readonly key: string;
    /** The same without the remote. */
    readonly source: string;
    readonly address: string;
    readonly port: number;
  } | null;
  readonly outsidePort: number;
  readonly beganAt: Ms;
  answered: boolean;
  /** By a TCP reset. */
  closed: boolean;
  expiresAt: Ms;
}

/** `nf_conntrack_udp_timeout`, `nf_conntrack_udp_timeout_stream`, `nf_conntrack_icmp_timeout`. */
export interface Lifetimes {
  readonly udpMs: Ms;
  readonly udpStreamMs: Ms;
  readonly icmpMs: Ms;
}

export const LINUX_LIFETIMES: Lifetimes = { udpMs: 30_000, udpStreamMs: 120_000, icmpMs: 30_000 };
/** A flow that is answered later than so is a stream (`nf_conntrack_proto_udp.c`). */
const STREAM_FROM_MS: Ms = 2000;
/** `nf_conntrack_tcp_timeout_syn_sent`, `…_established`, `…_close`. */
const TCP_MS = { unreplied: 120_000, established: 432_000_000, closed: 10_000 } as const;

/** Lets a packet of a flow prolong it, and notes what it says of it. The first answer itself makes no stream yet. */
export function prolong(flow: TrackedFlow, packet: Packet, isAnswer: boolean, lifetimes: Lifetimes, now: Ms): void {
  // A reset that is all the answer there is ends the flow at once.
  const isRefused = isReset(packet) && isAnswer && !flow.answered;
  flow.expiresAt = isRefused ? now : now + lifetimeMs(flow, packet, isAnswer, lifetimes, now);
  flow.answered ||= isAnswer;
  flow.closed ||= isReset(packet);
}

function lifetimeMs(flow: TrackedFlow, packet: Packet, isAnswer: boolean, lifetimes: Lifetimes, now: Ms): Ms {
  switch (packet.protocol) {
    case 'udp':
      return flow.answered && now - flow.beganAt > STREAM_FROM_MS ? lifetimes.udpStreamMs : lifetimes.udpMs;
    case 'icmp':
      return lifetimes.icmpMs;
    case 'tcp':
      if (isReset(packet)) return TCP_MS.closed;
      return flow.answered || isAnswer ? TCP_MS.established : TCP_MS.unreplied;
  }
}

function isReset({ tcp }: Packet): boolean {
  return tcp !== null && (tcp.flags & TCP_FLAGS.rst) !== 0;
}

/** Whether a packet begins the connection of a closed flow anew, as a flow of its own. */
export function reopens(flow: TrackedFlow, { tcp }: Packet): boolean {
  return flow.closed && tcp !== null && (tcp.flags & (TCP_FLAGS.syn | TCP_FLAGS.ack)) === TCP_FLAGS.syn;
}

/** Whether a packet may be the first of a flow: else it is `invalid`, belongs to none and is not translated. */
export function beginsFlow({ tcp }: Packet): boolean {
  if (!tcp) return true;
  const kind = tcp.flags & (TCP_FLAGS.syn | TCP_FLAGS.ack | TCP_FLAGS.fin | TCP_FLAGS.rst);
  // `nf_conntrack_tcp_loose`: a connection that was there before is picked up.
  return kind === TCP_FLAGS.syn || kind === TCP_FLAGS.ack;
}
