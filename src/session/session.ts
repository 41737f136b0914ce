import type { TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Machine } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import { parseMessage, type ControlMessage } from '../control/messages.js';
import { fingerprintOf } from '../quic/tls/certificates.js';
import { judgeRun } from '../verdict/judge-run.js';
import type { RunObservation } from '../verdict/observation.js';
import type { Report } from '../verdict/report.js';
import type { Cause, PathState, Role } from '../verdict/words.js';
import type { TurnServer } from '../turn/types.js';
import { Host } from './host.js';
import type { SessionInput, SessionOutput } from './io.js';
import { observe } from './observe.js';
import { translated, withPrefix } from './nat64.js';
import type { MatrixDesign } from './matrix-design.js';
import { PathNames } from './path-names.js';
import type { Plan } from './plan.js';
import { refuseTransfer } from './transfer/transfer.js';
import type { QuicMeans } from './transfer/types.js';
import { Run, type RunOptions } from './run.js';

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
  /** Ports that this end's user lets the sockets towards the far end have, beside any others; none by default. */
  readonly ports?: readonly number[];
  /** For the campaign: another layout of the matrix at this end, and whether experiments follow it (they do by default). */
  readonly design?: MatrixDesign;
  readonly experiments?: boolean;
  /** The client asks for connectivity checks alone: no matrix, nothing after it, and so no verdict on what does not come up. */
  readonly checksOnly?: boolean;
  /** TURN servers of this end's user; their credentials stay here. */
  readonly turn?: readonly TurnServer[];
  /** This end's user allows the guessing of a NAT's ports, should nothing else help. */
  readonly guessPorts?: boolean;
  /** With what this end takes part in transfers; in none without it. */
  readonly quic?: QuicMeans | null;
}

export type Hello = Extract<ControlMessage, { type: 'hello' }>;

