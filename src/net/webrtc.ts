import { z } from 'zod';
import { formatTransportAddress } from '../base/address.js';
import type { Ms } from '../base/time.js';
import type { YardstickReport } from '../verdict/report.js';
import { monotonicNow } from './clock.js';
import type { Yardstick, YardstickChannel } from './driver.js';
import { openInChild, type OpenPeer } from './webrtc-child.js';
import { signalSchema, type StackName, type WebrtcEvents, type WebrtcPeer } from './webrtc-stack.js';

/**
 * The yardstick (design.md, "ICE and priority"): the ICE stacks that people run today try the same two hosts, one after
 * the other. They choose their own interfaces and order; what they say stands beside our verdict, never in it.
 *
 * The client opens its peer, says `begin`, offers when the far end says `ready`, and says `done` when it has its
 * result. So the time that it reports is that from the offer to the open data channel, without the loading of packages.
 */
export interface YardstickOptions {
  readonly open: OpenPeer;
  /** A stack that has not connected by then is not waited for. */
  readonly patienceMs: Ms;
}

const NAMES: readonly StackName[] = ['libjuice', 'libwebrtc'];

const LONGEST_NOTE = 256;

const payloadSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['begin', 'ready', 'done']) }),
  z.object({ kind: z.literal('failed'), note: z.string().max(LONGEST_NOTE) }),
  ...signalSchema.options,
]);
type Payload = z.infer<typeof payloadSchema>;

const messageSchema = z.object({ stack: z.enum(['libjuice', 'libwebrtc']), payload: z.string() });

/** A stack says a description and some dozens of candidates; who says more than this is not listened to. */
const MOST_SIGNALS = 256;

export function yardstickWith(options: YardstickOptions): Yardstick {
  return async (role, references, channel, runOver) => {
    const servers = references.map((reference) => `stun:${formatTransportAddress(reference)}`);
    try {
      if (role === 'server') {
        await answerAll(servers, channel, options.open, runOver);
        return [];
      }
      const reports: YardstickReport[] = [];
      for (const name of NAMES) {
        if (!runOver.aborted) reports.push(await offer(name, servers, channel, options, runOver));
      }
      return reports;
    } finally {
      channel.onMessage = null;
    }
  };
}

export const webrtcYardstick = yardstickWith({ open: openInChild(), patienceMs: 15_000 });

async function offer(
  name: StackName,
  servers: readonly string[],
  channel: YardstickChannel,
  { open, patienceMs }: YardstickOptions,
  runOver: AbortSignal,
): Promise<YardstickReport> {
  const over = new AbortController();
  const signal = AbortSignal.any([runOver, over.signal]);
  const tell = teller(channel, name, signal);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<YardstickReport>((resolve) => {
      let peer: WebrtcPeer | null = null;
      let offeredAt: Ms | null = null;
      let signals = 0;
      const missed = (note: string): void => {
        resolve({ stack: name, connected: false, afterMs: null, pair: null, note });
      };
      timer = setTimeout(() => {
        missed(offeredAt === null ? 'the far end did not answer' : `not connected after ${patienceMs / 1000} s`);
      }, patienceMs);
      runOver.addEventListener('abort', () => {
        missed('the run was over before');
      });
      channel.onMessage = (message) => {
        const heard = hear(message);
        if (heard?.stack !== name || !peer) return;
        const { payload } = heard;
        switch (payload.kind) {
          case 'ready':
            if (offeredAt !== null) return;
            offeredAt = monotonicNow();
            peer.offer();
            return;
          case 'failed':
            missed(`at the far end: ${payload.note}`);
            return;
          case 'description':
          case 'candidate':
            if (++signals <= MOST_SIGNALS) peer.signal(payload);
            return;
          default:
        }
      };
      const events: WebrtcEvents = {
        onSignal: tell,
        onConnected: (pair) => {
          const afterMs = offeredAt === null ? null : Math.round(monotonicNow() - offeredAt);
          resolve({ stack: name, connected: true, afterMs, pair, note: null });
        },
        onFailed: missed,
      };
      open(name, servers, events, signal).then(
        (opened) => {
          peer = opened;
          tell({ kind: 'begin' });
        },
        (error: unknown) => {
          missed(`not available here: ${reasonOf(error)}`);
        },
      );
    });
  } finally {
    clearTimeout(timer);
    tell({ kind: 'done' });
    over.abort();
  }
}

/** The far end: a peer a stack, from the client's `begin` to its `done`. Resolves at the last stack's. */
async function answerAll(
  servers: readonly string[],
  channel: YardstickChannel,
  open: OpenPeer,
  runOver: AbortSignal,
): Promise<void> {
  const answerers = new Map<StackName, Answerer>();
  try {
    await new Promise<void>((resolve) => {
      runOver.addEventListener('abort', () => {
        resolve();
      });
      channel.onMessage = (message) => {
        const heard = hear(message);
        if (!heard) return;
        const { stack, payload } = heard;
        const answerer = answerers.get(stack);
        if (payload.kind === 'begin' && !answerer) {
          answerers.set(stack, new Answerer(stack, servers, channel, open));
        } else if (payload.kind === 'done') {
          answerer?.close();
          if (stack === NAMES.at(-1)) resolve();
        } else answerer?.take(payload);
      };
    });
  } finally {
    for (const answerer of answerers.values()) answerer.close();
  }
}

class Answerer {
  readonly #over = new AbortController();
  readonly #peer: Promise<WebrtcPeer | null>;
  #signals = 0;

  constructor(name: StackName, servers: readonly string[], channel: YardstickChannel, open: OpenPeer) {
    const tell = teller(channel, name, this.#over.signal);
    const failed = (note: string): void => {
      tell({ kind: 'failed', note: note.slice(0, LONGEST_NOTE) });
    };
    const events: WebrtcEvents = { onSignal: tell, onConnected: () => undefined, onFailed: failed };
    this.#peer = open(name, servers, events, this.#over.signal).then(
      (peer) => {
        tell({ kind: 'ready' });
        return peer;
      },
      (error: unknown) => {
        failed(`not available: ${reasonOf(error)}`);
        return null;
      },
    );
  }

  take(payload: Payload): void {
    if (payload.kind !== 'description' && payload.kind !== 'candidate') return;
    if (++this.#signals <= MOST_SIGNALS) void this.#peer.then((peer) => peer?.signal(payload));
  }

  close(): void {
    this.#over.abort();
  }
}

type Tell = (payload: Payload) => void;

/** Says what a stack has to say until it is over: a process on its way out is heard no more. */
function teller(channel: YardstickChannel, stack: StackName, over: AbortSignal): Tell {
  return (payload) => {
    if (!over.aborted) channel.send({ type: 'yardstick', stack, payload: JSON.stringify(payload) });
  };
}

function hear(message: unknown): { readonly stack: StackName; readonly payload: Payload } | null {
  const outer = messageSchema.safeParse(message);
  if (!outer.success) return null;
  try {
    const payload = payloadSchema.safeParse(JSON.parse(outer.data.payload));
    return payload.success ? { stack: outer.data.stack, payload: payload.data } : null;
  } catch {
    return null;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
