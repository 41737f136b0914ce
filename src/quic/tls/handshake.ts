import { concatBytes, toHex } from '../../base/bytes.js';
import { type Machine, Queue } from '../../base/machine.js';
import type { Random } from '../../base/random.js';
import { NEVER, type Ms } from '../../base/time.js';
import { type CipherSuite, SUITES } from '../crypto/suites.js';
import type { QuicError } from '../wire/errors.js';
import { message, uint16, vector16 } from './builder.js';
import { type CertificateCheck, type Chain, type Identity, signatureRefusal } from './certificates.js';
import { type GroupName, GROUPS, MESSAGE, SCHEME_ID, schemeOf } from './codes.js';
import { alert, HandshakeFailure, violation } from './failure.js';
import { certificateMessage, readCertificateMessage } from './flight.js';
import { whole } from './hello.js';
import { type KeySchedule, signedContent, type TrafficSecrets, Transcript } from './key-schedule.js';

/** Each has its own packets and its own stream of handshake bytes (RFC 9001 §4). */
export type Level = 'initial' | 'handshake' | '1-rtt';
const LEVELS: readonly Level[] = ['initial', 'handshake', '1-rtt'];

export type TlsInput =
  | { readonly type: 'start' }
  /** The next bytes of CRYPTO frames of a level, in order and each once. */
  | { readonly type: 'crypto'; readonly level: Level; readonly data: Uint8Array };

export type TlsOutput =
  | { readonly type: 'send'; readonly level: Level; readonly data: Uint8Array }
  | {
      readonly type: 'keys';
      readonly level: 'handshake' | '1-rtt';
      readonly suite: CipherSuite;
      readonly read: Uint8Array;
      readonly write: Uint8Array;
    }
  /** The far end's; to be trusted only when the handshake is complete. */
  | { readonly type: 'parameters'; readonly encoded: Uint8Array }
  /** A line of the format of SSLKEYLOGFILE. */
  | { readonly type: 'keylog'; readonly line: string }
  | ({ readonly type: 'complete' } & HandshakeResult)
  | { readonly type: 'failed'; readonly error: QuicError };

export interface HandshakeResult {
  readonly alpn: string;
  readonly suite: CipherSuite;
  readonly group: GroupName;
  /** The far end's; empty where it was not asked. */
  readonly peerChain: Chain;
  readonly exporterSecret: Uint8Array;
}

export interface HandshakeOptions {
  /** A source of secrets. */
  readonly random: Random;
  /** In the order of preference. */
  readonly alpn: readonly string[];
  /** This end's transport parameters; `null` speaks TLS without QUIC. */
  readonly transportParameters: Uint8Array | null;
  readonly suites?: readonly CipherSuite[];
  readonly groups?: readonly GroupName[];
}

/** A certificate chain of 8 with room; nothing else comes near. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const HEADER_BYTES = 4;

/**
 * What both ends of a TLS 1.3 handshake over CRYPTO frames have in common (RFC 8446, RFC 9001 §4). There are no tickets,
 * no pre-shared keys, no 0-RTT and no renegotiation: every connection is a full handshake with a fresh exchange of keys.
 * Any deviation ends it (`failed`), and nothing is taken or said afterwards.
 */
export abstract class Handshake implements Machine<TlsInput, TlsOutput> {
  readonly role: 'client' | 'server';
  protected readonly options: HandshakeOptions;
  protected readonly suites: readonly CipherSuite[];
  protected readonly groups: readonly GroupName[];
  protected readonly transcript = new Transcript();
  protected schedule: KeySchedule | null = null;
  protected readLevel: Level = 'initial';
  protected peerChain: Chain = [];
  readonly #queue = new Queue<TlsOutput>();
  #buffer: Uint8Array = new Uint8Array();
  #ended = false;

  constructor(role: 'client' | 'server', options: HandshakeOptions) {
    this.role = role;
    this.options = options;
    this.suites = options.suites ?? SUITES;
    this.groups = options.groups ?? GROUPS;
  }

