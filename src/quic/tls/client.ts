import type { CipherSuite } from '../crypto/suites.js';
import type { CertificateCheck, Identity } from './certificates.js';
import { EXTENSION, groupOf, MESSAGE, TLS_1_3 } from './codes.js';
import { alert, violation } from './failure.js';
import { certificateMessage, readCertificateRequest, readEncryptedExtensions, readTicket } from './flight.js';
import { Handshake, type HandshakeOptions } from './handshake.js';
import { clientHello, type Extensions, readAlpn, readServerHello, type ServerHello, whole } from './hello.js';
import { type KeyExchange, keyExchange } from './key-exchange.js';
import { KeySchedule } from './key-schedule.js';

export interface ClientOptions extends HandshakeOptions {
  readonly check: CertificateCheck;
  /** What the client proves itself with, where the server asks; `null`: it says that it has nothing. */
  readonly identity: Identity | null;
  readonly serverName: string | null;
}

type State =
  | 'start'
  | 'server-hello'
  | 'encrypted-extensions'
  | 'certificate-or-request'
  | 'certificate'
  | 'certificate-verify'
  | 'finished'
  | 'complete';

const RETRY_EXTENSIONS = new Set<number>([EXTENSION.supported_versions, EXTENSION.key_share, EXTENSION.cookie]);
const SERVER_HELLO_EXTENSIONS = new Set<number>([EXTENSION.supported_versions, EXTENSION.key_share]);
const NO_EARLY_DATA_LIMIT = 0xffff_ffff;

/** The client's side of a handshake: RFC 8446 A.1. */
export class TlsClient extends Handshake {
  readonly #options: ClientOptions;
  readonly #random: Uint8Array;
  #state: State = 'start';
  #exchange: KeyExchange;
  #suite: CipherSuite | null = null;
  #retried = false;
  #alpn = '';
  #request: ReturnType<typeof readCertificateRequest> | null = null;

  constructor(options: ClientOptions) {
    super('client', options);
    this.#options = options;
    this.#random = options.random.bytes(32);
    this.#exchange = keyExchange(this.groups[0] ?? 'x25519', options.random);
  }

