import { formatAddressBytes } from '../../base/address.js';
import { toHex } from '../../base/bytes.js';
import type { Ms } from '../../base/time.js';
import type { CloseReason, ConnectionEvent, DropReason, Observed, PathStatistics } from '../connection/types.js';
import type { TransportParameters } from '../wire/transport-parameters.js';
import { type Fields, qlogFrame } from './frames.js';

export interface TraceTitle {
  readonly title: string;
  readonly vantagePoint: 'client' | 'server';
  /** Milliseconds since 1970 at `startedAt`, for people. */
  readonly referenceTime: number;
  /** On the clock that the connection has. */
  readonly startedAt: Ms;
}

const PACKET_TYPES = { initial: 'initial', handshake: 'handshake', application: '1RTT' } as const;

const DROP_TRIGGERS: Readonly<Record<DropReason, string>> = {
  malformed: 'header_parse_error',
  'unknown-id': 'unknown_connection_id',
  'no-keys': 'key_unavailable',
  undecryptable: 'payload_decrypt_error',
  duplicate: 'duplicate',
  'other-version': 'unsupported_version',
  'unexpected-address': 'unexpected_packet',
};

/**
 * What a connection observed as lines of qlog 0.3 (draft-ietf-quic-qlog-main-schema-02 and -quic-events-02) in JSON text
 * sequences (RFC 7464), which viewers open as `.sqlog`. What happens on a path says so in `path_id`.
 */
export class QlogTrace {
  readonly #startedAt: Ms;
  /** Of the far end; this end's own is the default. */
  #theirExponent = DEFAULT_ACK_DELAY_EXPONENT;
  #ownExponent = DEFAULT_ACK_DELAY_EXPONENT;
  readonly #metrics = new Map<number, Record<string, number>>();

  constructor(startedAt: Ms) {
    this.#startedAt = startedAt;
  }

  /** Goes before everything else. */
  header({ title, vantagePoint, referenceTime }: TraceTitle): string {
    return record({
      qlog_format: 'JSON-SEQ',
      qlog_version: '0.3',
      title,
      trace: {
        vantage_point: { name: 'icepath', type: vantagePoint },
        common_fields: { time_format: 'relative', reference_time: referenceTime, protocol_type: ['QUIC'] },
      },
    });
  }

