import { FRAME } from './frame-types.js';

/**
 * Frames as values. Fields keep the names of RFC 9000 §19. `path` is the path id of a frame of the multipath extension;
 * `null` means the frame of RFC 9000, which then is about path 0 (draft -21, "Handling Connection IDs").
 */
export type Frame =
  | { readonly type: 'padding'; /** Bytes in a row. */ readonly length: number }
  | { readonly type: 'ping' }
  | AckFrame
  | {
      readonly type: 'reset-stream';
      readonly stream: number;
      readonly errorCode: number;
      readonly finalSize: number;
    }
  | { readonly type: 'stop-sending'; readonly stream: number; readonly errorCode: number }
  | CryptoFrame
  | { readonly type: 'new-token'; readonly token: Uint8Array }
  | StreamFrame
  | { readonly type: 'max-data'; readonly maximum: number }
  | { readonly type: 'max-stream-data'; readonly stream: number; readonly maximum: number }
  | { readonly type: 'max-streams'; readonly direction: StreamDirection; readonly maximum: number }
  | { readonly type: 'data-blocked'; readonly limit: number }
  | { readonly type: 'stream-data-blocked'; readonly stream: number; readonly limit: number }
  | { readonly type: 'streams-blocked'; readonly direction: StreamDirection; readonly limit: number }
  | NewConnectionIdFrame
  | { readonly type: 'retire-connection-id'; readonly path: number | null; readonly sequence: number }
  | { readonly type: 'path-challenge'; /** 8 bytes. */ readonly data: Uint8Array }
  | { readonly type: 'path-response'; /** 8 bytes. */ readonly data: Uint8Array }
  | ConnectionCloseFrame
  | { readonly type: 'handshake-done' }
  | DatagramFrame
  | { readonly type: 'path-abandon'; readonly path: number; readonly errorCode: number }
  | { readonly type: 'path-status'; readonly path: number; readonly status: PathStatus; readonly sequence: number }
  | { readonly type: 'max-path-id'; readonly maximum: number }
  | { readonly type: 'paths-blocked'; readonly maximum: number }
  | { readonly type: 'path-cids-blocked'; readonly path: number; readonly nextSequence: number };

export type StreamDirection = 'bidi' | 'uni';

/** `backup`: the far end should use the path only where no other works. */
export type PathStatus = 'available' | 'backup';

/** Packet numbers from `smallest` to `largest`, both included. */
export interface AckRange {
  readonly smallest: number;
  readonly largest: number;
}

export interface AckFrame {
  readonly type: 'ack';
  readonly path: number | null;
  /** As on the wire: microseconds divided by 2^ack_delay_exponent of who sent it. */
  readonly delay: number;
  /** At least one; the highest first, with at least one missing number between two. */
  readonly ranges: readonly AckRange[];
  readonly ecn: EcnCounts | null;
}

export interface EcnCounts {
  readonly ect0: number;
  readonly ect1: number;
  readonly ce: number;
}

export interface CryptoFrame {
  readonly type: 'crypto';
  readonly offset: number;
  readonly data: Uint8Array;
}

export interface StreamFrame {
  readonly type: 'stream';
  readonly stream: number;
  readonly offset: number;
  readonly data: Uint8Array;
  readonly fin: boolean;
  /** Without a length the frame goes to the end of its packet. */
  readonly hasLength: boolean;
}

export interface NewConnectionIdFrame {
  readonly type: 'new-connection-id';
  readonly path: number | null;
  readonly sequence: number;
  readonly retirePriorTo: number;
  /** 1 to 20 bytes. */
  readonly id: Uint8Array;
  /** 16 bytes. */
  readonly resetToken: Uint8Array;
}

export interface ConnectionCloseFrame {
  readonly type: 'connection-close';
  /** Whether the application closed (0x1d) or the transport (0x1c); only the latter has a `frameType`. */
  readonly by: 'application' | 'transport';
  readonly errorCode: number;
  readonly frameType: number;
  /** UTF-8, by intention. */
  readonly reason: Uint8Array;
}

export interface DatagramFrame {
  readonly type: 'datagram';
  readonly data: Uint8Array;
  readonly hasLength: boolean;
}

/** RFC 9000 §13.2.1: packets with such a frame have to be acknowledged. */
export function isAckEliciting({ type }: Frame): boolean {
  return type !== 'ack' && type !== 'padding' && type !== 'connection-close';
}

/** RFC 9000 §9.1: packets with nothing else do not move the connection to the path that they came on. */
export function isProbing({ type }: Frame): boolean {
  return type === 'path-challenge' || type === 'path-response' || type === 'new-connection-id' || type === 'padding';
}

/** The type as it stands on the wire. */
export function frameTypeOf(frame: Frame): number {
  switch (frame.type) {
    case 'padding':
      return FRAME.PADDING;
    case 'ping':
      return FRAME.PING;
    case 'ack':
      return (frame.path === null ? FRAME.ACK : FRAME.PATH_ACK) + (frame.ecn === null ? 0 : 1);
    case 'reset-stream':
      return FRAME.RESET_STREAM;
    case 'stop-sending':
      return FRAME.STOP_SENDING;
    case 'crypto':
      return FRAME.CRYPTO;
    case 'new-token':
      return FRAME.NEW_TOKEN;
    case 'stream':
      return FRAME.STREAM + (frame.fin ? 1 : 0) + (frame.hasLength ? 2 : 0) + (frame.offset > 0 ? 4 : 0);
    case 'max-data':
      return FRAME.MAX_DATA;
    case 'max-stream-data':
      return FRAME.MAX_STREAM_DATA;
    case 'max-streams':
      return frame.direction === 'bidi' ? FRAME.MAX_STREAMS_BIDI : FRAME.MAX_STREAMS_UNI;
    case 'data-blocked':
      return FRAME.DATA_BLOCKED;
    case 'stream-data-blocked':
      return FRAME.STREAM_DATA_BLOCKED;
    case 'streams-blocked':
      return frame.direction === 'bidi' ? FRAME.STREAMS_BLOCKED_BIDI : FRAME.STREAMS_BLOCKED_UNI;
    case 'new-connection-id':
      return frame.path === null ? FRAME.NEW_CONNECTION_ID : FRAME.PATH_NEW_CONNECTION_ID;
    case 'retire-connection-id':
      return frame.path === null ? FRAME.RETIRE_CONNECTION_ID : FRAME.PATH_RETIRE_CONNECTION_ID;
    case 'path-challenge':
      return FRAME.PATH_CHALLENGE;
    case 'path-response':
      return FRAME.PATH_RESPONSE;
    case 'connection-close':
      return frame.by === 'transport' ? FRAME.CONNECTION_CLOSE : FRAME.APPLICATION_CLOSE;
    case 'handshake-done':
      return FRAME.HANDSHAKE_DONE;
    case 'datagram':
      return frame.hasLength ? FRAME.DATAGRAM_WITH_LENGTH : FRAME.DATAGRAM;
    case 'path-abandon':
      return FRAME.PATH_ABANDON;
    case 'path-status':
      return frame.status === 'backup' ? FRAME.PATH_STATUS_BACKUP : FRAME.PATH_STATUS_AVAILABLE;
    case 'max-path-id':
      return FRAME.MAX_PATH_ID;
    case 'paths-blocked':
      return FRAME.PATHS_BLOCKED;
    case 'path-cids-blocked':
      return FRAME.PATH_CIDS_BLOCKED;
  }
}
