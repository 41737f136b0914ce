import { isIPv6 } from 'node:net';
import { z } from 'zod';
import type { YardstickReport } from '../verdict/report.js';

/** What the yardstick asks of an ICE stack that others wrote: a peer connection with one data channel. */
export type StackName = YardstickReport['stack'];

export const signalSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('description'), type: z.enum(['offer', 'answer']), sdp: z.string().max(65_536) }),
  z.object({ kind: z.literal('candidate'), candidate: z.string().max(1024), mid: z.string().max(64) }),
]);
/** What two peers of one stack have to tell each other, in order. */
export type Signal = z.infer<typeof signalSchema>;

export interface WebrtcPeer {
  /** Makes an offer; `onSignal` hands it out. Once only. */
  offer(): void;
  /** Takes what the far end's `onSignal` handed out, or anything that pretends to be that. */
  signal(signal: Signal): void;
}

export interface WebrtcEvents {
  readonly onSignal: (signal: Signal) => void;
  /** The data channel is open; the selected pair as {@link describePair} puts it, `null` where the stack names none. */
  readonly onConnected: (pair: string | null) => void;
  /** A sentence's part for people. */
  readonly onFailed: (note: string) => void;
}

/**
 * Opens a peer; `servers` are `stun:HOST:PORT`. Rejects where the package does not load. It lives as long as its
 * process: see webrtc-child.ts.
 */
export type WebrtcStack = (servers: readonly string[], events: WebrtcEvents) => Promise<WebrtcPeer>;

export interface PairEnd {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** `host`, `srflx`, `prflx` or `relay`. */
  readonly type: string;
}

/** `udp 10.0.0.1:5000 (host) ↔ udp 10.0.0.2:6000 (srflx)`, ours first. */
export function describePair(local: PairEnd, remote: PairEnd): string {
  return `${describeEnd(local)} ↔ ${describeEnd(remote)}`;
}

function describeEnd({ protocol, address, port, type }: PairEnd): string {
  const host = isIPv6(address) ? `[${address}]` : address;
  return `${protocol.toLowerCase()} ${host}:${String(port)} (${type})`;
}
