import type { TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Machine } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import { parseMessage, type ControlMessage } from '../control/messages.js';
import type { Report } from '../verdict/report.js';
import type { Role } from '../verdict/words.js';
import { Host } from './host.js';
import type { SessionInput, SessionOutput } from './io.js';
import { judge } from './judge.js';
import type { Plan } from './plan.js';
import { Run } from './run.js';

export interface SessionOptions {
  readonly random: Random;
  /** Of the program. */
  readonly version: string;
  /** The host's name, for people. */
  readonly name: string;
  /** `real`, `loopback`, `virtual`, `kernel`: what the record says of the network. */
  readonly backend: string;
  readonly label: string | null;
  readonly seed: string | number | null;
  /** What the driver can do: pin to a device, or bind by address only. */
  readonly pinning: 'device' | 'address';
  /** Reference hosts that this end's user named. */
  readonly references: readonly TransportAddress[];
}

export type Hello = Extract<ControlMessage, { type: 'hello' }>;

/** How long an end whose control channel broke goes on answering, so that the other can tell a dead peer from a dead channel. */
const LINGER_MS: Ms = 6000;
/** Within that: when it asks every pair that came up whether the far end still answers, and when it concludes. */
const VERIFY_AT_MS: readonly Ms[] = [0, 400, 800, 1200];
const CONCLUDE_MS: Ms = 2000;
/** How long the far end may take for what it was asked to. */
export const PATIENCE_MS: Ms = 10_000;

/**
 * What client and server have in common: the greeting, the far end's loss, Ctrl-C and the end of a run. The two roles
 * say what follows from a message and what is to be done next.
 */
export abstract class Session implements Machine<SessionInput, SessionOutput> {
  protected readonly host: Host;
  protected readonly options: SessionOptions;
  protected interfaces: readonly HostInterface[] = [];
  protected startedAt = '';
  protected run: Run | null = null;
  protected ended = false;
  #counters: Extract<SessionInput, { type: 'start' }>['counters'] = null;
  #lingering: { readonly since: Ms; readonly heard: ReadonlyMap<string, number>; verified: number } | null = null;
  /** The far end has said that it ends. */
  #goodbye = false;
  readonly #states = new Map<string, string>();

  protected constructor(role: Role, options: SessionOptions) {
    this.host = new Host(role, options.random);
    this.options = options;
  }

  /** Everything that both ends recorded so far. */
  get events(): NonNullable<Run>['evidence']['events'] {
    return this.run?.evidence.events ?? [];
  }

