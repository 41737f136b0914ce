import { toHex, utf8Text } from '../../base/bytes.js';
import type { Frame } from '../wire/frames.js';

export type Fields = Readonly<Record<string, unknown>>;

const STREAM_TYPES = { bidi: 'bidirectional', uni: 'unidirectional' } as const;

/** Frames of the multipath extension say of which path they are; those of RFC 9000 do not. */
function onPath(path: number | null): Fields {
  return path === null ? {} : { path_id: path };
}

/** A frame as qlog has it (draft-ietf-quic-qlog-quic-events-02, A.10 "QuicFrame"); contents are left out. */
export function qlogFrame(frame: Frame, ackDelayExponent: number): Fields {
  const type = frame.type.replaceAll('-', '_');
  switch (frame.type) {
    case 'padding':
      return { frame_type: type, payload_length: frame.length };
    case 'ping':
    case 'handshake-done':
      return { frame_type: type };
    case 'ack':
      return {
        frame_type: frame.path === null ? 'ack' : 'path_ack',
        ...onPath(frame.path),
        ack_delay: (frame.delay * 2 ** ackDelayExponent) / 1000,
        acked_ranges: frame.ranges
          .toReversed()
          .map(({ smallest, largest }) => (smallest === largest ? [smallest] : [smallest, largest])),
        ...(frame.ecn && { ect0: frame.ecn.ect0, ect1: frame.ecn.ect1, ce: frame.ecn.ce }),
      };
    case 'reset-stream':
      return {
        frame_type: type,
        stream_id: frame.stream,
        error_code: frame.errorCode,
        final_size: frame.finalSize,
      };
    case 'stop-sending':
      return { frame_type: type, stream_id: frame.stream, error_code: frame.errorCode };
    case 'crypto':
      return { frame_type: type, offset: frame.offset, length: frame.data.length };
    case 'new-token':
      return { frame_type: type, token: { length: frame.token.length } };
    case 'stream':
      return {
        frame_type: type,
        stream_id: frame.stream,
        offset: frame.offset,
        length: frame.data.length,
        ...(frame.fin && { fin: true }),
      };
    case 'max-data':
      return { frame_type: type, maximum: frame.maximum };
    case 'max-stream-data':
      return { frame_type: type, stream_id: frame.stream, maximum: frame.maximum };
    case 'max-streams':
      return { frame_type: type, stream_type: STREAM_TYPES[frame.direction], maximum: frame.maximum };
    case 'data-blocked':
      return { frame_type: type, limit: frame.limit };
    case 'stream-data-blocked':
      return { frame_type: type, stream_id: frame.stream, limit: frame.limit };
    case 'streams-blocked':
      return { frame_type: type, stream_type: STREAM_TYPES[frame.direction], limit: frame.limit };
    case 'new-connection-id':
      return {
        frame_type: frame.path === null ? type : 'path_new_connection_id',
        ...onPath(frame.path),
        sequence_number: frame.sequence,
        retire_prior_to: frame.retirePriorTo,
        connection_id_length: frame.id.length,
        connection_id: toHex(frame.id),
      };
    case 'retire-connection-id':
      return {
        frame_type: frame.path === null ? type : 'path_retire_connection_id',
        ...onPath(frame.path),
        sequence_number: frame.sequence,
      };
    case 'path-challenge':
    case 'path-response':
      return { frame_type: type, data: toHex(frame.data) };
    case 'connection-close':
      return {
        frame_type: type,
        error_space: frame.by,
        error_code: frame.errorCode,
        reason: utf8Text(frame.reason),
      };
    case 'datagram':
      return { frame_type: type, length: frame.data.length };
    case 'path-abandon':
      return { frame_type: type, path_id: frame.path, error_code: frame.errorCode };
    case 'path-status':
      return { frame_type: `path_status_${frame.status}`, path_id: frame.path, sequence_number: frame.sequence };
    case 'max-path-id':
    case 'paths-blocked':
      return { frame_type: type, maximum: frame.maximum };
    case 'path-cids-blocked':
      return { frame_type: type, path_id: frame.path, next_sequence_number: frame.nextSequence };
  }
}
