import { transportAddress } from '../base/address.js';
import { toHex } from '../base/bytes.js';
import { IcepathError } from '../base/errors.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import { EXPERIMENTS } from '../../probes/experiments.js';
import { enough, HEADER_MUTATIONS, intervalOf, oftenEndsAfter } from '../../probes/header-mutations.js';
import { ownExperiments } from '../../probes/own-experiments.js';
import { Experimenter } from './experiments/experimenter.js';
import type { RunObservation } from '../verdict/observation.js';
import { betterArms, firstStunArm, undecided } from './decide.js';
import { FreshTries } from './fresh-tries.js';
import { isReferenceHost } from './limits.js';
import { LostPaths } from './lost-paths.js';
import type { Plan } from './plan.js';
import { pathId } from './record.js';
import type { Run } from './run.js';
import { PATIENCE_MS, Session, type Hello, type SessionOptions } from './session.js';
import { EarlyWord } from './so-far.js';
import { guessPaths, MOST_OPENER_TRIES, openerPaths } from './ways.js';

/** What the user decides at the client, for both ends. */
export type ClientPlan = Omit<Plan, 'runId' | 'started' | 'sessionKey'>;

/** A block whose sockets the far end does not name within this is not waited for. */
const BLOCK_PATIENCE_MS: Ms = 15_000;
/** Experiments that are not done by then are left as they are. */
const EXPERIMENTS_MS: Ms = 60_000;
/** No run takes longer, whatever happens. */
const LONGEST_MS: Ms = 105_000;
/** The lifetime of a mapping is measured by silences of five minutes. */
const LONGEST_DEEP_MS: Ms = 420_000;
/** Unless an experiment found something that lasts: still shorter than a server waits (`LIMITS.runMs`). */
const EXTENDED_MS: Ms = 270_000;

type Phase =
  | { readonly name: 'greeting' }
  | { readonly name: 'probing' }
  | { readonly name: 'experimenting'; readonly until: Ms }
  /** Nothing is left to find out: the data, or a profile, are still going. */
  | { readonly name: 'transferring' }
  | { readonly name: 'yardstick'; readonly until: Ms }
  | { readonly name: 'closing'; readonly until: Ms }
  | { readonly name: 'over' };

/** The client: makes the plan, drives the rounds of the matrix, and says when the run is over. */
export class ClientSession extends Session {
  readonly #plan: ClientPlan;
  #phase: Phase = { name: 'greeting' };
  /** Why there was no run, where that is for the user to mend. */
  failure: IcepathError | null = null;
  /** The block that is prepared or under way; `null` once no more are wanted. */
  #block: number | null = 0;
  #blockStarted = false;
  /** After the last block: more rounds can still decide something that loss holds up. */
  #needsTime = false;
  #blockUntil: Ms = NEVER;
  #roundsBegan: Ms = NEVER;
  #refreshAt: Ms = NEVER;
  #experimenter: Experimenter | null = null;
  /** The far end takes part in experiments. */
  #farExperiments = false;
  #farGuesses = false;
  #established = 0;
  /** Paths that were told to go on in an arm that gets through. */
  readonly #armed = new Set<string>();
  readonly #fresh = new FreshTries();
  readonly #lost = new LostPaths();
  #lostAt: Ms = NEVER;
  readonly #early = new EarlyWord();

  constructor(plan: ClientPlan, options: SessionOptions) {
    super('client', options);
    this.#plan = plan;
  }

