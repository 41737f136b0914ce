import type { PacketSpec } from '../src/mutation/trial-packet.js';
import { behindControls as samplesOf, type Compared } from '../src/verdict/findings/behind-control.js';
import type { Trial } from '../src/verdict/trial.js';
import type { Direction } from '../src/verdict/words.js';
import { behindControls, inTurn } from './behind-control.js';
import type { Flow, PeerBench } from './peer-bench.js';
import type { Experiment } from './probe.js';

/** Flows for each of the answers that are told, and for a kind of packet while it is searched. */
const CERTAIN = 24;
const SEARCHED = 6;
const ASKED_AGAIN = 3;
const PROVEN_AGAIN = 4;

/** A kind of packet that is tried one way; `name` is the one that {@link KindsLab}'s rule gives the packet. */
export interface Kind {
  readonly direction: Direction;
  readonly name: string;
  readonly packet: Partial<PacketSpec>;
}

export type Answer = 'fails' | 'passes' | 'unknown';

/** What a lab calls packets, and what all that was tried says of one of them, as a verdict would take it. */
export interface KindRules {
  readonly nameOf: (packet: PacketSpec) => string | null;
  readonly outcome: (trials: readonly Trial[], direction: Direction, name: string) => Compared['outcome'];
}

/** Tries kinds of packets behind controls, a fresh flow each time, and keeps what became of them. */
export class KindsLab {
  readonly trials: Trial[] = [];
  volleys = 0;
  readonly #bench: PeerBench;
  readonly #rules: KindRules;

  constructor(bench: PeerBench, rules: KindRules) {
    this.#bench = bench;
    this.#rules = rules;
  }

  /** Until each of these is decided as it is told, or loss is in the way. */
  *prove(kinds: readonly Kind[]): Experiment<void> {
    for (let round = 0; round < PROVEN_AGAIN; round += 1) {
      const open = kinds.filter(({ direction, name }) => this.outcome(direction, name) === 'undecided');
      if (open.length === 0) return;
      yield* this.#fire(open, CERTAIN);
    }
  }

  /** Whether each of these dies: quick answers. */
  *ask(kinds: readonly Kind[]): Experiment<readonly Answer[]> {
    for (let round = 0; round < ASKED_AGAIN; round += 1) {
      const open = kinds.filter((kind) => this.#guess(kind) === 'unknown');
      if (open.length === 0) break;
      const names = new Set<string>();
      const once = open.filter(({ direction, name }) => names.size < names.add(`${direction} ${name}`).size);
      yield* this.#fire(once, SEARCHED);
    }
    return kinds.map((kind) => this.#guess(kind));
  }

  outcome(direction: Direction, name: string): Compared['outcome'] {
    return this.#rules.outcome(this.trials, direction, name);
  }

  *#fire(kinds: readonly Kind[], flows: number): Experiment<void> {
    this.volleys += 1;
    const tries = kinds.flatMap(({ direction, packet }) =>
      Array.from({ length: flows }, () => (flow: Flow) => behindControls(flow, direction, packet)),
    );
    this.trials.push(...(yield* inTurn(this.#bench, tries)));
  }

  /** Likelihoods: of what dies one in twenty arrives, of what passes seven in ten. Errs once in a thousand. */
  #guess({ direction, name }: Kind): Answer {
    const behind = samplesOf(this.trials).filter(
      (sample) => sample.direction === direction && sample.control && this.#rules.nameOf(sample.packet) === name,
    );
    const arrived = behind.filter((one) => one.arrived).length;
    const weight = (behind.length - arrived) * Math.log(0.95 / 0.3) - arrived * Math.log(0.7 / 0.05);
    if (Math.abs(weight) < Math.log(700)) return 'unknown';
    return weight > 0 ? 'fails' : 'passes';
  }
}
