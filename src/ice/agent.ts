import { sameAddress, type TransportAddress } from '../base/address.js';
import { Queue, type Machine } from '../base/machine.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { PLAIN_ARM, type ArmName } from '../mutation/names.js';
import { readErrorCode, readMappedAddress } from '../stun/attributes.js';
import { parseStrict, transactionKey, type StunMessage } from '../stun/message.js';
import { TRANSACTION_ID_BYTES } from '../stun/registry.js';
import {
  buildCheck,
  buildError,
  buildSuccess,
  inspectRequest,
  isAuthentic,
  newTieBreaker,
  resolveConflict,
} from './check.js';
import type { Generation, IncomingCheck, Role } from './check.js';
import { Gathering } from './gathering.js';
import { LocalCandidates } from './local-candidates.js';
import type { SentCheck } from './outstanding.js';
import type { Pair } from './pair.js';
import type { IceAgentOptions } from './options.js';
import { Pairs } from './pairs.js';
import { RemoteCandidates } from './remote-candidates.js';
import { DEFAULT_TIMING, pace, type IceTiming } from './timing.js';
import type { Base, BaseId, Candidate, Credentials, IceInput, IceOutput, LocalCandidate, PairView } from './types.js';

export type { IceAgentOptions };

/** A full ICE agent (RFC 8445) of one component, without sockets or clocks. Departures: docs/ice.md. */
export class IceAgent implements Machine<IceInput, IceOutput> {
  readonly #options: IceAgentOptions;
  readonly #timing: IceTiming;
  readonly #outputs = new Queue<IceOutput>();
  readonly #locals: LocalCandidates;
  readonly #gathering: Gathering;
  readonly #pairs: Pairs;
  readonly #role: Role;
  #remotes = new RemoteCandidates();
  #generation: Generation;
  #previous: Generation | null = null;
  #basesEnded = false;
  #remotesEnded = false;
  #announcedEnd = false;
  #announcedDone = false;
  /** When the last check or query was sent. */
  #sentAt: Ms = Number.NEGATIVE_INFINITY;
  /** No ordinary check before this, so that candidates that arrive together are checked in order. */
  #settledAt: Ms = NEVER;

  constructor(options: IceAgentOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#locals = new LocalCandidates(options.policy);
    this.#gathering = new Gathering(options.servers, this.#timing, options.random);
    this.#role = { controlling: options.controlling, tieBreaker: options.tieBreaker };
    this.#generation = { local: options.credentials, remote: null };
    const { checksPerPair = 7, mostPairs = 100 } = options;
    this.#pairs = new Pairs({ ...options, checksPerPair, mostPairs }, this.#timing, this.#role, this.#outputs);
  }

  handle(input: IceInput, now: Ms): void {
    this.#take(input, now);
    this.#pump(now);
  }