  handle(input: SessionInput, now: Ms): void {
    this.host.tick(now);
    if (this.ended) return;
    switch (input.type) {
      case 'start':
        this.interfaces = input.interfaces;
        this.startedAt = input.startedAt;
        this.#counters = input.counters;
        break;
      case 'peer-connected':
        this.host.message(this.#hello());
        break;
      case 'message':
        this.#message(input.message);
        break;
      case 'peer-lost':
        this.peerLost(input.reason);
        break;
      case 'interrupt':
        this.#interrupt();
        break;
      case 'yardstick':
        this.host.record({ type: 'yardstick', results: [...input.results] });
        this.yardstickDone();
        break;
      case 'timeout':
        this.run?.timeout();
        this.#linger();
        break;
      default:
        if (this.run) this.run.handle(input);
        else this.host.handle(input);
    }
    if (!this.hasEnded()) this.advance();
  }

  poll(): SessionOutput | undefined {
    return this.host.outputs.shift();
  }

  deadline(): Ms {
    if (this.ended) return NEVER;
    return Math.min(this.run?.deadline() ?? NEVER, this.#lingerDeadline(), this.waitsUntil());
  }

  /** What comes next, looked at after every input. */
  protected abstract advance(): void;
  protected abstract greeted(hello: Hello): void;
  protected abstract received(message: ControlMessage): void;
  protected abstract waitsUntil(): Ms;
  protected abstract yardstickDone(): void;

  /** Begins the run: from here on everything is recorded. */
  protected begin(plan: Plan, pin: boolean, blockDone: (block: number) => void): Run {
    const run = new Run({ host: this.host, plan, interfaces: this.interfaces, pin, blockDone });
    this.run = run;
    const { version, backend, label, seed, name, pinning } = this.options;
    const { runId, started, policy, arms, firstOnly, wanted, references } = plan;
    this.host.record({
      type: 'run',
      v: 1,
      id: runId,
      started,
      version,
      backend,
      label,
      seed,
      policy,
      arms: [...arms],
      firstOnly,
      wanted: wanted ? [...wanted] : null,
      references: [...references],
    });
    const interfaces = this.interfaces.map((on) => ({ ...on, addresses: [...on.addresses] }));
    this.host.record({ type: 'host', name, pinning: pin ? pinning : 'off', interfaces });
    if (this.#counters) this.host.record({ type: 'counters', phase: 'before', counters: this.#counters });
    run.begin();
    return run;
  }

  /** Judges what is known and logs every change of a path: `path.state {path, from, to, cause}`. */
  protected refresh(final = false): Report | null {
    if (this.events.length === 0) return null;
    const report = judge(this.events);
    for (const { id, state, cause } of report.paths) {
      // Before the end "nothing yet" is not a state worth a line.
      if (!final && (state === 'inconclusive' || state === 'unprobed' || state === 'failed')) continue;
      const from = this.#states.get(id) ?? null;
      if (from === state) continue;
      this.#states.set(id, state);
      const change = { path: id, from: from as typeof state | null, to: state, cause };
      this.host.record({ type: 'path.state', ...change });
      this.host.log('info', 'path.state', change);
    }
    return report;
  }

  /** The far end is gone and was not expected to go: the run ends with what is known so far. */
  protected peerLost(reason: string): void {
    if (!this.run) {
      this.finish();
      return;
    }
    if (this.#lingering || this.#goodbye) return;
    this.host.record({ type: 'control-lost', reason });
    this.host.log('warn', 'control.lost', { reason });
    this.#lingering = { since: this.host.now, heard: this.run.connectivity.heard(), verified: 0 };
    this.#linger();
  }

  /** The far end said that it ends, before its time: what is known stands, nothing is asked of it any more. */
  protected peerEnded(reason: string): void {
    if (this.#goodbye) return;
    this.#goodbye = true;
    if (!this.run) {
      this.finish();
      return;
    }
    this.host.record({ type: 'control-lost', reason: `the far end ended the run: ${reason}` });
    this.run.close(() => {
      this.finish();
    });
  }

  /** The last line of the record; the driver ends after it. */
  protected finish(): void {
    if (this.ended) return;
    this.run?.stop();
    if (this.run) {
      this.refresh(true);
      this.host.record({ type: 'end' });
    }
    this.ended = true;
    this.host.outputs.push({ type: 'disconnect', reason: 'the run is over' }, { type: 'finished' });
  }

  protected get isLingering(): boolean {
    return this.#lingering !== null;
  }

  /** A method, so that the compiler believes that it may change while an input is handled. */
  protected hasEnded(): boolean {
    return this.ended;
  }

  #hello(): Readonly<Record<string, unknown>> {
    const { version, name, pinning, references } = this.options;
    return { type: 'hello', version, name, interfaces: this.interfaces, pinning, references };
  }

  #message(raw: unknown): void {
    const parsed = parseMessage(raw);
    if (!parsed.ok) {
      this.host.complain('control.malformed', { error: parsed.error });
      return;
    }
    const { message } = parsed;
    if (message.type === 'unknown') return;
    if (message.type === 'hello') this.greeted(message);
    else if (!this.run?.message(message)) this.received(message);
  }

  #interrupt(): void {
    if (this.run) {
      this.host.record({ type: 'interrupted' });
      this.run.abandon();
      this.host.message({ type: 'finish', reason: 'interrupted' });
    }
    this.finish();
  }

  #linger(): void {
    const lingering = this.#lingering;
    if (!lingering || !this.run || this.hasEnded()) return;
    const since = this.host.now - lingering.since;
    while ((VERIFY_AT_MS[lingering.verified] ?? NEVER) <= since) {
      lingering.verified += 1;
      this.run.connectivity.verify();
    }
    if (since >= CONCLUDE_MS && lingering.verified === VERIFY_AT_MS.length) {
      lingering.verified += 1;
      this.#conclude(this.run, lingering.heard);
    }
    if (since >= LINGER_MS) this.finish();
  }

  /** Paths that came up and answered nothing since the control channel broke are lost. */
  #conclude(run: Run, before: ReadonlyMap<string, number>): void {
    for (const [path, heard] of run.connectivity.heard()) {
      if (heard > (before.get(path) ?? 0)) continue;
      this.host.record({ type: 'lost', path, reason: 'the far end stopped answering when the control channel broke' });
    }
    run.close(() => {
      if (this.host.role === 'client') this.finish();
    });
  }

  #lingerDeadline(): Ms {
    if (!this.#lingering) return NEVER;
    const { since, verified } = this.#lingering;
    return since + (VERIFY_AT_MS[verified] ?? (verified === VERIFY_AT_MS.length ? CONCLUDE_MS : LINGER_MS));
  }
}
