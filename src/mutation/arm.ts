import { MIN_INITIAL_DATAGRAM_BYTES } from '../quic/wire/header.js';
import { CONTROL_ARM, PLAIN_ARM, type ArmName } from './names.js';

/** Parts of a STUN message that a classifier may look at, and an arm may change. */
export const HEADER_FIELDS = ['first-byte', 'type', 'length', 'cookie', 'attributes', 'fingerprint'] as const;
export type HeaderField = (typeof HEADER_FIELDS)[number];

/**
 * Bytes of a finished STUN message that an arm changes so that the receiver can undo it: any by exclusive or, and those
 * whose standard value a receiver knows (length and cookie, bytes 2 to 7) by setting them.
 */
export interface ByteChange {
  readonly at: number;
  readonly how: 'xor' | 'to';
  readonly bytes: Uint8Array;
}

export interface Arm {
  readonly name: ArmName;
  readonly stun: boolean;
  /** What it changes against plain STUN: none for `stun` itself and for what is not STUN. */
  readonly fields: readonly HeaderField[];
  /** Bytes that a STUN arm changes besides. */
  readonly changes?: readonly ByteChange[];
  /** What every packet of a user's arm that is not STUN begins with. */
  readonly starts?: Uint8Array;
  /** Of its packets in the rounds; as long as all others by default. */
  readonly lengthBytes?: number;
}

/** Every arm that is built in: the control, then STUN, least changed first (`stun~attributes` loses what ICE needs). */
export const ARMS: readonly Arm[] = [
  { name: CONTROL_ARM, stun: false, fields: [] },
  { name: PLAIN_ARM, stun: true, fields: [] },
  { name: 'stun~40', stun: true, fields: ['first-byte'] },
  { name: 'stun~cookie', stun: true, fields: ['cookie'] },
  { name: 'stun~length', stun: true, fields: ['length'] },
  { name: 'stun~type', stun: true, fields: ['type'] },
  { name: 'stun~40~cookie', stun: true, fields: ['first-byte', 'cookie'] },
  { name: 'stun~attributes', stun: true, fields: ['attributes'] },
  { name: 'dtls', stun: false, fields: [] },
  // RFC 9000 §14.1: an Initial fills its datagram, so this arm alone is longer than the control.
  { name: 'quic', stun: false, fields: [], lengthBytes: MIN_INITIAL_DATAGRAM_BYTES },
];

/** What an arm changes, as verdicts name it: `cookie`, `bytes:20-21`. */
export function changedParts({ fields, changes = [] }: Arm): string[] {
  const ranges = changes.map(({ at, bytes }) => (bytes.length === 1 ? `${at}` : `${at}-${at + bytes.length - 1}`));
  return [...fields, ...ranges.map((range) => `bytes:${range}`)];
}

export function sameFields(left: readonly HeaderField[], right: readonly HeaderField[]): boolean {
  return HEADER_FIELDS.every((field) => left.includes(field) === right.includes(field));
}
