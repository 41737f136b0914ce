import { NEVER, type Ms } from '../base/time.js';
import { MAX_REASON, type ControlMessage } from '../control/messages.js';
import { transportAddress } from '../base/address.js';
import { oftenEndsAfter } from '../../probes/header-mutations.js';
import { LIMITS, refusalOf } from './limits.js';
import type { Plan } from './plan.js';
import { PATIENCE_MS, Session, type SessionOptions } from './session.js';

export interface ServerOptions extends SessionOptions {
  /** The server's own word on pinning; `null`: as the client says. */
  readonly pin: boolean | null;
}

/** The server: does as the plan says, and ends when the client does. */
export class ServerSession extends Session {
  readonly #options: ServerOptions;
  #closing: 'no' | 'waiting' | 'closing' | 'told' = 'no';
  #until: Ms = NEVER;
  /** Set once the run has taken too long. */
  #overdue = false;

  constructor(options: ServerOptions) {
    super('server', options);
    this.#options = options;
  }

  protected override greeted(): void {
    this.host.log('info', 'client.greeted');
  }

  protected override received(message: ControlMessage): void {
    switch (message.type) {
      case 'plan':
        this.#planned(message);
        break;
      case 'rounds':
        this.#rounds(message);
        break;
      case 'finish':
        this.#finishing(message.reason);
        break;
      default:
        this.host.log('debug', 'control.ignored', { type: message.type });
    }
  }

  protected override peerLost(reason: string): void {
    if (this.#closing === 'told') this.finish();
    else super.peerLost(reason);
  }

  protected override yardstickDone(): void {
    this.host.log('debug', 'yardstick.done');
  }

  protected override waitsUntil(): Ms {
    const limit = this.#overdue ? NEVER : this.host.startedAt + (this.run ? this.#longestMs : LIMITS.planMs);
    return Math.min(this.#until, limit);
  }

  protected override advance(): void {
    const { run } = this;
    if (!run) {
      if (this.host.elapsed >= LIMITS.planMs) this.#refuse('no plan came');
      return;
    }
    if (this.host.elapsed >= this.#longestMs && !this.#overdue) {
      this.#overdue = true;
      const reason = 'the run took too long';
      this.host.message({ type: 'finish', reason });
      this.peerEnded(reason);
    }
    const late = this.#until <= this.host.now;
    // The client knows before this host that all its data have come: QUIC is to say so, too.
    const isDone = run.quiet && run.transfer?.done !== false;
    if (this.#closing === 'waiting' && (isDone || late)) {
      this.#closing = 'closing';
      this.#until = NEVER;
      run.close(() => {
        this.#closing = 'told';
        this.#until = this.host.now + PATIENCE_MS;
        run.evidence.flush();
        this.host.message({ type: 'finished' });
      });
    } else if (this.#closing === 'told' && late) this.finish();
  }

  get #longestMs(): Ms {
    const { deep = false, transfer } = this.run?.plan ?? {};
    return (deep ? LIMITS.deepRunMs : LIMITS.runMs) + (transfer?.seconds ?? 0) * 1000;
  }

  #planned(message: Extract<ControlMessage, { type: 'plan' }>): void {
    if (this.run) return;
    const plan: Plan = {
      ...message,
      references: message.references.map(({ address, port }) => transportAddress(address, port)),
      sessionKey: Buffer.from(message.sessionKey, 'base64url'),
    };
    const refusal = refusalOf(plan, this.interfaces);
    if (refusal !== null) {
      this.#refuse(refusal);
      return;
    }
    this.begin(plan, this.#options.pin ?? plan.pin, {
      blockDone: () => undefined,
      batchDone: (batch, ok) => {
        // First what happened, then that this was all.
        this.run?.evidence.flush();
        this.host.message({ type: 'shots-done', batch, ok });
      },
    });
    if (plan.webrtc) this.host.outputs.push({ type: 'yardstick', role: 'server', references: plan.references });
  }

  #rounds({ block, rounds, intervalMs }: Extract<ControlMessage, { type: 'rounds' }>): void {
    if (!this.run) return;
    const { matrix, plan } = this.run;
    const { shortestIntervalMs, longestIntervalMs } = LIMITS;
    if (rounds > LIMITS.rounds || intervalMs < shortestIntervalMs || intervalMs > longestIntervalMs) {
      this.host.complain('rounds.refused', { block, rounds, intervalMs });
      return;
    }
    matrix.start(block, block * rounds, rounds, intervalMs);
    if (!oftenEndsAfter(block + 1, { deep: plan.deep, arms: plan.arms.length })) matrix.prepare(block + 1);
  }

  #refuse(reason: string): void {
    this.host.log('warn', 'run.refused', { reason });
    this.host.message({ type: 'finish', reason: reason.slice(0, MAX_REASON) });
    this.finish();
  }

  #finishing(reason: string): void {
    if (reason === 'done') {
      if (this.#closing !== 'no') return;
      this.#closing = 'waiting';
      // The lifetime of our NATs' mappings may take longer than the client's.
      const { deep = false } = this.run?.plan ?? {};
      if (deep) this.run?.measureOnly();
      this.#until = deep ? NEVER : this.host.now + PATIENCE_MS / 2;
    } else this.peerEnded(reason);
  }
}
