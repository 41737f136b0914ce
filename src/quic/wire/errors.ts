/** Transport error codes (RFC 9000 §20.1, RFC 9001 §6.6, multipath draft -21 "Error Codes"). */
export const TRANSPORT_ERRORS = {
  NO_ERROR: 0x00,
  INTERNAL_ERROR: 0x01,
  CONNECTION_REFUSED: 0x02,
  FLOW_CONTROL_ERROR: 0x03,
  STREAM_LIMIT_ERROR: 0x04,
  STREAM_STATE_ERROR: 0x05,
  FINAL_SIZE_ERROR: 0x06,
  FRAME_ENCODING_ERROR: 0x07,
  TRANSPORT_PARAMETER_ERROR: 0x08,
  CONNECTION_ID_LIMIT_ERROR: 0x09,
  PROTOCOL_VIOLATION: 0x0a,
  INVALID_TOKEN: 0x0b,
  APPLICATION_ERROR: 0x0c,
  CRYPTO_BUFFER_EXCEEDED: 0x0d,
  KEY_UPDATE_ERROR: 0x0e,
  AEAD_LIMIT_REACHED: 0x0f,
  NO_VIABLE_PATH: 0x10,
  APPLICATION_ABANDON_PATH: 0x3e,
  PATH_RESOURCE_LIMIT_REACHED: 0x3e75,
  PATH_UNSTABLE_OR_POOR: 0x3e76,
  NO_CID_AVAILABLE_FOR_PATH: 0x3e77,
} as const;

export type TransportErrorName = keyof typeof TRANSPORT_ERRORS;

const CRYPTO_ERROR = 0x100;

/** Why a connection has to end, as CONNECTION_CLOSE (0x1c) says it to the far end. */
export interface QuicError {
  readonly code: number;
  /** The type of the frame that it is about; 0 where it is about none. */
  readonly frameType: number;
  readonly reason: string;
}

export function quicError(name: TransportErrorName, reason: string, frameType = 0): QuicError {
  return { code: TRANSPORT_ERRORS[name], frameType, reason };
}

/** A TLS alert (RFC 8446 §6) as a QUIC error (RFC 9001 §4.8). */
export function cryptoError(alert: number, reason: string): QuicError {
  return { code: CRYPTO_ERROR + alert, frameType: 0, reason };
}

/** `PROTOCOL_VIOLATION`, `CRYPTO_ERROR(48)`, or the number. */
export function errorName(code: number): string {
  if (code >= CRYPTO_ERROR && code < CRYPTO_ERROR + 0x100) return `CRYPTO_ERROR(${String(code - CRYPTO_ERROR)})`;
  const known = Object.entries(TRANSPORT_ERRORS).find(([, value]) => value === code);
  return known?.[0] ?? `0x${code.toString(16)}`;
}

/** What a parser gives: what it read, or why the connection has to end. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: QuicError };
