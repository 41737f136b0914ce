import { sameAddress, type TransportAddress } from '../base/address.js';
import { Queue, type Machine } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { PLAIN_ARM, type ArmName } from '../mutation/names.js';
import { readErrorCode, readMappedAddress } from '../stun/attributes.js';
import { parseStrict, transactionKey, type StunMessage } from '../stun/message.js';
import { TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { buildCheck, buildError, buildSuccess, inspectRequest, isAuthentic, resolveConflict } from './check.js';
import type { Generation, IncomingCheck } from './check.js';
import { Checklist } from './checklist.js';
import { Consent } from './consent.js';
import { Gathering } from './gathering.js';
import { LocalCandidates } from './local-candidates.js';
import { Nomination } from './nomination.js';
import { Outstanding, type SentCheck } from './outstanding.js';
import { isPairable, Pair, pairId } from './pair.js';
import type { Policy } from './policy.js';
import { RemoteCandidates } from './remote-candidates.js';
import { DEFAULT_TIMING, pace, type IceTiming } from './timing.js';
import type { Base, BaseId, Candidate, Credentials, IceInput, IceOutput, LocalCandidate, PairView } from './types.js';

export interface IceAgentOptions {
  readonly controlling: boolean;
  /** 64 random bits (RFC 8445 §7.3.1.1). */
  readonly tieBreaker: bigint;
  readonly credentials: Credentials;
  readonly random: Random;
  readonly policy: Policy;
  /** `all`: every pair gets its checks and every valid one is kept; `first-only`: plain ICE, one pair is wanted. */
  readonly mode: 'all' | 'first-only';
  /** STUN servers. */
  readonly servers: readonly TransportAddress[];
  /** The arm of checks, until `pair-arm` says otherwise. */
  readonly arm: ArmName;
  /** Checks on a pair before it is given up; in mode `all` also those of a pair that is valid. Default 7. */
  readonly checksPerPair?: number;
  /** RFC 8445 §6.1.2.5. Default 100. */
  readonly mostPairs?: number;
  readonly timing?: Partial<IceTiming>;
}

/** A full ICE agent (RFC 8445) of one component, without sockets or clocks. Departures: docs/ice.md. */
export class IceAgent implements Machine<IceInput, IceOutput> {
  readonly #options: IceAgentOptions;
  readonly #timing: IceTiming;
  readonly #outputs = new Queue<IceOutput>();
  readonly #locals: LocalCandidates;
  readonly #gathering: Gathering;
  readonly #consent: Consent;
  readonly #outstanding = new Outstanding();
  #remotes = new RemoteCandidates();
  #list: Checklist;
  #nomination: Nomination;
  #generation: Generation;
  #previous: Generation | null = null;
  /** The pair that was selected before a restart, in use until a new one is. */
  #kept: Pair | null = null;
  #controlling: boolean;
  #tieBreaker: bigint;
  #basesEnded = false;
  #remotesEnded = false;
  #announcedEnd = false;
  #announcedDone = false;
  /** No check or query before this (Ta). */
  #slotAt: Ms = Number.NEGATIVE_INFINITY;

  constructor(options: IceAgentOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#locals = new LocalCandidates(options.policy);
    this.#gathering = new Gathering(options.servers, this.#timing, options.random);
    this.#consent = new Consent(this.#timing, options.random);
    this.#controlling = options.controlling;
    this.#tieBreaker = options.tieBreaker;
    this.#generation = { local: options.credentials, remote: null };
    this.#list = this.#newChecklist();
    this.#nomination = this.#newNomination();
  }

  handle(input: IceInput, now: Ms): void {
    this.#take(input, now);
    this.#pump(now);
  }

  poll(): IceOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    const pairs = this.#pairsInUse();
    const checks = this.#generation.remote ? this.#list.due() : NEVER;
    const paced = Math.max(this.#slotAt, earliest(checks, this.#gathering.due(), this.#consent.due(pairs)));
    return earliest(
      paced,
      this.#gathering.expiry(),
      this.#list.expiry(),
      this.#consent.expiry(pairs),
      this.#controlling ? this.#nomination.deadline() : NEVER,
    );
  }

  /** Highest priority first. */
  pairs(): PairView[] {
    return this.#pairsInUse().map((pair) => pair.view());
  }

  pair(id: string): PairView | null {
    return (
      this.#pairsInUse()
        .find((pair) => pair.id === id)
        ?.view() ?? null
    );
  }

  localCandidates(): LocalCandidate[] {
    return this.#locals.all();
  }

  #take(input: IceInput, now: Ms): void {
    switch (input.type) {
      case 'base':
        this.#addBase(input.base);
        break;
      case 'bases-end':
        this.#basesEnded = true;
        break;
      case 'base-lost':
        this.#loseBase(input.base);
        break;
      case 'remote-credentials':
        this.#setRemote(input.credentials, input.lite);
        break;
      case 'remote-candidate':
        this.#addRemote(input.candidate);
        break;
      case 'remote-candidates-end':
        this.#remotesEnded = true;
        break;
      case 'datagram':
        this.#datagram(input, now);
        break;
      case 'send-failed':
        this.#sendFailed(input.transaction);
        break;
      case 'pair-arm':
        this.#changeArm(input.pair, input.arm);
        break;
      case 'verify': {
        const pair = this.#list.find(input.pair);
        if (pair?.valid) pair.consentDueAt = now;
        break;
      }
      case 'reflexive':
        this.#addReflexive(input.base, input.mapped, null);
        break;
      case 'restart':
        this.#restart(input.credentials);
        break;
      case 'timeout':
        break;
    }
  }

  /** Everything that time or the last input made due. */
  #pump(now: Ms): void {
    this.#gathering.expire(now);
    for (const pair of this.#list.expire(now)) this.#outstanding.forget(pair);
    for (const pair of this.#consent.expired(this.#pairsInUse(), now)) this.#losePair(pair, 'expired');
    this.#nominate(now);
    if (now >= this.#slotAt && this.#sendOne(now)) this.#slotAt = now + pace(this.#timing, this.#list.remaining());
    this.#announceEnds();
  }

  /** One check or query: triggered and consent checks first, then gathering, then the checklist (RFC 8445 §6.1.4.2). */
  #sendOne(now: Ms): boolean {
    const consent = this.#consent.next(this.#pairsInUse(), now);
    if (consent) {
      this.#consent.sent(consent, now);
      this.#sendCheck(consent, 'consent', now);
      return true;
    }
    const query = this.#list.hasTriggered && this.#generation.remote ? undefined : this.#gathering.next(now);
    if (query) {
      this.#outputs.push({ type: 'send', ...query, arm: PLAIN_ARM, purpose: 'gather', pair: null });
      return true;
    }
    const pair = this.#generation.remote ? this.#list.next(now) : undefined;
    if (!pair) return false;
    this.#sendCheck(pair, 'check', now);
    this.#list.sent(pair, now);
    return true;
  }

  #sendCheck(pair: Pair, purpose: 'check' | 'consent', now: Ms): void {
    const { local, remote } = pair.generation;
    if (!remote) return;
    const transactionId = this.#options.random.bytes(TRANSACTION_ID_BYTES);
    const transaction = transactionKey(transactionId);
    const nominates = this.#controlling && pair.nominating;
    const message = buildCheck({
      transactionId,
      local,
      remote,
      priority: this.#locals.checkPriority(pair.host.base),
      controlling: this.#controlling,
      tieBreaker: this.#tieBreaker,
      nominate: nominates,
    });
    const to = pair.remote.address;
    if (purpose === 'consent') pair.requestsSent += 1;
    this.#outstanding.add(transaction, {
      pair,
      to,
      sentAt: now,
      controlling: this.#controlling,
      nominates,
      purpose,
    });
    this.#outputs.push({
      type: 'send',
      base: pair.host.base,
      to,
      message,
      arm: pair.arm,
      purpose,
      transaction,
      pair: pair.id,
    });
  }

  // Candidates

  #addBase(base: Base): void {
    const host = this.#locals.add(base);
    if (!host) return;
    this.#outputs.push({ type: 'candidate', candidate: host });
    this.#gathering.start(base);
    for (const remote of this.#remotes.all()) this.#pairUp(host, remote, false);
  }

  #loseBase(base: BaseId): void {
    for (const pair of this.#pairsInUse().filter(({ host }) => host.base === base)) {
      this.#losePair(pair, 'base-lost');
      this.#list.remove(pair);
    }
    this.#gathering.stop(base);
    this.#locals.remove(base);
  }

  #addReflexive(base: BaseId, mapped: TransportAddress, server: TransportAddress | null): void {
    const candidate = this.#locals.reflect('srflx', base, mapped, server);
    if (candidate) this.#outputs.push({ type: 'candidate', candidate });
  }

  #setRemote(credentials: Credentials, lite: boolean): void {
    const { local, remote } = this.#generation;
    if (remote?.ufrag === credentials.ufrag && remote.password === credentials.password) return;
    if (remote) this.#renew({ local, remote: credentials });
    else this.#generation.remote = credentials;
    // RFC 8445 §6.1.1: a lite agent is always controlled.
    if (lite && !this.#controlling) this.#switchRole();
  }

  #addRemote(candidate: Candidate): void {
    const news = this.#remotes.signal(candidate);
    if (!news) return;
    for (const remote of [news, ...this.#remotes.identify()]) {
      for (const host of this.#locals.hosts()) this.#pairUp(host, remote, false);
    }
  }

  /** The pair of this base and remote candidate: a new one, or the old with what is now known of the candidate. */
  #pairUp(host: LocalCandidate, remote: Candidate, urgent: boolean): Pair | null {
    if (!isPairable(host, remote)) return null;
    const known = this.#list.find(pairId(host.base, remote.address));
    const pair = known ?? new Pair(host, remote, this.#options.arm, this.#generation);
    pair.remote = remote;
    pair.prioritise(this.#options.policy, this.#controlling);
    if (known) this.#list.sort();
    else if (!this.#list.add(pair, urgent)) return null;
    return pair;
  }

  // Datagrams

  #datagram({ base, from, message: bytes, arm }: Extract<IceInput, { type: 'datagram' }>, now: Ms): void {
    const parsed = parseStrict(bytes);
    if (!parsed.ok || !this.#locals.host(base)) return;
    const { message } = parsed;
    if (message.class === 'request') this.#request(message, base, from, arm);
    if (message.class === 'success' || message.class === 'error') this.#answer(message, base, from, arm, now);
  }

  #request(message: StunMessage, base: BaseId, from: TransportAddress, arm: ArmName): void {
    const generations = [this.#generation, ...(this.#previous ? [this.#previous] : [])];
    const inspection = inspectRequest(message, generations, arm !== PLAIN_ARM);
    if (inspection.type === 'ignored') return;
    const reply = (answer: Uint8Array, pair: string | null) => {
      const transaction = transactionKey(message.transactionId);
      this.#outputs.push({
        type: 'send',
        base,
        to: from,
        message: answer,
        arm,
        purpose: 'response',
        transaction,
        pair,
      });
    };
    if (inspection.type === 'refused') {
      const answer = buildError(message, inspection.refusal, inspection.signedBy);
      // Who was not authenticated must not be able to make more of us than it sent.
      if (inspection.signedBy !== null || answer.length <= message.raw.length) reply(answer, null);
      return;
    }
    const { check } = inspection;
    if (check.role) {
      const resolution = resolveConflict({ controlling: this.#controlling, tieBreaker: this.#tieBreaker }, check.role);
      if (resolution === 'they-switch') {
        reply(buildError(message, { code: 487 }, check.generation.local), null);
        return;
      }
      if (resolution === 'we-switch') this.#switchRole();
    }
    const pair = check.generation === this.#generation ? this.#heard(base, from, check) : this.#kept;
    if (pair) pair.requestsReceived += 1;
    reply(buildSuccess(message, from, check.generation.local), pair?.id ?? null);
    if (pair && pair !== this.#kept) this.#respondInKind(pair, check);
  }

  /** The pair that a check came on, with a peer-reflexive candidate where its source is unknown (RFC 8445 §7.3.1.3). */
  #heard(base: BaseId, from: TransportAddress, check: IncomingCheck): Pair | null {
    const host = this.#locals.host(base);
    const remote = this.#remotes.find(from) ?? this.#remotes.learn(from, check.priority);
    return host && remote ? this.#pairUp(host, remote, true) : null;
  }

  /** RFC 8445 §7.3.1.4 and §7.3.1.5: the triggered check, and what a nomination means to the controlled agent. */
  #respondInKind(pair: Pair, check: IncomingCheck): void {
    const nominated = check.nominates && !this.#controlling;
    if (nominated) pair.stopped = false;
    if (nominated && pair.valid) this.#nominated(pair);
    else if (nominated) pair.nominatedByPeer = true;
    if (!pair.valid) this.#list.trigger(pair);
  }

  #answer(message: StunMessage, base: BaseId, from: TransportAddress, arm: ArmName, now: Ms): void {
    const transaction = transactionKey(message.transactionId);
    const sent = this.#outstanding.find(transaction);
    if (!sent) {
      const reflexive = this.#gathering.answer(message, base, from);
      if (!reflexive) return;
      this.#outputs.push({ type: 'reflexive', base, ...reflexive, arm });
      this.#addReflexive(base, reflexive.mapped, reflexive.server);
      return;
    }
    if (!isAuthentic(message, sent.pair.generation)) return;
    this.#outstanding.delete(transaction);
    const { pair } = sent;
    pair.responsesReceived += 1;
    pair.refusals = 0;
    if (message.class === 'error') {
      if (readErrorCode(message)?.code === 487) this.#conflict(sent);
      else if (!pair.valid) this.#fail(pair);
      return;
    }
    // RFC 8445 §7.2.5.2.1: the answer comes back the way that the check went.
    if (base !== pair.host.base || !sameAddress(from, sent.to)) {
      if (!pair.valid) this.#fail(pair);
      return;
    }
    const mapped = readMappedAddress(message);
    if (!mapped && arm === PLAIN_ARM) return;
    this.#succeeded(sent, mapped ?? pair.host.address, now);
  }

  /** RFC 8445 §7.2.5.3. */
  #succeeded({ pair, sentAt, nominates }: SentCheck, mapped: TransportAddress, now: Ms): void {
    const { base } = pair.host;
    pair.local =
      this.#locals.find(base, mapped) ?? this.#locals.reflect('prflx', base, mapped, pair.remote.address) ?? pair.host;
    pair.sample(now - sentAt);
    if (pair.valid) this.#consent.renew(pair, now);
    else {
      pair.valid = true;
      this.#consent.start(pair, now);
      this.#list.move(pair, 'succeeded');
      this.#outputs.push({ type: 'valid', pair: pair.view(), rttMs: now - sentAt });
    }
    if ((nominates && this.#controlling) || (pair.nominatedByPeer && !this.#controlling)) this.#nominated(pair);
  }

  /** RFC 8445 §7.2.5.1: the far end keeps its role. */
  #conflict({ pair, controlling }: SentCheck): void {
    if (controlling === this.#controlling) {
      this.#switchRole();
      // RFC 8445 §16.1: whoever got a 487 goes on with another tie-breaker.
      this.#tieBreaker = this.#options.random.bytes(8).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
    }
    if (!pair.valid) this.#list.trigger(pair);
  }

  #sendFailed(transaction: string): void {
    const sent = this.#outstanding.find(transaction);
    if (!sent) return;
    this.#outstanding.delete(transaction);
    if (sent.purpose === 'check') this.#list.refused(sent.pair);
    else sent.pair.requestsSent -= 1;
  }

  // Pairs over time

  #changeArm(id: string, arm: ArmName): void {
    const pair = this.#list.find(id);
    if (!pair) return;
    this.#outstanding.forget(pair);
    this.#consent.stop(pair);
    Object.assign(pair, { arm, valid: false, lost: false, stopped: false, nominating: false, checks: 0, refusals: 0 });
    this.#list.move(pair, 'waiting');
  }

  #fail(pair: Pair): void {
    this.#outstanding.forget(pair);
    this.#list.move(pair, 'failed');
  }

  #losePair(pair: Pair, reason: 'expired' | 'base-lost'): void {
    const wasValid = pair.valid;
    this.#consent.stop(pair);
    Object.assign(pair, { valid: false, lost: true, nominated: false, nominatedByPeer: false, nominating: false });
    pair.selected = false;
    this.#fail(pair);
    if (wasValid) this.#outputs.push({ type: 'consent-lost', pair: pair.view(), reason });
    if (pair === this.#kept) this.#kept = null;
  }

  #nominate(now: Ms): void {
    if (!this.#controlling) return;
    const complete = this.#announcedEnd && this.#remotesEnded;
    const pair = this.#nomination.decide(this.#list.pairs(), complete, now);
    if (!pair) return;
    pair.nominating = true;
    pair.nominations = 0;
    this.#list.trigger(pair);
  }

  #nominated(pair: Pair): void {
    pair.nominated = true;
    pair.nominating = false;
    const current = this.#list.pairs().find(({ selected }) => selected);
    if (current === pair || (current?.valid && current.priority > pair.priority)) return;
    if (current) current.selected = false;
    if (this.#kept) this.#consent.stop(this.#kept);
    this.#kept = null;
    pair.selected = true;
    if (this.#options.mode === 'first-only') {
      this.#list.close(pair);
      for (const other of this.#list.pairs()) if (other !== pair) this.#consent.stop(other);
    }
    this.#outputs.push({ type: 'selected', pair: pair.view() });
  }

  #switchRole(): void {
    this.#controlling = !this.#controlling;
    for (const pair of this.#list.pairs()) {
      pair.nominating = false;
      pair.prioritise(this.#options.policy, this.#controlling);
    }
    this.#list.sort();
    this.#outputs.push({ type: 'role-changed', controlling: this.#controlling });
  }

  /** RFC 8445 §9: candidates are gathered and signalled again. */
  #restart(credentials: Credentials): void {
    this.#renew({ local: credentials, remote: null });
    this.#announcedEnd = false;
    for (const candidate of this.#locals.all()) {
      if (candidate.type !== 'prflx') this.#outputs.push({ type: 'candidate', candidate });
    }
    for (const base of this.#locals.bases()) {
      this.#gathering.stop(base.id);
      this.#gathering.start(base);
    }
  }

  #renew(generation: Generation): void {
    const selected = this.#list.pairs().find((pair) => pair.selected && pair.valid);
    if (selected) {
      selected.nominating = false;
      this.#kept = selected;
    }
    for (const pair of this.#list.pairs()) if (pair !== this.#kept) this.#outstanding.forget(pair);
    this.#previous = this.#generation;
    this.#generation = generation;
    this.#remotes = new RemoteCandidates();
    this.#remotesEnded = false;
    this.#list = this.#newChecklist();
    this.#nomination = this.#newNomination();
  }

  #newChecklist(): Checklist {
    return new Checklist({
      mostPairs: this.#options.mostPairs ?? 100,
      checksPerPair: this.#options.checksPerPair ?? 7,
      sampling: this.#options.mode === 'all',
      timing: this.#timing,
      moved: (pair, from) => {
        this.#outputs.push({ type: 'pair-state', pair: pair.view(), from });
      },
    });
  }

  #newNomination(): Nomination {
    return new Nomination(this.#timing.nominateMs, this.#options.mode === 'first-only');
  }

  #pairsInUse(): readonly Pair[] {
    return this.#kept ? [...this.#list.pairs(), this.#kept] : this.#list.pairs();
  }

  #announceEnds(): void {
    if (!this.#announcedEnd && this.#basesEnded && this.#gathering.isDone) {
      this.#announcedEnd = true;
      this.#outputs.push({ type: 'candidates-end' });
    }
    const done = this.#isDone();
    if (done && !this.#announcedDone) this.#outputs.push({ type: 'checks-done' });
    this.#announcedDone = done;
  }

  #isDone(): boolean {
    if (this.#options.mode === 'first-only' && this.#list.pairs().some(({ selected }) => selected)) return true;
    return this.#announcedEnd && this.#remotesEnded && this.#generation.remote !== null && this.#list.isDone();
  }
}
