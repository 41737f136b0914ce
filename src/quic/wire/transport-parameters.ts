import { type Parsed, quicError } from './errors.js';
import { MAX_CONNECTION_ID_BYTES } from './header.js';
import { streamCount } from './parse-frames.js';
import { Reader } from './reader.js';
import { Writer } from './writer.js';

/** RFC 9000 §18.2, RFC 9221 §3, multipath draft -21. Absent ones have the RFC's default, `null` where that is "none". */
export interface TransportParameters {
  readonly originalDestinationConnectionId: Uint8Array | null;
  readonly maxIdleTimeoutMs: number;
  readonly statelessResetToken: Uint8Array | null;
  readonly maxUdpPayloadBytes: number;
  readonly initialMaxData: number;
  readonly initialMaxStreamDataBidiLocal: number;
  readonly initialMaxStreamDataBidiRemote: number;
  readonly initialMaxStreamDataUni: number;
  readonly initialMaxStreamsBidi: number;
  readonly initialMaxStreamsUni: number;
  readonly ackDelayExponent: number;
  readonly maxAckDelayMs: number;
  readonly disableActiveMigration: boolean;
  readonly preferredAddress: PreferredAddress | null;
  readonly activeConnectionIdLimit: number;
  readonly initialSourceConnectionId: Uint8Array | null;
  readonly retrySourceConnectionId: Uint8Array | null;
  /** 0: this end takes no datagrams. */
  readonly maxDatagramFrameBytes: number;
  /** `null`: no multipath. */
  readonly initialMaxPathId: number | null;
}

/** The server's; addresses in network byte order, all zeros where it has none of the family. */
export interface PreferredAddress {
  readonly ipv4: Uint8Array;
  readonly ipv4Port: number;
  readonly ipv6: Uint8Array;
  readonly ipv6Port: number;
  readonly connectionId: Uint8Array;
  readonly statelessResetToken: Uint8Array;
}

export const DEFAULT_PARAMETERS: TransportParameters = {
  originalDestinationConnectionId: null,
  maxIdleTimeoutMs: 0,
  statelessResetToken: null,
  maxUdpPayloadBytes: 65_527,
  initialMaxData: 0,
  initialMaxStreamDataBidiLocal: 0,
  initialMaxStreamDataBidiRemote: 0,
  initialMaxStreamDataUni: 0,
  initialMaxStreamsBidi: 0,
  initialMaxStreamsUni: 0,
  ackDelayExponent: 3,
  maxAckDelayMs: 25,
  disableActiveMigration: false,
  preferredAddress: null,
  activeConnectionIdLimit: 2,
  initialSourceConnectionId: null,
  retrySourceConnectionId: null,
  maxDatagramFrameBytes: 0,
  initialMaxPathId: null,
};

type Name = keyof TransportParameters;

interface Kind {
  readonly id: number;
  readonly read: (reader: Reader) => TransportParameters[Name];
  /** The value's bytes are what `write` puts into the writer. */
  readonly write: (writer: Writer, value: never) => void;
  readonly serverOnly?: boolean;
  /** What is wrong with a value that was read; `null` where nothing is. */
  readonly check?: (value: never) => string | null;
}

const MAX_PATH_ID = 2 ** 32 - 1;
const TOKEN_BYTES = 16;

const integer = (id: number, check?: (value: number) => string | null): Kind => ({
  id,
  read: (reader) => reader.varint(),
  write: (writer, value: number) => {
    writer.varint(value);
  },
  ...(check ? { check } : {}),
});
/** Stream counts: more than 2^60 is read as null, and refused. */
const count = (id: number): Kind => ({
  id,
  read: streamCount,
  write: (writer, value: number) => {
    writer.varint(value);
  },
  check: (value: number | null) => (value === null ? 'more than 2^60 streams' : null),
});
const bytes = (id: number, serverOnly: boolean, check: (value: Uint8Array) => string | null): Kind => ({
  id,
  read: (reader) => reader.take(reader.left),
  write: (writer, value: Uint8Array) => {
    writer.put(value);
  },
  serverOnly,
  check,
});
const connectionId = (value: Uint8Array): string | null =>
  value.length > MAX_CONNECTION_ID_BYTES ? 'a connection id of more than 20 bytes' : null;
const resetToken = (value: Uint8Array): string | null =>
  value.length === TOKEN_BYTES ? null : 'a stateless reset token has 16 bytes';
const atMost =
  (most: number) =>
  (value: number): string | null =>
    value <= most ? null : `above ${String(most)}`;
const atLeast =
  (least: number) =>
  (value: number): string | null =>
    value >= least ? null : `below ${String(least)}`;