  protected override start(): void {
    if (this.#state !== 'start') return;
    this.#state = 'server-hello';
    this.#sendHello(null);
  }

  #sendHello(cookie: Uint8Array | null): void {
    const { alpn, serverName, transportParameters } = this.#options;
    const hello = clientHello({
      random: this.#random,
      suites: this.suites.map(({ id }) => id),
      groups: this.groups,
      shares: [this.#exchange],
      alpn,
      serverName,
      transportParameters,
      cookie,
    });
    this.send('initial', hello);
  }

  protected override onMessage(type: number, body: Uint8Array, raw: Uint8Array): void {
    switch (this.#state) {
      case 'server-hello':
        if (type !== MESSAGE.server_hello) throw this.unexpected(type);
        this.#onServerHello(readServerHello(body), raw);
        return;
      case 'encrypted-extensions':
        if (type !== MESSAGE.encrypted_extensions) throw this.unexpected(type);
        this.#onEncryptedExtensions(readEncryptedExtensions(body));
        break;
      case 'certificate-or-request':
        if (type === MESSAGE.certificate_request) {
          this.#request = readCertificateRequest(body);
          this.#state = 'certificate';
          break;
        }
        if (type !== MESSAGE.certificate) throw this.unexpected(type);
        this.#onCertificate(body);
        break;
      case 'certificate':
        if (type !== MESSAGE.certificate) throw this.unexpected(type);
        this.#onCertificate(body);
        break;
      case 'certificate-verify':
        if (type !== MESSAGE.certificate_verify) throw this.unexpected(type);
        this.receiveCertificateVerify(body);
        this.#state = 'finished';
        break;
      case 'finished':
        if (type !== MESSAGE.finished) throw this.unexpected(type);
        this.checkFinished(body, this.keys().handshake.server);
        this.transcript.add(raw);
        this.#finish();
        return;
      case 'complete':
        this.#afterwards(type, body);
        return;
      case 'start':
        throw this.unexpected(type);
    }
    this.transcript.add(raw);
  }

  #onServerHello(hello: ServerHello, raw: Uint8Array): void {
    const { extensions, isRetry } = hello;
    if (version(extensions) !== TLS_1_3) throw alert('protocol_version', 'the server does not speak TLS 1.3');
    // RFC 9001 §8.4: this client sends no session id, so none can come back.
    if (hello.sessionId.length > 0) throw alert('illegal_parameter', 'a session id that was not sent');
    const allowed = isRetry ? RETRY_EXTENSIONS : SERVER_HELLO_EXTENSIONS;
    for (const type of extensions.keys()) {
      if (!allowed.has(type)) throw alert('unsupported_extension', `extension ${String(type)} in a hello`);
    }
    const suite = this.suites.find(({ id }) => id === hello.suite);
    if (suite === undefined || (this.#suite !== null && suite !== this.#suite)) {
      throw alert('illegal_parameter', 'a cipher suite that was not offered');
    }
    this.#suite = suite;
    if (isRetry) this.#onRetry(extensions, suite, raw);
    else this.#onHello(extensions, suite, raw);
  }

  /** RFC 8446 §4.1.4. */
  #onRetry(extensions: Extensions, suite: CipherSuite, raw: Uint8Array): void {
    if (this.#retried) throw alert('unexpected_message', 'a second HelloRetryRequest');
    this.#retried = true;
    const share = extensions.get(EXTENSION.key_share);
    const cookie = extensions.get(EXTENSION.cookie);
    if (share === undefined && cookie === undefined) throw alert('illegal_parameter', 'a retry that changes nothing');
    if (share !== undefined) {
      const group = groupOf(whole(share, 'key_share', (reader) => reader.uint16()));
      if (group === undefined || !this.groups.includes(group) || group === this.#exchange.group) {
        throw alert('illegal_parameter', 'a group that was not offered, or has its share already');
      }
      this.#exchange = keyExchange(group, this.#options.random);
    }
    this.transcript.collapse(suite.hash);
    this.transcript.add(raw);
    this.#sendHello(cookie ? whole(cookie, 'cookie', (reader) => reader.take(reader.uint16())) : null);
  }

  #onHello(extensions: Extensions, suite: CipherSuite, raw: Uint8Array): void {
    const value = extensions.get(EXTENSION.key_share);
    if (value === undefined) throw alert('missing_extension', 'a ServerHello without key_share');
    const share = whole(value, 'key_share', (reader) => ({
      group: reader.uint16(),
      publicKey: reader.take(reader.uint16()),
    }));
    if (groupOf(share.group) !== this.#exchange.group) throw alert('illegal_parameter', 'a share of another group');
    const secret = this.#exchange.agree(share.publicKey);
    if (secret === null) throw alert('illegal_parameter', 'not a public key');
    this.transcript.add(raw);
    this.schedule = new KeySchedule(suite.hash, secret, this.transcript.digest(suite.hash));
    const { handshake } = this.schedule;
    this.keylog(this.#random, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', handshake.client);
    this.keylog(this.#random, 'SERVER_HANDSHAKE_TRAFFIC_SECRET', handshake.server);
    this.announceKeys('handshake', suite, handshake);
    this.readLevel = 'handshake';
    this.#state = 'encrypted-extensions';
  }

  #onEncryptedExtensions(extensions: Extensions): void {
    const { alpn, transportParameters, serverName } = this.#options;
    for (const type of extensions.keys()) {
      const isAsked =
        type === EXTENSION.application_layer_protocol_negotiation ||
        type === EXTENSION.supported_groups ||
        (type === EXTENSION.server_name && serverName !== null) ||
        (type === EXTENSION.quic_transport_parameters && transportParameters !== null);
      if (!isAsked) throw alert('unsupported_extension', `extension ${String(type)} that nobody asked for`);
    }
    // RFC 9001 §8.1: without a protocol there is no connection.
    const names = extensions.get(EXTENSION.application_layer_protocol_negotiation);
    const [name, ...more] = names === undefined ? [] : readAlpn(names);
    if (name === undefined || more.length > 0 || !alpn.includes(name)) {
      throw alert('no_application_protocol', 'the server chose no protocol of ours');
    }
    this.#alpn = name;
    if (transportParameters !== null) {
      const encoded = extensions.get(EXTENSION.quic_transport_parameters);
      if (encoded === undefined) throw alert('missing_extension', 'no transport parameters');
      this.output({ type: 'parameters', encoded });
    }
    this.#state = 'certificate-or-request';
  }

  #onCertificate(body: Uint8Array): void {
    this.receiveCertificate(body, this.#options.check);
    this.#state = 'certificate-verify';
  }

  #finish(): void {
    const suite = this.#suite;
    if (suite === null) throw alert('internal_error', 'no cipher suite');
    const keys = this.keys();
    const secrets = keys.application(this.transcript.digest(suite.hash));
    const request = this.#request;
    if (request !== null) {
      const { identity } = this.#options;
      if (identity === null) this.send('handshake', certificateMessage(request.context, []));
      else this.sendIdentity(identity, request.context, request.schemes);
    }
    this.sendFinished(keys.handshake.client);
    this.keylog(this.#random, 'CLIENT_TRAFFIC_SECRET_0', secrets.client);
    this.keylog(this.#random, 'SERVER_TRAFFIC_SECRET_0', secrets.server);
    this.keylog(this.#random, 'EXPORTER_SECRET', secrets.exporter);
    this.announceKeys('1-rtt', suite, secrets);
    this.readLevel = '1-rtt';
    this.#state = 'complete';
    this.output({
      type: 'complete',
      alpn: this.#alpn,
      suite,
      group: this.#exchange.group,
      peerChain: this.peerChain,
      exporterSecret: secrets.exporter,
    });
  }

  /** Tickets are passed over; a KeyUpdate is forbidden in QUIC (RFC 9001 §6), and so is all else. */
  #afterwards(type: number, body: Uint8Array): void {
    if (type !== MESSAGE.new_session_ticket) throw this.unexpected(type);
    const early = readTicket(body);
    if (early !== null && early !== NO_EARLY_DATA_LIMIT) throw violation('a ticket with a limit to early data');
  }
}

function version(extensions: Extensions): number | null {
  const value = extensions.get(EXTENSION.supported_versions);
  return value === undefined ? null : whole(value, 'supported_versions', (reader) => reader.uint16());
}
