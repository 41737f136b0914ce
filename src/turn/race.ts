import { formatTransportAddress, sameAddress, type Family, type TransportAddress } from '../base/address.js';
import type { IcepathError } from '../base/errors.js';
import { drain, Queue, type Machine } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { TransactionTimers } from '../stun/transaction.js';
import { TurnClient } from './client.js';
import type { TurnInput, TurnOutput, TurnServer } from './types.js';

export interface TurnRaceOptions {
  /** All are asked from one socket at once; of two with one address the first one is. */
  readonly servers: readonly TurnServer[];
  readonly family: Family;
  readonly random: Random;
  /** Relays that are kept beside the one in use, ready to take over: the shortest. Default 2. */
  readonly spares?: number;
  /** How often the round trip of each relay is measured. Default 1 s. */
  readonly measureEveryMs?: Ms;
  readonly mostRedirects?: number;
  readonly timers?: Partial<TransactionTimers>;
}

export type TurnRaceInput =
  | { readonly type: 'start' }
  | { readonly type: 'datagram'; readonly from: TransportAddress; readonly bytes: Uint8Array }
  /** Every relay that is kept lets this peer through, also those that come later: so that none is lost in a change. */
  | { readonly type: 'permit' | 'bind' | 'forget'; readonly peer: TransportAddress }
  /** By the relay in use; dropped where there is none. */
  | { readonly type: 'data'; readonly peer: TransportAddress; readonly data: Uint8Array }
  | { readonly type: 'close' }
  | { readonly type: 'timeout' };

export type TurnRaceOutput =
  | Extract<TurnOutput, { readonly type: 'send' }>
  /** What one relay tells; `server` is the one that was named, whatever it redirects to. */
  | {
      readonly type: 'relay';
      readonly server: TransportAddress;
      readonly output: Exclude<TurnOutput, { readonly type: 'send' }>;
    }
  /** This relay is in use from now on. */
  | {
      readonly type: 'chosen';
      readonly server: TransportAddress;
      readonly relayed: TransportAddress;
      readonly mapped: TransportAddress;
      /** `null` while no round trip of it is known. */
      readonly rttMs: Ms | null;
      /** The first to answer; a shorter way; or the one before is silent or gone. */
      readonly because: 'first' | 'shorter' | 'unanswered' | 'lost';
      /** The one before; `null` for the first, and where there was none for a while. */
      readonly before: TransportAddress | null;
    }
  /** Not among the shortest: given back. It is not asked again while enough others live. */
  | { readonly type: 'released'; readonly server: TransportAddress }
  /** No relay is left, and why each is gone. Those that may come back are asked again. */
  | {
      readonly type: 'without';
      readonly errors: readonly { readonly server: TransportAddress; readonly error: IcepathError }[];
    }
  | { readonly type: 'closed' };

const SPARES = 2;
const MEASURE_EVERY_MS: Ms = 1000;
/** Sent at 0, 250 and 750 ms: a relay is called silent after 1.25 s, and another one is used. */
const MEASURE_TIMERS: TransactionTimers = { rtoMs: 250, requests: 3, lastWaitMs: 500 };
/** How long slower servers may take to be among the spares. */
const SETTLE_MS: Ms = 3000;
/** Before a server that failed is asked again. */
const RETRY_MS: Ms = 30_000;
/** The median of so many is a relay's round trip. */
const SAMPLES = 5;
/** A way is shorter when it is so by a fifth and by 2 ms, in so many measurements in a row: else it is noise. */
const SHORTER = { ratio: 0.8, byMs: 2, times: 3 } as const;
/** What no second question changes. */
const FINAL: ReadonlySet<string> = new Set([
  ...['turn-credentials', 'turn-forbidden', 'turn-family', 'turn-transport', 'turn-redirected', 'turn-answer-invalid'],
]);

interface Runner {
  readonly server: TurnServer;
  client: TurnClient;
  state: 'asking' | 'live' | 'silent' | 'released' | 'gone';
  relayed: TransportAddress;
  mapped: TransportAddress;
  rtts: Ms[];
  /** Measurements in a row in which it was shorter than the one in use. */
  shorter: number;
  error: IcepathError | null;
  askedAt: Ms;
  retryAt: Ms;
}

/**
 * Several TURN servers at once: the first that answers is used at once, the shortest others are kept as spares. Round trips
 * are measured as long as it runs: a way that proves shorter is taken, a relay that dies is left for the best spare.
 */
