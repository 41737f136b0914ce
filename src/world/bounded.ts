import type { Ms } from '../base/time.js';

/** What a box keeps in mind where nothing else is known of it: a small router's `nf_conntrack_max`. */
export const DEFAULT_FLOWS = 65_536;
/** Of what is only remembered to be faster, or counted against a limit: addresses, destinations. */
export const REMEMBERED = 4096;

/** Makes room for one more by forgetting what came first. */
export function makeRoom(table: Map<string, unknown> | Set<string>, capacity: number): void {
  if (table.size < capacity) return;
  for (const first of table.keys()) {
    table.delete(first);
    return;
  }
}

/** How often a full table is looked through for what has expired: about as often as conntrack's own collector. */
const SWEEP_EVERY_MS: Ms = 1000;

/** An entry of a table; `expiresAt` moves while the flow lives. */
export interface Expiring {
  readonly key: string;
  readonly expiresAt: Ms;
}

/** Flows as boxes know them: they expire, and there are no more than `capacity`, the expired and forgotten included. */
export class FlowTable<Flow extends Expiring = Expiring> {
  readonly #flows = new Map<string, Flow>();
  readonly #capacity: number;
  readonly #onForgotten: (flow: Flow) => void;
  #sweptAt: Ms = Number.NEGATIVE_INFINITY;

  /** `onForgotten` is told of every flow that leaves the table: where it stands in another index, too. */
  constructor(capacity: number, onForgotten: (flow: Flow) => void = () => undefined) {
    this.#capacity = capacity;
    this.#onForgotten = onForgotten;
  }

  get size(): number {
    return this.#flows.size;
  }

  /** One that lives. */
  get(key: string, now: Ms): Flow | null {
    return this.alive(this.#flows.get(key), now);
  }

  /** The same flow while it lives; `null`, and it is forgotten, from when it has expired. */
  alive(flow: Flow | undefined, now: Ms): Flow | null {
    if (flow === undefined) return null;
    if (flow.expiresAt > now) return flow;
    this.forget(flow);
    return null;
  }

  /** Whether one more fits, once what has expired is gone. */
  hasRoom(now: Ms): boolean {
    if (this.#flows.size >= this.#capacity && now >= this.#sweptAt + SWEEP_EVERY_MS) {
      this.#sweptAt = now;
      for (const flow of this.#flows.values()) this.alive(flow, now);
    }
    return this.#flows.size < this.#capacity;
  }

  /** Takes one in, in place of what came first where there is no room. */
  add(flow: Flow, now: Ms): void {
    const [first] = this.hasRoom(now) ? [] : this.#flows.values();
    if (first) this.forget(first);
    this.#flows.set(flow.key, flow);
  }

  clear(): void {
    for (const flow of [...this.#flows.values()]) this.forget(flow);
  }

  forget(flow: Flow): void {
    this.#flows.delete(flow.key);
    this.#onForgotten(flow);
  }
}
