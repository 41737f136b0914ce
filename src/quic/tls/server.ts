import { equalBytes } from '../../base/bytes.js';
import type { CipherSuite } from '../crypto/suites.js';
import { extension, uint16, vector16 } from './builder.js';
import type { CertificateCheck, Identity } from './certificates.js';
import { EXTENSION, GROUP_ID, type GroupName, MESSAGE, TLS_1_3 } from './codes.js';
import { alert, violation } from './failure.js';
import { certificateRequest, encryptedExtensions } from './flight.js';
import { Handshake, type HandshakeOptions } from './handshake.js';
import {
  type ClientHello,
  readAlpn,
  readClientHello,
  readClientShares,
  RETRY_RANDOM,
  serverHello,
  uint16List,
  uint16s,
  whole,
} from './hello.js';
import { keyExchange } from './key-exchange.js';
import { KeySchedule, type TrafficSecrets } from './key-schedule.js';

export interface ServerOptions extends HandshakeOptions {
  readonly identity: Identity;
  /** Asks the client for a certificate and judges it; `null` does not ask. */
  readonly check: CertificateCheck | null;
}

interface Choice {
  readonly suite: CipherSuite;
  readonly group: GroupName;
  readonly alpn: string;
}

type State = 'client-hello' | 'second-client-hello' | 'certificate' | 'certificate-verify' | 'finished' | 'complete';

/** What the second ClientHello may have otherwise than the first (RFC 8446 §4.1.2). */
const MAY_CHANGE = new Set<number>([
  EXTENSION.key_share,
  EXTENSION.early_data,
  EXTENSION.cookie,
  EXTENSION.pre_shared_key,
  EXTENSION.padding,
]);

/** The server's side of a handshake: RFC 8446 A.2. */
export class TlsServer extends Handshake {
  readonly #options: ServerOptions;
  #state: State = 'client-hello';
  #first: ClientHello | null = null;
  #chosen: Choice | null = null;
  #clientRandom = new Uint8Array();
  #application: (TrafficSecrets & { readonly exporter: Uint8Array }) | null = null;

  constructor(options: ServerOptions) {
    super('server', options);
    this.#options = options;
  }

  protected override start(): void {
    // A server waits for a client.
  }

  protected override onMessage(type: number, body: Uint8Array, raw: Uint8Array): void {
    switch (this.#state) {
      case 'client-hello':
      case 'second-client-hello':
        if (type !== MESSAGE.client_hello) throw this.unexpected(type);
        this.#onClientHello(readClientHello(body), raw);
        return;
      case 'certificate': {
        const { check } = this.#options;
        if (type !== MESSAGE.certificate || check === null) throw this.unexpected(type);
        this.receiveCertificate(body, check);
        this.#state = 'certificate-verify';
        break;
      }
      case 'certificate-verify':
        if (type !== MESSAGE.certificate_verify) throw this.unexpected(type);
        this.receiveCertificateVerify(body);
        this.#state = 'finished';
        break;
      case 'finished':
        if (type !== MESSAGE.finished) throw this.unexpected(type);
        this.checkFinished(body, this.keys().handshake.client);
        this.#complete();
        break;
      case 'complete':
        // A KeyUpdate is forbidden in QUIC (RFC 9001 §6), and so is all else.
        throw this.unexpected(type);
    }
    this.transcript.add(raw);
  }

  #onClientHello(hello: ClientHello, raw: Uint8Array): void {
    const { extensions } = hello;
    const isQuic = this.options.transportParameters !== null;
    const versions = extensions.get(EXTENSION.supported_versions);
    if (versions === undefined || !list8(versions).includes(TLS_1_3)) {
      throw alert('protocol_version', 'the client does not speak TLS 1.3');
    }
    // RFC 9001 §8.4.
    if (isQuic && hello.sessionId.length > 0) throw violation('compatibility mode of TLS');
    const psk = [...extensions.keys()].indexOf(EXTENSION.pre_shared_key);
    if (psk >= 0 && psk !== extensions.size - 1) throw alert('illegal_parameter', 'pre_shared_key is not the last');
    if (this.#first !== null) requireSame(this.#first, hello);
    this.#clientRandom = Uint8Array.from(hello.random);
    this.transcript.add(raw);

    const chosen = this.#chosen ?? this.#choose(hello);
    this.#chosen = chosen;
    const share = this.#shareOf(hello, chosen.group);
    if (share === null) this.#retry(hello, chosen.suite, chosen.group);
    else this.#answer(hello, chosen, share);
  }

