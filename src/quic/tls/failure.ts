import { cryptoError, type QuicError, quicError } from '../wire/errors.js';
import { ALERT, type AlertName } from './codes.js';

/**
 * Ends a handshake. Thrown and caught within `tls/` alone: a handshake has so many places where it can go wrong, and one
 * answer to all of them.
 */
export class HandshakeFailure extends Error {
  readonly error: QuicError;

  constructor(error: QuicError) {
    super(error.reason);
    this.error = error;
  }
}

/** An alert, as QUIC sends it: RFC 9001 §4.8. */
export function alert(name: AlertName, reason: string): HandshakeFailure {
  return new HandshakeFailure(cryptoError(ALERT[name], `${name}: ${reason}`));
}

/** What RFC 9001 §8 calls a violation of QUIC and not of TLS. */
export function violation(reason: string): HandshakeFailure {
  return new HandshakeFailure(quicError('PROTOCOL_VIOLATION', reason));
}
