import type { Random } from '../base/random.js';
import { earliest, type Ms } from '../base/time.js';
import { readErrorCode, type StunError } from '../stun/attributes.js';
import { fingerprinted } from '../stun/integrity.js';
import { LongTermSigner, readChallenge, type LongTermCredentials } from '../stun/long-term.js';
import { transactionKey, type NewAttribute, type StunMessage } from '../stun/message.js';
import { ERROR_CODES, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { ClientTransaction, type TransactionTimers } from '../stun/transaction.js';

export interface TurnRequest {
  readonly method: number;
  /** Addresses of IPv6 are coded with the transaction id. */
  readonly attributes: (transactionId: Uint8Array) => readonly NewAttribute[];
  readonly timers?: Partial<TransactionTimers>;
}

export type Outcome =
  | { readonly type: 'success'; readonly message: StunMessage; readonly rttMs: Ms | null }
  | { readonly type: 'error'; readonly error: StunError; readonly message: StunMessage }
  /** The server asks for what cannot be given: RFC 8489 §9.2.5. */
  | { readonly type: 'unmeetable' }
  | { readonly type: 'silent' };

interface Entry {
  readonly request: TurnRequest;
  readonly then: (outcome: Outcome, now: Ms) => void;
  readonly signer: LongTermSigner | null;
  readonly bytes: Uint8Array;
  readonly transaction: ClientTransaction;
  readonly sentAt: Ms;
  /** Challenges that were answered so far. */
  readonly challenges: number;
}

/** A first challenge, a nonce that ran out on the way, and one more: whoever asks on is not served. */
const MOST_CHALLENGES = 3;

/** RFC 8489 §9.2.4: what a server says before it knows who asks, and so cannot sign. */
const UNSIGNED: ReadonlySet<number> = new Set([
  ERROR_CODES['Bad Request'],
  ERROR_CODES.Unauthenticated,
  ERROR_CODES['Stale Nonce'],
]);

/** The requests of one client to one server, under long-term credentials (RFC 8489 §9.2): sent, sent again, answered. */
export class Requests {
  readonly #credentials: LongTermCredentials;
  readonly #random: Random;
  readonly #timers: Partial<TransactionTimers>;
  readonly #send: (bytes: Uint8Array, transaction: string) => void;
  readonly #entries = new Map<string, Entry>();
  #signer: LongTermSigner | null = null;

  constructor(
    options: {
      readonly credentials: LongTermCredentials;
      readonly random: Random;
      readonly timers: Partial<TransactionTimers>;
    },
    send: (bytes: Uint8Array, transaction: string) => void,
  ) {
    this.#credentials = options.credentials;
    this.#random = options.random;
    this.#timers = options.timers;
    this.#send = send;
  }

  ask(request: TurnRequest, now: Ms, then: Entry['then']): void {
    this.#begin(request, then, 0, now);
  }

  has(message: StunMessage): boolean {
    return this.#entries.has(transactionKey(message.transactionId));
  }

  /** Takes an answer. One that is not signed as it must be counts as never received (RFC 8489 §9.2.5). */
  answer(message: StunMessage, now: Ms): void {
    const key = transactionKey(message.transactionId);
    const entry = this.#entries.get(key);
    if (entry?.request.method !== message.method) return;
    if (message.class !== 'success' && message.class !== 'error') return;
    const error = message.class === 'error' ? readErrorCode(message) : undefined;
    if (message.class === 'error' && !error) return;
    const mayBeUnsigned = error !== undefined && UNSIGNED.has(error.code);
    if (entry.signer && !mayBeUnsigned && !entry.signer.hasSigned(message)) return;
    this.#entries.delete(key);
    if (!error) {
      const rttMs = entry.transaction.sent === 1 ? now - entry.sentAt : null;
      entry.then({ type: 'success', message, rttMs }, now);
    } else if (this.#isChallenge(entry, error)) this.#challenged(entry, message, error, now);
    else entry.then({ type: 'error', error, message }, now);
  }

  /** 401 to a request that was signed says that the credentials are wrong: there is nothing else to answer it with. */
  #isChallenge(entry: Entry, { code }: StunError): boolean {
    if (code === ERROR_CODES['Stale Nonce']) return true;
    return code === ERROR_CODES.Unauthenticated && entry.signer === null;
  }

  #challenged(entry: Entry, message: StunMessage, error: StunError, now: Ms): void {
    const challenge = readChallenge(message);
    if (!challenge) entry.then({ type: 'unmeetable' }, now);
    else if (entry.challenges >= MOST_CHALLENGES) entry.then({ type: 'error', error, message }, now);
    else {
      this.#signer = new LongTermSigner(challenge, this.#credentials);
      this.#begin(entry.request, entry.then, entry.challenges + 1, now);
    }
  }

  /** What is outstanding is no longer wanted. */
  cancel(): void {
    this.#entries.clear();
  }

  /** The same, and what was learnt of the server is forgotten. */
  reset(): void {
    this.cancel();
    this.#signer = null;
  }

  deadline(): Ms {
    return earliest(...[...this.#entries.values()].map(({ transaction }) => transaction.deadline()));
  }

  timeout(now: Ms): void {
    for (const [key, entry] of [...this.#entries]) {
      if (this.#entries.get(key) !== entry) continue;
      const what = entry.transaction.onTimeout(now);
      if (what === 'send') this.#send(entry.bytes, key);
      if (what !== 'failed') continue;
      this.#entries.delete(key);
      entry.then({ type: 'silent' }, now);
    }
  }

  #begin(request: TurnRequest, then: Entry['then'], challenges: number, now: Ms): void {
    const transactionId = this.#random.bytes(TRANSACTION_ID_BYTES);
    const message = {
      method: request.method,
      class: 'request',
      transactionId,
      attributes: request.attributes(transactionId),
    } as const;
    const signer = this.#signer;
    const bytes = signer ? signer.sign(message) : fingerprinted(message);
    const transaction = new ClientTransaction({ ...this.#timers, ...request.timers });
    transaction.start(now);
    const key = transactionKey(transactionId);
    this.#entries.set(key, { request, then, signer, bytes, transaction, sentAt: now, challenges });
    this.#send(bytes, key);
  }
}