  /** Suite, group and protocol, by this end's preference. */
  #choose({ suites, extensions }: ClientHello): Choice {
    const suite = this.suites.find(({ id }) => suites.includes(id));
    if (suite === undefined) throw alert('handshake_failure', 'no cipher suite in common');
    const offered = extensions.get(EXTENSION.supported_groups);
    if (offered === undefined) throw alert('missing_extension', 'no supported_groups');
    const ids = uint16List(offered);
    const groups = this.groups.filter((name) => ids.includes(GROUP_ID[name]));
    const shares = this.#shares(extensions).map(({ group }) => group);
    // A round trip is worth more than the preference.
    const group = groups.find((name) => shares.includes(GROUP_ID[name])) ?? groups[0];
    if (group === undefined) throw alert('handshake_failure', 'no group in common');
    const protocols = extensions.get(EXTENSION.application_layer_protocol_negotiation);
    const names = protocols === undefined ? [] : readAlpn(protocols);
    const alpn = this.#options.alpn.find((name) => names.includes(name));
    if (alpn === undefined) throw alert('no_application_protocol', 'no protocol in common');
    return { suite, group, alpn };
  }

  #shares(extensions: ClientHello['extensions']): ReturnType<typeof readClientShares> {
    const value = extensions.get(EXTENSION.key_share);
    const groups = extensions.get(EXTENSION.supported_groups);
    if (value === undefined || groups === undefined) throw alert('missing_extension', 'no key_share');
    const shares = readClientShares(value);
    const ids = uint16List(groups);
    if (shares.some(({ group }) => !ids.includes(group))) {
      throw alert('illegal_parameter', 'a share of a group that was not offered');
    }
    return shares;
  }

  #shareOf({ extensions }: ClientHello, group: GroupName): Uint8Array | null {
    const shares = this.#shares(extensions);
    if (this.#first !== null && shares.length !== 1) throw alert('illegal_parameter', 'one share was asked for');
    return shares.find((share) => share.group === GROUP_ID[group])?.publicKey ?? null;
  }

  /** RFC 8446 §4.1.4. */
  #retry(hello: ClientHello, suite: CipherSuite, group: GroupName): void {
    if (this.#first !== null) throw alert('illegal_parameter', 'again no share of the group that was asked for');
    this.#first = hello;
    this.transcript.collapse(suite.hash);
    const share = extension(EXTENSION.key_share, uint16(GROUP_ID[group]));
    this.send('initial', serverHello(RETRY_RANDOM, hello.sessionId, suite.id, [share]));
    this.#state = 'second-client-hello';
  }

  #answer(hello: ClientHello, { suite, group, alpn }: Choice, share: Uint8Array): void {
    const { identity, check, random, transportParameters } = this.#options;
    const { extensions } = hello;
    if (transportParameters !== null) {
      const encoded = extensions.get(EXTENSION.quic_transport_parameters);
      if (encoded === undefined) throw alert('missing_extension', 'no transport parameters');
      this.output({ type: 'parameters', encoded });
    }
    const schemes = extensions.get(EXTENSION.signature_algorithms);
    if (schemes === undefined) throw alert('missing_extension', 'no signature_algorithms');
    const exchange = keyExchange(group, random);
    const secret = exchange.agree(share);
    if (secret === null) throw alert('illegal_parameter', 'not a public key');
    const ours = extension(EXTENSION.key_share, uint16(GROUP_ID[group]), vector16(exchange.publicKey));
    this.send('initial', serverHello(random.bytes(32), hello.sessionId, suite.id, [ours]));
    const schedule = new KeySchedule(suite.hash, secret, this.transcript.digest(suite.hash));
    this.schedule = schedule;
    this.keylog(this.#clientRandom, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', schedule.handshake.client);
    this.keylog(this.#clientRandom, 'SERVER_HANDSHAKE_TRAFFIC_SECRET', schedule.handshake.server);
    this.announceKeys('handshake', suite, schedule.handshake);
    this.readLevel = 'handshake';

    this.send('handshake', encryptedExtensions(alpn, transportParameters));
    if (check !== null) this.send('handshake', certificateRequest());
    this.sendIdentity(identity, new Uint8Array(), uint16List(schemes));
    this.sendFinished(schedule.handshake.server);
    this.#application = schedule.application(this.transcript.digest(suite.hash));
    this.keylog(this.#clientRandom, 'CLIENT_TRAFFIC_SECRET_0', this.#application.client);
    this.keylog(this.#clientRandom, 'SERVER_TRAFFIC_SECRET_0', this.#application.server);
    this.keylog(this.#clientRandom, 'EXPORTER_SECRET', this.#application.exporter);
    this.announceKeys('1-rtt', suite, this.#application);
    this.#state = check === null ? 'finished' : 'certificate';
  }

  #complete(): void {
    if (this.#chosen === null || this.#application === null) throw alert('internal_error', 'nothing was chosen');
    const { exporter: exporterSecret } = this.#application;
    this.readLevel = '1-rtt';
    this.#state = 'complete';
    this.output({ type: 'complete', ...this.#chosen, peerChain: this.peerChain, exporterSecret });
  }
}

function list8(value: Uint8Array): number[] {
  return uint16s(whole(value, 'a list', (reader) => reader.take(reader.uint8())));
}

function requireSame(first: ClientHello, second: ClientHello): void {
  const fixed = (hello: ClientHello) => [...hello.extensions].filter(([type]) => !MAY_CHANGE.has(type));
  const [before, after] = [fixed(first), fixed(second)];
  const isSame =
    equalBytes(first.random, second.random) &&
    equalBytes(first.sessionId, second.sessionId) &&
    first.suites.join() === second.suites.join() &&
    before.length === after.length &&
    before.every(([type, value]) => equalBytes(value, second.extensions.get(type) ?? new Uint8Array(1)));
  if (!isSame) throw alert('illegal_parameter', 'the second ClientHello is another');
}
