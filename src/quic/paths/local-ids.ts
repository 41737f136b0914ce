import { equalBytes } from '../../base/bytes.js';
import { type QuicError, quicError } from '../wire/errors.js';
import type { NewConnectionIdFrame } from '../wire/frames.js';

/** More than a few are of no use to anybody, whatever the far end says that it would keep. */
const MOST_ACTIVE = 4;

/** The connection ids that this end has issued for one path (RFC 9000 §5.1.1). */
export class LocalIds {
  readonly #path: number | null;
  readonly #active = new Map<number, Uint8Array>();
  #next = 0;

  constructor(path: number | null) {
    this.#path = path;
  }

  get active(): readonly Uint8Array[] {
    return [...this.#active.values()];
  }

  /** The sequence number of the id that will be issued next. */
  get next(): number {
    return this.#next;
  }

  /** How many more the far end should have; `limit`: its active_connection_id_limit. */
  missing(limit: number): number {
    return Math.max(0, Math.min(limit, MOST_ACTIVE) - this.#active.size);
  }

  /** The id of the handshake takes sequence number 0 of path 0, without a frame. */
  setFirst(id: Uint8Array): void {
    this.#active.set(0, id);
    this.#next = 1;
  }

  /** A further id; the frame says so to the far end. */
  issue(id: Uint8Array, resetToken: Uint8Array): NewConnectionIdFrame {
    const sequence = this.#next;
    this.#next += 1;
    this.#active.set(sequence, id);
    return { type: 'new-connection-id', path: this.#path, sequence, retirePriorTo: 0, id, resetToken };
  }

  /** Whether what was said of an id has to be said again, when it was lost. */
  isActive(sequence: number): boolean {
    return this.#active.has(sequence);
  }

  /** RFC 9000 §19.16: neither what was never issued nor what the frame's own packet was sent to. Gives back the id. */
  onRetire(sequence: number, destination: Uint8Array): Uint8Array | QuicError | null {
    if (sequence >= this.#next)
      return quicError('PROTOCOL_VIOLATION', 'a connection id is retired that was never issued');
    const id = this.#active.get(sequence);
    if (id === undefined) return null;
    if (equalBytes(id, destination)) {
      return quicError('PROTOCOL_VIOLATION', 'a connection id is retired by a packet that was sent to it');
    }
    this.#active.delete(sequence);
    return id;
  }
}
