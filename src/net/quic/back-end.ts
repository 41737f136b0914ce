import { batchedUdp } from '../../os/batched-udp.js';
import type { CipherProvider } from '../../quic/crypto/ciphers.js';
import { nodeCiphers } from '../../quic/crypto/node-ciphers.js';
import { fastCiphers } from './ciphers.js';
import { fastSockets } from './fast-socket.js';
import { plainSockets } from './plain-socket.js';
import type { SocketBackEnd } from './socket.js';

/** What packets are encrypted and sent with. */
export interface BackEnd {
  readonly ciphers: CipherProvider;
  readonly sockets: SocketBackEnd;
  /** For the log: which were taken, and where it is not the fast one, why. */
  readonly taken: { readonly ciphers: string; readonly sockets: string; readonly reason: string | null };
}

/**
 * `fast` takes what is to be had of OpenSSL's EVP and of the kernel's batched calls, each alone, and says what is not;
 * `plain` takes node:crypto and dgram, which are everywhere.
 */
export function backEnd(wanted: 'fast' | 'plain' = 'fast'): BackEnd {
  if (wanted === 'plain') return named(nodeCiphers, plainSockets, 'the plain one was asked for');
  const crypto = fastCiphers();
  const udp = batchedUdp();
  const reasons = [crypto.reason, udp.reason].filter((reason) => reason !== null);
  return named(
    crypto.ciphers ?? nodeCiphers,
    udp.open === null ? plainSockets : fastSockets(udp.open, udp.sendBuffer),
    reasons.length === 0 ? null : [...new Set(reasons)].join('; '),
  );
}

function named(ciphers: CipherProvider, sockets: SocketBackEnd, reason: string | null): BackEnd {
  return { ciphers, sockets, taken: { ciphers: ciphers.name, sockets: sockets.name, reason } };
}
