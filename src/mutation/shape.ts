import type { Random } from '../base/random.js';
import { clientHello, sealedInClientHello } from './dtls.js';
import { CONTROL_ARM, type ArmName } from './names.js';
import { quicInitial, sealedInInitial } from './quic-initial.js';

/** Where an arm that is not STUN has its sealed body (`sealed.ts`). */
export interface Shape {
  readonly arm: ArmName;
  /** `lengthBytes`, or more where the body needs more. */
  readonly wrap: (sealed: Uint8Array, lengthBytes: number, random: Random) => Uint8Array;
  /** What may begin with a sealed body, and go on behind it; `null` for what cannot be this arm. */
  readonly unwrap: (wire: Uint8Array) => Uint8Array | null;
}

const RANDOM_BODY_AT = 8;

/** In no range that a protocol demultiplexes by: above TURN's channels, below QUIC's long headers (RFC 9443 §3). */
function controlFirstByte(byte: number): number {
  return 0x60 | (byte & 0x1f);
}

export const SHAPES: readonly Shape[] = [
  {
    arm: CONTROL_ARM,
    wrap: (sealed, lengthBytes, random) => {
      const wire = random.bytes(Math.max(lengthBytes, RANDOM_BODY_AT + sealed.length));
      wire[0] = controlFirstByte(wire[0] ?? 0);
      wire.set(sealed, RANDOM_BODY_AT);
      return wire;
    },
    unwrap: (wire) => (wire[0] === controlFirstByte(wire[0] ?? 0) ? wire.subarray(RANDOM_BODY_AT) : null),
  },
  { arm: 'dtls', wrap: clientHello, unwrap: sealedInClientHello },
  { arm: 'quic', wrap: quicInitial, unwrap: sealedInInitial },
];

/** Places at which a body behind a user's first bytes may begin: a reference, which is not told of them, looks at each. */
export const PREFIX_BYTES = [4, 8, 12] as const;

/** What begins with bytes of a user, then looks random; the body begins at the next of {@link PREFIX_BYTES}. */
export function prefixShape(arm: ArmName, starts: Uint8Array): Shape {
  const bodyAt = PREFIX_BYTES.find((at) => at >= starts.length) ?? starts.length;
  return {
    arm,
    wrap: (sealed, lengthBytes, random) => {
      const wire = random.bytes(Math.max(lengthBytes, bodyAt + sealed.length));
      wire.set(starts);
      wire.set(sealed, bodyAt);
      return wire;
    },
    unwrap: (wire) => (starts.every((byte, index) => wire[index] === byte) ? wire.subarray(bodyAt) : null),
  };
}
