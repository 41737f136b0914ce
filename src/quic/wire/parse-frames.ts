import { type Parsed, quicError, type TransportErrorName } from './errors.js';
import { FRAME, type FramePacket, isKnownFrame, isMultipathFrame, isPermitted } from './frame-types.js';
import type { AckRange, Frame, StreamDirection } from './frames.js';
import { Reader } from './reader.js';
import { varintLength, VARINT_TOO_LARGE_TO_COUNT } from './varint.js';

/** What was agreed on in the transport parameters. */
export interface FrameExtensions {
  readonly multipath: boolean;
  /** Whether this end takes DATAGRAM frames (RFC 9221 §3). */
  readonly datagram: boolean;
}

const MAX_STREAMS = 1n << 60n;
const RESET_TOKEN_BYTES = 16;
const PATH_DATA_BYTES = 8;

/** A rule that a frame breaks; the parser's own, never thrown. */
interface Violation {
  readonly violation: TransportErrorName;
  readonly reason: string;
}

/**
 * The frames of a packet's payload, or the error that ends the connection. Byte strings are views on `payload`. What is
 * read takes memory in proportion to `payload` and no more: every frame, and every range of an ACK, has its bytes there.
 */
export function parseFrames(
  payload: Uint8Array,
  packet: FramePacket,
  extensions: FrameExtensions,
): Parsed<readonly Frame[]> {
  if (payload.length === 0) return fail('PROTOCOL_VIOLATION', 'a packet without frames');
  const reader = new Reader(payload);
  const frames: Frame[] = [];
  while (reader.left > 0) {
    const start = reader.offset;
    const type = reader.varint();
    if (reader.failed()) return fail('FRAME_ENCODING_ERROR', 'a frame type is cut off');
    // Nearly all frames are such; their types have one byte in every packet that may have them.
    if (type >= FRAME.STREAM && type <= FRAME.STREAM_LAST && packet === '1-rtt' && reader.offset === start + 1) {
      const frame = streamFrame(reader, type);
      if (reader.failed()) return fail('FRAME_ENCODING_ERROR', 'a frame is cut off', type);
      if ('violation' in frame) return fail(frame.violation, frame.reason, type);
      frames.push(frame);
      continue;
    }
    if (!isKnownFrame(type) || (isMultipathFrame(type) && !extensions.multipath)) {
      return fail('FRAME_ENCODING_ERROR', 'an unknown frame', type);
    }
    if (reader.offset - start !== varintLength(type)) {
      return fail('PROTOCOL_VIOLATION', 'a frame type is longer than it need be', type);
    }
    if (!isPermitted(type, packet)) return fail('PROTOCOL_VIOLATION', `not permitted in ${packet} packets`, type);
    const frame = parseFields(reader, type, extensions);
    if (reader.failed()) return fail('FRAME_ENCODING_ERROR', 'a frame is cut off', type);
    if ('violation' in frame) return fail(frame.violation, frame.reason, type);
    frames.push(frame);
  }
  return { ok: true, value: frames };
}

function fail(name: TransportErrorName, reason: string, frameType = 0): Parsed<never> {
  return { ok: false, error: quicError(name, reason, frameType) };
}

function wrong(reason: string): Violation {
  return { violation: 'FRAME_ENCODING_ERROR', reason };
}

