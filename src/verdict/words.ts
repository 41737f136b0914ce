import { z } from 'zod';

/** verdicts.md, "State, in order of precedence": the earlier one wins. `lost` and `superseded` are said over time. */
export const PATH_STATES = [
  'not-gathered',
  'unprobed',
  'misrouted',
  'established',
  'unresponsive',
  'rejected',
  'one-way',
  'blocked',
  'failed',
  'inconclusive',
  'lost',
  'superseded',
] as const;
export type PathState = (typeof PATH_STATES)[number];

/** verdicts.md, "Causes". */
export const CAUSES = [
  'priority-starved',
  'wrong-route',
  'stun-filtered',
  'udp-blocked',
  'peer-udp-blocked',
  'nat-incompatible',
  'inbound-stateful',
  'admin-prohibited',
  'port-unreachable',
  'port-filtered',
  'size-filtered',
  'rate-limited',
  'payload-rewritten',
  'residual-block',
  'flow-dependent',
  'local-fault',
  'peer-fault',
  'reference-fault',
] as const;
export type Cause = (typeof CAUSES)[number];

export const CARRIER_VERDICTS = [
  'open',
  'blocks-peer-udp',
  'blocks-udp',
  'filters-stun',
  'filters-ports',
  'nat-incompatible',
  'inconclusive',
] as const;
export type CarrierVerdict = (typeof CARRIER_VERDICTS)[number];

export const DIRECTION_STATES = ['open', 'closed', 'unknown'] as const;
export type DirectionState = (typeof DIRECTION_STATES)[number];

export const EGRESS_VERDICTS = ['verified', 'mismatch', 'unknown'] as const;
export type EgressVerdict = (typeof EGRESS_VERDICTS)[number];

export const ROLES = ['client', 'server'] as const;
export type Role = (typeof ROLES)[number];

/** `up` is client → server, `down` is server → client. */
export const DIRECTIONS = ['up', 'down'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** RFC 4787 §4.1 mapping: endpoint-independent, address-dependent, address-and-port-dependent; `none`: no translation. */
export const MAPPINGS = ['none', 'eim', 'adm', 'apdm', 'unknown'] as const;
export type Mapping = (typeof MAPPINGS)[number];

/** RFC 4787 §5 filtering. */
export const FILTERINGS = ['eif', 'adf', 'apdf', 'unknown'] as const;
export type Filtering = (typeof FILTERINGS)[number];

/** What was measured of the NATs between one interface and the reference, one family. */
export const natModelSchema = z.object({
  mapping: z.enum(MAPPINGS),
  filtering: z.enum(FILTERINGS),
  portPreservation: z.boolean().nullable(),
  /** verdicts.md, spoil test: tries, and tries in which an early inbound packet moved the mapping. `null`: not run. */
  spoil: z.object({ n: z.number().int(), k: z.number().int() }).nullable(),
  /** The reflexive address seen first, for people. */
  reflexive: z.object({ address: z.string(), port: z.number().int() }).nullable(),
  /** What could not be measured, and why: sentences. Empty when the model is complete. */
  missing: z.array(z.string()),
});
export type NatModel = z.infer<typeof natModelSchema>;