  poll(): IceOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    const consent = this.#pairs.consent.due(this.#pairs.inUse());
    const checks = Math.max(this.#checksFrom(), this.#pairs.list.due());
    const paced = Math.max(this.#slotAt(), earliest(consent, checks, this.#gathering.due()));
    return earliest(paced, this.#gathering.expiry(), this.#pairs.deadline());
  }

  /** Highest priority first. */
  pairs(): PairView[] {
    return this.#pairs.inUse().map((pair) => pair.view());
  }

  pair(id: string): PairView | null {
    const found = this.#pairs.inUse().find((pair) => pair.id === id);
    return found?.view() ?? null;
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
        this.#pairs.changeArm(input.pair, input.arm);
        break;
      case 'verify':
        this.#pairs.verify(input.pair, now);
        break;
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
    this.#pairs.expire(now);
    this.#announceEnds();
    this.#pairs.nominate(this.#isComplete(), now);
    if (this.#settledAt === NEVER && this.#pairs.list.pairs().length > 0) this.#settledAt = now + this.#timing.settleMs;
    if (now >= this.#slotAt() && this.#sendOne(now)) this.#sentAt = now;
  }

  /** No check or query before this (Ta). */
  #slotAt(): Ms {
    const urgent = this.#pairs.list.isUrgent || this.#gathering.isUrgent;
    return this.#sentAt + (urgent ? this.#timing.leastPaceMs : pace(this.#timing, this.#pairs.list.remaining()));
  }

  /** One check or query: consent and triggered checks first, then gathering, then the checklist (RFC 8445 §6.1.4.2). */
  #sendOne(now: Ms): boolean {
    const consent = this.#pairs.consent.next(this.#pairs.inUse(), now);
    if (consent) {
      this.#pairs.consent.sent(consent, now);
      this.#sendCheck(consent, 'consent', now);
      return true;
    }
    const mayCheck = now >= this.#checksFrom();
    const query = mayCheck && this.#pairs.list.hasTriggered ? undefined : this.#gathering.next(now);
    if (query) {
      this.#outputs.push({ type: 'send', ...query, arm: PLAIN_ARM, purpose: 'gather', pair: null });
      return true;
    }
    const pair = mayCheck ? this.#pairs.list.next(now) : undefined;
    if (!pair) return false;
    this.#sendCheck(pair, 'check', now);
    this.#pairs.list.sent(pair, now);
    return true;
  }

  /** When checks may begin. */
  #checksFrom(): Ms {
    if (!this.#generation.remote) return NEVER;
    return this.#isComplete() || this.#pairs.list.hasTriggered ? Number.NEGATIVE_INFINITY : this.#settledAt;
  }

  #sendCheck(pair: Pair, purpose: 'check' | 'consent', now: Ms): void {
    const { local, remote } = pair.generation;
    if (!remote) return;
    const transactionId = this.#options.random.bytes(TRANSACTION_ID_BYTES);
    const transaction = transactionKey(transactionId);
    const { controlling, tieBreaker } = this.#role;
    const nominates = controlling && pair.nominating;
    const message = buildCheck({
      transactionId,
      local,
      remote,
      priority: this.#locals.checkPriority(pair.host.base),
      controlling,
      tieBreaker,
      nominate: nominates,
    });
    const to = pair.remote.address;
    if (purpose === 'consent') pair.requestsSent += 1;
    this.#pairs.outstanding.add(transaction, { pair, to, sentAt: now, controlling, nominates, purpose });
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
    if (base.gathered !== true) this.#gathering.start(base);
    for (const remote of this.#remotes.all()) this.#pairs.form(host, remote, this.#generation, false);
  }

  #loseBase(base: BaseId): void {
    this.#pairs.loseBase(base);
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
    if (lite && !this.#role.controlling) this.#switchRole();
  }

  #addRemote(candidate: Candidate): void {
    const news = this.#remotes.signal(candidate);
    if (!news) return;
    for (const remote of [news, ...this.#remotes.identify()]) {
      for (const host of this.#locals.hosts()) this.#pairs.form(host, remote, this.#generation, false);
    }
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
      const send = { type: 'send', purpose: 'response', base, to: from, message: answer, arm } as const;
      this.#outputs.push({ ...send, transaction, pair });
    };
    if (inspection.type === 'refused') {
      const answer = buildError(message, inspection.refusal, inspection.signedBy);
      // Who was not authenticated must not be able to make more of us than it sent.
      if (inspection.signedBy !== null || answer.length <= message.raw.length) reply(answer, null);
      return;
    }
    const { check } = inspection;
    if (check.role) {
      const resolution = resolveConflict(this.#role, check.role);
      if (resolution === 'they-switch') {
        reply(buildError(message, { code: 487 }, check.generation.local), null);
        return;
      }
      if (resolution === 'we-switch') this.#switchRole();
    }
    const pair = check.generation === this.#generation ? this.#heard(base, from, check) : this.#pairs.kept;
    if (pair) pair.requestsReceived += 1;
    reply(buildSuccess(message, from, check.generation.local), pair?.id ?? null);
    if (pair && check.generation === this.#generation) this.#pairs.heard(pair, check.nominates);
  }

  /** The pair that a check came on, with a peer-reflexive candidate where its source is unknown (RFC 8445 §7.3.1.3). */
  #heard(base: BaseId, from: TransportAddress, check: IncomingCheck): Pair | null {
    const host = this.#locals.host(base);
    const remote = this.#remotes.find(from, host?.group) ?? this.#remotes.learn(from, check.priority, host?.group);
    return host && remote ? this.#pairs.form(host, remote, this.#generation, true) : null;
  }

  #answer(message: StunMessage, base: BaseId, from: TransportAddress, arm: ArmName, now: Ms): void {
    const transaction = transactionKey(message.transactionId);
    const sent = this.#pairs.outstanding.find(transaction);
    if (!sent) {
      const reflexive = this.#gathering.answer(message, base, from);
      if (!reflexive) return;
      this.#outputs.push({ type: 'reflexive', base, ...reflexive, arm });
      this.#addReflexive(base, reflexive.mapped, reflexive.server);
      return;
    }
    if (!isAuthentic(message, sent.pair.generation)) return;
    this.#pairs.outstanding.delete(transaction);
    const { pair } = sent;
    pair.responsesReceived += 1;
    pair.refusals = 0;
    if (message.class === 'error') {
      if (readErrorCode(message)?.code === 487) this.#conflict(sent);
      else this.#pairs.fail(pair);
      return;
    }
    // RFC 8445 §7.2.5.2.1: the answer comes back the way that the check went.
    if (base !== pair.host.base || !sameAddress(from, sent.to)) {
      this.#pairs.fail(pair);
      return;
    }
    const mapped = readMappedAddress(message);
    if (!mapped && arm === PLAIN_ARM) return;
    this.#pairs.succeeded(sent, this.#localOf(pair, mapped ?? pair.host.address), now);
  }

  /** What the far end sees of this pair's base: a peer-reflexive candidate where it is news (RFC 8445 §7.2.5.3.1). */
  #localOf({ host, remote }: Pair, mapped: TransportAddress): LocalCandidate {
    const { base } = host;
    return this.#locals.find(base, mapped) ?? this.#locals.reflect('prflx', base, mapped, remote.address) ?? host;
  }

  /** RFC 8445 §7.2.5.1: the far end keeps its role. */
  #conflict({ pair, controlling }: SentCheck): void {
    if (controlling === this.#role.controlling) this.#switchRole();
    // RFC 8445 §16.1: whoever got a 487 goes on with another tie-breaker.
    this.#role.tieBreaker = newTieBreaker(this.#options.random);
    if (!pair.valid) this.#pairs.list.trigger(pair);
  }

  #sendFailed(transaction: string): void {
    const sent = this.#pairs.outstanding.find(transaction);
    if (!sent) return;
    this.#pairs.outstanding.delete(transaction);
    if (sent.purpose === 'check') this.#pairs.list.refused(sent.pair);
    else sent.pair.requestsSent -= 1;
  }

  #switchRole(): void {
    this.#role.controlling = !this.#role.controlling;
    this.#pairs.roleSwitched();
    this.#outputs.push({ type: 'role-changed', controlling: this.#role.controlling });
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
    this.#previous = this.#generation;
    this.#generation = generation;
    this.#remotes = new RemoteCandidates();
    this.#remotesEnded = false;
    this.#settledAt = NEVER;
    this.#pairs.restart();
  }

  /** Neither end will name more candidates. */
  #isComplete(): boolean {
    return this.#announcedEnd && this.#remotesEnded;
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
    if (this.#options.mode === 'first-only' && this.#pairs.selected()) return true;
    return this.#isComplete() && this.#generation.remote !== null && this.#pairs.list.isDone();
  }
}
