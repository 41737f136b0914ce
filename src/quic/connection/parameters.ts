import { equalBytes } from '../../base/bytes.js';
import { type QuicError, quicError } from '../wire/errors.js';
import { DEFAULT_PARAMETERS, type TransportParameters } from '../wire/transport-parameters.js';
import type { ConnectionParameters } from './types.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** What this end says of itself unless it is told otherwise. Windows grow from here by auto-tuning. */
export const OWN_PARAMETERS: ConnectionParameters = {
  ...DEFAULT_PARAMETERS,
  maxIdleTimeoutMs: 30_000,
  maxUdpPayloadBytes: 1500,
  initialMaxData: 4 * MIB,
  initialMaxStreamDataBidiLocal: MIB,
  initialMaxStreamDataBidiRemote: MIB,
  initialMaxStreamDataUni: MIB,
  initialMaxStreamsBidi: 100,
  initialMaxStreamsUni: 100,
  activeConnectionIdLimit: 4,
  maxDatagramFrameBytes: 65_535,
  initialMaxPathId: 7,
};

export const LIMITS = {
  mostStreamWindowBytes: 16 * MIB,
  mostConnectionWindowBytes: 32 * MIB,
  sendBufferBytes: MIB,
  handshakeTimeoutMs: 10_000,
  pathIdleTimeoutMs: 30_000,
} as const;

/** What the packets of the handshake have shown, for the parameters to confirm (RFC 9000 §7.3). */
export interface SeenIds {
  /** The source connection id of the far end. */
  readonly source: Uint8Array;
  /** A client's: the destination of its very first Initial. */
  readonly originalDestination: Uint8Array | null;
  /** A client's: the source of the Retry that it followed. */
  readonly retrySource: Uint8Array | null;
}

const same = (left: Uint8Array | null, right: Uint8Array | null): boolean =>
  left === null || right === null ? left === right : equalBytes(left, right);

/** Whether the far end's parameters fit what was seen of it; `ours`: this end's, with its connection id. */
export function parameterError(
  theirs: TransportParameters,
  seen: SeenIds,
  ours: TransportParameters,
  isServer: boolean,
): QuicError | null {
  const wrong = (reason: string): QuicError => quicError('TRANSPORT_PARAMETER_ERROR', reason);
  if (!same(theirs.initialSourceConnectionId, seen.source)) return wrong('another source connection id');
  if (!isServer) {
    if (!same(theirs.originalDestinationConnectionId, seen.originalDestination)) {
      return wrong('another original destination connection id');
    }
    if (!same(theirs.retrySourceConnectionId, seen.retrySource)) return wrong('another connection id of a Retry');
  }
  // RFC 9000 §18.2.
  if (theirs.preferredAddress !== null && seen.source.length === 0) return wrong('a preferred address without ids');
  // Multipath draft -21, "initial_max_path_id Transport Parameter".
  if (theirs.initialMaxPathId !== null && (seen.source.length === 0 || ours.initialSourceConnectionId?.length === 0)) {
    return quicError('PROTOCOL_VIOLATION', 'multipath with an empty connection id');
  }
  return null;
}

/** RFC 9000 §10.1: the shorter of both, where 0 is none. */
export function idleTimeoutMs(ours: number, theirs: number): number {
  if (ours === 0 || theirs === 0) return Math.max(ours, theirs);
  return Math.min(ours, theirs);
}
