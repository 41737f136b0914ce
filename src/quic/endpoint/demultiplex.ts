/** What a datagram on a socket that several protocols share is by its first byte (RFC 9443 §3). */
export type DatagramKind = 'stun' | 'zrtp' | 'dtls' | 'turn-channel' | 'quic' | 'rtp' | 'unknown';

/**
 * Bytes 64 to 79 are TURN's where they come from a TURN server that this socket has an allocation on, and QUIC's from
 * everybody else: `isTurnServer` says which.
 */
export function datagramKind(datagram: Uint8Array, isTurnServer = false): DatagramKind {
  const [first] = datagram;
  if (first === undefined) return 'unknown';
  if (first <= 3) return 'stun';
  if (first < 16) return 'unknown';
  if (first <= 19) return 'zrtp';
  if (first <= 63) return 'dtls';
  if (first <= 79) return isTurnServer ? 'turn-channel' : 'quic';
  if (first <= 127) return 'quic';
  return first <= 191 ? 'rtp' : 'quic';
}