  protected override greeted(hello: Hello): void {
    if (this.run) return;
    this.failure = this.#unknownWanted(hello);
    if (this.failure) {
      this.finish();
      return;
    }
    const { random } = this.host;
    const theirs = hello.references
      .map(({ address, port }) => transportAddress(address, port))
      .filter((reference) => isReferenceHost(reference, this.interfaces));
    const plan: Plan = {
      ...this.#plan,
      references: this.#plan.references.length > 0 ? this.#plan.references : theirs,
      runId: toHex(random.bytes(8)),
      started: this.startedAt,
      sessionKey: random.bytes(32),
    };
    this.host.message({ type: 'plan', ...plan, sessionKey: Buffer.from(plan.sessionKey).toString('base64url') });
    const run = this.begin(plan, plan.pin, {
      blockDone: (block) => {
        this.#blockDone(block);
      },
      batchDone: (batch, ok) => {
        this.#experimenter?.batchDone(batch, 'own', ok);
      },
    });
    this.#phase = { name: 'probing' };
    this.#farExperiments = hello.experiments === true;
    this.#farGuesses = hello.guessPorts === true;
    if (plan.firstOnly || this.options.checksOnly === true) this.#block = null;
    else this.#prepare(run.matrix, 0);
  }

  protected override received(message: ControlMessage): void {
    if (message.type === 'shots-done') this.#experimenter?.batchDone(message.batch, 'far', message.ok);
    else if (message.type === 'finished' && this.#phase.name === 'closing') this.#over();
    else if (message.type === 'finish') {
      if (this.#phase.name !== 'closing') this.#phase = { name: 'closing', until: this.host.now + PATIENCE_MS };
      this.peerEnded(message.reason);
    }
  }

  protected override peerLost(reason: string): void {
    if (this.#phase.name === 'closing') this.#over();
    else super.peerLost(reason);
  }

  protected override yardstickDone(): void {
    this.#close();
  }

  protected override waitsUntil(): Ms {
    // A lingering session has deadlines of its own, and looks at none of these.
    if (this.isLingering) return NEVER;
    if (!this.run) return this.host.startedAt + PATIENCE_MS;
    if (this.#phase.name === 'transferring') return Math.min(this.#refreshAt, this.#blockUntil, this.#lostAt);
    const own = 'until' in this.#phase ? this.#phase.until : this.host.startedAt + this.#longestMs;
    const until = this.#phase.name === 'experimenting' ? this.#experimentsUntil(own) : own;
    const due = Math.min(this.#blockUntil, this.#refreshAt, this.#lostAt);
    return Math.min(until, due, this.#experimenter?.deadline() ?? NEVER);
  }

  protected override advance(): void {
    const { run } = this;
    if (!run) {
      if (this.host.elapsed >= PATIENCE_MS) this.#silent();
      return;
    }
    if (this.isLingering) return;
    if (run.connectivity.established.size > this.#established) {
      this.#established = run.connectivity.established.size;
      this.#refreshAt = Math.min(this.#refreshAt, this.host.now + 200);
    }
    if (this.#refreshAt <= this.host.now) {
      this.#refreshAt = NEVER;
      this.refresh();
    }
    this.#advanceMatrix(run.matrix);
    if (this.#phase.name === 'probing') this.#fresh.work(run);
    const late = this.host.elapsed >= this.#longestMs;
    const { name } = this.#phase;
    const regathers = name === 'transferring' || (!late && (name === 'probing' || name === 'experimenting'));
    this.#lostAt = regathers ? this.#lost.work(run, this.host.now) : NEVER;
    if (name === 'transferring' && !isBusy(run)) this.#afterwards();
    const over = this.#block === null && run.quiet;
    if (this.#phase.name === 'probing' && (late || (over && !this.#tryWays(run) && !this.#guessPorts(run))))
      this.#experiment(run);
    if (this.#phase.name === 'experimenting') {
      this.#experimenter?.advance();
      const isOver = this.#experimentsUntil(this.#phase.until) <= this.host.now;
      if (isOver || this.#experimenter?.done !== false) this.#experimented();
    }
    if ((this.#phase.name === 'closing' || this.#phase.name === 'yardstick') && this.#phase.until <= this.host.now) {
      if (this.#phase.name === 'yardstick') this.#close();
      else this.#over();
    }
  }

  /** What the arm matrix cannot ask: of the wanted paths, once it has decided what it can. */
  #experiment(run: NonNullable<Session['run']>): void {
    this.#phase = { name: 'experimenting', until: this.host.now + EXPERIMENTS_MS };
    if (this.#plan.firstOnly || this.options.experiments === false || this.options.checksOnly === true) return;
    if (!this.#farExperiments) {
      this.host.log('warn', 'experiments.skipped', { reason: 'the server is of a version that knows none' });
      return;
    }
    run.evidence.flush();
    this.#experimenter = new Experimenter(this.host, run.flows, run.evidence.index, [
      ...EXPERIMENTS,
      ...ownExperiments(this.#plan.ownExperiments ?? [], this.#plan.deep),
    ]);
    this.#experimenter.begin(() => this.refresh()?.report ?? null);
  }

  #experimentsUntil(planned: Ms): Ms {
    const { startedAt } = this.host;
    const asked = Math.min(this.#experimenter?.until ?? 0, startedAt + Math.max(EXTENDED_MS, this.#longestMs));
    return Math.max(Math.min(planned, startedAt + this.#longestMs), asked);
  }

  #experimented(): void {
    this.#experimenter?.stop();
    this.refresh();
    if (this.run && isBusy(this.run)) this.#phase = { name: 'transferring' };
    else this.#afterwards();
  }

  #afterwards(): void {
    if (this.#plan.webrtc) this.#yardstick();
    else this.#close();
  }

  get #longestMs(): Ms {
    return this.#plan.deep ? LONGEST_DEEP_MS : LONGEST_MS;
  }

  #prepare(matrix: { prepare(block: number): void }, block: number): void {
    this.#block = block;
    this.#blockStarted = false;
    this.#blockUntil = this.host.now + BLOCK_PATIENCE_MS;
    matrix.prepare(block);
  }

  /** For how long data will still flow; 0 where none do. */
  get #dataLeftMs(): Ms {
    const { transfer } = this.run ?? {};
    const endsAt = (transfer?.startedAt ?? NEVER) + (this.#plan.transfer?.seconds ?? 0) * 1000;
    return transfer?.done === false && endsAt < NEVER ? Math.max(0, endsAt - this.host.now) : 0;
  }

  #advanceMatrix(matrix: NonNullable<Session['run']>['matrix']): void {
    const block = this.#block;
    if (block === null || this.#blockStarted) return;
    if (matrix.isReady(block)) {
      const { roundsPerBlock: rounds } = HEADER_MUTATIONS;
      const intervalMs = intervalOf({ block, dataLeftMs: this.#dataLeftMs, needsTime: this.#needsTime });
      this.#blockStarted = true;
      this.#blockUntil = NEVER;
      this.#roundsBegan = Math.min(this.#roundsBegan, this.host.now);
      this.host.message({ type: 'rounds', block, rounds, intervalMs });
      this.host.log('info', 'rounds', { first: block * rounds + 1, last: (block + 1) * rounds });
      matrix.start(block, block * rounds, rounds, intervalMs);
      // The next block's sockets learn their reflexive addresses while this one's rounds run, if these are over before a
      // NAT forgets them.
      const { deep, arms } = this.#plan;
      const isShort = intervalMs === HEADER_MUTATIONS.intervalMs;
      if (isShort && !oftenEndsAfter(block + 1, { deep, arms: arms.length })) matrix.prepare(block + 1);
    } else if (this.#blockUntil <= this.host.now) {
      this.host.log('warn', 'matrix.not-ready', { block });
      this.#block = null;
      this.#blockUntil = NEVER;
    }
  }

  /** After each block: what is known so far, arms that get through where plain STUN does not, and whether to go on. */
  #blockDone(block: number): void {
    const { run } = this;
    if (!run || block !== this.#block || this.isLingering) return;
    run.evidence.flush();
    const known = this.refresh();
    if (!known) return;
    const { observation, report } = known;
    for (const soFar of this.#early.of(report)) this.host.log('info', 'path.so-far', { ...soFar });
    for (const [path, arm] of betterArms(observation)) {
      if (run.connectivity.established.has(path)) continue;
      // It had a block's time for that.
      if (this.#armed.has(path)) this.#fresh.add(observation, path, arm);
      this.#armed.add(path);
      this.host.message({ type: 'arm', path, arm });
      run.connectivity.setArm(path, arm);
    }
    this.#tryWays(run, observation);
    const { lateMs, intervalMs } = HEADER_MUTATIONS;
    // From the first control packet to the last, wherever in its round each was sent.
    const elapsedMs = this.host.now - this.#roundsBegan - lateMs - 2 * intervalMs;
    const progress = { blocks: block + 1, elapsedMs, deep: this.#plan.deep, ...undecided(observation, report) };
    this.#needsTime = progress.needsTime;
    if (enough(progress)) {
      this.#block = null;
      for (const [path, arm] of betterArms(observation)) this.#fresh.add(observation, path, arm);
    } else this.#prepare(run.matrix, block + 1);
    this.#fresh.work(run);
  }

  /** Ways through for paths that did not come up; false where none is left to try. */
  #tryWays(run: Run, observed: RunObservation | null = null): boolean {
    if (!run.evidence.index.all('nat').some(({ model }) => model.opener)) return false;
    const observation = observed ?? this.refresh()?.observation;
    const arm = observation && firstStunArm(observation);
    if (!observation || arm === undefined || (this.#plan.firstOnly && run.connectivity.established.size > 0))
      return false;
    const paths = openerPaths(observation).filter(
      ({ client, server, family }) => run.regathering.tried(pathId(client, server, family)).times < MOST_OPENER_TRIES,
    );
    return paths.filter((path) => run.regathering.begin(path, { arm, way: 'opener' })).length > 0;
  }

  /** The last way: where both users allowed it, and the NATs' models say that a guessed port gets through. */
  #guessPorts(run: Run): boolean {
    if (this.options.guessPorts !== true || this.#plan.firstOnly) return false;
    if (!this.#farGuesses) {
      this.host.log('warn', 'guessing.skipped', { reason: 'the server was started without --guess-ports' });
      return false;
    }
    run.evidence.flush();
    const observation = this.refresh()?.observation;
    const arm = observation && firstStunArm(observation);
    if (!observation || arm === undefined) return false;
    return guessPaths(observation).filter(({ path, plan }) => run.guessing.begin(path, { arm, plan })).length > 0;
  }

  #yardstick(): void {
    this.#phase = { name: 'yardstick', until: this.host.now + 6 * PATIENCE_MS };
    this.host.outputs.push({ type: 'yardstick', role: 'client', references: this.run?.plan.references ?? [] });
  }

  #close(): void {
    if (this.#phase.name === 'closing') return;
    // The far end's NATs may keep their mappings for longer than ours.
    const until = this.#plan.deep ? this.host.startedAt + LONGEST_DEEP_MS : this.host.now;
    this.#phase = { name: 'closing', until: Math.max(until, this.host.now) + PATIENCE_MS };
    this.run?.close(() => {
      this.host.message({ type: 'finish', reason: 'done' });
    });
  }

  /** `--wanted` names interfaces of both hosts; one that is not there would silently ask about nothing. */
  #unknownWanted(hello: Hello): IcepathError | null {
    for (const wanted of this.#plan.wanted ?? []) {
      for (const [host, name, interfaces] of [
        ['client', wanted.client, this.interfaces],
        ['server', wanted.server, hello.interfaces],
      ] as const) {
        if (interfaces.some((on) => on.name === name || on.label === name)) continue;
        const names = interfaces.map((on) => (on.label === on.name ? on.name : `${on.name} (${on.label})`));
        return new IcepathError(
          'wanted-unknown',
          `--wanted ${wanted.client}↔${wanted.server}: the ${host} tries no interface ${JSON.stringify(name)}`,
          names.length > 0 ? `Name one of the ${host}'s: ${names.join(', ')}.` : `Give the ${host} an --interface.`,
        );
      }
    }
    return null;
  }

  #silent(): void {
    this.host.log('warn', 'server.silent', { afterMs: PATIENCE_MS });
    this.finish();
  }

  #over(): void {
    this.#phase = { name: 'over' };
    this.finish();
  }
}

/** Data, or somebody else's schedule, still go on. */
function isBusy({ transfer, profile }: Run): boolean {
  return transfer?.done === false || profile?.done === false;
}
