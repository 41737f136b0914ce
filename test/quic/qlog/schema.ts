import { z } from 'zod';

// What qlog 0.3 allows, written down from draft-ietf-quic-qlog-main-schema-02 and -quic-events-02 (CDDL there): nothing
// that is not named may stand in a trace. What the drafts do not know yet (multipath, datagrams) is named apart.

const uint = z.int().nonnegative();
const hex = z.string().regex(/^([0-9a-f]{2})*$/);
const owner = z.enum(['local', 'remote']);
const streamType = z.enum(['unidirectional', 'bidirectional']);
/** Ours: on which path it was. */
const pathId = { path_id: uint };

const header = z.strictObject({
  packet_type: z.enum(['initial', 'handshake', '0RTT', '1RTT', 'retry', 'version_negotiation', 'stateless_reset']),
  packet_number: uint,
});
const raw = z.strictObject({ length: uint });

const ackRange = z.union([z.tuple([uint]), z.tuple([uint, uint])]);
const ack = {
  ack_delay: z.number().nonnegative(),
  acked_ranges: z.array(ackRange).min(1),
  ect0: uint.optional(),
  ect1: uint.optional(),
  ce: uint.optional(),
};
const newId = {
  sequence_number: uint,
  retire_prior_to: uint,
  connection_id_length: uint,
  connection_id: hex,
};

const drafts = [
  z.strictObject({ frame_type: z.literal('padding'), payload_length: uint }),
  z.strictObject({ frame_type: z.enum(['ping', 'handshake_done']) }),
  z.strictObject({ frame_type: z.literal('ack'), ...ack }),
  z.strictObject({ frame_type: z.literal('reset_stream'), stream_id: uint, error_code: uint, final_size: uint }),
  z.strictObject({ frame_type: z.literal('stop_sending'), stream_id: uint, error_code: uint }),
  z.strictObject({ frame_type: z.literal('crypto'), offset: uint, length: uint }),
  z.strictObject({
    frame_type: z.literal('new_token'),
    token: z.strictObject({ length: uint }),
  }),
  z.strictObject({
    frame_type: z.literal('stream'),
    stream_id: uint,
    offset: uint,
    length: uint,
    fin: z.literal(true).optional(),
  }),
  z.strictObject({ frame_type: z.literal('max_data'), maximum: uint }),
  z.strictObject({ frame_type: z.literal('max_stream_data'), stream_id: uint, maximum: uint }),
  z.strictObject({ frame_type: z.literal('max_streams'), stream_type: streamType, maximum: uint }),
  z.strictObject({ frame_type: z.literal('data_blocked'), limit: uint }),
  z.strictObject({ frame_type: z.literal('stream_data_blocked'), stream_id: uint, limit: uint }),
  z.strictObject({ frame_type: z.literal('streams_blocked'), stream_type: streamType, limit: uint }),
  z.strictObject({ frame_type: z.literal('new_connection_id'), ...newId }),
  z.strictObject({ frame_type: z.literal('retire_connection_id'), sequence_number: uint }),
  z.strictObject({ frame_type: z.enum(['path_challenge', 'path_response']), data: hex.length(16) }),
  z.strictObject({
    frame_type: z.literal('connection_close'),
    error_space: z.enum(['transport', 'application']),
    error_code: uint,
    reason: z.string(),
  }),
] as const;

const extensions = [
  z.strictObject({ frame_type: z.literal('datagram'), length: uint }),
  z.strictObject({ frame_type: z.literal('path_ack'), ...pathId, ...ack }),
  z.strictObject({ frame_type: z.literal('path_new_connection_id'), ...pathId, ...newId }),
  z.strictObject({ frame_type: z.literal('path_retire_connection_id'), ...pathId, sequence_number: uint }),
  z.strictObject({ frame_type: z.literal('path_abandon'), ...pathId, error_code: uint }),
  z.strictObject({
    frame_type: z.enum(['path_status_backup', 'path_status_available']),
    ...pathId,
    sequence_number: uint,
  }),
  z.strictObject({ frame_type: z.enum(['max_path_id', 'paths_blocked']), maximum: uint }),
  z.strictObject({ frame_type: z.literal('path_cids_blocked'), ...pathId, next_sequence_number: uint }),
] as const;

