import { z } from 'zod';
import { formatTransportAddress } from '../base/address.js';
import type { Ms } from '../base/time.js';
import type { YardstickReport } from '../verdict/report.js';
import { monotonicNow } from './clock.js';
import type { Yardstick, YardstickChannel } from './driver.js';
import { libjuice } from './webrtc-libjuice.js';
import { libwebrtc } from './webrtc-libwebrtc.js';

/**
 * The yardstick (design.md, "ICE and priority"): the ICE stacks that people run today try the same two hosts, one after
 * the other. They choose their own interfaces and order; what they say stands beside our verdict, never in it.
 */
export type StackName = YardstickReport['stack'];

/** A peer connection of one stack, reduced to what the yardstick asks. */
export interface WebrtcPeer {
  /** Makes an offer; `onSignal` hands it out. */
  offer(): void;
  /** Takes what the far end's `onSignal` handed out. */
  signal(signal: Signal): void;
  close(): void;
}

export interface WebrtcEvents {
  readonly onSignal: (signal: Signal) => void;
  /** The data channel is open; the pair as the stack names it. */
  readonly onConnected: (pair: string | null) => void;
  readonly onFailed: (note: string) => void;
}

/** Opens a peer; `servers` are `stun:HOST:PORT`. Rejects where the package does not load here. */
export type WebrtcStack = (servers: readonly string[], events: WebrtcEvents) => Promise<WebrtcPeer>;

const signalSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('description'), type: z.enum(['offer', 'answer']), sdp: z.string().max(65_536) }),
  z.object({ kind: z.literal('candidate'), candidate: z.string().max(1024), mid: z.string().max(64) }),
  /** The client has its result: the far end closes its peer. */
  z.object({ kind: z.literal('done') }),
]);
export type Signal = z.infer<typeof signalSchema>;

const messageSchema = z.object({ stack: z.enum(['libjuice', 'libwebrtc']), payload: z.string() });

const STACKS: Readonly<Record<StackName, WebrtcStack>> = { libjuice, libwebrtc };
const NAMES: readonly StackName[] = ['libjuice', 'libwebrtc'];
/** A stack that has not connected by then is not waited for. */
const PATIENCE_MS: Ms = 15_000;

export const webrtcYardstick: Yardstick = (role, references, channel) => {
  const servers = references.map((reference) => `stun:${formatTransportAddress(reference)}`);
  return role === 'client' ? offerEach(servers, channel) : answerAll(servers, channel);
};

async function offerEach(servers: readonly string[], channel: YardstickChannel): Promise<YardstickReport[]> {
  const reports: YardstickReport[] = [];
  for (const name of NAMES) {
    reports.push(await offer(name, servers, channel));
    say(channel, name, { kind: 'done' });
  }
  channel.onMessage = null;
  return reports;
}

async function offer(name: StackName, servers: readonly string[], channel: YardstickChannel): Promise<YardstickReport> {
  const since = monotonicNow();
  let peer: WebrtcPeer | null = null;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<YardstickReport>((resolve) => {
      const missed = (note: string): void => {
        resolve({ stack: name, connected: false, afterMs: null, pair: null, note });
      };
      timer = setTimeout(() => {
        missed(`not connected after ${String(PATIENCE_MS / 1000)} s`);
      }, PATIENCE_MS);
      channel.onMessage = (message) => {
        const heard = hear(message);
        if (heard?.stack === name) peer?.signal(heard.signal);
      };
      const events: WebrtcEvents = {
        onSignal: (signal) => {
          say(channel, name, signal);
        },
        onConnected: (pair) => {
          resolve({ stack: name, connected: true, afterMs: Math.round(monotonicNow() - since), pair, note: null });
        },
        onFailed: missed,
      };
      STACKS[name](servers, events).then(
        (opened) => {
          peer = opened;
          opened.offer();
        },
        (error: unknown) => {
          missed(`not available here: ${error instanceof Error ? error.message : String(error)}`);
        },
      );
    });
  } finally {
    clearTimeout(timer);
    // Assigned in a callback, which the compiler does not follow.
    (peer as WebrtcPeer | null)?.close();
  }
}

/** The far end: a peer a stack, made when the first signal comes, until the client is done with the last. */
function answerAll(servers: readonly string[], channel: YardstickChannel): Promise<YardstickReport[]> {
  const peers = new Map<StackName, Promise<WebrtcPeer | null>>();
  return new Promise((resolve) => {
    const peerOf = (name: StackName): Promise<WebrtcPeer | null> => {
      const known = peers.get(name);
      if (known) return known;
      const events: WebrtcEvents = {
        onSignal: (signal) => {
          say(channel, name, signal);
        },
        onConnected: () => undefined,
        onFailed: () => undefined,
      };
      const opening = STACKS[name](servers, events).catch(() => null);
      peers.set(name, opening);
      return opening;
    };
    channel.onMessage = (message) => {
      const heard = hear(message);
      if (!heard) return;
      const { stack, signal } = heard;
      void peerOf(stack).then((peer) => {
        if (signal.kind !== 'done') peer?.signal(signal);
        else {
          peer?.close();
          if (stack === NAMES.at(-1)) resolve([]);
        }
      });
    };
  });
}

function say(channel: YardstickChannel, stack: StackName, signal: Signal): void {
  channel.send({ type: 'yardstick', stack, payload: JSON.stringify(signal) });
}

function hear(message: unknown): { readonly stack: StackName; readonly signal: Signal } | null {
  const outer = messageSchema.safeParse(message);
  if (!outer.success) return null;
  try {
    const signal = signalSchema.safeParse(JSON.parse(outer.data.payload));
    return signal.success ? { stack: outer.data.stack, signal: signal.data } : null;
  } catch {
    return null;
  }
}