function parseFields(reader: Reader, type: number, extensions: FrameExtensions): Frame | Violation {
  if (type >= FRAME.STREAM && type <= FRAME.STREAM_LAST) return streamFrame(reader, type);
  switch (type) {
    case FRAME.PADDING:
      return { type: 'padding', length: 1 + skipPadding(reader) };
    case FRAME.PING:
      return { type: 'ping' };
    case FRAME.ACK:
    case FRAME.ACK_ECN:
    case FRAME.PATH_ACK:
    case FRAME.PATH_ACK_ECN:
      return ackFrame(reader, type);
    case FRAME.RESET_STREAM:
      return {
        type: 'reset-stream',
        stream: reader.varint(),
        errorCode: reader.varint(),
        finalSize: reader.varint(),
      };
    case FRAME.STOP_SENDING:
      return { type: 'stop-sending', stream: reader.varint(), errorCode: reader.varint() };
    case FRAME.CRYPTO:
      return { type: 'crypto', offset: reader.varint(), data: reader.take(reader.varint()) };
    case FRAME.NEW_TOKEN: {
      const token = reader.take(reader.varint());
      return token.length === 0 ? wrong('an empty token') : { type: 'new-token', token };
    }
    case FRAME.MAX_DATA:
      return { type: 'max-data', maximum: reader.varint() };
    case FRAME.MAX_STREAM_DATA:
      return { type: 'max-stream-data', stream: reader.varint(), maximum: reader.varint() };
    case FRAME.MAX_STREAMS_BIDI:
    case FRAME.MAX_STREAMS_UNI:
      return maxStreams(reader, type === FRAME.MAX_STREAMS_BIDI ? 'bidi' : 'uni');
    case FRAME.DATA_BLOCKED:
      return { type: 'data-blocked', limit: reader.varint() };
    case FRAME.STREAM_DATA_BLOCKED:
      return { type: 'stream-data-blocked', stream: reader.varint(), limit: reader.varint() };
    case FRAME.STREAMS_BLOCKED_BIDI:
    case FRAME.STREAMS_BLOCKED_UNI:
      return streamsBlocked(reader, type === FRAME.STREAMS_BLOCKED_BIDI ? 'bidi' : 'uni');
    case FRAME.NEW_CONNECTION_ID:
      return newConnectionId(reader, null);
    case FRAME.RETIRE_CONNECTION_ID:
      return { type: 'retire-connection-id', path: null, sequence: reader.varint() };
    case FRAME.PATH_CHALLENGE:
      return { type: 'path-challenge', data: reader.take(PATH_DATA_BYTES) };
    case FRAME.PATH_RESPONSE:
      return { type: 'path-response', data: reader.take(PATH_DATA_BYTES) };
    case FRAME.CONNECTION_CLOSE:
    case FRAME.APPLICATION_CLOSE:
      return connectionClose(reader, type === FRAME.CONNECTION_CLOSE ? 'transport' : 'application');
    case FRAME.HANDSHAKE_DONE:
      return { type: 'handshake-done' };
    case FRAME.DATAGRAM:
    case FRAME.DATAGRAM_WITH_LENGTH:
      return datagram(reader, type === FRAME.DATAGRAM_WITH_LENGTH, extensions);
    default:
      return multipathFrame(reader, type);
  }
}

function multipathFrame(reader: Reader, type: number): Frame | Violation {
  switch (type) {
    case FRAME.PATH_ABANDON:
      return { type: 'path-abandon', path: reader.varint(), errorCode: reader.varint() };
    case FRAME.PATH_STATUS_BACKUP:
    case FRAME.PATH_STATUS_AVAILABLE: {
      const status = type === FRAME.PATH_STATUS_BACKUP ? 'backup' : 'available';
      return { type: 'path-status', path: reader.varint(), status, sequence: reader.varint() };
    }
    case FRAME.PATH_NEW_CONNECTION_ID:
      return newConnectionId(reader, reader.varint());
    case FRAME.PATH_RETIRE_CONNECTION_ID:
      return { type: 'retire-connection-id', path: reader.varint(), sequence: reader.varint() };
    case FRAME.MAX_PATH_ID:
      return { type: 'max-path-id', maximum: reader.varint() };
    case FRAME.PATHS_BLOCKED:
      return { type: 'paths-blocked', maximum: reader.varint() };
    case FRAME.PATH_CIDS_BLOCKED:
      return { type: 'path-cids-blocked', path: reader.varint(), nextSequence: reader.varint() };
    default:
      return wrong('an unknown frame');
  }
}

