import type { Family } from '../../base/address.js';
import type { Random } from '../../base/random.js';
import { earliest, NEVER, type Ms } from '../../base/time.js';
import type { Trial } from '../../verdict/trial.js';
import { type Flow, type FlowOptions, packetOf, type PeerBench, type Shot } from '../../../probes/peer-bench.js';
import type { Experiment } from '../../../probes/probe.js';
import type { Host } from '../host.js';
import { LIMITS } from '../limits.js';
import type { RecordIndex } from '../record-index.js';
import { trialOf } from '../trials.js';
import type { Flows } from './flows.js';

/** A flow that is not open at both ends by then is left out. */
const OPEN_MS: Ms = 4000;
/** How long the far end may be late with its word on a batch. */
const PATIENCE_MS: Ms = 5000;
/** Late packets still count. */
const WAIT_MS: Ms = 500;
/** Shots are announced before they are due: the far end hears of them one way of the control channel later. */
const LEAD_MS: Ms = 20;

/** What all experiments of a run share: flow, batch and packet numbers, and who has said all of which batch. */
export class Numbers {
  #flow = 0;
  #batch = 0;
  /** Apart from the counters of the matrix, which come from the same key. */
  #counter = 0x4000_0000;
  readonly farDone = new Map<number, boolean>();
  readonly ownDone = new Set<number>();

  flow(): number {
    this.#flow += 1;
    return this.#flow;
  }

  batch(): number {
    this.#batch += 1;
    return this.#batch;
  }

  counter(): number {
    this.#counter += 1;
    return this.#counter;
  }
}

export interface BenchOptions {
  readonly experiment: string;
  /** The path's id, as that of its packets has it in the record, and what it is made of. */
  readonly path: string;
  readonly client: string;
  readonly server: string;
  readonly family: Family;
  readonly flows: Flows;
  readonly numbers: Numbers;
  readonly index: RecordIndex;
}

/** An experiment cannot go on: the far end does not do its part. */
export class ExperimentAbandoned extends Error {}

/** {@link PeerBench} over the sockets of a session: the client's side of it. */
export class SessionBench implements PeerBench {
  readonly #host: Host;
  readonly #options: BenchOptions;
  readonly #open = new Set<number>();
  readonly #ports = new Map<number, Trial['ports']>();
  #alarms: Ms[] = [];
  /** Until when the experiment said that it needs. */
  until: Ms = 0;

  constructor(host: Host, options: BenchOptions) {
    this.#host = host;
    this.#options = options;
  }

  get now(): Ms {
    return this.#host.now;
  }

  get random(): Random {
    return this.#host.random;
  }

  get family(): Family {
    return this.#options.family;
  }

  *open(count: number, { ports = {} }: FlowOptions = {}): Experiment<readonly Flow[]> {
    const { client, server, family, flows, numbers } = this.#options;
    const both = { client: ports.client ?? null, server: ports.server ?? null };
    const wanted = Array.from({ length: Math.min(count, LIMITS.openFlows) }, () => ({
      flow: numbers.flow(),
      ports: both,
    }));
    const request = { client, server, family, flows: wanted };
    // The far end before us: it must know of a flow before it is told where our half is.
    this.#host.message({ type: 'flows', ...request });
    for (const { flow } of wanted) {
      this.#open.add(flow);
      this.#ports.set(flow, both);
    }
    flows.open(request);
    const late = this.pause(OPEN_MS);
    yield () => late() || wanted.every(({ flow }) => flows.state(flow) !== 'opening');
    const [opened, others] = [true, false].map((isOpen) =>
      wanted.filter(({ flow }) => (flows.state(flow) === 'open') === isOpen),
    );
    for (const { flow } of others ?? []) this.close({ number: flow });
    return (opened ?? []).map(({ flow }) => ({ number: flow }));
  }

  *fire(shots: readonly Shot[], waitMs = WAIT_MS): Experiment<readonly Trial[]> {
    if (shots.length === 0) return [];
    const { experiment, flows, numbers, index, path } = this.#options;
    const batch = numbers.batch();
    const told = shots.map((shot) => ({
      flow: shot.flow.number,
      from: shot.from,
      to: shot.to ?? ('peer' as const),
      afterMs: shot.afterMs,
      counter: numbers.counter(),
      packet: packetOf(shot),
    }));
    this.#host.message({ type: 'shots', batch, experiment, waitMs, shots: told });
    flows.fire({
      batch,
      experiment,
      waitMs,
      shots: told.map((shot) => (shot.from === 'client' ? { ...shot, afterMs: shot.afterMs + LEAD_MS } : shot)),
    });
    const longest = told.reduce((most, { afterMs }) => Math.max(most, afterMs), 0);
    const late = this.pause(longest + waitMs + PATIENCE_MS);
    yield () => late() || (numbers.farDone.has(batch) && numbers.ownDone.has(batch));
    if (numbers.farDone.get(batch) !== true) throw new ExperimentAbandoned(`the server did not do its part of ${path}`);
    this.#host.record({ type: 'trials', batch });
    const joined = new Map(
      index
        .trials(path)
        .flatMap((sent) =>
          sent.trial?.batch === batch ? [[`${sent.host} ${String(sent.trial.counter)}`, sent] as const] : [],
        ),
    );
    return told.map((shot) => {
      const sent = joined.get(`${shot.from} ${String(shot.counter)}`);
      return (sent && trialOf(index, sent)) ?? this.#unsent(shot);
    });
  }

  close({ number }: Flow): void {
    if (!this.#open.delete(number)) return;
    this.#options.flows.close(number);
    this.#host.message({ type: 'flows-close', flows: [number] });
  }

  closeAll(): void {
    const open = [...this.#open];
    if (open.length === 0) return;
    this.#open.clear();
    for (const flow of open) this.#options.flows.close(flow);
    this.#host.message({ type: 'flows-close', flows: open });
  }

  extend(spanMs: Ms): void {
    this.until = Math.max(this.until, this.now + spanMs);
  }

  pause(spanMs: Ms): () => boolean {
    const until = this.now + spanMs;
    this.#alarms.push(until);
    return () => this.now >= until;
  }

  deadline(): Ms {
    this.#alarms = this.#alarms.filter((alarm) => alarm > this.now);
    return earliest(NEVER, ...this.#alarms);
  }

  /** A shot that never left: its flow was gone. */
  #unsent({ flow, from, to, packet }: { flow: number; from: string; to: Trial['to']; packet: Trial['packet'] }): Trial {
    return {
      experiment: this.#options.experiment,
      direction: from === 'client' ? 'up' : 'down',
      to,
      flow,
      ports: this.#ports.get(flow) ?? { client: null, server: null },
      packet,
      at: this.#host.elapsed,
      sent: false,
      received: false,
      receivedAt: null,
      changed: [],
      icmp: null,
    };
  }
}
