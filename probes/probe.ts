import type { TransportAddress } from '../src/base/address.js';
import { type Machine, Queue } from '../src/base/machine.js';
import { earliest, type Ms } from '../src/base/time.js';
import type { ArmName } from '../src/mutation/names.js';
import type { Change } from '../src/stun/attributes.js';

/**
 * What a probe and the session that runs it say to each other. Socket names and query ids are the probe's own, so
 * several probes run side by side; the session opens the sockets on the interface under test, turns a query into a
 * reference request (`mutation/reference.ts`) and its answer back. A query that is sent again keeps its id.
 */
export type ProbeInput =
  | { readonly type: 'start' }
  | { readonly type: 'opened'; readonly socket: string; readonly local: TransportAddress }
  | { readonly type: 'unopened'; readonly socket: string }
  | ({ readonly type: 'answer'; readonly socket: string; readonly id: number } & Answer)
  /** A question itself came in, on one of our own sockets: a NAT has turned it back. */
  | { readonly type: 'heard'; readonly socket: string; readonly id: number; readonly from: TransportAddress }
  /** ICMP says that a packet of this socket ran out of its TTL: where. */
  | { readonly type: 'expired'; readonly socket: string; readonly at: string }
  | { readonly type: 'timeout' };

export type ProbeOutput<Result> =
  | { readonly type: 'open'; readonly socket: string }
  | ({ readonly type: 'query'; readonly id: number } & Query)
  | { readonly type: 'close'; readonly socket: string }
  /** Comes once and last. */
  | { readonly type: 'result'; readonly result: Result };

export interface Query {
  readonly socket: string;
  readonly to: TransportAddress;
  readonly arm: ArmName;
  readonly change: Change;
  /** Of this packet alone; the host's where nothing is said. */
  readonly ttl?: number;
  /** Asks for a second answer, so much later. */
  readonly afterSeconds?: number;
}

export interface Answer {
  /** Where the datagram came from, as this host sees it. */
  readonly from: TransportAddress;
  readonly mapped: TransportAddress;
  /** RESPONSE-ORIGIN and OTHER-ADDRESS (RFC 5780 §7.4), where the answer had room for them. */
  readonly origin: TransportAddress | null;
  readonly other: TransportAddress | null;
  /** That a second answer follows after so many seconds; 0: this is it; `null`: there is none. */
  readonly afterSeconds: number | null;
}

/** A reference host as contact with it was made. `other` is its other address *and* other port; null if it has one only. */
export interface Reference {
  readonly primary: TransportAddress;
  readonly other: TransportAddress | null;
  readonly arm: ArmName;
  /** Further ports of the first address, where it is known to have any. */
  readonly more?: readonly TransportAddress[];
}

/** A question put to the reference: what has become of it. */
export interface Asked {
  readonly answer: Answer | null;
  /** When the answer came, counted from the first sending. */
  readonly afterMs: Ms | null;
  /** Where the question itself came in on one of our own sockets, and the source that it then showed. */
  readonly heard: { readonly socket: string; readonly from: TransportAddress } | null;
  /** Answered, or no longer waited for. */
  readonly settled: boolean;
  /** When the second answer came, counted from the last sending: after a silence of so long. */
  readonly lateMs: Ms | null;
}

/** A socket of a probe: `local` is null until it is open; `settled` also when it could not be opened. */
export interface ProbeSocket {
  readonly name: string;
  readonly local: TransportAddress | null;
  readonly settled: boolean;
}

/**
 * An experiment, written as it is told: it asks on its {@link Bench} and yields what it waits for next, a condition
 * that is looked at again after every input.
 */
export type Experiment<Result> = Generator<() => boolean, Result, void>;

/**
 * Pauses after each sending of a question that waits for its answer; after the last one it is given up. STUN's own
 * 39.5 s (RFC 8489 §6.2.1) does not fit a verdict in 15 s. Five sendings: 20 % loss each way leaves 0.6 % unanswered.
 */
export const PATIENCE: readonly Ms[] = [150, 200, 250, 300, 500];

const UNCHANGED: Change = { address: false, port: false };