/** How long an end whose control channel broke goes on answering, so that the other can tell a dead peer from a dead channel. */
const LINGER_MS: Ms = 6000;
/** Within that: when it asks every pair that came up whether the far end still answers, and when it concludes. */
const VERIFY_AT_MS: readonly Ms[] = [400, 800, 1200, 1600];
const CONCLUDE_MS: Ms = 2400;
/** Answers that were on their way when the channel broke tell nothing of the far end: they are let in before it is asked. */
const SETTLED_MS: Ms = 400;
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
  #farInterfaces: readonly HostInterface[] = [];
  #greeted = false;
  /** What this host's interfaces have since, where that came between the greeting and the run. */
  #changed: readonly HostInterface[] | null = null;
  /** SHA-256 of its certificate for QUIC. */
  #farFingerprint: Uint8Array | null = null;
  protected startedAt = '';
  protected run: Run | null = null;
  protected ended = false;
  #counters: Extract<SessionInput, { type: 'start' }>['counters'] = null;
  /** How far the far end's wall clock was ahead of ours when its greeting arrived: less by what that took. */
  #farClockAheadMs: Ms | null = null;
  #lingering: {
    readonly since: Ms;
    heard: ReadonlyMap<string, number>;
    verified: number;
    /** The far end answers on a path, and data go there: the run goes on until they have come. */
    carries: boolean;
  } | null = null;
  /** The far end has said that it ends. */
  #goodbye = false;
  readonly #states = new Map<string, { readonly state: PathState; readonly cause: Cause | null }>();

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
        this.interfaces = input.interfaces.map(withPrefix);
        this.startedAt = input.startedAt;
        this.#counters = input.counters;
        break;
      case 'interfaces':
        if (this.run) this.run.interfacesChanged(input.interfaces);
        // The far end has been greeted with what was there then: what is other now, the run will tell it.
        else if (this.#greeted) this.#changed = input.interfaces;
        else this.interfaces = input.interfaces.map(withPrefix);
        break;
      case 'peer-connected':
        this.#greeted = true;
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
        break;
      default:
        if (this.run) this.run.handle(input);
        else this.host.handle(input);
    }
    this.#linger();
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
  protected begin(plan: Plan, pin: boolean, told: Pick<RunOptions, 'blockDone' | 'batchDone'>): Run {
    const interfaces = translated(this.interfaces);
    this.host.translated = interfaces;
    const paths = new PathNames(this.host.role, this.interfaces, this.#farInterfaces);
    const { ports = [], turn = [], guessPorts = false, design, quic: means = null } = this.options;
    const quic = means && this.#farFingerprint && { means, farFingerprint: this.#farFingerprint };
    const userOptions = { ports, turn, guessPorts, design, quic };
    const run = new Run({ host: this.host, plan, interfaces, paths, pin, ...userOptions, ...told });
    this.run = run;
    const { version, backend, label, seed, name, pinning } = this.options;
    const { runId, started, policy, arms, ownArms, ownExperiments = [], firstOnly, wanted, references } = plan;
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
      ...(ownArms.length > 0 && { ownArms: [...ownArms] }),
      ...(ownExperiments.length > 0 && { ownExperiments: [...ownExperiments] }),
      firstOnly,
      wanted: wanted ? [...wanted] : null,
      references: [...references],
    });
    const own = this.interfaces.map((on) => ({ ...on, addresses: [...on.addresses] }));
    const clock = this.#farClockAheadMs === null ? {} : { farClockAheadMs: this.#farClockAheadMs };
    this.host.record({ type: 'host', name, pinning: pin ? pinning : 'off', interfaces: own, ...clock });
    if (this.#counters) this.host.record({ type: 'counters', phase: 'before', counters: this.#counters });
    if (plan.transfer && !quic) refuseTransfer(this.host);
    run.begin();
    if (this.#changed) run.interfacesChanged(this.#changed);
    return run;
  }

  /** Judges what is known and logs every change of a path, its cause's too: `path.state {path, from, to, cause}`. */
  protected refresh(final = false): { readonly observation: RunObservation; readonly report: Report } | null {
    const observation = this.run && observe(this.run.evidence.index);
    if (!observation) return null;
    const report = judgeRun(observation);
    for (const { id, state, cause } of report.paths) {
      // Before the end "nothing yet" is not a state worth a line.
      if (!final && (state === 'inconclusive' || state === 'unprobed' || state === 'failed')) continue;
      const before = this.#states.get(id);
      if (before?.state === state && before.cause === cause) continue;
      this.#states.set(id, { state, cause });
      const change = { path: id, from: before?.state ?? null, to: state, cause };
      this.host.record({ type: 'path.state', ...change });
      this.host.log('info', 'path.state', change);
    }
    return { observation, report };
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
    this.run.transfer?.blame(`the control channel ended (${reason})`);
    this.#lingering = { since: this.host.now, heard: this.run.connectivity.heard(), verified: 0, carries: false };
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
    const { version, name, pinning, references, guessPorts, experiments = true, quic = null } = this.options;
    const clock = this.#wallClockMs();
    const hello = {
      ...{ type: 'hello', version, name, interfaces: this.interfaces, pinning, references, experiments },
      ...(guessPorts === true && { guessPorts }),
      ...(quic && {
        quic: Buffer.from(fingerprintOf(quic.identity.chain[0] ?? new Uint8Array())).toString('base64url'),
      }),
    };
    return Number.isNaN(clock) ? hello : { ...hello, wallClockMs: clock };
  }

  /** `NaN` where the driver did not tell. */
  #wallClockMs(): Ms {
    return Date.parse(this.startedAt) + this.host.elapsed;
  }

  #compareClocks({ wallClockMs = Number.NaN }: Hello): void {
    const aheadMs = wallClockMs - this.#wallClockMs();
    if (!Number.isNaN(aheadMs)) this.#farClockAheadMs ??= Math.round(aheadMs * 10) / 10;
  }

  #message(raw: unknown): void {
    const parsed = parseMessage(raw);
    if (!parsed.ok) {
      this.host.complain('control.malformed', { error: parsed.error });
      return;
    }
    const { message } = parsed;
    if (message.type === 'unknown') return;
    if (message.type === 'hello') {
      this.#compareClocks(message);
      this.#farInterfaces = message.interfaces;
      if (message.quic !== undefined) this.#farFingerprint = Buffer.from(message.quic, 'base64url');
      this.greeted(message);
    } else if (!this.run?.message(message)) this.received(message);
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
    if (lingering.carries) {
      if (this.run.transfer?.done !== false) this.#carried(this.run);
      return;
    }
    if (since >= SETTLED_MS && lingering.verified === 0) lingering.heard = this.run.connectivity.heard();
    while ((VERIFY_AT_MS[lingering.verified] ?? NEVER) <= since) {
      lingering.verified += 1;
      this.run.connectivity.verify();
    }
    if (since >= CONCLUDE_MS && lingering.verified === VERIFY_AT_MS.length) {
      lingering.verified += 1;
      lingering.carries = this.#conclude(this.run, lingering.heard);
    }
    if (since >= LINGER_MS && !lingering.carries) this.finish();
  }

  /** Paths that came up and answered nothing since the control channel broke are lost. True where data go on without it. */
  #conclude(run: Run, before: ReadonlyMap<string, number>): boolean {
    let answers = false;
    for (const [path, heard] of run.connectivity.heard()) {
      if (heard > (before.get(path) ?? 0)) answers = true;
      else
        this.host.record({
          type: 'lost',
          path,
          reason: 'the far end stopped answering when the control channel broke',
        });
    }
    if (answers && run.transfer?.done === false) {
      this.host.log('info', 'transfer.alone', {});
      return true;
    }
    run.close(() => {
      if (this.host.role === 'client') this.finish();
    });
    return false;
  }

  /** The data that went on without a control channel have come, or never will. */
  #carried(run: Run): void {
    run.close(() => {
      this.finish();
    });
  }

  #lingerDeadline(): Ms {
    if (!this.#lingering) return NEVER;
    const { since, verified, carries } = this.#lingering;
    if (carries) return NEVER;
    return since + (VERIFY_AT_MS[verified] ?? (verified === VERIFY_AT_MS.length ? CONCLUDE_MS : LINGER_MS));
  }
}
