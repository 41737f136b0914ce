import type { Queue } from '../base/machine.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import type { Generation, Role } from './check.js';
import { Checklist } from './checklist.js';
import { Consent } from './consent.js';
import { Nomination } from './nomination.js';
import type { IceAgentOptions } from './options.js';
import { Outstanding, type SentCheck } from './outstanding.js';
import { isPairable, Pair, pairId } from './pair.js';
import type { IceTiming } from './timing.js';
import type { BaseId, Candidate, IceOutput, LocalCandidate } from './types.js';

export type PairsOptions = Pick<IceAgentOptions, 'policy' | 'mode' | 'arm' | 'random' | 'admits'> &
  Required<Pick<IceAgentOptions, 'checksPerPair' | 'mostPairs'>>;

/** What becomes of pairs: valid, nominated, selected, lost; and that the agent's caller hears of it. */
export class Pairs {
  readonly #options: PairsOptions;
  readonly #timing: IceTiming;
  readonly #role: Role;
  readonly #outputs: Queue<IceOutput>;
  readonly consent: Consent;
  readonly outstanding = new Outstanding();
  #list: Checklist;
  #nomination: Nomination;
  /** The pair that was selected before a restart, in use until a new one is. */
  #kept: Pair | null = null;

  constructor(options: PairsOptions, timing: IceTiming, role: Role, outputs: Queue<IceOutput>) {
    this.#options = options;
    this.#timing = timing;
    this.#role = role;
    this.#outputs = outputs;
    this.consent = new Consent(timing, options.random);
    this.#list = this.#newChecklist();
    this.#nomination = this.#newNomination();
  }

  get list(): Checklist {
    return this.#list;
  }

  get kept(): Pair | null {
    return this.#kept;
  }

  /** The checklist's pairs, highest priority first, and the one that a restart keeps. */
  inUse(): readonly Pair[] {
    return this.#kept ? [...this.#list.pairs(), this.#kept] : this.#list.pairs();
  }

  selected(): Pair | undefined {
    return this.#list.pairs().find(({ selected }) => selected);
  }

