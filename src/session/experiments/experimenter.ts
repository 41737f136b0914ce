import { earliest, NEVER, type Ms } from '../../base/time.js';
import { endFamily } from '../../verdict/observation.js';
import type { PathReport, Report } from '../../verdict/report.js';
import { type ExperimentDefinition, EXPERIMENTS } from '../../../probes/experiments.js';
import type { Experiment } from '../../../probes/probe.js';
import type { Host } from '../host.js';
import { pathId } from '../record.js';
import type { RecordIndex } from '../record-index.js';
import { ExperimentAbandoned, Numbers, SessionBench } from './bench.js';
import type { Flows } from './flows.js';

/** Paths that are experimented with: the wanted ones, and not more than these. */
const PATHS_MOST = 4;

interface Running {
  readonly name: string;
  readonly path: string;
  readonly bench: SessionBench;
  readonly experiment: Experiment<unknown>;
  condition: () => boolean;
}

interface Job {
  readonly definition: ExperimentDefinition;
  /** The id. */
  readonly path: string;
}

/**
 * Puts the experiments' questions to the wanted paths, at the client: those of one path one after the other, those of
 * different paths side by side, the exclusive ones at the end and alone.
 */
export class Experimenter {
  readonly #host: Host;
  readonly #flows: Flows;
  readonly #index: RecordIndex;
  readonly #definitions: readonly ExperimentDefinition[];
  readonly #numbers = new Numbers();
  #judge: () => Report | null = () => null;
  #waiting: Job[] = [];
  readonly #running = new Map<string, Running>();
  /** The far end did not answer: it will not be asked on. */
  #abandoned = false;

  constructor(
    host: Host,
    flows: Flows,
    index: RecordIndex,
    definitions: readonly ExperimentDefinition[] = EXPERIMENTS,
  ) {
    this.#host = host;
    this.#flows = flows;
    this.#index = index;
    this.#definitions = definitions;
  }

  get done(): boolean {
    return this.#waiting.length === 0 && this.#running.size === 0;
  }

  /** Until when a running experiment has said that it needs: 0 where none has. */
  get until(): Ms {
    return Math.max(0, ...[...this.#running.values()].map(({ bench }) => bench.until));
  }

  /** `judge`: what is known of the paths by now, asked again before each experiment. */
  begin(judge: () => Report | null): void {
    this.#judge = judge;
    const report = judge();
    const wanted = (report?.paths ?? []).filter((path) => path.wanted).slice(0, PATHS_MOST);
    this.#waiting = this.#definitions.flatMap((definition) => wanted.map(({ id }) => ({ definition, path: id })));
    this.#next(report);
  }

  /** The far end, or this one, has said all of a batch. */
  batchDone(batch: number, by: 'own' | 'far', ok: boolean): void {
    if (by === 'own') this.#numbers.ownDone.add(batch);
    else this.#numbers.farDone.set(batch, ok);
    this.advance();
  }

  deadline(): Ms {
    let first = NEVER;
    for (const { bench } of this.#running.values()) first = earliest(first, bench.deadline());
    return first;
  }

  /** Looks at what every running experiment waits for. */
  advance(): void {
    for (const running of [...this.#running.values()]) this.#step(running);
    this.#next();
  }

  stop(): void {
    this.#waiting = [];
    for (const { bench } of this.#running.values()) bench.closeAll();
    this.#running.clear();
  }

  /** `known`: what was judged in this moment; what is started here changes nothing of it yet. */
  #next(known: Report | null = null): void {
    let report = known;
    if (this.#abandoned) this.#waiting = [];
    for (const job of [...this.#waiting]) {
      const exclusive = [...this.#running.values()].some(({ name }) => this.#isExclusive(name));
      const mustWait = job.definition.isExclusive === true ? this.#running.size > 0 : this.#running.has(job.path);
      const before = this.#waiting.slice(0, this.#waiting.indexOf(job));
      const others = job.definition.isExclusive === true && before.length > 0;
      if (exclusive || mustWait || others) continue;
      this.#waiting = this.#waiting.filter((one) => one !== job);
      report ??= this.#judge();
      const path = report?.paths.find(({ id }) => id === job.path);
      if (path && job.definition.arises(path)) this.#start(job.definition, path);
    }
  }

  #isExclusive(name: string): boolean {
    return this.#definitions.some((one) => one.name === name && one.isExclusive === true);
  }

  #start(definition: ExperimentDefinition, path: PathReport): void {
    // A path through NAT64 has sockets of IPv4 at both ends.
    const family = endFamily({ family: path.family, nat64: path.nat64 ?? null });
    const bench = new SessionBench(this.#host, {
      experiment: definition.name,
      path: pathId(path.client.interface, path.server.interface, family),
      client: path.client.interface,
      server: path.server.interface,
      family,
      flows: this.#flows,
      numbers: this.#numbers,
      index: this.#index,
    });
    this.#host.log('info', 'experiment.started', { experiment: definition.name, path: path.id });
    const experiment = definition.run(bench, path);
    const running = { name: definition.name, path: path.id, bench, experiment, condition: () => true };
    this.#running.set(path.id, running);
    this.#step(running);
  }

  #step(running: Running): void {
    try {
      while (this.#running.get(running.path) === running && running.condition()) {
        const step = running.experiment.next();
        if (!step.done) running.condition = step.value;
        else this.#end(running);
      }
    } catch (error) {
      if (!(error instanceof ExperimentAbandoned)) throw error;
      this.#host.log('warn', 'experiment.abandoned', { experiment: running.name, path: running.path });
      this.#abandoned = true;
      this.#end(running);
    }
  }

  #end(running: Running): void {
    running.bench.closeAll();
    this.#running.delete(running.path);
    this.#host.log('info', 'experiment.ended', { experiment: running.name, path: running.path });
  }
}
