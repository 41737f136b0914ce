import { z } from 'zod';
import { INTERFACE_KINDS } from '../base/interface.js';
import { CAUSES, EGRESS_VERDICTS, natModelSchema, PATH_STATES, ROLES } from '../verdict/words.js';

/**
 * `icepath.record/1`: a run as JSON Lines, one event a line, both ends' events in one file. Enough to judge the run
 * again offline (`icepath report`). `t` is milliseconds since the run's start on the clock of `host`.
 */
export const RECORD_VERSION = 1;

const family = z.enum(['ipv4', 'ipv6']);
/** What stands in a table: a far end cannot fill the screen with its name. */
const shortText = z.string().max(256);
const role = z.enum(ROLES);
const address = z.object({ family, address: z.string(), port: z.number().int().min(0).max(0xffff) });
const common = { t: z.number(), host: role };
const count = z.number().int().nonnegative();

/** More than a host has: what is judged grows with the product of both ends' interfaces. */
const INTERFACES_MAX = 64;

const hostInterface = z.object({
  name: shortText,
  kind: z.enum(INTERFACE_KINDS),
  label: shortText,
  addresses: z.array(z.object({ family, address: z.string(), prefixLength: z.number().int() })).max(INTERFACES_MAX),
});

const counters = z.object({
  interfaces: z.record(
    z.string(),
    z.object({ rxPackets: count, txPackets: count, rxDropped: count, txDropped: count }),
  ),
  host: z.record(z.string(), z.number()),
  rpFilter: z.record(z.string(), z.number()),
});

/** What a packet was sent for. Requests and answers of checks; arms; queries to the reference. */
const purpose = z.enum(['check', 'consent', 'response', 'arm', 'gather', 'nat', 'keepalive']);

/** What a stack of the yardstick found: `YardstickReport`. Anything else in the event's results is left out. */
export const yardstickSchema = z.object({
  stack: z.enum(['libjuice', 'libwebrtc']),
  connected: z.boolean(),
  afterMs: z.number().nullable(),
  pair: z.string().nullable(),
  note: z.string().nullable(),
});

export const recordEventSchema = z.discriminatedUnion('type', [
  z.object({
    ...common,
    type: z.literal('run'),
    v: z.literal(RECORD_VERSION),
    id: z.string(),
    started: z.string(),
    version: z.string(),
    backend: z.string(),
    label: z.string().nullable(),
    seed: z.union([z.string(), z.number()]).nullable(),
    policy: z.string(),
    arms: z.array(z.string()),
    firstOnly: z.boolean(),
    wanted: z.array(z.object({ client: z.string(), server: z.string() })).nullable(),
    references: z.array(address),
  }),
  z.object({
    ...common,
    type: z.literal('host'),
    name: shortText,
    pinning: z.enum(['device', 'address', 'off']),
    interfaces: z.array(hostInterface).max(INTERFACES_MAX),
  }),
  /** An interface and family that has no usable socket, and why. */
  z.object({
    ...common,
    type: z.literal('not-gathered'),
    interface: z.string(),
    family,
    reason: z.enum(['no-address', 'no-route', 'no-bearer', 'socket-error']),
    detail: z.string(),
  }),
  z.object({
    ...common,
    type: z.literal('candidate'),
    interface: z.string(),
    family,
    candidate: z.enum(['host', 'srflx', 'prflx', 'relay']),
    address,
    /** Which socket it belongs to: `ice`, or the arm of the matrix. */
    use: z.string(),
  }),
  z.object({ ...common, type: z.literal('nat'), interface: z.string(), family, model: natModelSchema }),
  z.object({
    ...common,
    type: z.literal('egress'),
    phase: z.enum(['before', 'after']),
    interface: z.string(),
    from: z.string(),
    to: z.string(),
    verdict: z.enum(EGRESS_VERDICTS),
    routed: z.boolean().nullable(),
    device: z.string().nullable(),
    gateway: z.string().nullable(),
    neighbour: z.string().nullable(),
    reason: z.string(),
  }),
  z.object({ ...common, type: z.literal('counters'), phase: z.enum(['before', 'after']), counters }),
  /** A packet that this host sent; `error` when its kernel refused it. `id` is the transaction: the join key. */
  z.object({
    ...common,
    type: z.literal('sent'),
    leg: z.enum(['peer', 'reference']),
    purpose,
    id: z.string(),
    arm: shortText,
    interface: z.string(),
    family,
    /** The far end's interface, where known: with `interface` and `family` it names the path. */
    towards: z.string().nullable(),
    to: address,
    round: z.number().int().nullable(),
    error: z.string().nullable(),
  }),
  /** A packet that this host logged. For the reference leg it is the answer to the `sent` of the same id. */
  z.object({
    ...common,
    type: z.literal('received'),
    leg: z.enum(['peer', 'reference']),
    purpose,
    id: z.string(),
    arm: shortText,
    interface: z.string(),
    family,
    from: address,
  }),
  z.object({
    ...common,
    type: z.literal('icmp'),
    interface: z.string(),
    family,
    to: address,
    icmp: z.object({ type: count, code: count, from: z.string() }),
    id: z.string().nullable(),
  }),
  z.object({
    ...common,
    type: z.literal('tcp'),
    interface: z.string(),
    family,
    to: address,
    code: z.string().nullable(),
    afterMs: z.number(),
  }),
  /** A pair came up in an arm, as this host's agent saw it. `path` is the path's id. */
  z.object({
    ...common,
    type: z.literal('valid'),
    path: z.string(),
    arm: shortText,
    rttMs: z.number(),
    local: address,
    localType: z.string(),
    remote: address,
    remoteType: z.string(),
    priority: z.number(),
  }),
  z.object({ ...common, type: z.literal('rtt'), path: z.string(), min: z.number(), median: z.number() }),
  z.object({ ...common, type: z.literal('selected'), path: z.string() }),
  /** The best pair of a path when the run ended. */
  z.object({ ...common, type: z.literal('pair'), path: z.string(), priority: z.number(), requestsSent: count }),
  z.object({ ...common, type: z.literal('lost'), path: z.string(), reason: z.string() }),
  /** The log's `path.state`. */
  z.object({
    ...common,
    type: z.literal('path.state'),
    path: z.string(),
    from: z.enum(PATH_STATES).nullable(),
    to: z.enum(PATH_STATES),
    cause: z.enum(CAUSES).nullable(),
  }),
  z.object({ ...common, type: z.literal('control-lost'), reason: z.string() }),
  z.object({ ...common, type: z.literal('yardstick'), results: z.array(z.unknown()) }),
  z.object({ ...common, type: z.literal('interrupted') }),
  z.object({ ...common, type: z.literal('end') }),
]);

export type RecordEvent = z.infer<typeof recordEventSchema>;

/** The id of a path: stable over runs with the same interface names. */
export function pathId(client: string, server: string, family: 'ipv4' | 'ipv6'): string {
  return `${client}-${server}-${family === 'ipv4' ? 'v4' : 'v6'}`;
}
