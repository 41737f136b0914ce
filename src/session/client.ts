import { transportAddress } from '../base/address.js';
import { toHex } from '../base/bytes.js';
import { IcepathError } from '../base/errors.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import { enough, HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { betterArms, undecided } from './decide.js';
import { observe } from './observe.js';
import { isReferenceHost } from './limits.js';
import type { Plan } from './plan.js';
import { PATIENCE_MS, Session, type Hello, type SessionOptions } from './session.js';

/** What the user decides at the client, for both ends. */
export type ClientPlan = Omit<Plan, 'runId' | 'started' | 'sessionKey'>;

/** A block whose sockets the far end does not name within this is not waited for. */
const BLOCK_PATIENCE_MS: Ms = 15_000;
/** No run takes longer, whatever happens. */
const LONGEST_MS: Ms = 90_000;

type Phase =
  | { readonly name: 'greeting' }
  | { readonly name: 'probing' }
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
  #blockUntil: Ms = NEVER;
  #roundsBegan: Ms = NEVER;
  #refreshAt: Ms = NEVER;
  #established = 0;

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
    const run = this.begin(plan, plan.pin, (block) => {
      this.#blockDone(block);
    });
    this.#phase = { name: 'probing' };
    if (plan.firstOnly) this.#block = null;
    else this.#prepare(run.matrix, 0);
  }

  protected override received(message: ControlMessage): void {
    if (message.type === 'finished' && this.#phase.name === 'closing') this.#over();
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
    const until = 'until' in this.#phase ? this.#phase.until : this.host.startedAt + LONGEST_MS;
    return Math.min(until, this.#blockUntil, this.#refreshAt);
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
    const late = this.host.elapsed >= LONGEST_MS;
    if (this.#phase.name === 'probing' && (late || (this.#block === null && run.quiet))) {
      if (this.#plan.webrtc) this.#yardstick();
      else this.#close();
    }
    if ((this.#phase.name === 'closing' || this.#phase.name === 'yardstick') && this.#phase.until <= this.host.now) {
      if (this.#phase.name === 'yardstick') this.#close();
      else this.#over();
    }
  }

  #prepare(matrix: { prepare(block: number): void }, block: number): void {
    this.#block = block;
    this.#blockStarted = false;
    this.#blockUntil = this.host.now + BLOCK_PATIENCE_MS;
    matrix.prepare(block);
  }

  #advanceMatrix(matrix: NonNullable<Session['run']>['matrix']): void {
    const block = this.#block;
    if (block === null || this.#blockStarted) return;
    if (matrix.isReady(block)) {
      const { roundsPerBlock: rounds, intervalMs } = HEADER_MUTATIONS;
      this.#blockStarted = true;
      this.#blockUntil = NEVER;
      this.#roundsBegan = Math.min(this.#roundsBegan, this.host.now);
      this.host.message({ type: 'rounds', block, rounds, intervalMs });
      this.host.log('info', 'rounds', { first: block * rounds + 1, last: (block + 1) * rounds });
      matrix.start(block, block * rounds, rounds, intervalMs);
      // The next block's sockets learn their reflexive addresses while this one's rounds run.
      if (block + 1 < HEADER_MUTATIONS.leastBlocks) matrix.prepare(block + 1);
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
    const report = this.refresh();
    const observation = observe(this.events);
    if (!report || !observation) return;
    for (const [path, arm] of betterArms(observation)) {
      if (run.connectivity.established.has(path)) continue;
      this.host.message({ type: 'arm', path, arm });
      run.connectivity.setArm(path, arm);
    }
    const { lateMs, intervalMs } = HEADER_MUTATIONS;
    // From the first control packet to the last, wherever in its round each was sent.
    const elapsedMs = this.host.now - this.#roundsBegan - lateMs - 2 * intervalMs;
    const progress = { blocks: block + 1, elapsedMs, ...undecided(observation, report) };
    if (enough(progress)) this.#block = null;
    else this.#prepare(run.matrix, block + 1);
  }

  #yardstick(): void {
    this.#phase = { name: 'yardstick', until: this.host.now + 6 * PATIENCE_MS };
    this.host.outputs.push({ type: 'yardstick', role: 'client', references: this.run?.plan.references ?? [] });
  }

  #close(): void {
    if (this.#phase.name === 'closing') return;
    this.#phase = { name: 'closing', until: this.host.now + PATIENCE_MS };
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
