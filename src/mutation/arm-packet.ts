import { concatBytes, setUint32, toHex, uint32At, xorBytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import { HEADER_BYTES, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { type ByteRange, differences } from './differences.js';
import { KeyedRandom } from './keyed-random.js';
import type { ArmName } from './names.js';
import { buildProbe, type Probe } from './probe.js';
import { type ArmRegistry, BUILT_IN } from './registry.js';
import { hmac } from './sealed.js';

/** STUN's transaction id: it stands there in every arm. */
const ID_AT = HEADER_BYTES - TRANSACTION_ID_BYTES;
/** The id's first bytes are a tag over the counter, the others the counter under a mask drawn from the tag. */
const TAG_BYTES = 8;
const TAG = 'icepath arm packet';
const MASK = 'icepath arm packet mask';

/**
 * A packet of the arm matrix, as {@link buildProbe} makes them. One that is STUN can be made again by whoever has the key
 * and reads its counter off its transaction id: so the far end sees what was rewritten in it on the way. `random` is for
 * what is not STUN. Throws `RangeError` for an unknown arm.
 */
export function buildArmPacket(
  arm: ArmName,
  options: {
    readonly key: Uint8Array;
    readonly counter: number;
    readonly random: Random;
    readonly arms?: ArmRegistry;
  },
): Probe {
  const { key, counter, random, arms = BUILT_IN } = options;
  if (arms.find(arm)?.stun !== true) return buildProbe(arm, { key, counter, random, arms });
  return buildProbe(arm, { key, counter, random: contentOf(key, counter), arms, id: idOf(key, counter) });
}

export interface AlteredPacket {
  readonly arm: ArmName;
  readonly id: string;
  /** Bytes that are others than it was sent with. */
  readonly changed: readonly ByteRange[];
}

/**
 * A STUN packet of the arm matrix that came with other bytes than it was sent with, its transaction id unhurt; `null` for
 * everything else, and for one that came as it was sent. Nobody without the key can make one up.
 */
export function recogniseAltered(
  wire: Uint8Array,
  key: Uint8Array,
  arms: ArmRegistry = BUILT_IN,
): AlteredPacket | null {
  if (wire.length < HEADER_BYTES) return null;
  const id = wire.subarray(ID_AT, HEADER_BYTES);
  const counter = counterOf(key, id);
  if (counter === null) return null;
  // Which arm it was only its other bytes tell: the one of which the fewest were changed.
  const [nearest] = arms.stunArms
    .map(({ name: arm }) => {
      const { bytes } = buildArmPacket(arm, { key, counter, random: contentOf(key, counter), arms });
      const changed = differences(bytes, wire);
      return { arm, changed, size: changed.reduce((sum, { at, end }) => sum + end - at, 0) };
    })
    .sort((left, right) => left.size - right.size);
  return nearest && nearest.size > 0 ? { arm: nearest.arm, id: toHex(id), changed: nearest.changed } : null;
}

function idOf(key: Uint8Array, counter: number): Uint8Array {
  const bytes = counterBytes(counter);
  const tag = hmac(key, TAG, bytes).subarray(0, TAG_BYTES);
  return concatBytes(tag, xorBytes(bytes, hmac(key, MASK, tag)));
}

function counterOf(key: Uint8Array, id: Uint8Array): number | null {
  const tag = id.subarray(0, TAG_BYTES);
  const counter = uint32At(xorBytes(id.subarray(TAG_BYTES), hmac(key, MASK, tag)), 0);
  return toHex(idOf(key, counter)) === toHex(id) ? counter : null;
}

function contentOf(key: Uint8Array, counter: number): Random {
  return new KeyedRandom(key, `icepath arm content ${String(counter)}`);
}

function counterBytes(counter: number): Uint8Array {
  const bytes = new Uint8Array(4);
  setUint32(bytes, 0, counter);
  return bytes;
}