/** Runs an experiment as a sans-IO machine. */
export class Probe<Result> implements Machine<ProbeInput, ProbeOutput<Result>> {
  readonly #outputs = new Queue<ProbeOutput<Result>>();
  readonly #bench: Bench;
  readonly #experiment: Experiment<Result>;
  #condition: (() => boolean) | null = null;
  #state: 'new' | 'running' | 'done' = 'new';

  constructor(experiment: (bench: Bench) => Experiment<Result>) {
    this.#bench = new Bench(this.#outputs);
    this.#experiment = experiment(this.#bench);
  }

  handle(input: ProbeInput, now: Ms): void {
    if (this.#state === 'done') return;
    if (input.type === 'start') this.#state = 'running';
    if (this.#state === 'new') return;
    this.#bench.handle(input, now);
    while (this.#condition === null || this.#condition()) {
      const step = this.#experiment.next();
      if (step.done) {
        this.#state = 'done';
        this.#bench.closeAll();
        this.#outputs.push({ type: 'result', result: step.value });
        return;
      }
      this.#condition = step.value;
    }
  }

  poll(): ProbeOutput<Result> | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    return this.#state === 'running' ? this.#bench.deadline() : Number.POSITIVE_INFINITY;
  }
}

interface MutableSocket extends ProbeSocket {
  local: TransportAddress | null;
  settled: boolean;
}

interface MutableAsked extends Asked {
  readonly query: Query;
  readonly first: Ms;
  readonly pauses: readonly Ms[];
  last: Ms;
  lateMs: Ms | null;
  sendings: number;
  next: Ms;
  answer: Answer | null;
  afterMs: Ms | null;
  heard: { readonly socket: string; readonly from: TransportAddress } | null;
  settled: boolean;
}

/** What an experiment works with: sockets, questions that repeat themselves, and pauses. */
export class Bench {
  now: Ms = 0;
  readonly #outputs: Pick<Queue<ProbeOutput<never>>, 'push'>;
  readonly #sockets = new Map<string, MutableSocket>();
  readonly #asked: MutableAsked[] = [];
  readonly #expired = new Map<string, string>();
  #alarms: Ms[] = [];

  constructor(outputs: Pick<Queue<ProbeOutput<never>>, 'push'>) {
    this.#outputs = outputs;
  }

  /** Opens fresh sockets and waits for them; those that could not be opened are left out. */
  *open(count: number): Experiment<readonly (ProbeSocket & { readonly local: TransportAddress })[]> {
    const sockets = Array.from({ length: count }, () => {
      const socket: MutableSocket = { name: `p${this.#sockets.size + 1}`, local: null, settled: false };
      this.#sockets.set(socket.name, socket);
      this.#outputs.push({ type: 'open', socket: socket.name });
      return socket;
    });
    yield () => sockets.every((socket) => socket.settled);
    return sockets.flatMap(({ name, local, settled }) => (local ? [{ name, local, settled }] : []));
  }