const frame = z.discriminatedUnion('frame_type', [...drafts, ...extensions]);
const packet = z.strictObject({ header, raw, frames: z.array(frame), ...pathId });

const parameters = z.strictObject({
  owner,
  original_destination_connection_id: hex.optional(),
  initial_source_connection_id: hex.optional(),
  retry_source_connection_id: hex.optional(),
  disable_active_migration: z.boolean(),
  max_idle_timeout: uint,
  max_udp_payload_size: uint,
  ack_delay_exponent: uint,
  max_ack_delay: uint,
  active_connection_id_limit: uint,
  initial_max_data: uint,
  initial_max_stream_data_bidi_local: uint,
  initial_max_stream_data_bidi_remote: uint,
  initial_max_stream_data_uni: uint,
  initial_max_streams_bidi: uint,
  initial_max_streams_uni: uint,
  preferred_address: z
    .strictObject({
      ip_v4: z.string(),
      ip_v6: z.string(),
      port_v4: uint,
      port_v6: uint,
      connection_id: hex,
      stateless_reset_token: hex.length(32),
    })
    .optional(),
  // Extensions.
  max_datagram_frame_size: uint,
  initial_max_path_id: uint.optional(),
});

const states = [
  'attempted',
  'peer_validated',
  'handshake_started',
  'handshake_complete',
  'handshake_confirmed',
] as const;

const DATA = {
  'transport:packet_sent': packet,
  'transport:packet_received': packet,
  'transport:packet_dropped': z.strictObject({
    raw,
    trigger: z.enum([
      'key_unavailable',
      'unknown_connection_id',
      'header_parse_error',
      'payload_decrypt_error',
      'protocol_violation',
      'dos_prevention',
      'unsupported_version',
      'unexpected_packet',
      'unexpected_source_connection_id',
      'unexpected_version',
      'duplicate',
      'invalid_initial',
    ]),
  }),
  'transport:parameters_set': parameters,
  'recovery:packet_lost': z.strictObject({ header, ...pathId }),
  'recovery:metrics_updated': z.strictObject({
    min_rtt: z.number().optional(),
    smoothed_rtt: z.number().optional(),
    latest_rtt: z.number().optional(),
    rtt_variance: z.number().optional(),
    pto_count: uint.optional(),
    congestion_window: uint.optional(),
    bytes_in_flight: uint.optional(),
    ...pathId,
  }),
  'security:key_updated': z.strictObject({
    key_type: z.enum(['server_1rtt_secret', 'client_1rtt_secret']),
    new: hex,
    generation: uint,
    trigger: z.enum(['tls', 'remote_update', 'local_update']),
  }),
  'connectivity:connection_state_updated': z.strictObject({
    new: z.enum([...states, 'closing', 'draining', 'closed']),
  }),
  'connectivity:connection_closed': z.strictObject({
    owner,
    connection_code: uint.optional(),
    application_code: uint.optional(),
    reason: z.string(),
    trigger: z.enum([
      'clean',
      'handshake_timeout',
      'idle_timeout',
      'error',
      'stateless_reset',
      'version_mismatch',
      'application',
    ]),
  }),
  // Ours.
  'connectivity:path_updated': z.strictObject({
    path_id: uint,
    new: z.enum(['opened', 'validated', 'migrated', 'migration-failed', 'abandoned']),
  }),
} as const;

export const QLOG_EVENTS = Object.keys(DATA) as (keyof typeof DATA)[];

const line = z.strictObject({
  time: z.number(),
  name: z.enum(QLOG_EVENTS as [(typeof QLOG_EVENTS)[number]]),
  data: z.unknown(),
});

/** Throws where a line of a trace, the first apart, is not what the drafts have. */
export function checkQlogEvent(event: unknown): void {
  const { name, data } = line.parse(event);
  DATA[name].parse(data);
}

/** The first line. */
export const qlogHeader = z.strictObject({
  qlog_format: z.literal('JSON-SEQ'),
  qlog_version: z.literal('0.3'),
  title: z.string(),
  trace: z.strictObject({
    vantage_point: z.strictObject({ name: z.string(), type: z.enum(['client', 'server', 'network']) }),
    common_fields: z.strictObject({
      time_format: z.literal('relative'),
      reference_time: z.number(),
      protocol_type: z.array(z.literal('QUIC')),
    }),
  }),
});
