import { hkdfSync } from 'node:crypto';
import { z } from 'zod';
import { toBase64url } from './base64url.js';
import type { ControlCode } from './errors.js';

/**
 * What hosts and a rendezvous say to each other (docs/decisions/rendezvous.md). Text messages are JSON and come first;
 * once `joined` was said, binary ones are the two hosts' TLS connection and none of the rendezvous' business:
 *
 *     server → rendezvous   host {room, key}              client → rendezvous   join {room}
 *     rendezvous → server   waiting, then visitor {ticket} for each client
 *     server → rendezvous   accept {room, key, ticket}, on a connection of its own
 *     rendezvous → both     joined
 */
export const SUBPROTOCOL = 'icepath-rendezvous.1';
/** One WebSocket message. TLS records are shorter than 17 KiB; a stack may write several at once. */
export const MAX_MESSAGE_BYTES = 256 * 1024;
export const MAX_TEXT_CHARACTERS = 512;
const MAX_URL_CHARACTERS = 256;

const name = z.string().regex(/^[A-Za-z0-9_-]{22}$/);

const helloSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('host'), room: name, key: name }),
  z.object({ type: z.literal('join'), room: name }),
  z.object({ type: z.literal('accept'), room: name, key: name, ticket: name }),
]);
export type Hello = z.infer<typeof helloSchema>;

const answerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('waiting') }),
  z.object({ type: z.literal('visitor'), ticket: name }),
  z.object({ type: z.literal('joined') }),
]);
export type Answer = z.infer<typeof answerSchema>;

/** WebSocket close codes (RFC 6455 §7.4.2: 4000 to 4999 are for applications). */
export const CLOSE = {
  left: 1000,
  ends: 1001,
  malformed: 4400,
  absent: 4404,
  idle: 4408,
  taken: 4409,
  full: 4429,
} as const;

/**
 * The name of an invite's room: 16 bytes of HKDF-SHA256 (RFC 5869) of its secret. Who knows it can meet there and cannot
 * tell the secret from it; who does not know it has 2^128 to guess from.
 */
export function roomOf(secret: Uint8Array): string {
  return toBase64url(new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), 'icepath rendezvous room', 16)));
}

/** The URL in its one spelling; `null` unless it is ws:// or wss:// with a host and no user, query or fragment. */
export function parseRendezvousUrl(text: string): string | null {
  if (text.length > MAX_URL_CHARACTERS || /[\s\\]/.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  const known = url.protocol === 'ws:' || url.protocol === 'wss:';
  const plain = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return known && plain && url.hostname !== '' && url.port !== '0' ? url.href : null;
}

export const parseHello = (text: string): Hello | null => parse(helloSchema, text);
export const parseAnswer = (text: string): Answer | null => parse(answerSchema, text);

function parse<T>(schema: z.ZodType<T>, text: string): T | null {
  if (text.length > MAX_TEXT_CHARACTERS) return null;
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/** What it means that a rendezvous closed a connection before two hosts were joined. */
export function closeMeaning(code: number): { readonly code: ControlCode; readonly reason: string } {
  switch (code) {
    case CLOSE.absent:
      return { code: 'rendezvous-no-server', reason: 'No server waits there with this invite.' };
    case CLOSE.full:
      return { code: 'rendezvous-full', reason: 'It has as many connections as it takes.' };
    case CLOSE.taken:
      return { code: 'rendezvous-protocol', reason: 'Another server waits there with the same invite.' };
    case CLOSE.malformed:
      return { code: 'rendezvous-protocol', reason: 'It does not understand this version of icepath.' };
    case CLOSE.idle:
      return { code: 'rendezvous-no-server', reason: 'The server did not answer there in time.' };
    default:
      return { code: 'rendezvous-cut', reason: `It ended the connection (${String(code)}).` };
  }
}
