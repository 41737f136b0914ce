import { randomBytes } from 'node:crypto';
import type { Random } from '../base/random.js';

/** The system's cryptographic randomness. */
export const systemRandom: Random = {
  uint32: () => randomBytes(4).readUInt32BE(),
  bytes: (length) => Uint8Array.from(randomBytes(length)),
};
