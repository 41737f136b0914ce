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

/** Which ends of a transfer send: the client (`upload`), the server, or both at the same time. */
export const TRANSFER_DIRECTIONS = ['upload', 'download', 'both'] as const;
export type TransferDirection = (typeof TRANSFER_DIRECTIONS)[number];

export const ROLES = ['client', 'server'] as const;
export type Role = (typeof ROLES)[number];

/** Ways through for a path that did not come up: fresh sockets; the same behind low-TTL openers; guessing a NAT's port. */
export const WAYS = ['fresh-sockets', 'opener', 'port-guess'] as const;
export type Way = (typeof WAYS)[number];

/** `up` is client → server, `down` is server → client. */
export const DIRECTIONS = ['up', 'down'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** RFC 4787 §4.1 mapping: endpoint-independent, address-dependent, address-and-port-dependent; `none`: no translation. */
export const MAPPINGS = ['none', 'eim', 'adm', 'apdm', 'unknown'] as const;
export type Mapping = (typeof MAPPINGS)[number];

/** RFC 4787 §5 filtering. */
export const FILTERINGS = ['eif', 'adf', 'apdf', 'unknown'] as const;
export type Filtering = (typeof FILTERINGS)[number];

/** RFC 4787 §4.2.1, from sockets that were mapped one after the other: the inside port, a small step on, or any. */
export const PORT_PATTERNS = ['preserving', 'sequential', 'random'] as const;

/** RFC 4787 REQ-9: the packet comes back inside with its outside source, as it must, or with its inside one, or not. */
export const HAIRPINS = ['external', 'internal', 'none'] as const;
export type Hairpin = (typeof HAIRPINS)[number];

const port = z.number().int().min(0).max(0xffff);
const sentence = z.string().max(500);

/** What was measured of the NATs between one interface and the reference, one family. */
export const natModelSchema = z.object({
  mapping: z.enum(MAPPINGS),
  filtering: z.enum(FILTERINGS),
  portPreservation: z.boolean().nullable(),
  /** verdicts.md, spoil test: tries, and tries in which an early inbound packet moved the mapping. `null`: not run. */
  spoil: z.object({ n: z.number().int(), k: z.number().int() }).nullable(),
  /** Where an early packet moves the mapping: the TTL that crosses all own NATs and no more, and who said that packets of TTL 1, 2 … died there. */
  opener: z
    .object({ ttl: z.number().int().min(1).max(255), hops: z.array(z.string().max(64).nullable()).max(255) })
    .exactOptional(),
  /** The reflexive address seen first, for people. */
  reflexive: z.object({ address: z.string(), port: z.number().int() }).nullable(),
  /** What could not be measured, and why: sentences. Empty when the model is complete. */
  missing: z.array(z.string()),
  /** Loss is why something is missing, and the measurement goes on: a fuller model may follow. */
  pending: z.literal(true).optional(),
  /** Mapping `none`: does a firewall keep out whom nobody here has sent to (RFC 6092)? Absent where a NAT translates. */
  firewall: z.enum(['stateful', 'open']).exactOptional(),
  /** How outside ports are chosen: of `n` sockets, their lowest and highest. `step` of a sequence. */
  ports: z
    .object({
      pattern: z.enum(PORT_PATTERNS),
      step: z.number().int().min(1).nullable(),
      /** RFC 4787 §4.2.2: odd stays odd, even even. `null`: too few sockets to tell it from chance. */
      keepsParity: z.boolean().nullable(),
      low: port,
      high: port,
      n: z.number().int(),
    })
    .exactOptional(),
  /** RFC 4787 REQ-2: one outside address for all sockets (a pool of one looks the same), or any of several. */
  pooling: z.enum(['paired', 'arbitrary']).exactOptional(),
  /** The outside addresses that were seen: a few of them, where there are many. */
  outside: z.array(z.string().max(64)).max(16).exactOptional(),
  hairpin: z.enum(HAIRPINS).exactOptional(),
  /** What says that a carrier translates, not only a router at home: sentences. Absent where nothing does. */
  carrierGrade: z.array(sentence).max(8).exactOptional(),
  /** IPv4 that the interface's network has only by translation into IPv6 and back. */
  translated: z
    .object({ by: z.enum(['clat', 'nat64']), prefix: z.string().max(64).nullable(), because: sentence })
    .exactOptional(),
  /** A mapping outlives a silence of `leastMs`, and not one of `mostMs`; `null`: no end was seen. */
  lifetime: z.object({ leastMs: z.number(), mostMs: z.number().nullable(), n: z.number().int() }).exactOptional(),
});
export type NatModel = z.infer<typeof natModelSchema>;
