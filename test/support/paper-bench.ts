import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import type { ByteRange } from '../../src/mutation/differences.js';
import { buildTrialPacket, type PacketSpec } from '../../src/mutation/trial-packet.js';
import type { Trial, TrialIcmp } from '../../src/verdict/trial.js';
import type { Role } from '../../src/verdict/words.js';
import { type Flow, type FlowOptions, packetOf, type PeerBench, type Shot } from '../../probes/peer-bench.js';
import type { Experiment } from '../../probes/probe.js';

/** A packet on paper, as a box between the two ends would see it. */
export interface PaperPacket {
  readonly flow: number;
  readonly ports: Trial['ports'];
  readonly from: Role;
  readonly to: 'peer' | 'reference';
  readonly spec: PacketSpec;
  readonly bytes: Uint8Array;
  readonly at: Ms;
}

export type Fate =
  'arrives' | 'lost' | 'refused' | { readonly changed: readonly ByteRange[] } | { readonly icmp: TrialIcmp };

const KEY = new Uint8Array(32).fill(7);

/** Runs an experiment against a rule instead of a network; shots are decided in the order in which they leave. */
export class PaperBench implements PeerBench {
  now: Ms = 0;
  readonly family = 'ipv4';
  readonly random: SeededRandom;
  readonly trials: Trial[] = [];
  readonly #fate: (packet: PaperPacket) => Fate;
  readonly #experiment: string;
  readonly #oneWayMs: Ms;
  readonly #ports = new Map<number, Trial['ports']>();
  #counter = 0;

  constructor(
    experiment: string,
    fate: (packet: PaperPacket) => Fate,
    { seed = 1, oneWayMs = 20 }: { readonly seed?: string | number; readonly oneWayMs?: Ms } = {},
  ) {
    this.#experiment = experiment;
    this.#fate = fate;
    this.#oneWayMs = oneWayMs;
    this.random = new SeededRandom(seed);
  }

  /** To its end; the clock jumps to whatever it waits for. */
  run<Result>(experiment: (bench: PeerBench) => Experiment<Result>): Result {
    const running = experiment(this);
    for (;;) {
      const step = running.next();
      if (step.done) return step.value;
      for (let patience = 0; !step.value(); patience += 1) {
        if (patience > 1_000_000) throw new Error('the experiment waits for something that never comes');
        this.now += 10;
      }
    }
  }

  *open(count: number, { ports = {} }: FlowOptions = {}): Experiment<readonly Flow[]> {
    return Array.from({ length: count }, () => {
      const number = this.#ports.size + 1;
      this.#ports.set(number, { client: ports.client ?? null, server: ports.server ?? null });
      return { number };
    });
  }

  *fire(shots: readonly Shot[], waitMs = 500): Experiment<readonly Trial[]> {
    const began = this.now;
    const inOrder = [...shots].sort((left, right) => left.afterMs - right.afterMs);
    const trials = new Map(inOrder.map((shot) => [shot, this.#shoot(shot, began + shot.afterMs)]));
    const over = this.pause(Math.max(0, ...shots.map(({ afterMs }) => afterMs)) + waitMs);
    yield over;
    return shots.flatMap((shot) => trials.get(shot) ?? []);
  }

  close(flow: Flow): void {
    if (!this.#ports.has(flow.number)) throw new Error(`flow ${String(flow.number)} was never opened`);
  }

  extend(): void {
    // On paper there is time.
  }

  pause(spanMs: Ms): () => boolean {
    const until = this.now + spanMs;
    return () => this.now >= until;
  }

  #shoot(shot: Shot, at: Ms): Trial {
    const { flow, from, to = 'peer' } = shot;
    const ports = this.#ports.get(flow.number);
    if (!ports) throw new Error(`flow ${String(flow.number)} is not open`);
    this.#counter += 1;
    const spec = packetOf(shot);
    const counter = this.#counter;
    const fate = this.#fate({
      flow: flow.number,
      ports,
      from,
      to,
      spec,
      // Few rules look at them, and making them is most of the work.
      get bytes() {
        return buildTrialPacket(spec, { key: KEY, counter }).bytes;
      },
      at,
    });
    const arrives = fate === 'arrives' || (typeof fate === 'object' && 'changed' in fate);
    const trial: Trial = {
      experiment: this.#experiment,
      direction: from === 'client' ? 'up' : 'down',
      to,
      flow: flow.number,
      ports,
      packet: spec,
      at,
      sent: fate !== 'refused',
      received: arrives,
      receivedAt: arrives ? at + this.#oneWayMs : null,
      changed: typeof fate === 'object' && 'changed' in fate ? fate.changed : [],
      icmp: typeof fate === 'object' && 'icmp' in fate ? fate.icmp : null,
    };
    this.trials.push(trial);
    return trial;
  }
}
