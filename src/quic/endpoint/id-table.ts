import { uint32At } from '../../base/bytes.js';

/** Connection ids of this length are what this end issues. */
export const OWN_ID_BYTES = 8;

/**
 * Who a connection id leads to. Every datagram asks, so ids of our own length are looked up by a number, which holds 53
 * of their 64 bits: they are random, and who has a packet sees from the whole id whether it is his.
 */
export class IdTable<T> {
  readonly #own = new Map<number, T>();
  /** Those that clients choose for their first packets. */
  readonly #others = new Map<string, T>();

  get size(): number {
    return this.#own.size + this.#others.size;
  }

  /** `id` begins at `at` of `bytes`. */
  get(bytes: Uint8Array, at: number, length: number): T | undefined {
    if (length === OWN_ID_BYTES) return this.#own.get(numberOf(bytes, at));
    return this.#others.size === 0 ? undefined : this.#others.get(textOf(bytes.subarray(at, at + length)));
  }

  has(id: Uint8Array): boolean {
    return this.get(id, 0, id.length) !== undefined;
  }

  set(id: Uint8Array, value: T): void {
    if (id.length === OWN_ID_BYTES) this.#own.set(numberOf(id, 0), value);
    else this.#others.set(textOf(id), value);
  }

  delete(id: Uint8Array): void {
    if (id.length === OWN_ID_BYTES) this.#own.delete(numberOf(id, 0));
    else this.#others.delete(textOf(id));
  }
}

function numberOf(bytes: Uint8Array, at: number): number {
  return uint32At(bytes, at) * 0x20_0000 + (uint32At(bytes, at + 4) >>> 11);
}

function textOf(id: Uint8Array): string {
  return String.fromCharCode(...id);
}
