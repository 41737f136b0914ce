import { connect, type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import { EXPORTER_BYTES, EXPORTER_LABEL, type ChannelBinding } from '../control/handshake.js';
import { fingerprintOf, type Identity } from './certificate.js';

const ALPN = 'icepath/1';

const common = (identity: Identity) =>
  ({
    key: identity.key,
    cert: identity.certificate,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ALPNProtocols: [ALPN],
    // No authority has signed either certificate: whose it is, the handshake of control/ decides by its fingerprint.
    rejectUnauthorized: false,
  }) satisfies ConnectionOptions & TlsOptions;

export function tlsServerOptions(identity: Identity, handshakeTimeoutMs: number): TlsOptions {
  return { ...common(identity), requestCert: true, handshakeTimeout: handshakeTimeoutMs };
}

/** The connection is up at `secureConnect`; nothing is known of the far end before {@link bindingOf} was judged. */
export function connectTls(identity: Identity, host: string, port: number): TLSSocket {
  return connect({ ...common(identity), host, port });
}

/** What the handshake binds its proofs to; `null` when the far end showed no certificate or speaks something else. */
export function bindingOf(socket: TLSSocket, role: 'client' | 'server', own: Identity): ChannelBinding | null {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate || socket.alpnProtocol !== ALPN) return null;
  const theirs = fingerprintOf(certificate.raw);
  return {
    exporter: new Uint8Array(socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0))),
    clientFingerprint: role === 'client' ? own.fingerprint : theirs,
    serverFingerprint: role === 'server' ? own.fingerprint : theirs,
  };
}
