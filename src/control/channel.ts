import { z } from 'zod';
import { Queue, type Machine } from '../base/machine.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { ControlCode } from './errors.js';
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from './frames.js';
import { Handshake, type HandshakeOptions, type HandshakeStep } from './handshake.js';

export type ControlInput =
  /** The TLS connection is up. The first input. */
  | { readonly type: 'open' }
  | { readonly type: 'bytes'; readonly bytes: Uint8Array }
  /** The connection under the channel is gone. `reason` is a sentence. */
  | { readonly type: 'closed'; readonly code: ControlCode; readonly reason: string }
  /** A message for the far end; the types `ping`, `pong` and `bye` are the channel's own. */
  | { readonly type: 'send'; readonly message: Readonly<Record<string, unknown>> }
  | { readonly type: 'close'; readonly reason: string }
  | { readonly type: 'timeout' };

export type ControlOutput =
  | { readonly type: 'bytes'; readonly bytes: Uint8Array }
  /** The far end is who the invite says. Messages follow. */
  | { readonly type: 'authenticated' }
  /** `bytes` is what it took on the wire, for bounds further up. */
  | { readonly type: 'message'; readonly message: unknown; readonly bytes: number }
  /** The far end is gone, refused, or broke the rules: once, and not after our own `close`. */
  | { readonly type: 'lost'; readonly code: ControlCode; readonly reason: string }
  /** Let what was written leave, then close the connection. Always the last output. */
  | { readonly type: 'close' };

export interface Keepalive {
  readonly pingMs: Ms;
  /** The far end is lost after so much silence. */
  readonly lostMs: Ms;
}

export const KEEPALIVE: Keepalive = { pingMs: 2000, lostMs: 6000 };
/** A stranger has so long to authenticate, and so many bytes. */
export const HANDSHAKE_MS: Ms = 5000;
const HANDSHAKE_FRAME_BYTES = 1024;

const ownMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ping'), id: z.number().int().nonnegative() }),
  z.object({ type: z.literal('pong'), id: z.number().int().nonnegative() }),
  z.object({ type: z.literal('bye'), reason: z.string().max(1024) }),
]);

/** The control channel over a byte stream: authenticate, then messages both ways until one end leaves or falls silent. */
export class ControlChannel implements Machine<ControlInput, ControlOutput> {
  readonly #handshake: Handshake;
  readonly #keepalive: Keepalive;
  readonly #outputs = new Queue<ControlOutput>();
  readonly #decoder = new FrameDecoder(HANDSHAKE_FRAME_BYTES);
  #state: 'new' | 'handshake' | 'open' | 'ended' = 'new';
  #handshakeEnds: Ms = NEVER;
  #nextPing: Ms = NEVER;
  #heard: Ms = 0;
  #pings = 0;

  constructor(options: HandshakeOptions & { readonly keepalive?: Keepalive }) {
    this.#handshake = new Handshake(options);
    this.#keepalive = options.keepalive ?? KEEPALIVE;
  }

  handle(input: ControlInput, now: Ms): void {
    if (this.#state === 'ended') return;
    switch (input.type) {
      case 'open':
        this.#state = 'handshake';
        this.#handshakeEnds = now + HANDSHAKE_MS;
        this.#step(this.#handshake.start(), now);
        return;
      case 'bytes':
        this.#heard = now;
        this.#decoder.push(input.bytes);
        this.#read(now);
        return;
      case 'closed':
        this.#lose(input.code, input.reason);
        return;
      case 'send':
        if (this.#state === 'open') this.#write(input.message);
        return;
      case 'close':
        if (this.#state === 'open') this.#write({ type: 'bye', reason: input.reason });
        this.#end();
        return;
      case 'timeout':
        this.#timeout(now);
    }
  }

  poll(): ControlOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    if (this.#state === 'handshake') return this.#handshakeEnds;
    if (this.#state === 'open') return earliest(this.#nextPing, this.#heard + this.#keepalive.lostMs);
    return NEVER;
  }

  #timeout(now: Ms): void {
    if (this.#state === 'handshake' && now >= this.#handshakeEnds) {
      this.#lose('control-timeout', 'The far end did not authenticate in time.');
    }
    if (this.#state !== 'open') return;
    const { pingMs, lostMs } = this.#keepalive;
    // Whoever wakes so late was asleep itself (a suspended laptop): the far end may still answer a ping.
    if (now > this.#nextPing + pingMs) this.#heard = Math.max(this.#heard, now - lostMs + pingMs);
    if (now >= this.#heard + lostMs) {
      this.#lose('control-silent', `Nothing was heard from the far end for ${String(lostMs / 1000)} s.`);
    } else if (now >= this.#nextPing) {
      this.#nextPing = now + pingMs;
      this.#pings += 1;
      this.#write({ type: 'ping', id: this.#pings });
    }
  }

  #read(now: Ms): void {
    while (this.#state === 'handshake' || this.#state === 'open') {
      const frame = this.#decoder.next();
      if (!frame) return;
      if (frame.type === 'broken') {
        this.#lose('control-protocol', `The far end does not speak icepath control: ${frame.reason}.`);
      } else if (this.#state === 'handshake') this.#step(this.#handshake.handle(frame.value), now);
      else this.#take(frame.value, frame.bytes);
    }
  }

  #step({ send, outcome }: HandshakeStep, now: Ms): void {
    if (send) this.#write(send);
    if (outcome === 'pending') return;
    if (outcome !== 'authenticated') {
      this.#lose(outcome.code, outcome.reason);
      return;
    }
    this.#state = 'open';
    this.#decoder.maxBytes = MAX_FRAME_BYTES;
    this.#heard = now;
    this.#nextPing = now + this.#keepalive.pingMs;
    this.#outputs.push({ type: 'authenticated' });
  }

  #take(value: unknown, bytes: number): void {
    const own = ownMessageSchema.safeParse(value);
    if (!own.success) this.#outputs.push({ type: 'message', message: value, bytes });
    else if (own.data.type === 'ping') this.#write({ type: 'pong', id: own.data.id });
    else if (own.data.type === 'bye') this.#lose('control-closed', `The far end has ended: ${own.data.reason}`);
  }

  #write(message: Readonly<Record<string, unknown>>): void {
    const bytes = encodeFrame(message);
    if (bytes) this.#outputs.push({ type: 'bytes', bytes });
    else this.#lose('control-protocol', `A message of type ${String(message.type)} is too long to send.`);
  }

  #lose(code: ControlCode, reason: string): void {
    this.#outputs.push({ type: 'lost', code, reason });
    this.#end();
  }

  #end(): void {
    this.#state = 'ended';
    this.#outputs.push({ type: 'close' });
  }
}
