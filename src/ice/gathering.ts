import { sameAddress, type TransportAddress } from '../base/address.js';
import type { Random } from '../base/random.js';
import { earliest, type Ms } from '../base/time.js';
import { readMappedAddress } from '../stun/attributes.js';
import { fingerprinted } from '../stun/integrity.js';
import { transactionKey, type StunMessage } from '../stun/message.js';
import { METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { backoff, type IceTiming } from './timing.js';
import type { Base, BaseId } from './types.js';

/** With 200 ms doubling to 1 s a silent server is given up after 2.4 s; the standard 39.5 s is longer than a run. */
const MOST_TRIES = 4;

interface Query {
  readonly base: BaseId;
  readonly server: TransportAddress;
  readonly transactions: Set<string>;
  tries: number;
  dueAt: Ms;
}

export interface GatheringSend {
  readonly base: BaseId;
  readonly to: TransportAddress;
  readonly message: Uint8Array;
  readonly transaction: string;
}

/** RFC 8445 §5.1.1.2: every base asks every STUN server of its family what it looks like from there. */
export class Gathering {
  readonly #servers: readonly TransportAddress[];
  readonly #timing: IceTiming;
  readonly #random: Random;
  #queries: Query[] = [];

  constructor(servers: readonly TransportAddress[], timing: IceTiming, random: Random) {
    this.#servers = servers;
    this.#timing = timing;
    this.#random = random;
  }

  start(base: Base): void {
    for (const server of this.#servers) {
      if (server.family !== base.address.family) continue;
      this.#queries.push({ base: base.id, server, transactions: new Set(), tries: 0, dueAt: 0 });
    }
  }

  stop(base: BaseId): void {
    this.#queries = this.#queries.filter((query) => query.base !== base);
  }

  get isDone(): boolean {
    return this.#queries.length === 0;
  }

  next(now: Ms): GatheringSend | undefined {
    const query = this.#queries.find(({ dueAt, tries }) => dueAt <= now && tries < MOST_TRIES);
    if (!query) return undefined;
    const transactionId = this.#random.bytes(TRANSACTION_ID_BYTES);
    const transaction = transactionKey(transactionId);
    query.transactions.add(transaction);
    query.tries += 1;
    query.dueAt = now + backoff(this.#timing.gatherRtoMs, this.#timing.rtoMaxMs, query.tries);
    const message = fingerprinted({ method: METHODS.Binding, class: 'request', transactionId, attributes: [] });
    return { base: query.base, to: query.server, message, transaction };
  }

  /** Whether a server was never asked from one of the bases. */
  get isUrgent(): boolean {
    return this.#queries.some(({ tries }) => tries === 0);
  }

  /** When {@link next} will have something. */
  due(): Ms {
    return earliest(...this.#queries.filter(({ tries }) => tries < MOST_TRIES).map(({ dueAt }) => dueAt));
  }

  /** Gives up the servers that stayed silent. */
  expire(now: Ms): void {
    this.#queries = this.#queries.filter(({ tries, dueAt }) => tries < MOST_TRIES || dueAt > now);
  }

  expiry(): Ms {
    return earliest(...this.#queries.filter(({ tries }) => tries >= MOST_TRIES).map(({ dueAt }) => dueAt));
  }

  /** What a server saw, from its answer on the base that asked it; `null` for anything else. An error ends the query. */
  answer(
    message: StunMessage,
    base: BaseId,
    from: TransportAddress,
  ): { readonly server: TransportAddress; readonly mapped: TransportAddress } | null {
    const transaction = transactionKey(message.transactionId);
    const query = this.#queries.find((each) => each.base === base && each.transactions.has(transaction));
    if (!query || !sameAddress(query.server, from)) return null;
    const mapped = message.class === 'success' ? readMappedAddress(message) : undefined;
    if (message.class === 'success' && mapped?.family !== query.server.family) return null;
    this.#queries = this.#queries.filter((other) => other !== query);
    return mapped ? { server: query.server, mapped } : null;
  }
}