  /** The pair of this base and remote candidate: a new one, or the old with what is now known of the candidate. */
  form(host: LocalCandidate, remote: Candidate, generation: Generation, urgent: boolean): Pair | null {
    if (!isPairable(host, remote) || this.#options.admits?.(host, remote) === false) return null;
    const known = this.#list.find(pairId(host.base, remote.address));
    // A peer-reflexive candidate goes with the base that it was heard on, not with others (RFC 8445 §7.3.1.3).
    if (!known && remote.type === 'prflx' && !urgent) return null;
    const pair = known ?? new Pair(host, remote, host.arm ?? this.#options.arm, generation);
    pair.remote = remote;
    pair.prioritise(this.#options.policy, this.#role.controlling);
    if (known) this.#list.sort();
    // Whoever joins later was asked for, and takes the place of what was tried before.
    else if (!this.#list.add(pair, urgent || host.group !== undefined)) return null;
    return pair;
  }

  /** Ends what has run out by `now`. */
  expire(now: Ms): void {
    for (const pair of this.#list.expire(now)) this.outstanding.forget(pair);
    for (const pair of this.consent.expired(this.inUse(), now)) this.#lose(pair, 'expired');
  }

  /** When {@link expire} or {@link nominate} will have something. */
  deadline(): Ms {
    const nomination = this.#role.controlling ? this.#nomination.deadline() : NEVER;
    return earliest(this.#list.expiry(), this.consent.expiry(this.inUse()), nomination);
  }

  /** RFC 8445 §7.2.5.3; `local` is what the far end saw. */
  succeeded({ pair, sentAt, nominates }: SentCheck, local: LocalCandidate, now: Ms): void {
    pair.local = local;
    pair.sample(now - sentAt);
    if (pair.valid) this.consent.renew(pair, now);
    else {
      pair.valid = true;
      this.consent.start(pair, now);
      this.#list.move(pair, 'succeeded');
      this.#outputs.push({ type: 'valid', pair: pair.view(), rttMs: now - sentAt });
    }
    if (this.#role.controlling ? nominates : pair.nominatedByPeer) this.#nominated(pair);
  }

  fail(pair: Pair): void {
    if (pair.valid) return;
    this.outstanding.forget(pair);
    this.#list.move(pair, 'failed');
  }

  /** Checks start over in another arm; a selected pair stays selected meanwhile. */
  changeArm(id: string, arm: ArmName): void {
    const pair = this.#list.find(id);
    if (!pair) return;
    this.outstanding.forget(pair);
    this.consent.stop(pair);
    Object.assign(pair, { arm, valid: false, lost: false, stopped: false, nominating: false, checks: 0, refusals: 0 });
    this.#list.move(pair, 'waiting');
  }

  /** A valid pair's next consent check goes out now. */
  verify(id: string, now: Ms): void {
    const pair = this.#list.find(id);
    if (pair?.valid) pair.consentDueAt = now;
  }

  loseBase(base: BaseId): void {
    for (const pair of this.inUse().filter(({ host }) => host.base === base)) {
      this.#lose(pair, 'base-lost');
      this.#list.remove(pair);
    }
  }

  /** Begins a nomination if this agent is to, and one is due. `complete`: neither end will name more candidates. */
  nominate(complete: boolean, now: Ms): void {
    if (!this.#role.controlling) return;
    const pair = this.#nomination.decide(this.#list.pairs(), complete, now);
    if (!pair) return;
    pair.nominating = true;
    pair.nominations = 0;
    this.#list.trigger(pair);
  }

  /** A check came from the far end: what it triggers, and what its nomination means (RFC 8445 §7.3.1.4, §7.3.1.5). */
  heard(pair: Pair, nominates: boolean): void {
    if (nominates && !this.#role.controlling) {
      pair.stopped = false;
      pair.nominatedByPeer = true;
      if (pair.valid) this.#nominated(pair);
    }
    if (!pair.valid) this.#list.trigger(pair);
  }

  /** Priorities depend on the role (RFC 8445 §7.2.5.1). */
  roleSwitched(): void {
    for (const pair of this.#list.pairs()) {
      pair.nominating = false;
      pair.prioritise(this.#options.policy, this.#role.controlling);
    }
    this.#list.sort();
  }

  /** RFC 8445 §9: all pairs go, but for the selected one until there is another. */
  restart(): void {
    const selected = this.selected();
    if (selected?.valid) {
      selected.nominating = false;
      this.#kept = selected;
    }
    for (const pair of this.#list.pairs()) if (pair !== this.#kept) this.outstanding.forget(pair);
    this.#list = this.#newChecklist();
    this.#nomination = this.#newNomination();
  }

  #lose(pair: Pair, reason: 'expired' | 'base-lost'): void {
    const wasValid = pair.valid;
    this.consent.stop(pair);
    Object.assign(pair, { valid: false, lost: true, selected: false });
    Object.assign(pair, { nominated: false, nominating: false, nominatedByPeer: false });
    this.fail(pair);
    if (wasValid) this.#outputs.push({ type: 'consent-lost', pair: pair.view(), reason });
    if (pair === this.#kept) this.#kept = null;
  }

  #nominated(pair: Pair): void {
    pair.nominated = true;
    pair.nominating = false;
    const current = this.selected();
    if (current === pair || (current?.valid && current.priority > pair.priority)) return;
    if (current) current.selected = false;
    if (this.#kept) this.consent.stop(this.#kept);
    this.#kept = null;
    pair.selected = true;
    if (this.#options.mode === 'first-only') {
      this.#list.close(pair);
      for (const other of this.#list.pairs()) if (other !== pair) this.consent.stop(other);
    }
    this.#outputs.push({ type: 'selected', pair: pair.view() });
  }

  #newChecklist(): Checklist {
    const { mostPairs, checksPerPair, mode } = this.#options;
    return new Checklist({
      mostPairs,
      checksPerPair,
      sampling: mode === 'all',
      timing: this.#timing,
      moved: (pair, from) => {
        this.#outputs.push({ type: 'pair-state', pair: pair.view(), from });
      },
    });
  }

  #newNomination(): Nomination {
    return new Nomination(this.#timing.nominateMs, this.#options.mode === 'first-only');
  }
}