const KINDS: Readonly<Record<Name, Kind>> = {
  originalDestinationConnectionId: bytes(0x00, true, connectionId),
  maxIdleTimeoutMs: integer(0x01),
  statelessResetToken: bytes(0x02, true, resetToken),
  maxUdpPayloadBytes: integer(0x03, atLeast(1200)),
  initialMaxData: integer(0x04),
  initialMaxStreamDataBidiLocal: integer(0x05),
  initialMaxStreamDataBidiRemote: integer(0x06),
  initialMaxStreamDataUni: integer(0x07),
  initialMaxStreamsBidi: count(0x08),
  initialMaxStreamsUni: count(0x09),
  ackDelayExponent: integer(0x0a, atMost(20)),
  maxAckDelayMs: integer(0x0b, atMost(2 ** 14 - 1)),
  disableActiveMigration: { id: 0x0c, read: () => true, write: () => undefined },
  preferredAddress: {
    id: 0x0d,
    read: readPreferredAddress,
    write: writePreferredAddress,
    serverOnly: true,
    check: (value: PreferredAddress) =>
      value.connectionId.length < 1 || value.connectionId.length > MAX_CONNECTION_ID_BYTES
        ? 'a connection id has 1 to 20 bytes'
        : null,
  },
  activeConnectionIdLimit: integer(0x0e, atLeast(2)),
  initialSourceConnectionId: bytes(0x0f, false, connectionId),
  retrySourceConnectionId: bytes(0x10, true, connectionId),
  maxDatagramFrameBytes: integer(0x20),
  initialMaxPathId: integer(0x3e, atMost(MAX_PATH_ID)),
};
const NAMES = Object.keys(KINDS) as Name[];
const NAME_OF = new Map(NAMES.map((name) => [BigInt(KINDS[name].id), name]));

function readPreferredAddress(reader: Reader): PreferredAddress {
  return {
    ipv4: reader.take(4),
    ipv4Port: reader.uint16(),
    ipv6: reader.take(16),
    ipv6Port: reader.uint16(),
    connectionId: reader.take(reader.uint8()),
    statelessResetToken: reader.take(TOKEN_BYTES),
  };
}

function writePreferredAddress(writer: Writer, value: PreferredAddress): void {
  writer.put(value.ipv4);
  writer.uint16(value.ipv4Port);
  writer.put(value.ipv6);
  writer.uint16(value.ipv6Port);
  writer.uint8(value.connectionId.length);
  writer.put(value.connectionId);
  writer.put(value.statelessResetToken);
}

/**
 * What stands in the TLS extension quic_transport_parameters (RFC 9001 §8.2). Parameters with their default are left
 * out; an initial_max_path_id of 0 is none, it says multipath.
 */
export function encodeTransportParameters(parameters: TransportParameters): Uint8Array {
  const whole = new Writer(new Uint8Array(1024));
  const value = new Writer(new Uint8Array(256));
  for (const name of NAMES) {
    if (parameters[name] === DEFAULT_PARAMETERS[name]) continue;
    const { id, write } = KINDS[name];
    value.offset = 0;
    write(value, parameters[name] as never);
    whole.varint(id);
    whole.varint(value.offset);
    whole.put(value.written());
  }
  return whole.written().slice();
}

/**
 * Reads what the far end, which is the `sender`, says of itself. Unknown parameters are passed over (RFC 9000 §7.4.2);
 * anything malformed, out of bounds, said twice, or that only a server may say, is a TRANSPORT_PARAMETER_ERROR.
 */
export function parseTransportParameters(
  encoded: Uint8Array,
  sender: 'client' | 'server',
): Parsed<TransportParameters> {
  const reader = new Reader(encoded);
  const values: Partial<Record<Name, unknown>> = {};
  const seen = new Set<bigint>();
  while (reader.left > 0) {
    const id = reader.bigVarint();
    const inner = reader.within(reader.varint());
    if (reader.failed()) return refuse('a transport parameter is cut off');
    if (seen.has(id)) return refuse(`transport parameter 0x${id.toString(16)} stands twice`);
    seen.add(id);
    const name = NAME_OF.get(id);
    if (name === undefined) continue;
    const { read, check, serverOnly } = KINDS[name];
    if (serverOnly === true && sender === 'client') return refuse(`${name} from a client`);
    const value = read(inner);
    if (!inner.complete) return refuse(`${name} has another length`);
    const wrong = check?.(value as never) ?? null;
    if (wrong !== null) return refuse(`${name}: ${wrong}`);
    values[name] = value;
  }
  return { ok: true, value: { ...DEFAULT_PARAMETERS, ...(values as Partial<TransportParameters>) } };
}

function refuse(reason: string): Parsed<never> {
  return { ok: false, error: quicError('TRANSPORT_PARAMETER_ERROR', reason) };
}
