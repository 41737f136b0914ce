import type { TransportAddress } from '../../base/address.js';
import type { CipherProvider } from '../../quic/crypto/ciphers.js';
import type { Identity } from '../../quic/tls/certificates.js';
import type { TransferDirection } from '../../verdict/words.js';

/** What the client decides of the data that go over the paths that work. */
export interface TransferPlan {
  readonly seconds: number;
  readonly direction: TransferDirection;
  /** Bits a second that each sending end writes at most; `null`: as many as the paths take. */
  readonly rateBps: number | null;
}

/** What this host gives QUIC. */
export interface QuicMeans {
  /** Known to the far end by the certificate's fingerprint, which the control channel tells it. */
  readonly identity: Identity;
  readonly ciphers: CipherProvider;
  /** Lines of the format of SSLKEYLOGFILE. */
  readonly keylog?: (line: string) => void;
}

export interface TransferOptions {
  readonly plan: TransferPlan;
  readonly means: QuicMeans;
  /** SHA-256 of the far end's certificate, as the control channel told it. */
  readonly farFingerprint: Uint8Array;
}

/** The application's protocol on the connection (RFC 7301): one stream, in each direction bytes of a pattern. */
export const TRANSFER_ALPN = 'icepath/1';

/** Where data are sent from: a socket of the session's, or a relay that one of them has, which sends by itself. */
export interface DataWay {
  readonly local: TransportAddress;
  readonly send?: (to: TransportAddress, bytes: Uint8Array) => void;
}

const RELAY = 'relay:';

/** What the way of a path by a relay is called among the paths of a transfer. */
export function relayedPath(path: string): string {
  return `${RELAY}${path}`;
}

export function isRelayed(path: string): boolean {
  return path.startsWith(RELAY);
}
