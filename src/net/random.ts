import { randomFillSync } from 'node:crypto';
import type { Random } from '../base/random.js';

/** The system is asked once for so much: a round of the matrix draws hundreds of numbers, and each question costs 3 µs. */
const pool = new Uint8Array(4096);
let used = pool.length;

/** The next bytes of the pool, which forgets them: nothing drawn is drawn again, nor found in memory later. */
function draw(length: number): Uint8Array {
  if (length > pool.length) return randomFillSync(new Uint8Array(length));
  if (used + length > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = pool.slice(used, used + length);
  pool.fill(0, used, used + length);
  used += length;
  return bytes;
}

/** The system's cryptographic randomness. */
export const systemRandom: Random = {
  uint32: () => {
    const [a = 0, b = 0, c = 0, d = 0] = draw(4);
    return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  },
  bytes: draw,
};
