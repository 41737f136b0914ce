import { z } from 'zod';
import { transportAddress } from '../base/address.js';
import { INTERFACE_KINDS } from '../base/interface.js';

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
  }),
  z.object({
    type: z.literal('plan'),
    runId: name,
    /** ISO 8601, the client's wall clock. */
    started: name,
    policy: shortText,
    arms: z.array(arm).min(1).max(64),
    firstOnly: z.boolean(),
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
  }),
  z.object({ type: z.literal('credentials'), ufrag: iceText(4, 256), password: iceText(22, 256) }),
  z.object({ type: z.literal('candidate'), candidate }),
  z.object({ type: z.literal('candidates-end') }),
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
  /** Record events, each to be checked with the record's own schema. */
  z.object({ type: z.literal('events'), events: z.array(z.unknown()).max(MAX_EVENTS) }),
  z.object({
    type: z.literal('yardstick'),
    stack: z.enum(['libjuice', 'libwebrtc']),
    payload: z.string().max(262_144),
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
