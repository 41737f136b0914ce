import type { Ms } from '../base/time.js';
import type { Role } from '../verdict/words.js';
import type { Host } from './host.js';
import { RecordIndex } from './record-index.js';
import { recordEventSchema, type RecordEvent } from './record.js';

/** How often what happened here is told to the far end. */
const FLUSH_EVERY_MS: Ms = 250;
/** The most events of one message; `control/` takes no more. */
const BATCH_MAX = 400;
/** The most events of one host that a run holds, and of the far end's as JSON: nobody can fill our memory or disk. */
const EVENTS_MAX = 200_000;
const FAR_CHARACTERS_MAX = 64 * 1024 * 1024;
/** Packets come as often as somebody likes; of what else happens there is little, and a record needs all of it. */
const PACKETS: ReadonlySet<RecordEvent['type']> = new Set(['sent', 'received', 'altered', 'icmp', 'candidate']);

/** The record of both ends: ours as it happens, the far end's as it tells us. */
export class Evidence {
  readonly #host: Host;
  readonly #far: Role;
  readonly #events: RecordEvent[] = [];
  readonly index = new RecordIndex();
  #unsent: RecordEvent[] = [];
  #flushAt: Ms = Number.POSITIVE_INFINITY;
  #own = 0;
  #foreign = 0;
  #foreignCharacters = 0;
  #farHost = false;
  #full = false;

  constructor(host: Host) {
    this.#host = host;
    this.#far = host.role === 'client' ? 'server' : 'client';
    host.onEvent = (event) => {
      if (this.#own >= EVENTS_MAX && PACKETS.has(event.type)) return this.#isFull();
      this.#own += 1;
      this.#keep(event);
      this.#unsent.push(event);
      this.#flushAt = Math.min(this.#flushAt, host.now + FLUSH_EVERY_MS);
      return true;
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
      if (parsed.success && this.#believes(parsed.data)) {
        this.#keep(parsed.data);
        this.#host.outputs.push({ type: 'event', event: parsed.data });
      } else refused += 1;
    }
    if (refused > 0) this.#host.complain('evidence.refused', { refused, of: batch.length });
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
    this.#events.push(event);
    this.index.add(event);
  }

  /** Whether the far end may say this: of itself, its interfaces once, and within bounds. */
  #believes(event: RecordEvent): boolean {
    if (event.host !== this.#far) return false;
    if (event.type === 'host') {
      if (this.#farHost) return false;
      this.#farHost = true;
    }
    this.#foreign += 1;
    this.#foreignCharacters += charactersOf(event);
    return (this.#foreign <= EVENTS_MAX && this.#foreignCharacters <= FAR_CHARACTERS_MAX) || this.#isFull();
  }

  #isFull(): false {
    if (!this.#full) this.#host.log('error', 'evidence.full', { events: this.#events.length });
    this.#full = true;
    return false;
  }
}

/** About how long it is as JSON: what strings and names take, and a number's or bracket's few. */
function charactersOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 8;
  let characters = 2;
  for (const name in value) characters += name.length + 4 + charactersOf((value as Record<string, unknown>)[name]);
  return characters;
}
