import { z } from 'zod';
import { INTERFACE_KINDS } from '../base/interface.js';
import { HEADER_FIELDS } from '../mutation/arm.js';
import { armDefinitionSchema, MOST_OWN_ARMS } from '../mutation/definition.js';
import { MOST_OWN_EXPERIMENTS, ownExperimentSchema } from '../verdict/own-experiment.js';
import { PLAY_WORDS } from '../profile/types.js';
import {
  CAUSES,
  EGRESS_VERDICTS,
  natModelSchema,
  PATH_STATES,
  ROLES,
  TRANSFER_DIRECTIONS,
  WAYS,
} from '../verdict/words.js';

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
export const INTERFACES_MAX = 64;
/** Those of a host that were not there when the run began. */
export const LATE_INTERFACES_MAX = 16;

const interfaceAddresses = z
  .array(z.object({ family, address: z.string(), prefixLength: z.number().int() }))
  .max(INTERFACES_MAX);

const hostInterface = z.object({
  name: shortText,
  kind: z.enum(INTERFACE_KINDS),
  label: shortText,
  addresses: interfaceAddresses,
  nat64: z.object({ prefix: shortText, source: z.enum(['dns', 'well-known']) }).exactOptional(),
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
const purpose = z.enum([
  'check',
  'consent',
  'response',
  'arm',
  'gather',
  'nat',
  'keepalive',
  'trial',
  'opener',
  'port',
  'guess',
]);

const byteRange = z.object({ at: count.max(0xffff), end: count.max(0xffff) });
const portOrAny = z.number().int().min(0).max(0xffff).nullable();

/** `PacketSpec`: what a packet of an experiment was made of. */
export const packetSpecSchema = z.object({
  arm: shortText,
  lengthBytes: z.number().int().min(1).max(0xffff).nullable(),
  graft: z.object({ from: shortText, bytes: z.array(byteRange).max(64).readonly() }).nullable(),
  ttl: z.number().int().min(1).max(255).nullable(),
  carries: z.literal('address').exactOptional(),
  fields: z.array(z.enum(HEADER_FIELDS)).max(HEADER_FIELDS.length).readonly().exactOptional(),
});

/** What makes a packet one of an experiment: `Trial`. */
const trial = z.object({
  experiment: shortText,
  /** Shots that were fired together: they count once both ends have said all of them (`trials`). */
  batch: count,
  /** Of the packet: both ends make its bytes of it and the session's key. */
  counter: count,
  flow: count,
  ports: z.object({ client: portOrAny, server: portOrAny }),
  packet: packetSpecSchema,
});

/** `GuessPlan`. */
export const guessSchema = z.object({
  guesser: role,
  sockets: z.number().int().min(1).max(0xffff),
  guesses: z.number().int().min(1).max(0xffff),
  pattern: z.enum(['sequential', 'random']),
  probability: z.number().min(0).max(1),
});

/** What a stack of the yardstick found: `YardstickReport`. Anything else in the event's results is left out. */
export const yardstickSchema = z.object({
  stack: z.enum(['libjuice', 'libwebrtc']),
  connected: z.boolean(),
  afterMs: z.number().nullable(),
  pair: z.string().nullable(),
  note: z.string().nullable(),
});

/** What a line of a packet, sent or come, has in any case. `id` is the transaction: the join key. */
const packet = {
  ...common,
  /** `relay`: to or by a TURN server. What goes that way says nothing of the direct one. */
  leg: z.enum(['peer', 'reference', 'relay']),
  purpose,
  id: z.string(),
  arm: shortText,
  interface: z.string(),
  family,
};

const PATHS_MAX = 256;
const pathTotals = z.object({
  path: z.string(),
  sentBytes: count,
  receivedBytes: count,
  sentDatagrams: count,
  receivedDatagrams: count,
  lostPackets: count,
  smoothedRttMs: z.number(),
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
    /** Arms of the user; not in older records, nor where there were none. */
    ownArms: z.array(armDefinitionSchema).max(MOST_OWN_ARMS).exactOptional(),
    ownExperiments: z.array(ownExperimentSchema).max(MOST_OWN_EXPERIMENTS).exactOptional(),
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
    /** The far end's wall clock less this host's when its greeting arrived; not in older records. */
    farClockAheadMs: z.number().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER).exactOptional(),
  }),
  /** What an interface has from now on: its addresses came or went; `added`: it was not there when the run began. */
  z.object({
    ...common,
    type: z.literal('interface'),
    interface: shortText,
    addresses: interfaceAddresses,
    added: hostInterface.omit({ name: true, addresses: true }).exactOptional(),
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
    /** Of a socket that was opened to try a path again: which try. */
    attempt: count.exactOptional(),
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
    ...packet,
    type: z.literal('sent'),
    /** The far end's interface, where known: with `interface` and `family` it names the path. */
    towards: z.string().nullable(),
    to: address,
    round: z.number().int().nullable(),
    error: z.string().nullable(),
    trial: trial.exactOptional(),
    /** Of a packet to another port of the reference: the socket's own port, so that flows can be told apart. */
    local: z.number().int().min(0).max(0xffff).exactOptional(),
  }),
  /** A packet that this host logged. For the reference leg it is the answer to the `sent` of the same id. */
  z.object({
    ...packet,
    type: z.literal('received'),
    from: address,
    /** Bytes of a trial's packet that were others than it was sent with. */
    changed: z.array(byteRange).max(64).exactOptional(),
  }),
  /**
   * STUN that arrived with other bytes than it was sent with, its integrity broken: a packet of the matrix, a check or an
   * answer. `changed` where this host knows what was sent.
   */
  z.object({
    ...packet,
    type: z.literal('altered'),
    from: address,
    changed: z.array(byteRange).max(64).nullable(),
  }),
  /** Both ends have said all of a batch of shots: the client's word. */
  z.object({ ...common, type: z.literal('trials'), batch: count }),
  z.object({
    ...common,
    type: z.literal('icmp'),
    interface: z.string(),
    family,
    to: address,
    icmp: z.object({ type: count, code: count, from: z.string() }),
    id: z.string().nullable(),
    /** Bytes that are others in what is quoted than they were sent; not there where that cannot be told. */
    changed: z.array(byteRange).max(64).exactOptional(),
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
    /** Of a path that was tried again: which try brought it up. */
    attempt: count.exactOptional(),
  }),
  /** A pair came up of which one end at least is a relay: the path is carried, whatever is in the direct way. */
  z.object({
    ...common,
    type: z.literal('relayed'),
    path: z.string(),
    rttMs: z.number(),
    local: address,
    localType: z.string(),
    remote: address,
    remoteType: z.string(),
  }),
  /** What became of a TURN server: `code` of the error, or the relay that it gave. Never the user's name or password. */
  z.object({
    ...common,
    type: z.literal('turn'),
    interface: z.string(),
    family,
    server: address,
    what: z.enum(['chosen', 'failed', 'lost', 'unanswered']),
    code: shortText.nullable(),
    relayed: address.nullable(),
    rttMs: z.number().nullable(),
  }),
  /** A path is tried again on fresh sockets; `ttl` of this host's openers, `null` where it sends none. */
  z.object({
    ...common,
    type: z.literal('way'),
    path: z.string(),
    attempt: count,
    way: z.enum(WAYS),
    arm: shortText,
    ttl: count.nullable(),
    guess: guessSchema.exactOptional(),
  }),
  z.object({ ...common, type: z.literal('rtt'), path: z.string(), min: z.number(), median: z.number() }),
  z.object({ ...common, type: z.literal('selected'), path: z.string() }),
  /** The best pair of a path when the run ended. */
  z.object({ ...common, type: z.literal('pair'), path: z.string(), priority: z.number(), requestsSent: count }),
  /** `gone`: an address of this host's own went away under it. */
  z.object({
    ...common,
    type: z.literal('lost'),
    path: z.string(),
    reason: z.string(),
    gone: z.literal(true).exactOptional(),
  }),
  /** QUIC uses a path from now on: so long after ICE had proved it. Or does so no more. */
  z.object({ ...common, type: z.literal('joined'), path: z.string(), quicPath: count, afterMs: z.number() }),
  z.object({ ...common, type: z.literal('left'), path: z.string(), quicPath: count, why: shortText }),
  /** Data begin to flow. */
  z.object({
    ...common,
    type: z.literal('transfer'),
    direction: z.enum(TRANSFER_DIRECTIONS),
    seconds: z.number(),
    rateBps: z.number().nullable(),
  }),
  /** After each second what was sent and received so far: of the stream, and bytes of UDP payload by path. */
  z.object({
    ...common,
    type: z.literal('progress'),
    second: count,
    sentBytes: count,
    receivedBytes: count,
    paths: z.array(pathTotals).max(PATHS_MAX),
  }),
  /** A transfer's end at this host; `error`: why it is not whole. */
  z.object({
    ...common,
    type: z.literal('transferred'),
    sentBytes: count,
    receivedBytes: count,
    afterMs: z.number(),
    longestPauseMs: z.number(),
    longestPauseAt: z.number(),
    error: z.string().nullable(),
  }),
  /** The log's `path.state`. */
  z.object({
    ...common,
    type: z.literal('path.state'),
    path: z.string(),
    from: z.enum(PATH_STATES).nullable(),
    to: z.enum(PATH_STATES),
    cause: z.enum(CAUSES).nullable(),
  }),
  /** Somebody else's schedule is played beside the run; and what became of it, a word each (`PLAY_WORDS`). */
  z.object({
    ...common,
    type: z.literal('profile-plan'),
    name: shortText,
    title: z.string().max(500),
    relays: count,
    standIns: count,
    otherwise: z.string().max(500).nullable(),
    unchangedAnswers: z.boolean(),
  }),
  z.object({
    ...common,
    type: z.literal('profile'),
    what: z.enum(PLAY_WORDS),
    interface: shortText.nullable(),
    far: shortText.nullable(),
    family: family.nullable(),
    on: z.enum(['direct', 'relay', 'nothing']).exactOptional(),
    ms: z.number().exactOptional(),
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
