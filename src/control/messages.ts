import { z } from 'zod';
import { transportAddress } from '../base/address.js';
import { INTERFACE_KINDS } from '../base/interface.js';
import { nat64Prefix } from '../base/nat64.js';
import { HEADER_FIELDS } from '../mutation/arm.js';
import { armDefinitionSchema, MOST_OWN_ARMS } from '../mutation/definition.js';
import { TRANSFER_DIRECTIONS, WAYS } from '../verdict/words.js';

/**
 * What client and server say to each other once authenticated. Everything is bounded: the far end is known, not trusted.
 * Fields that are not named here are dropped; a type that is not named here is `unknown`, so that a newer end may say more.
 */
export const MAX_REASON = 256;
const shortText = z.string().max(MAX_REASON);
const name = z.string().min(1).max(64);
const arm = z.string().min(1).max(64);
const count = z.number().int().nonnegative().max(1_000_000_000);
const block = z.number().int().nonnegative().max(0xffff);
const attempt = z.number().int().min(1).max(64);
const family = z.enum(['ipv4', 'ipv6']);
const kind = z.enum(INTERFACE_KINDS);
const port = z.number().int().min(0).max(0xffff);
const iceText = (least: number, most: number) =>
  z
    .string()
    .min(least)
    .max(most)
    .regex(/^[A-Za-z0-9+/]*$/);

/** Canonical text: two spellings of one address would be two paths. */
const ipAddress = z
  .string()
  .max(64)
  .transform((text, context) => {
    try {
      return transportAddress(text, 0).address;
    } catch {
      context.addIssue({ code: 'custom', message: 'not an IP address' });
      return z.NEVER;
    }
  });
const ofItsFamily = (value: { family: string; address: string }): boolean =>
  (value.family === 'ipv6') === value.address.includes(':');
const otherFamily = { message: 'the address is of another family', path: ['address'] };

const address = z.object({ family, address: ipAddress, port }).refine(ofItsFamily, otherFamily);
const nat64 = z
  .string()
  .max(64)
  .refine((text) => nat64Prefix(text) === text, { message: 'not a NAT64 prefix' });
const hostInterface = z.object({
  name,
  kind,
  label: name,
  addresses: z
    .array(
      z
        .object({ family, address: ipAddress, prefixLength: z.number().int().min(0).max(128) })
        .refine(ofItsFamily, otherFamily),
    )
    .max(32),
  nat64: z.object({ prefix: nat64, source: z.enum(['dns', 'well-known']) }).exactOptional(),
});

/** RFC 8839 §5.1; the fields of `Candidate` in ice/types.ts. */
const candidate = z.object({
  type: z.enum(['host', 'srflx', 'prflx', 'relay']),
  address,
  foundation: iceText(1, 32),
  component: z.literal(1).default(1),
  priority: z.number().int().min(1).max(0x7fff_ffff),
  related: address.exactOptional(),
  interface: name.nullable(),
  kind: kind.nullable(),
  label: name.nullable(),
});

export const MAX_EVENTS = 500;
const MAX_FLOWS = 512;
const MAX_SHOTS = 4096;
const MAX_UDP_PAYLOAD = 1472;
/** ECMA-262 §21.4.1.1. */
const LATEST_DATE_MS = 8.64e15;

/** What a client may ask a server to send and take: docs/decisions/abuse.md. */
export const TRANSFER_MAX = { seconds: 3600, rateBps: 1e11 } as const;
export const TRANSFER_MIN_BPS = 1000;

const fingerprint = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

const controlMessageSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    /** Of the program, for people. */
    version: name,
    name: shortText,
    interfaces: z.array(hostInterface).max(64),
    pinning: z.enum(['device', 'address', 'off']),
    /** Reference hosts that this end's user named. */
    references: z.array(address).max(16),
    /** This end's wall clock as it says this, ms since 1970. */
    wallClockMs: z.number().min(0).max(LATEST_DATE_MS).exactOptional(),
    /** It takes part in experiments; older ends do not say so. */
    experiments: z.boolean().exactOptional(),
    /** Its user allowed guessing of ports. */
    guessPorts: z.boolean().exactOptional(),
    /** SHA-256 of the certificate that it proves itself with on QUIC, base64url; it takes part in transfers. */
    quic: fingerprint.exactOptional(),
  }),
  z.object({
    type: z.literal('plan'),
    runId: name,
    /** ISO 8601, the client's wall clock. */
    started: name,
    policy: shortText,
    arms: z.array(arm).min(1).max(64),
    ownArms: z.array(armDefinitionSchema).max(MOST_OWN_ARMS).default([]),
    firstOnly: z.boolean(),
    deep: z.boolean().default(false),
    wanted: z
      .array(z.object({ client: name, server: name }))
      .max(256)
      .nullable(),
    pin: z.boolean(),
    references: z.array(address).max(16),
    /** 32 bytes, base64url. */
    sessionKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
    checksPerPair: z.number().int().min(1).max(1000),
    webrtc: z.boolean(),
    transfer: z
      .object({
        seconds: z.number().positive().max(TRANSFER_MAX.seconds),
        direction: z.enum(TRANSFER_DIRECTIONS),
        rateBps: z.number().min(TRANSFER_MIN_BPS).max(TRANSFER_MAX.rateBps).nullable(),
      })
      .exactOptional(),
    /** A behaviour profile to play beside the run: whoever plays it reads its fields with `profileSchema`. */
    profile: z.object({ name, fields: z.record(name, z.unknown()) }).exactOptional(),
  }),
  /** This end's interface has these addresses from now on: one of the greeting, or one that was not there then. */
  z.object({ type: z.literal('interface'), interface: hostInterface }),
  z.object({ type: z.literal('credentials'), ufrag: iceText(4, 256), password: iceText(22, 256) }),
  z.object({ type: z.literal('candidate'), candidate }),
  z.object({ type: z.literal('candidates-end') }),
  /** This end's sockets of a block; told again with those that are left, where addresses went away under it. */
  z.object({
    type: z.literal('sockets'),
    block,
    ends: z.array(z.object({ interface: name, family, arm, addresses: z.array(address).max(16) })).max(1024),
  }),
  z.object({
    type: z.literal('rounds'),
    block,
    rounds: z.number().int().min(1).max(10_000),
    intervalMs: z.number().min(1).max(60_000),
  }),
  z.object({ type: z.literal('arm'), path: shortText, arm }),
  /** The client: try this path again on fresh sockets. Then each end: where they are; my own NATs are open for yours. */
  z.object({
    type: z.literal('regather'),
    client: name,
    server: name,
    family,
    attempt,
    way: z.enum(WAYS),
    arm,
  }),
  z.object({ type: z.literal('regathered'), path: shortText, attempt, candidates: z.array(candidate).max(8) }),
  z.object({ type: z.literal('opened'), path: shortText, attempt }),
  /**
   * The client: let us guess the port of a NAT. Then the guesser: send to me here; and the other end, once its NAT has as
   * many mappings there: guess ports of this address, the port being the last one before them.
   */
  z.object({
    type: z.literal('guess'),
    client: name,
    server: name,
    family,
    arm,
    plan: z.object({
      guesser: z.enum(['client', 'server']),
      sockets: z.number().int().min(1).max(1024),
      guesses: z.number().int().min(1).max(4096),
      pattern: z.enum(['sequential', 'random']),
      probability: z.number().min(0).max(1),
    }),
  }),
  z.object({ type: z.literal('guess-at'), path: shortText, address }),
  /** Record events, each to be checked with the record's own schema. */
  z.object({ type: z.literal('events'), events: z.array(z.unknown()).max(MAX_EVENTS) }),
  z.object({
    type: z.literal('yardstick'),
    stack: z.enum(['libjuice', 'libwebrtc']),
    payload: z.string().max(262_144),
  }),
  /** Open your halves of these flows, between the two interfaces named: the client's word. */
  z.object({
    type: z.literal('flows'),
    client: name,
    server: name,
    family,
    flows: z
      .array(z.object({ flow: block, ports: z.object({ client: port.nullable(), server: port.nullable() }) }))
      .max(MAX_FLOWS),
  }),
  /** Where this end's half of a flow can be reached; nowhere: it could not be opened. */
  z.object({ type: z.literal('flow'), flow: block, addresses: z.array(address).max(4) }),
  /** Send what is yours of these, and look out for the others: the client's word. */
  z.object({
    type: z.literal('shots'),
    batch: count,
    experiment: name,
    waitMs: z.number().min(0).max(10_000),
    shots: z
      .array(
        z.object({
          flow: block,
          from: z.enum(['client', 'server']),
          to: z.enum(['peer', 'reference']),
          afterMs: z.number().min(0).max(60_000),
          counter: z.number().int().min(0).max(0xffff_ffff),
          packet: z.object({
            arm,
            lengthBytes: z.number().int().min(1).max(MAX_UDP_PAYLOAD).nullable(),
            graft: z
              .object({
                from: arm,
                bytes: z
                  .array(
                    z.object({
                      at: z.number().int().min(0).max(MAX_UDP_PAYLOAD),
                      end: z.number().int().min(0).max(MAX_UDP_PAYLOAD),
                    }),
                  )
                  .max(64)
                  .readonly(),
              })
              .nullable(),
            ttl: z.number().int().min(1).max(64).nullable(),
            carries: z.literal('address').exactOptional(),
            fields: z.array(z.enum(HEADER_FIELDS)).max(HEADER_FIELDS.length).readonly().exactOptional(),
          }),
        }),
      )
      .max(MAX_SHOTS),
  }),
  /** This end has sent, and told of, everything of a batch; not `ok`: it would not. */
  z.object({ type: z.literal('shots-done'), batch: count, ok: z.boolean() }),
  z.object({ type: z.literal('flows-close'), flows: z.array(block).max(MAX_FLOWS) }),
  /** This end's sockets for the profile are open; and all addresses that it has for it now. */
  z.object({ type: z.literal('profile-ready') }),
  z.object({
    type: z.literal('profile-candidates'),
    candidates: z.array(z.object({ interface: name, kind, address, reflexive: z.boolean() })).max(64),
  }),
  z.object({ type: z.literal('finish'), reason: shortText }),
  z.object({ type: z.literal('finished') }),
  z.object({ type: z.literal('ping'), id: count }),
  z.object({ type: z.literal('pong'), id: count }),
]);

/** As it is sent. */
export type ControlMessage = z.infer<typeof controlMessageSchema>;
type TypeOfMessage = ControlMessage['type'];

const KNOWN_TYPES: ReadonlySet<string> = new Set<string>(
  controlMessageSchema.options.map((option) => option.shape.type.value) satisfies TypeOfMessage[],
);
const anyMessageSchema = z.looseObject({ type: z.string().max(64) });

export type ParsedMessage =
  | { readonly ok: true; readonly message: ControlMessage | { readonly type: 'unknown' } }
  /** A sentence that names the field. */
  | { readonly ok: false; readonly error: string };

export function parseMessage(value: unknown): ParsedMessage {
  const any = anyMessageSchema.safeParse(value);
  if (!any.success) return { ok: false, error: 'A message has no type.' };
  if (!KNOWN_TYPES.has(any.data.type)) return { ok: true, message: { type: 'unknown' } };
  const parsed = controlMessageSchema.safeParse(value);
  if (parsed.success) return { ok: true, message: parsed.data };
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  return { ok: false, error: `Message ${any.data.type}: ${field}: ${issue?.message ?? 'invalid'}` };
}