  close(socket: ProbeSocket): void {
    if (this.#sockets.get(socket.name)?.local) this.#outputs.push({ type: 'close', socket: socket.name });
    this.#sockets.set(socket.name, { name: socket.name, local: null, settled: true });
  }

  closeAll(): void {
    for (const socket of this.#sockets.values()) this.close(socket);
  }

  /** Asks at once, and again after each of `pauses` until the answer comes; after the last pause it is given up. */
  ask(
    socket: ProbeSocket,
    to: TransportAddress,
    arm: ArmName,
    change: Partial<Change> = {},
    pauses: readonly Ms[] = PATIENCE,
    more: Pick<Query, 'ttl' | 'afterSeconds'> = {},
  ): Asked {
    const asked: MutableAsked = {
      query: { socket: socket.name, to, arm, change: { ...UNCHANGED, ...change }, ...more },
      first: this.now,
      last: this.now,
      lateMs: null,
      pauses,
      sendings: 0,
      next: this.now,
      answer: null,
      afterMs: null,
      heard: null,
      settled: false,
    };
    this.#asked.push(asked);
    this.#send(asked, this.#asked.length - 1);
    return asked;
  }

  /** Who said that a packet of this socket died there, its TTL spent; the first that did. */
  diedAt({ name }: ProbeSocket): string | null {
    return this.#expired.get(name) ?? null;
  }

  /** A condition that becomes true after `span`. */
  pause(span: Ms): () => boolean {
    const until = this.now + span;
    this.#alarms.push(until);
    return () => this.now >= until;
  }

  /** For {@link Probe}: takes an input; whatever is due is sent again or given up. */
  handle(input: ProbeInput, now: Ms): void {
    this.now = now;
    if (input.type === 'opened' || input.type === 'unopened') {
      const socket = this.#sockets.get(input.socket);
      if (socket && !socket.settled) {
        socket.settled = true;
        socket.local = input.type === 'opened' ? input.local : null;
      }
    } else if (input.type === 'answer') this.#answered(input.socket, input.id, input);
    else if (input.type === 'heard') this.#heard(input.socket, input.id, input.from);
    else if (input.type === 'expired' && !this.#expired.has(input.socket)) this.#expired.set(input.socket, input.at);
    this.#alarms = this.#alarms.filter((alarm) => alarm > now);
    for (const [id, asked] of this.#asked.entries()) if (!asked.settled && asked.next <= now) this.#send(asked, id);
  }

  deadline(): Ms {
    const alarm = earliest(...this.#alarms);
    return this.#asked.reduce((first, asked) => (asked.settled ? first : earliest(first, asked.next)), alarm);
  }

  #answered(socket: string, id: number, { from, mapped, origin, other, afterSeconds }: Answer): void {
    const asked = this.#asked[id];
    if (asked?.query.socket !== socket) return;
    if (afterSeconds === 0) asked.lateMs ??= this.now - asked.last;
    // An answer that comes after it was given up still tells the truth.
    if (afterSeconds === 0 || asked.answer) return;
    asked.answer = { from, mapped, origin, other, afterSeconds };
    asked.afterMs = this.now - asked.first;
    asked.settled = true;
  }

  #heard(socket: string, id: number, from: TransportAddress): void {
    const asked = this.#asked[id];
    if (asked && asked.query.socket !== socket) asked.heard ??= { socket, from };
  }

  #send(asked: MutableAsked, id: number): void {
    const pause = asked.pauses[asked.sendings];
    if (pause === undefined || !this.#sockets.get(asked.query.socket)?.local) {
      asked.settled = true;
      return;
    }
    asked.sendings += 1;
    asked.last = this.now;
    asked.next = this.now + pause;
    this.#outputs.push({ type: 'query', id, ...asked.query });
  }
}

/** All questions answered or given up. */
export function allSettled(asked: readonly Asked[]): () => boolean {
  return () => asked.every(({ settled }) => settled);
}

/**
 * Silence is a finding only beside answers. Fisher's exact test: of `rounds` twins of packets one side was answered
 * `answered` times and the other never; how probable is it that all answers fell on the one side by chance?
 */
export function silentByChance(rounds: number, answered: number): number {
  let probability = 1;
  for (let index = 0; index < answered; index += 1) probability *= (rounds - index) / (2 * rounds - index);
  return probability;
}

/** Runs two experiments side by side; each sees only its own sockets. */
export function* together<A, B>(left: Experiment<A>, right: Experiment<B>): Experiment<readonly [A, B]> {
  const first = new Branch(left);
  const second = new Branch(right);
  for (;;) {
    first.advance();
    second.advance();
    if (first.end && second.end) return [first.end.result, second.end.result];
    yield () => first.ready() || second.ready();
  }
}

class Branch<Result> {
  readonly #experiment: Experiment<Result>;
  #condition: () => boolean = () => true;
  end: { readonly result: Result } | null = null;

  constructor(experiment: Experiment<Result>) {
    this.#experiment = experiment;
  }

  ready(): boolean {
    return this.end === null && this.#condition();
  }

  advance(): void {
    while (this.ready()) {
      const step = this.#experiment.next();
      if (step.done) this.end = { result: step.value };
      else this.#condition = step.value;
    }
  }
}
