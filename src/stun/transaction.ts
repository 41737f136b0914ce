import { NEVER, type Ms } from '../base/time.js';

/** RFC 8489 §6.2.1. */
export interface TransactionTimers {
  /** The first pause; every later one is twice the one before. */
  readonly rtoMs: Ms;
  /** Rc: how often the request is sent at most, the first time included. */
  readonly requests: number;
  /** Rm · RTO: the pause after the last sending before the transaction has failed. */
  readonly lastWaitMs: Ms;
}

const RTO_MS: Ms = 500;
const RC = 7;
const RM = 16;

/** The client's side of one request over UDP: when to send it again and when to give it up. */
export class ClientTransaction {
  readonly timers: TransactionTimers;
  #sent = 0;
  #next: Ms = NEVER;

  constructor(timers: Partial<TransactionTimers> = {}) {
    const rtoMs = timers.rtoMs ?? RTO_MS;
    this.timers = { rtoMs, requests: timers.requests ?? RC, lastWaitMs: timers.lastWaitMs ?? RM * rtoMs };
  }

  /** How often the request was sent. */
  get sent(): number {
    return this.#sent;
  }

  /** The request goes out for the first time. */
  start(now: Ms): void {
    if (this.#sent === 0) this.#sending(now);
  }

  deadline(): Ms {
    return this.#next;
  }

  /** What to do at `now`: send the request again, give up, or wait for {@link deadline}. */
  onTimeout(now: Ms): 'send' | 'failed' | 'wait' {
    if (now < this.#next) return 'wait';
    if (this.#sent >= this.timers.requests) {
      this.finish();
      return 'failed';
    }
    this.#sending(now);
    return 'send';
  }

  /** An answer came, or nobody wants one any more. */
  finish(): void {
    this.#next = NEVER;
  }

  #sending(now: Ms): void {
    this.#sent += 1;
    const { rtoMs, requests, lastWaitMs } = this.timers;
    this.#next = now + (this.#sent >= requests ? lastWaitMs : rtoMs * 2 ** (this.#sent - 1));
  }
}
