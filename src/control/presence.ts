import type { Random } from '../base/random.js';
import { fraction } from '../base/random.js';
import { Queue, type Machine } from '../base/machine.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ControlCode } from './errors.js';
import { closeMeaning, parseAnswer } from './rendezvous.js';

export type PresenceInput =
  | { readonly type: 'start' }
  /** The WebSocket is open. */
  | { readonly type: 'opened' }
  | { readonly type: 'text'; readonly text: string }
  /** The rendezvous pinged. */
  | { readonly type: 'ping' }
  /** It is gone, or was never there: `failure` says why; else it was closed with a WebSocket close code. */
  | { readonly type: 'closed'; readonly code: number }
  | { readonly type: 'failed'; readonly code: ControlCode; readonly reason: string }
  | { readonly type: 'timeout' };

export type PresenceOutput =
  /** Open a WebSocket to the rendezvous. */
  | { readonly type: 'connect' }
  /** Say who hosts which room. */
  | { readonly type: 'hello' }
  /** Drop the WebSocket; no more inputs of it are awaited. */
  | { readonly type: 'drop' }
  /** A client waits: meet it on a connection of its own. */
  | { readonly type: 'visitor'; readonly ticket: string }
  /** Clients can come from now on. */
  | { readonly type: 'present' }
  /** They cannot, until the next `present`: once each time. */
  | { readonly type: 'absent'; readonly code: ControlCode; readonly reason: string };

export const PRESENCE = { answerMs: 8000, silentMs: 45_000, firstRetryMs: 500, lastRetryMs: 15_000 } as const;

/** A server's standing connection to its rendezvous: said hello on, watched, and made again with growing pauses. */
export class Presence implements Machine<PresenceInput, PresenceOutput> {
  readonly #random: Random;
  readonly #outputs = new Queue<PresenceOutput>();
  #state: 'idle' | 'connecting' | 'present' = 'idle';
  #told = false;
  #deadline: Ms = NEVER;
  #retryMs: Ms = PRESENCE.firstRetryMs;

  constructor(random: Random) {
    this.#random = random;
  }

  handle(input: PresenceInput, now: Ms): void {
    switch (input.type) {
      case 'start':
        this.#connect(now);
        return;
      case 'opened':
        this.#outputs.push({ type: 'hello' });
        return;
      case 'text':
        this.#heard(input.text, now);
        return;
      case 'ping':
        if (this.#state === 'present') this.#deadline = now + PRESENCE.silentMs;
        return;
      case 'closed': {
        const meaning = closeMeaning(input.code);
        this.#lost(meaning.code, meaning.reason, now);
        return;
      }
      case 'failed':
        this.#lost(input.code, input.reason, now);
        return;
      case 'timeout':
        if (now < this.#deadline) return;
        if (this.#state === 'idle') this.#connect(now);
        else this.#drop('rendezvous-unreachable', 'It has fallen silent.', now);
    }
  }

  poll(): PresenceOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    return this.#deadline;
  }

  #connect(now: Ms): void {
    this.#state = 'connecting';
    this.#deadline = now + PRESENCE.answerMs;
    this.#outputs.push({ type: 'connect' });
  }

  #heard(text: string, now: Ms): void {
    if (this.#state === 'idle') return;
    const answer = parseAnswer(text);
    if (answer?.type === 'waiting') {
      this.#state = 'present';
      this.#told = false;
      this.#retryMs = PRESENCE.firstRetryMs;
      this.#outputs.push({ type: 'present' });
    } else if (answer?.type === 'visitor' && this.#state === 'present') {
      this.#outputs.push({ type: 'visitor', ticket: answer.ticket });
    } else {
      this.#drop('rendezvous-protocol', 'It does not speak as a rendezvous does.', now);
      return;
    }
    this.#deadline = now + PRESENCE.silentMs;
  }

  #drop(code: ControlCode, reason: string, now: Ms): void {
    this.#outputs.push({ type: 'drop' });
    this.#lost(code, reason, now);
  }

  #lost(code: ControlCode, reason: string, now: Ms): void {
    if (this.#state === 'idle') return;
    this.#state = 'idle';
    if (!this.#told) this.#outputs.push({ type: 'absent', code, reason });
    this.#told = true;
    // From half of it to all of it: many servers do not come back in step.
    this.#deadline = now + this.#retryMs * (0.5 + fraction(this.#random) / 2);
    this.#retryMs = Math.min(2 * this.#retryMs, PRESENCE.lastRetryMs);
  }
}
