import type { Duplex } from 'node:stream';
import { connect, createServer, type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import { EXPORTER_BYTES, EXPORTER_LABEL, type ChannelBinding } from '../control/handshake.js';
import { fingerprintOf } from '../quic/tls/certificates.js';
import type { Identity } from './certificate.js';

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

/** The same inside of a byte stream that somebody else carries. */
export function connectTlsOver(identity: Identity, stream: Duplex): TLSSocket {
  return connect({ ...common(identity), socket: stream });
}

/** The server's end of it. The stream is closed unless the handshake is over in time. */
export function acceptTlsOver(
  identity: Identity,
  stream: Duplex,
  handshakeTimeoutMs: number,
  result: { readonly secured: (socket: TLSSocket) => void; readonly failed: (error: Error) => void },
): void {
  // A server of its own that listens nowhere: a bare TLSSocket keeps back the errors of its handshake.
  const server = createServer(tlsServerOptions(identity, handshakeTimeoutMs), result.secured);
  server.on('tlsClientError', (error) => {
    result.failed(error);
    stream.destroy();
  });
  server.emit('connection', stream);
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