  /** `null` for what qlog has no word for, and metrics that have not changed. */
  line(observed: Observed, now: Ms): string | null {
    const event = this.#event(observed);
    if (event === null) return null;
    const [name, data] = event;
    return record({ time: Math.round((now - this.#startedAt) * 1000) / 1000, name, data });
  }

  #event(observed: Observed): readonly [name: string, data: Fields] | null {
    switch (observed.type) {
      case 'packet-sent':
      case 'packet-received': {
        const isSent = observed.type === 'packet-sent';
        const exponent = isSent ? this.#ownExponent : this.#theirExponent;
        const data = {
          header: { packet_type: PACKET_TYPES[observed.space], packet_number: observed.packetNumber },
          raw: { length: observed.bytes },
          frames: observed.frames.map((frame) => qlogFrame(frame, exponent)),
          path_id: observed.path,
        };
        return [isSent ? 'transport:packet_sent' : 'transport:packet_received', data];
      }
      case 'packet-lost': {
        const header = { packet_type: PACKET_TYPES[observed.space], packet_number: observed.packetNumber };
        return ['recovery:packet_lost', { header, path_id: observed.path }];
      }
      case 'packet-dropped':
        return ['transport:packet_dropped', { raw: { length: observed.bytes }, trigger: DROP_TRIGGERS[observed.why] }];
      case 'parameters':
        if (observed.whose === 'local') this.#ownExponent = observed.parameters.ackDelayExponent;
        else this.#theirExponent = observed.parameters.ackDelayExponent;
        return ['transport:parameters_set', { owner: observed.whose, ...parameters(observed.parameters) }];
      case 'key-update':
        return [
          'security:key_updated',
          {
            key_type: 'client_1rtt_secret',
            // The schema wants the key; who reads a trace is not to have it.
            new: '',
            generation: observed.updates,
            trigger: `${observed.by}_update`,
          },
        ];
      case 'metrics':
        return this.#changed(observed.path);
      case 'event':
        return connectivity(observed.event);
    }
  }

  #changed(path: PathStatistics): readonly [name: string, data: Fields] | null {
    const metrics: Record<string, number> = {
      smoothed_rtt: path.smoothedRttMs,
      latest_rtt: path.latestRttMs,
      min_rtt: path.minRttMs,
      rtt_variance: path.rttVariationMs,
      pto_count: path.ptoCount,
      congestion_window: Math.round(path.congestionWindowBytes),
      bytes_in_flight: path.bytesInFlight,
    };
    const before = this.#metrics.get(path.path) ?? {};
    const changes = Object.entries(metrics).filter(([name, value]) => value !== before[name] && Number.isFinite(value));
    if (changes.length === 0) return null;
    this.#metrics.set(path.path, metrics);
    return ['recovery:metrics_updated', { ...Object.fromEntries(changes), path_id: path.path }];
  }
}

const DEFAULT_ACK_DELAY_EXPONENT = 3;

function record(fields: Fields): string {
  return `\u001e${JSON.stringify(fields)}\n`;
}

function parameters(given: TransportParameters): Fields {
  const entries = Object.entries(given)
    .filter(([name, value]) => value !== null && value !== undefined && name !== 'statelessResetToken')
    .map(([name, value]: [string, unknown]) => [
      QLOG_NAMES[name] ?? name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value instanceof Uint8Array ? toHex(value) : name === 'preferredAddress' ? preferred(given) : value,
    ]);
  return Object.fromEntries(entries) as Fields;
}

function preferred({ preferredAddress: given }: TransportParameters): Fields {
  if (given === null) return {};
  return {
    ip_v4: formatAddressBytes(given.ipv4),
    port_v4: given.ipv4Port,
    ip_v6: formatAddressBytes(given.ipv6),
    port_v6: given.ipv6Port,
    connection_id: toHex(given.connectionId),
    stateless_reset_token: toHex(given.statelessResetToken),
  };
}

/** Names that qlog gives other than ours with underscores. */
const QLOG_NAMES: Readonly<Record<string, string>> = {
  maxIdleTimeoutMs: 'max_idle_timeout',
  maxUdpPayloadBytes: 'max_udp_payload_size',
  maxAckDelayMs: 'max_ack_delay',
  maxDatagramFrameBytes: 'max_datagram_frame_size',
};

function closeTrigger({ by, layer, code }: CloseReason): string {
  switch (by) {
    case 'timeout':
      return 'idle_timeout';
    case 'reset':
      return 'stateless_reset';
    case 'version':
      return 'version_mismatch';
    default:
      if (code === 0) return 'clean';
      return layer === 'application' ? 'application' : 'error';
  }
}

function connectivity(event: ConnectionEvent): readonly [name: string, data: Fields] | null {
  switch (event.type) {
    case 'handshake-complete':
      return ['connectivity:connection_state_updated', { new: 'handshake_complete' }];
    case 'handshake-confirmed':
      return ['connectivity:connection_state_updated', { new: 'handshake_confirmed' }];
    case 'closed':
      return [
        'connectivity:connection_closed',
        {
          owner: event.by === 'remote' ? 'remote' : 'local',
          [event.layer === 'application' ? 'application_code' : 'connection_code']: event.code,
          reason: event.reason,
          trigger: closeTrigger(event),
        },
      ];
    case 'path-opened':
    case 'path-validated':
    case 'path-migrated':
    case 'path-migration-failed':
    case 'path-abandoned':
      return ['connectivity:path_updated', { path_id: event.path, new: event.type.slice('path-'.length) }];
    default:
      return null;
  }
}
