import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { concatBytes, equalBytes, toHex, utf8Bytes } from '../base/bytes.js';
import { fromBase64url, toBase64url } from './base64url.js';
import type { ControlCode } from './errors.js';

/** Said in both proofs: ends of different versions tell each other so and part. */
export const CONTROL_VERSION = 1;
const PROOF_BYTES = 32;

/** What ties a proof to one TLS connection between two certificates: a proof is worth nothing anywhere else. */
export interface ChannelBinding {
  /** 32 bytes of keying material (RFC 8446 §7.5, label {@link EXPORTER_LABEL}, empty context). */
  readonly exporter: Uint8Array;
  /** SHA-256 of the certificates (DER). */
  readonly clientFingerprint: Uint8Array;
  readonly serverFingerprint: Uint8Array;
}

export const EXPORTER_LABEL = 'EXPORTER-icepath-control';
export const EXPORTER_BYTES = 32;

interface CommonOptions {
  readonly secret: Uint8Array;
  readonly binding: ChannelBinding;
  readonly version?: number;
}

export type HandshakeOptions =
  /** `fingerprint`: the server's certificate as the invite names it. */
  | (CommonOptions & { readonly role: 'client'; readonly fingerprint: Uint8Array })
  /** `admit`: asked once a client has proven itself, whether there is room for it. */
  | (CommonOptions & { readonly role: 'server'; readonly admit: () => boolean });

export interface HandshakeStep {
  readonly send: Readonly<Record<string, unknown>> | null;
  readonly outcome: 'pending' | 'authenticated' | HandshakeFailure;
}

export interface HandshakeFailure {
  readonly code: ControlCode;
  readonly reason: string;
}

const authenticateSchema = z.object({ type: z.literal('authenticate'), version: z.number().int(), proof: z.unknown() });
const answerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('welcome'), proof: z.string().max(64) }),
  z.object({ type: z.literal('refused'), code: z.string().max(32), version: z.number().int().optional() }),
]);

/**
 * Mutual authentication inside an established TLS 1.3 connection, one message each way:
 *
 *     client → server   authenticate {version, proof}
 *     server → client   welcome {proof}   or   refused {code}
 *
 * A proof is HMAC-SHA256(secret, label ‖ version ‖ exporter ‖ client fingerprint ‖ server fingerprint); the label
 * differs by role, so a reflected proof is wrong. Who does not know the secret learns nothing but the version.
 */
export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #version: number;
  #done = false;

  constructor(options: HandshakeOptions) {
    this.#options = options;
    this.#version = options.version ?? CONTROL_VERSION;
  }

  /** The client speaks first, and only to the server that it was invited to. */
  start(): HandshakeStep {
    if (this.#options.role === 'server') return pending;
    if (!equalBytes(this.#options.fingerprint, this.#options.binding.serverFingerprint)) {
      const seen = toHex(this.#options.binding.serverFingerprint.subarray(0, 8));
      return this.#fail({
        code: 'control-wrong-fingerprint',
        reason: `The invite is of another server, or somebody is in the middle (the certificate there begins with ${seen}).`,
      });
    }
    const proof = toBase64url(this.#proof('client'));
    return { send: { type: 'authenticate', version: this.#version, proof }, outcome: 'pending' };
  }

  handle(message: unknown): HandshakeStep {
    if (this.#done) return this.#fail({ code: 'control-protocol', reason: 'The handshake is over.' });
    return this.#options.role === 'server' ? this.#judge(message, this.#options.admit) : this.#answered(message);
  }

  #judge(message: unknown, admit: () => boolean): HandshakeStep {
    const parsed = authenticateSchema.safeParse(message);
    if (!parsed.success)
      return this.#refuse('refused', { code: 'control-refused', reason: 'A client did not authenticate.' });
    const { version, proof } = parsed.data;
    if (version !== this.#version) return this.#refuse('version', otherVersion(version, this.#version));
    if (!this.#proves('client', proof)) {
      return this.#refuse('refused', { code: 'control-refused', reason: 'A client did not know the secret.' });
    }
    if (!admit()) {
      return this.#refuse('busy', { code: 'control-busy', reason: 'A second client was refused: one is connected.' });
    }
    this.#done = true;
    return { send: { type: 'welcome', proof: toBase64url(this.#proof('server')) }, outcome: 'authenticated' };
  }

  #answered(message: unknown): HandshakeStep {
    const parsed = answerSchema.safeParse(message);
    if (!parsed.success)
      return this.#fail({ code: 'control-protocol', reason: 'The far end does not speak icepath control.' });
    const answer = parsed.data;
    if (answer.type === 'welcome') {
      if (this.#proves('server', answer.proof)) {
        this.#done = true;
        return { send: null, outcome: 'authenticated' };
      }
      return this.#fail({ code: 'control-refused', reason: 'The server does not know the secret of this invite.' });
    }
    if (answer.code === 'busy')
      return this.#fail({ code: 'control-busy', reason: 'Another client is connected to the server.' });
    if (answer.code === 'version' && answer.version !== undefined) {
      return this.#fail(otherVersion(answer.version, this.#version));
    }
    return this.#fail({ code: 'control-refused', reason: 'The server refused the secret of this invite.' });
  }

  #proves(role: 'client' | 'server', proof: unknown): boolean {
    const bytes = typeof proof === 'string' ? fromBase64url(proof, PROOF_BYTES) : null;
    return bytes !== null && timingSafeEqual(bytes, this.#proof(role));
  }

  #proof(role: 'client' | 'server'): Uint8Array {
    const { secret, binding } = this.#options;
    // Every part has a fixed length, but for the label, which ends in NUL.
    const label = utf8Bytes(`icepath control ${role}\0`);
    const version = Uint8Array.of(this.#version >> 8, this.#version & 0xff);
    const said = concatBytes(label, version, binding.exporter, binding.clientFingerprint, binding.serverFingerprint);
    return createHmac('sha256', secret).update(said).digest();
  }

  #refuse(code: 'refused' | 'busy' | 'version', outcome: HandshakeFailure): HandshakeStep {
    this.#done = true;
    return { send: { type: 'refused', code, ...(code === 'version' ? { version: this.#version } : {}) }, outcome };
  }

  #fail(outcome: HandshakeFailure): HandshakeStep {
    this.#done = true;
    return { send: null, outcome };
  }
}

const pending: HandshakeStep = { send: null, outcome: 'pending' };

function otherVersion(theirs: number, ours: number): HandshakeFailure {
  const older = theirs < ours ? 'the far end' : 'this one';
  const spoken = `The far end speaks icepath control/${String(theirs)}, this one control/${String(ours)}`;
  return { code: 'control-version', reason: `${spoken}: update ${older}.` };
}
