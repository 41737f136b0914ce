import { z } from 'zod';
import type { PacketSpec } from '../mutation/trial-packet.js';
import { ROLES, type Role } from './words.js';

/**
 * An experiment of a user, as the record keeps it: so many pairs of a packet and its control, the one right beside the
 * other, and whether the packet arrives more rarely.
 */
export const MOST_OWN_EXPERIMENTS = 8;
/** Pairs in each direction: flows times repeats. */
export const MOST_PAIRS = 100;
export const MOST_FLOWS = 16;

/** Openers are shorter: so they are never taken for a packet of the question, nor for its control. */
export const LEAST_TRIAL_BYTES = 64;
export const OPENER_BYTES = 48;

const port = z.number().int().min(1).max(0xffff).nullable();
const range = z.object({ at: z.number().int().min(0).max(1500), end: z.number().int().min(1).max(1501) });
const sideSchema = z.object({
  arm: z.string().max(64),
  lengthBytes: z.number().int().min(LEAST_TRIAL_BYTES).max(1472).nullable(),
  graft: z.object({ from: z.string().max(64), bytes: z.array(range).max(16).readonly() }).nullable(),
  ttl: z.number().int().min(1).max(255).nullable(),
  ports: z.object({ client: port, server: port }),
});

export const ownExperimentSchema = z.object({
  name: z.string().max(24),
  /** The question, in the user's words. */
  asks: z.string().max(200),
  from: z.array(z.enum(ROLES)).min(1).max(2),
  flows: z.number().int().min(1).max(MOST_FLOWS),
  repeats: z.number().int().min(1).max(MOST_PAIRS),
  everyMs: z.number().min(50).max(2000),
  test: sideSchema,
  control: sideSchema,
});
export type OwnExperiment = z.infer<typeof ownExperimentSchema>;
export type OwnSide = OwnExperiment['test'];

/** What its trials are called, apart from those of built-in experiments. */
export function trialNameOf({ name }: Pick<OwnExperiment, 'name'>): string {
  return `own ${name}`;
}

export function packetOfSide({ arm, lengthBytes, graft, ttl }: OwnSide): PacketSpec {
  return { arm, lengthBytes, graft, ttl };
}

export function sends({ from }: OwnExperiment, role: Role): boolean {
  return from.includes(role);
}