export class TurnRace implements Machine<TurnRaceInput, TurnRaceOutput> {
  readonly #options: TurnRaceOptions;
  readonly #outputs = new Queue<TurnRaceOutput>();
  readonly #runners: Runner[];
  readonly #peers = new Map<string, { readonly peer: TransportAddress; readonly bind: boolean }>();
  #current: Runner | null = null;
  #settleAt: Ms = NEVER;
  #state: 'idle' | 'running' | 'closing' | 'closed' = 'idle';
  #toldWithout = false;

  constructor(options: TurnRaceOptions) {
    this.#options = options;
    const named = new Map(
      options.servers.toReversed().map((server) => [formatTransportAddress(server.address), server]),
    );
    this.#runners = [...named.values()].reverse().map((server) => ({
      ...{ server, client: this.#newClient(server), state: 'asking', relayed: server.address, mapped: server.address },
      ...{ rtts: [], shorter: 0, error: null, askedAt: 0, retryAt: NEVER },
    }));
  }

  handle(input: TurnRaceInput, now: Ms): void {
    switch (input.type) {
      case 'start':
        if (this.#state === 'idle') this.#start(now);
        break;
      case 'datagram':
        for (const runner of this.#runners)
          if (sameAddress(runner.client.server, input.from)) this.#feed(runner, input, now);
        break;
      case 'data':
        if (this.#current) this.#feed(this.#current, input, now);
        break;
      case 'permit':
      case 'bind':
      case 'forget':
        this.#peer(input, now);
        break;
      case 'close':
        this.#close(now);
        break;
      case 'timeout':
        this.#timeout(now);
    }
    this.#after(now);
  }

  poll(): TurnRaceOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    const clients = this.#runners.map(({ client }) => client.deadline());
    if (this.#state !== 'running') return earliest(...clients);
    return earliest(...clients, ...this.#runners.map(({ retryAt }) => retryAt), this.#settleAt);
  }

  /** Whether a datagram on the socket belongs to one of the relays. */
  takes(from: TransportAddress, bytes: Uint8Array): boolean {
    return this.#runners.some(({ client }) => client.takes(from, bytes));
  }

  #newClient(server: TurnServer): TurnClient {
    const { family, random, mostRedirects, measureEveryMs = MEASURE_EVERY_MS, timers } = this.#options;
    return new TurnClient({
      ...{ server, family, random, measureEveryMs, measureTimers: MEASURE_TIMERS },
      ...(mostRedirects === undefined ? {} : { mostRedirects }),
      ...(timers === undefined ? {} : { timers }),
    });
  }

  #start(now: Ms): void {
    this.#state = 'running';
    for (const runner of this.#runners) this.#allocate(runner, now);
  }

  #peer({ type, peer }: Extract<TurnRaceInput, { readonly type: 'permit' | 'bind' | 'forget' }>, now: Ms): void {
    const name = formatTransportAddress(peer);
    if (type === 'forget') this.#peers.delete(name);
    else this.#peers.set(name, { peer, bind: type === 'bind' || this.#peers.get(name)?.bind === true });
    for (const runner of this.#runners) this.#feed(runner, { type, peer }, now);
  }

  #close(now: Ms): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#state = 'closing';
    this.#current = null;
    for (const runner of this.#runners) this.#feed(runner, { type: 'close' }, now);
  }

  #timeout(now: Ms): void {
    for (const runner of this.#runners) {
      if (runner.client.deadline() <= now) this.#feed(runner, { type: 'timeout' }, now);
      if (this.#state === 'running' && runner.retryAt <= now) this.#ask(runner, now);
    }
    if (this.#settleAt <= now) {
      this.#settleAt = NEVER;
      this.#release(now);
    }
  }

  #ask(runner: Runner, now: Ms): void {
    Object.assign(runner, { client: this.#newClient(runner.server), state: 'asking', rtts: [], shorter: 0 });
    this.#allocate(runner, now);
  }

  #allocate(runner: Runner, now: Ms): void {
    Object.assign(runner, { askedAt: now, retryAt: NEVER } satisfies Partial<Runner>);
    this.#feed(runner, { type: 'allocate' }, now);
  }

  #feed(runner: Runner, input: TurnInput, now: Ms): void {
    const { client } = runner;
    client.handle(input, now);
    for (const output of drain(client)) {
      if (output.type === 'send') this.#outputs.push(output);
      else this.#told(runner, output, now);
    }
  }

  #told(runner: Runner, output: Exclude<TurnOutput, { readonly type: 'send' }>, now: Ms): void {
    // That a relay which was not wanted is closed, or fails to, is nobody's news.
    if (runner.state === 'released') return;
    this.#outputs.push({ type: 'relay', server: runner.server.address, output });
    switch (output.type) {
      case 'allocated': {
        const { relayed, mapped, rttMs } = output;
        Object.assign(runner, { state: 'live', relayed, mapped, error: null } satisfies Partial<Runner>);
        if (rttMs !== null) runner.rtts.push(rttMs);
        for (const { peer, bind } of this.#peers.values())
          this.#feed(runner, { type: bind ? 'bind' : 'permit', peer }, now);
        this.#settleAt = Math.min(this.#settleAt, now + SETTLE_MS);
        break;
      }
      case 'measured':
        runner.state = 'live';
        runner.rtts = [...runner.rtts, output.rttMs].slice(-SAMPLES);
        this.#compare(runner);
        break;
      case 'unanswered':
        runner.state = 'silent';
        break;
      case 'failed':
      case 'lost':
        Object.assign(runner, { state: 'gone', error: output.error } satisfies Partial<Runner>);
        runner.retryAt = FINAL.has(output.error.code) ? NEVER : now + RETRY_MS;
        break;
      default:
        break;
    }
  }

  /** Counts in how many measurements in a row a spare was shorter than the relay in use. */
  #compare(runner: Runner): void {
    const used = this.#current;
    if (!used || used === runner) return;
    const [own, other] = [rttOf(runner), rttOf(used)];
    const isShorter = own <= other * SHORTER.ratio && own <= other - SHORTER.byMs;
    runner.shorter = isShorter ? runner.shorter + 1 : 0;
  }

  /** What follows from the last input: which relay is used, which are released, whether all is over. */
  #after(now: Ms): void {
    if (this.#state === 'closing' && this.#runners.every(({ client }) => client.state === 'ended')) {
      this.#state = 'closed';
      this.#outputs.push({ type: 'closed' });
    }
    if (this.#state !== 'running') return;
    this.#choose();
    if (this.#settleAt === NEVER && this.#runners.some(({ state }) => state === 'live')) this.#release(now);
    if (this.#current) this.#toldWithout = false;
    const hope = this.#runners.some(({ state }) => state !== 'gone');
    if (!hope && !this.#toldWithout) {
      this.#toldWithout = true;
      const errors = this.#runners.flatMap(({ server, error }) => (error ? [{ server: server.address, error }] : []));
      this.#outputs.push({ type: 'without', errors });
    }
  }

  #choose(): void {
    const before = this.#current;
    if (before?.state === 'live') {
      const shorter = this.#live().find((runner) => runner.shorter >= SHORTER.times);
      if (shorter) this.#use(shorter, 'shorter');
      return;
    }
    const [best] = this.#live();
    if (best) this.#use(best, before === null ? 'first' : before.state === 'silent' ? 'unanswered' : 'lost');
    // A silent relay stays in use while nothing better is there: it may only be loss.
    else if (before?.state === 'gone') this.#current = null;
  }

  #use(runner: Runner, because: Extract<TurnRaceOutput, { readonly type: 'chosen' }>['because']): void {
    const before = this.#current?.server.address ?? null;
    this.#current = runner;
    for (const each of this.#runners) each.shorter = 0;
    const { server, relayed, mapped } = runner;
    const rtt = rttOf(runner);
    const rttMs = rtt === NEVER ? null : rtt;
    this.#outputs.push({ type: 'chosen', server: server.address, relayed, mapped, rttMs, because, before });
  }

  /** Keeps the relay in use and the shortest spares; where spares are missing, a released server is asked again. */
  #release(now: Ms): void {
    const { spares = SPARES } = this.#options;
    const others = this.#runners.filter((runner) => runner !== this.#current);
    const live = this.#live().filter((runner) => runner !== this.#current);
    for (const runner of live.slice(spares)) {
      this.#outputs.push({ type: 'released', server: runner.server.address });
      runner.state = 'released';
      this.#feed(runner, { type: 'close' }, now);
    }
    const isAble = ({ state, askedAt }: Runner): boolean =>
      state === 'live' || (state === 'asking' && now < askedAt + SETTLE_MS);
    const able = others.filter(isAble).length;
    const again = others
      .filter(({ state, client }) => state === 'released' && client.state === 'ended')
      .sort((left, right) => rttOf(left) - rttOf(right));
    for (const runner of again.slice(0, Math.max(0, spares - able))) this.#ask(runner, now);
  }

  /** Shortest first; of two alike the one that was named first. */
  #live(): Runner[] {
    return this.#runners.filter(({ state }) => state === 'live').sort((left, right) => rttOf(left) - rttOf(right));
  }
}

/** The median of the last measurements. */
function rttOf({ rtts }: Runner): Ms {
  const sorted = [...rtts].sort((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? NEVER;
}
