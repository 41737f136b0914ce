import { formatTransportAddress, scopeOf, type AddressScope, type TransportAddress } from '../base/address.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import type { Generation } from './check.js';
import { pairScore, type Policy } from './policy.js';
import type { BaseId, Candidate, LocalCandidate, PairState, PairView } from './types.js';

/** RFC 8445 §6.1.2.3: G is the controlling agent's candidate priority, D the controlled agent's. */
export function pairPriority(controlling: number, controlled: number): bigint {
  const [low, high] = controlling < controlled ? [controlling, controlled] : [controlled, controlling];
  return (BigInt(low) << 32n) + 2n * BigInt(high) + (controlling > controlled ? 1n : 0n);
}

/** Scopes that nothing outside themselves can be reached from. */
const ENCLOSED: readonly AddressScope[] = ['loopback', 'link-local'];

/** RFC 8445 §6.1.2.2: one family, and link-local (likewise loopback) only with its own kind; and of one group. */
export function isPairable(local: LocalCandidate, remote: Candidate): boolean {
  if (local.address.family !== remote.address.family || local.group !== remote.group) return false;
  const [near, far] = [scopeOf(local.address.address), scopeOf(remote.address.address)];
  return near === far || !(ENCLOSED.includes(near) || ENCLOSED.includes(far));
}

/**
 * Local candidates of one base send from the same socket, so a pair is (base, remote address): that is what pruning
 * (RFC 8445 §6.1.2.4) leaves of the pairs, the host candidate's being the one of highest priority.
 */
export function pairId(base: BaseId, remote: TransportAddress): string {
  return `${base}>${formatTransportAddress(remote)}`;
}

/** Samples of the round trip that are kept. */
const MOST_SAMPLES = 64;

/** The moves of RFC 8445 §6.1.2.6, those of §7.3.1.4 (an incoming check), §9 and the change of an arm. */
const MOVES: Readonly<Record<PairState, readonly PairState[]>> = {
  frozen: ['waiting', 'failed'],
  // `succeeded`: an answer to an earlier check of a pair that is to be checked once more.
  waiting: ['frozen', 'in-progress', 'succeeded', 'failed'],
  'in-progress': ['succeeded', 'failed', 'waiting'],
  succeeded: ['failed', 'waiting'],
  failed: ['waiting'],
};

/** One candidate pair and everything that is known of it. The checklist orders it, the agent moves it. */
export class Pair {
  readonly id: string;
  readonly host: LocalCandidate;
  readonly generation: Generation;
  /** What the far end sees of this base on this pair; the host candidate until an answer told. */
  local: LocalCandidate;
  remote: Candidate;
  priority = 0n;
  arm: ArmName;
  valid = false;
  nominated = false;
  selected = false;
  /** The controlled agent heard USE-CANDIDATE before the pair was valid (RFC 8445 §7.3.1.5). */
  nominatedByPeer = false;
  /** The controlling agent is sending USE-CANDIDATE and has no answer yet; how often it was sent. */
  nominating = false;
  nominations = 0;
  /** Consent expired: nothing more is sent (RFC 7675 §5.1) until a restart or another arm. */
  lost = false;
  /** Another pair was selected and this one is no longer checked. */
  stopped = false;

  requestsSent = 0;
  responsesReceived = 0;
  requestsReceived = 0;
  /** Checks in the present arm that the kernel took. */
  checks = 0;
  /** Sends that the kernel refused, in a row. */
  refusals = 0;
  /** When the next check is due or, with all checks sent, when the pair is given up. */
  dueAt: Ms = NEVER;
  consentDueAt: Ms = NEVER;
  consentUntil: Ms = NEVER;

  #state: PairState = 'frozen';
  readonly #samples: Ms[] = [];

  constructor(local: LocalCandidate, remote: Candidate, arm: ArmName, generation: Generation) {
    this.id = pairId(local.base, remote.address);
    this.host = local;
    this.local = local;
    this.remote = remote;
    this.arm = arm;
    this.generation = generation;
  }

  get state(): PairState {
    return this.#state;
  }

  /** RFC 8445 §6.1.2.6: pairs of one foundation are expected to work or fail alike. */
  get foundation(): string {
    return `${this.host.foundation}:${this.remote.foundation}`;
  }

  /** Whether anything was asked on this pair yet. */
  get probed(): boolean {
    return this.requestsSent > 0 || this.refusals > 0;
  }

  /** Returns the former state, `null` when nothing moved. Throws on a move that no rule has: a fault of the agent. */
  move(to: PairState): PairState | null {
    const from = this.#state;
    if (from === to) return null;
    if (!MOVES[from].includes(to)) throw new RangeError(`pair ${this.id}: ${from} → ${to}`);
    this.#state = to;
    return from;
  }

  prioritise(policy: Policy, controlling: boolean): void {
    const own = this.host.priority;
    const other = this.remote.priority;
    const formula = controlling ? pairPriority(own, other) : pairPriority(other, own);
    const { address, kind, label } = this.remote;
    const near = { family: this.host.address.family, kind: this.host.kind, label: this.host.label };
    const score = pairScore(policy, near, { family: address.family, kind, label });
    this.priority = (BigInt(score) << 64n) + formula;
  }

  sample(rtt: Ms): void {
    this.#samples.push(rtt);
    if (this.#samples.length > MOST_SAMPLES) this.#samples.shift();
  }

  view(): PairView {
    return {
      id: this.id,
      family: this.host.address.family,
      base: this.host.base,
      local: this.local,
      remote: this.remote,
      state: this.#state,
      valid: this.valid,
      nominated: this.nominated,
      selected: this.selected,
      arm: this.arm,
      priority: this.priority,
      requestsSent: this.requestsSent,
      responsesReceived: this.responsesReceived,
      requestsReceived: this.requestsReceived,
      rttMs: this.#rtt(),
    };
  }

  #rtt(): PairView['rttMs'] {
    const sorted = [...this.#samples].sort((left, right) => left - right);
    const [min] = sorted;
    if (min === undefined) return null;
    const upper = sorted[sorted.length >> 1] ?? min;
    const lower = sorted[(sorted.length - 1) >> 1] ?? min;
    return { min, median: (lower + upper) / 2 };
  }
}
