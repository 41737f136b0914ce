import { uint32At, utf8Bytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import { maskOf } from './sealed.js';

/** The same bytes for whoever has the key: `maskOf` in counter mode. */
export class KeyedRandom implements Random {
  readonly #key: Uint8Array;
  readonly #label: Uint8Array;
  #block = 0;
  #left = new Uint8Array(0);

  constructor(key: Uint8Array, label: string) {
    this.#key = key;
    this.#label = utf8Bytes(label);
  }

  uint32(): number {
    return uint32At(this.bytes(4), 0);
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      if (this.#left.length === 0) {
        this.#left = new Uint8Array(maskOf(this.#key, this.#label, this.#block));
        this.#block += 1;
      }
      const taken = this.#left.subarray(0, length - filled);
      bytes.set(taken, filled);
      this.#left = this.#left.subarray(taken.length);
      filled += taken.length;
    }
    return bytes;
  }
}