function skipPadding(reader: Reader): number {
  const start = reader.offset;
  while (reader.left > 0 && reader.bytes[reader.offset] === 0) reader.offset += 1;
  return reader.offset - start;
}

/** RFC 9000 §19.3. */
function ackFrame(reader: Reader, type: number): Frame | Violation {
  const path = type === FRAME.PATH_ACK || type === FRAME.PATH_ACK_ECN ? reader.varint() : null;
  const largest = reader.varint();
  const delay = reader.varint();
  const count = reader.varint();
  const firstSmallest = largest - reader.varint();
  if (firstSmallest < 0) return wrong('an ACK range below packet 0');
  const ranges: AckRange[] = [{ smallest: firstSmallest, largest }];
  let above = firstSmallest;
  for (let index = 0; index < count && !reader.failed(); index += 1) {
    const rangeLargest = above - reader.varint() - 2;
    const smallest = rangeLargest - reader.varint();
    if (smallest < 0) return wrong('an ACK range below packet 0');
    ranges.push({ smallest, largest: rangeLargest });
    above = smallest;
  }
  const hasEcn = type === FRAME.ACK_ECN || type === FRAME.PATH_ACK_ECN;
  const ecn = hasEcn ? { ect0: reader.varint(), ect1: reader.varint(), ce: reader.varint() } : null;
  return { type: 'ack', path, delay, ranges, ecn };
}

/** RFC 9000 §19.8. */
function streamFrame(reader: Reader, type: number): Frame | Violation {
  const stream = reader.varint();
  const offset = (type & 4) !== 0 ? reader.varint() : 0;
  const hasLength = (type & 2) !== 0;
  const data = reader.take(hasLength ? reader.varint() : reader.left);
  if (offset + data.length > VARINT_TOO_LARGE_TO_COUNT) return wrong('a stream beyond 2^62 bytes');
  return { type: 'stream', stream, offset, data, fin: (type & 1) !== 0, hasLength };
}

/** RFC 9000 §19.11: a stream id must fit into a variable-length integer. */
function maxStreams(reader: Reader, direction: StreamDirection): Frame | Violation {
  const maximum = streamCount(reader);
  return maximum === null ? wrong('more than 2^60 streams') : { type: 'max-streams', direction, maximum };
}

function streamsBlocked(reader: Reader, direction: StreamDirection): Frame | Violation {
  const limit = streamCount(reader);
  return limit === null ? wrong('more than 2^60 streams') : { type: 'streams-blocked', direction, limit };
}

/** A number of streams; `null` for more than 2^60. */
export function streamCount(reader: Reader): number | null {
  const count = reader.bigVarint();
  return count > MAX_STREAMS ? null : Math.min(Number(count), VARINT_TOO_LARGE_TO_COUNT);
}

/** RFC 9000 §19.15. */
function newConnectionId(reader: Reader, path: number | null): Frame | Violation {
  const sequence = reader.varint();
  const retirePriorTo = reader.varint();
  const length = reader.uint8();
  if (length < 1 || length > 20) return wrong('a connection id has 1 to 20 bytes');
  if (retirePriorTo > sequence) return wrong('a connection id that retires itself');
  const id = reader.take(length);
  const resetToken = reader.take(RESET_TOKEN_BYTES);
  return { type: 'new-connection-id', path, sequence, retirePriorTo, id, resetToken };
}

function connectionClose(reader: Reader, by: 'application' | 'transport'): Frame {
  const errorCode = reader.varint();
  const frameType = by === 'transport' ? reader.varint() : 0;
  return { type: 'connection-close', by, errorCode, frameType, reason: reader.take(reader.varint()) };
}

/** RFC 9221 §3 and §4. */
function datagram(reader: Reader, hasLength: boolean, extensions: FrameExtensions): Frame | Violation {
  if (!extensions.datagram) return { violation: 'PROTOCOL_VIOLATION', reason: 'datagrams were not offered' };
  return { type: 'datagram', data: reader.take(hasLength ? reader.varint() : reader.left), hasLength };
}
