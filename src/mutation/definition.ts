import { z } from 'zod';
import { HEADER_FIELDS } from './arm.js';

/**
 * An arm of a user as the plan carries it to the far end and the record keeps it. Bounded, because whoever holds the
 * invite may send any: docs/decisions/abuse.md says why these bounds.
 */
export const MOST_OWN_ARMS = 16;
/** Bytes that a user may choose in a packet, in a row or not: as many as a header of RTP (RFC 3550 §5.1) has. */
export const MOST_CHOSEN_BYTES = 12;
/** In every message of an exchange: the shortest is a header and an integrity (RFC 8489 §14.5). */
export const CHANGEABLE_BYTES = 44;
export const LEAST_LENGTH_BYTES = 48;
export const MOST_LENGTH_BYTES = 1200;

/** Short, so that it fits into a table, and never a file's name. */
export const OWN_ARM_NAME = /^[a-z][a-z0-9~-]{0,23}$/;

const hex = z.string().regex(/^(?:[0-9a-f]{2}){1,12}$/);

export const armDefinitionSchema = z.object({
  name: z.string().regex(OWN_ARM_NAME),
  /** Of STUN, changed as in the built-in arms. */
  fields: z.array(z.enum(HEADER_FIELDS)).max(HEADER_FIELDS.length),
  changes: z
    .array(z.object({ at: z.number().int().min(0).max(CHANGEABLE_BYTES), how: z.enum(['xor', 'to']), bytes: hex }))
    .max(MOST_CHOSEN_BYTES),
  /** What is not STUN begins with these bytes; `null`: it is STUN. */
  starts: hex.nullable(),
  lengthBytes: z.number().int().min(LEAST_LENGTH_BYTES).max(MOST_LENGTH_BYTES).nullable(),
});
export type ArmDefinition = z.infer<typeof armDefinitionSchema>;