  handle(input: TlsInput): void {
    if (this.#ended) return;
    try {
      if (input.type === 'start') this.start();
      else this.#receive(input.level, input.data);
    } catch (failure) {
      if (!(failure instanceof HandshakeFailure)) throw failure;
      this.#ended = true;
      this.#queue.push({ type: 'failed', error: failure.error });
    }
  }

  poll(): TlsOutput | undefined {
    return this.#queue.shift();
  }

  deadline(): Ms {
    return NEVER;
  }

  protected abstract start(): void;
  /** `raw` is the message with its header. */
  protected abstract onMessage(type: number, body: Uint8Array, raw: Uint8Array): void;

  #receive(level: Level, data: Uint8Array): void {
    if (level !== this.readLevel) {
      // RFC 9001 §4.1.3.
      if (LEVELS.indexOf(level) < LEVELS.indexOf(this.readLevel)) throw violation(`more handshake at level ${level}`);
      throw alert('unexpected_message', `handshake at level ${level} before its time`);
    }
    this.#buffer = this.#buffer.length === 0 ? data : concatBytes(this.#buffer, data);
    while (this.#buffer.length >= HEADER_BYTES) {
      const [type = 0, high = 0, middle = 0, low = 0] = this.#buffer;
      const end = HEADER_BYTES + high * 0x1_0000 + middle * 0x100 + low;
      if (end > MAX_MESSAGE_BYTES) throw alert('decode_error', 'a handshake message is too long');
      if (this.#buffer.length < end) break;
      const raw = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.subarray(end);
      this.onMessage(type, raw.subarray(HEADER_BYTES), raw);
      if (level !== this.readLevel && this.#buffer.length > 0) {
        // RFC 8446 §5.1: keys change between messages, and nothing may stand behind the last of the old ones.
        throw alert('unexpected_message', 'a message goes over a change of keys');
      }
    }
    // What the caller has may be a view on a datagram.
    this.#buffer = this.#buffer.slice();
  }

  protected output(output: TlsOutput): void {
    this.#queue.push(output);
  }

  /** Sends a message and counts it. */
  protected send(level: Level, raw: Uint8Array): void {
    this.transcript.add(raw);
    this.output({ type: 'send', level, data: raw });
  }

  protected unexpected(type: number): HandshakeFailure {
    return alert('unexpected_message', `handshake message ${String(type)}`);
  }

  /** The schedule, which is there from the ServerHello on. */
  protected keys(): KeySchedule {
    if (this.schedule === null) throw alert('internal_error', 'no keys yet');
    return this.schedule;
  }

  protected announceKeys(level: 'handshake' | '1-rtt', suite: CipherSuite, secrets: TrafficSecrets): void {
    const [read, write] = this.role === 'client' ? [secrets.server, secrets.client] : [secrets.client, secrets.server];
    this.output({ type: 'keys', level, suite, read, write });
  }

  protected keylog(clientRandom: Uint8Array, label: string, secret: Uint8Array): void {
    this.output({ type: 'keylog', line: `${label} ${toHex(clientRandom)} ${toHex(secret)}` });
  }

  /** A Finished is what proves that both ends have seen the same handshake. */
  protected checkFinished(body: Uint8Array, secret: Uint8Array): void {
    if (!this.keys().isFinished(body, secret, this.transcript.digest(this.keys().hash))) {
      throw alert('decrypt_error', 'the Finished does not fit');
    }
  }

  protected sendFinished(secret: Uint8Array): void {
    const data = this.keys().finished(secret, this.transcript.digest(this.keys().hash));
    this.send('handshake', message(MESSAGE.finished, data));
  }

  /** Certificate and CertificateVerify (RFC 8446 §4.4.2 and §4.4.3); `offered`: the schemes that the far end takes. */
  protected sendIdentity(identity: Identity, context: Uint8Array, offered: readonly number[]): void {
    const scheme = identity.schemes.find((name) => offered.includes(SCHEME_ID[name]));
    if (scheme === undefined) throw alert('handshake_failure', 'the far end takes no signature of ours');
    this.send('handshake', certificateMessage(context, identity.chain));
    const content = signedContent(this.role, this.transcript.digest(this.keys().hash));
    const signature = identity.sign(scheme, content);
    this.send('handshake', message(MESSAGE.certificate_verify, uint16(SCHEME_ID[scheme]), vector16(signature)));
  }

  protected receiveCertificate(body: Uint8Array, check: CertificateCheck): void {
    const peer = this.role === 'client' ? 'server' : 'client';
    const { context, chain } = readCertificateMessage(body);
    if (context.length > 0) throw alert('illegal_parameter', 'a certificate for another request');
    if (chain.length === 0) {
      if (peer === 'client') throw alert('certificate_required', 'the client has no certificate');
      throw alert('decode_error', 'the server has no certificate');
    }
    const refusal = check(chain, peer);
    if (refusal !== null) throw alert(refusal.alert, refusal.reason);
    this.peerChain = chain;
  }

  protected receiveCertificateVerify(body: Uint8Array): void {
    const { id, signature } = whole(body, 'a CertificateVerify', (reader) => ({
      id: reader.uint16(),
      signature: reader.take(reader.uint16()),
    }));
    const scheme = schemeOf(id);
    if (scheme === undefined) throw alert('illegal_parameter', 'a signature that was not offered');
    const peer = this.role === 'client' ? 'server' : 'client';
    const content = signedContent(peer, this.transcript.digest(this.keys().hash));
    const [leaf = new Uint8Array()] = this.peerChain;
    const refusal = signatureRefusal(leaf, scheme, content, signature);
    if (refusal !== null) throw alert(refusal.alert, refusal.reason);
  }
}
