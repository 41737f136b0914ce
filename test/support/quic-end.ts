import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import type { Connection } from '../../src/quic/connection/connection.js';
import type { ConnectionEvent, ConnectionIds } from '../../src/quic/connection/types.js';

export type Side = 'client' | 'server';

export const ID_BYTES = 8;

class Ids implements ConnectionIds {
  readonly lengthBytes = ID_BYTES;
  readonly live = new Set<string>();
  /** Stateless reset tokens, in the order in which ids were issued. */
  readonly tokens: Uint8Array[] = [];
  readonly issued: Uint8Array[] = [];
  readonly #random: SeededRandom;

  constructor(seed: string) {
    this.#random = new SeededRandom(seed);
  }

  issue() {
    const id = this.#random.bytes(ID_BYTES);
    this.live.add(String(id));
    const resetToken = this.#random.bytes(16);
    this.tokens.push(resetToken);
    this.issued.push(id);
    return { id, resetToken };
  }

  retire(id: Uint8Array): void {
    this.live.delete(String(id));
  }
}

/** What one end did, for tests to look at. */
export class End {
  connection: Connection | null = null;
  readonly events: ConnectionEvent[] = [];
  readonly ids: Ids;
  /** By stream: what was read, and when. */
  readonly received = new Map<number, { bytes: Uint8Array[]; at: Ms[]; length: number }>();
  readonly finished = new Set<number>();
  /** Bytes of UDP payload. */
  sentBytes = 0;
  receivedBytes = 0;
  sentDatagrams = 0;
  /** What waits to be written. */
  readonly #pending = new Map<number, { rest: Uint8Array; fin: boolean }>();

  constructor(side: Side, seed: string) {
    this.ids = new Ids(`${seed} ${side} ids`);
  }

  get it(): Connection {
    if (this.connection === null) throw new Error('there is no connection yet');
    return this.connection;
  }

  /** Events of a type, in their order. */
  of<Type extends ConnectionEvent['type']>(type: Type): Extract<ConnectionEvent, { type: Type }>[] {
    return this.events.filter((event): event is Extract<ConnectionEvent, { type: Type }> => event.type === type);
  }

  get closed() {
    return this.of('closed')[0];
  }

  /** Opens a stream, writes all of it as backpressure lets it, and ends it. */
  post(data: Uint8Array, direction: 'bidi' | 'uni' = 'uni'): number {
    const stream = this.it.openStream(direction);
    if (stream === null) throw new Error('no stream');
    this.write(stream, data, true);
    return stream;
  }

  write(stream: number, data: Uint8Array, fin = false): void {
    const taken = this.it.write(stream, data);
    const rest = data.subarray(taken);
    if (rest.length > 0) this.#pending.set(stream, { rest, fin });
    else if (fin) this.it.finish(stream);
  }

  bytesOf(stream: number): Uint8Array {
    const { bytes = [], length = 0 } = this.received.get(stream) ?? {};
    const whole = new Uint8Array(length);
    let at = 0;
    for (const part of bytes) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  onEvent(event: ConnectionEvent, now: Ms): void {
    this.events.push(event);
    if (event.type === 'readable') {
      const kept = this.received.get(event.stream) ?? { bytes: [], at: [], length: 0 };
      this.received.set(event.stream, kept);
      for (let data = this.it.read(event.stream); data !== null; data = this.it.read(event.stream)) {
        kept.bytes.push(data);
        kept.at.push(now);
        kept.length += data.length;
      }
    } else if (event.type === 'finished') this.finished.add(event.stream);
    else if (event.type === 'writable') {
      const pending = this.#pending.get(event.stream);
      this.#pending.delete(event.stream);
      if (pending) this.write(event.stream, pending.rest, pending.fin);
    }
  }
}
