import type { TransportAddress } from '../base/address.js';
import { viewOf } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import {
  errorCode,
  hasUseCandidate,
  iceRole,
  priority,
  readIceRole,
  readPriority,
  readUsername,
  unknownAttributes,
  unknownAttributesAttribute,
  useCandidate,
  username,
  xorMappedAddress,
} from '../stun/attributes.js';
import { fingerprinted, shortTermKey, signed, verifyFingerprint, verifyIntegrity } from '../stun/integrity.js';
import type { NewAttribute, NewMessage, StunMessage } from '../stun/message.js';
import { ATTRIBUTES, METHODS } from '../stun/registry.js';
import type { Credentials } from './types.js';

/** What both ends sign with between two restarts. Restarts make new ones; the old serve the selected pair meanwhile. */
export interface Generation {
  readonly local: Credentials;
  remote: Credentials | null;
}

/** RFC 8445 §7.3.1.1: an agent's side, and 64 random bits that decide when both claim the same. */
export interface Role {
  controlling: boolean;
  tieBreaker: bigint;
}

export function newTieBreaker(random: Random): bigint {
  return viewOf(random.bytes(8)).getBigUint64(0);
}

/** RFC 8445 §7.1: a connectivity check. */
export function buildCheck(check: {
  readonly transactionId: Uint8Array;
  readonly local: Credentials;
  readonly remote: Credentials;
  readonly priority: number;
  readonly controlling: boolean;
  readonly tieBreaker: bigint;
  readonly nominate: boolean;
}): Uint8Array {
  const attributes = [
    username(`${check.remote.ufrag}:${check.local.ufrag}`),
    priority(check.priority),
    iceRole(check.controlling, check.tieBreaker),
    ...(check.nominate ? [useCandidate()] : []),
  ];
  const message: NewMessage = {
    method: METHODS.Binding,
    class: 'request',
    transactionId: check.transactionId,
    attributes,
  };
  return signed(message, { key: shortTermKey(check.remote.password), fingerprint: true });
}

/** RFC 8445 §7.3: what the sender of a check looks like from here. */
export function buildSuccess(request: StunMessage, from: TransportAddress, local: Credentials): Uint8Array {
  const answer = answerTo(request, 'success', [xorMappedAddress(from, request.transactionId)]);
  return signed(answer, { key: shortTermKey(local.password), fingerprint: true });
}

/** Signed with `local`, except where the request was not authenticated (RFC 8489 §9.1.3). */
export function buildError(request: StunMessage, refusal: Refusal, local: Credentials | null): Uint8Array {
  const unknown = refusal.unknown ? [unknownAttributesAttribute(refusal.unknown)] : [];
  const answer = answerTo(request, 'error', [errorCode({ code: refusal.code, reason: '' }), ...unknown]);
  return local ? signed(answer, { key: shortTermKey(local.password), fingerprint: true }) : fingerprinted(answer);
}

function answerTo(request: StunMessage, to: 'success' | 'error', attributes: readonly NewAttribute[]): NewMessage {
  return { method: request.method, class: to, transactionId: request.transactionId, attributes };
}

export interface Refusal {
  readonly code: 400 | 401 | 420 | 487;
  readonly unknown?: readonly number[];
}

export interface IncomingCheck {
  readonly generation: Generation;
  /** `null` where the arm strips attributes; otherwise a check has them all. */
  readonly priority: number | null;
  readonly role: Readonly<Role> | null;
  readonly nominates: boolean;
}

export type Inspection =
  | { readonly type: 'check'; readonly check: IncomingCheck }
  | { readonly type: 'refused'; readonly refusal: Refusal; readonly signedBy: Credentials | null }
  | { readonly type: 'ignored' };

const IGNORED: Inspection = { type: 'ignored' };

/**
 * Judges a Binding request (RFC 8445 §7.3, RFC 8489 §6.3.1 and §9.1.3). With `stripped`, the message came in an arm that
 * drops attributes: its integrity alone says whose it is.
 */
export function inspectRequest(
  message: StunMessage,
  generations: readonly Generation[],
  stripped: boolean,
): Inspection {
  if (message.method !== METHODS.Binding || verifyFingerprint(message) === 'invalid') return IGNORED;
  const name = readUsername(message);
  if (!stripped && name === undefined) return refused(400);
  const named = generations.filter(({ local }) => name === undefined || name.split(':')[0] === local.ufrag);
  const results = named.map(({ local }) => verifyIntegrity(message, shortTermKey(local.password)));
  if (results.includes('absent')) return refused(400);
  const generation = named[results.indexOf('valid')];
  if (!generation) return stripped ? IGNORED : refused(401);
  const unknown = unknownAttributes(message, UNDERSTOOD);
  if (unknown.length > 0) {
    return { type: 'refused', refusal: { code: 420, unknown }, signedBy: generation.local };
  }
  const check: IncomingCheck = {
    generation,
    priority: readPriority(message) ?? null,
    role: readIceRole(message) ?? null,
    nominates: hasUseCandidate(message),
  };
  if (!stripped && (check.priority === null || check.role === null)) return refused(400, generation.local);
  return { type: 'check', check };
}

function refused(code: 400 | 401, signedBy: Credentials | null = null): Inspection {
  return { type: 'refused', refusal: { code }, signedBy };
}

/** Whether an answer to a check is the far end's own: signed with its password (RFC 8489 §9.1.4). */
export function isAuthentic(answer: StunMessage, { remote }: Generation): boolean {
  if (!remote || answer.method !== METHODS.Binding || verifyFingerprint(answer) === 'invalid') return false;
  return verifyIntegrity(answer, shortTermKey(remote.password)) === 'valid';
}

/** RFC 8445 §7.3.1.1: who changes when both ends claim one role. */
export function resolveConflict(own: Readonly<Role>, other: Readonly<Role>): 'none' | 'we-switch' | 'they-switch' {
  if (own.controlling !== other.controlling) return 'none';
  return own.tieBreaker >= other.tieBreaker === own.controlling ? 'they-switch' : 'we-switch';
}

/** Comprehension-required attributes that a check or its answer may have. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  ATTRIBUTES['MAPPED-ADDRESS'],
  ATTRIBUTES.USERNAME,
  ATTRIBUTES['MESSAGE-INTEGRITY'],
  ATTRIBUTES['MESSAGE-INTEGRITY-SHA256'],
  ATTRIBUTES['ERROR-CODE'],
  ATTRIBUTES['UNKNOWN-ATTRIBUTES'],
  ATTRIBUTES['XOR-MAPPED-ADDRESS'],
  ATTRIBUTES.PRIORITY,
  ATTRIBUTES['USE-CANDIDATE'],
]);
