import type { Ms } from '../base/time.js';
import type { Role } from '../verdict/words.js';
import type { Host } from './host.js';
import { recordEventSchema, type RecordEvent } from './record.js';

/** How often what happened here is told to the far end. */
const FLUSH_EVERY_MS: Ms = 250;
/** The most events of one message; `control/` takes no more. */
const BATCH_MAX = 400;
/** The most events that a run may hold: a far end cannot fill our memory. */
const LEDGER_MAX = 1_000_000;

/** The record of both ends: ours as it happens, the far end's as it tells us. */
export class Evidence {
  readonly #host: Host;
  readonly #far: Role;
  readonly #events: RecordEvent[] = [];
  #unsent: RecordEvent[] = [];
  #flushAt: Ms = Number.POSITIVE_INFINITY;
  #full = false;

  constructor(host: Host) {
    this.#host = host;
    this.#far = host.role === 'client' ? 'server' : 'client';
    host.onEvent = (event) => {
      this.#keep(event);
      this.#unsent.push(event);
      this.#flushAt = Math.min(this.#flushAt, host.now + FLUSH_EVERY_MS);
    };
  }

  get events(): readonly RecordEvent[] {
    return this.#events;
  }

  /** Takes a batch of the far end. What is malformed or speaks for another host is left out, and said. */
  take(batch: readonly unknown[]): void {
    let refused = 0;
    for (const item of batch) {
      const parsed = recordEventSchema.safeParse(item);
      if (parsed.success && parsed.data.host === this.#far) {
        this.#keep(parsed.data);
        this.#host.outputs.push({ type: 'event', event: parsed.data });
      } else refused += 1;
    }
    if (refused > 0) this.#host.log('warn', 'evidence.malformed', { refused, of: batch.length });
  }

  deadline(): Ms {
    return this.#flushAt;
  }

  timeout(): void {
    if (this.#flushAt <= this.#host.now) this.flush();
  }

  /** Tells the far end everything that it has not heard yet. */
  flush(): void {
    for (let start = 0; start < this.#unsent.length; start += BATCH_MAX) {
      this.#host.message({ type: 'events', events: this.#unsent.slice(start, start + BATCH_MAX) });
    }
    this.#unsent = [];
    this.#flushAt = Number.POSITIVE_INFINITY;
  }

  #keep(event: RecordEvent): void {
    if (this.#events.length < LEDGER_MAX) this.#events.push(event);
    else if (!this.#full) {
      this.#full = true;
      this.#host.log('error', 'evidence.full', { events: LEDGER_MAX });
    }
  }
}
