/** Where a machine gets its randomness from: an argument, so that a failure replays from its seed. */
export interface Random {
  /** A uniform integer in [0, 2^32). */
  uint32(): number;
  /** `length` uniform bytes. */
  bytes(length: number): Uint8Array;
}

/** A uniform integer in [low, high], both included. */
export function integerBetween(random: Random, low: number, high: number): number {
  const span = high - low + 1;
  // Rejection keeps it uniform: the last, incomplete run of `span` values is drawn again.
  const limit = Math.floor(0x1_0000_0000 / span) * span;
  let value = random.uint32();
  while (value >= limit) value = random.uint32();
  return low + (value % span);
}

/** A uniform number in [0, 1). */
export function fraction(random: Random): number {
  return random.uint32() / 0x1_0000_0000;
}

/** A new array with the items in uniformly random order (Fisher–Yates). */
export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = integerBetween(random, 0, last);
    [result[last], result[other]] = [result[other] as T, result[last] as T];
  }
  return result;
}

/**
 * Deterministic randomness for tests and simulated worlds (sfc32 seeded through FNV-1a). Not for secrets. The state is
 * kept in signed words: those an engine computes with as they are.
 */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string | number) {
    let hash = 0x811c9dc5 | 0;
    for (const character of String(seed)) {
      hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
    }
    this.#a = hash;
    this.#b = hash ^ 0x9e3779b9;
    this.#c = Math.imul(hash, 0x85ebca6b);
    for (let round = 0; round < 12; round += 1) this.#next();
  }

  uint32(): number {
    return this.#next() >>> 0;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index += 1) bytes[index] = this.#next();
    return bytes;
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum;
  }
}
