import { setUint32, toHex } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import { transactionKey } from '../stun/message.js';
import { TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { CHECK_BYTES, checkLike } from './check.js';
import { mutate, undo } from './header.js';
import type { ArmName } from './names.js';
import { type ArmRegistry, BUILT_IN } from './registry.js';
import { hmac, seal, sealedId, unseal } from './sealed.js';

const COUNTER_BYTES = 4;

export interface Probe {
  /** 24 hex digits; the transaction id where the arm is STUN. */
  readonly id: string;
  readonly bytes: Uint8Array;
}

/**
 * One packet of the matrix. `counter` (32 bits) makes it unique under `key`, the session's, which nobody else has.
 * All arms have the same length unless `lengthBytes` is given or a user's has one of its own, but for
 * `stun~attributes`: it lost the rest and has 44.
 * STUN arms round down to a multiple of four; no arm goes below what it needs. Throws `RangeError` for an unknown arm.
 */
export function buildProbe(
  arm: ArmName,
  options: {
    readonly key: Uint8Array;
    readonly counter: number;
    readonly lengthBytes?: number;
    readonly random: Random;
    readonly arms?: ArmRegistry;
    /** The transaction id of STUN; drawn from counter and arm by default. */
    readonly id?: Uint8Array;
  },
): Probe {
  const { key, counter, random, arms = BUILT_IN } = options;
  const known = arms.find(arm);
  const lengthBytes = options.lengthBytes ?? known?.lengthBytes ?? CHECK_BYTES;
  if (known?.stun) {
    const id = options.id ?? hmac(key, labelOf(arm), counterBytes(counter)).subarray(0, TRANSACTION_ID_BYTES);
    return { id: toHex(id), bytes: mutate(known, checkLike(id, { key, lengthBytes, random }), key) };
  }
  const shape = arms.shapeOf(arm);
  if (!shape) throw new RangeError(`no arm ${arm}`);
  const sealed = seal(key, labelOf(arm), counterBytes(counter));
  return { id: sealedId(sealed), bytes: shape.wrap(sealed, lengthBytes, random) };
}

/** The arm and id of a probe that was made with `key`; `null` for everything else. */
export function recogniseProbe(
  wire: Uint8Array,
  key: Uint8Array,
  arms: ArmRegistry = BUILT_IN,
): { readonly arm: ArmName; readonly id: string } | null {
  for (const { arm, unwrap } of arms.shapes) {
    const sealed = unwrap(wire);
    if (sealed && unseal(key, labelOf(arm), sealed, COUNTER_BYTES)) return { arm, id: sealedId(sealed) };
  }
  const undone = undo(wire, [key], arms.arms);
  if (undone?.message.class !== 'request') return null;
  return { arm: undone.arm, id: transactionKey(undone.message.transactionId) };
}

function labelOf(arm: ArmName): string {
  return `icepath probe${arm}`;
}

function counterBytes(counter: number): Uint8Array {
  const bytes = new Uint8Array(COUNTER_BYTES);
  setUint32(bytes, 0, counter);
  return bytes;
}
