import { equalBytes, fromHex, utf8Bytes, utf8Text } from '../../base/bytes.js';
import { Reader } from '../wire/reader.js';
import { extension, message, uint16, uint8, vector16, vector8 } from './builder.js';
import { EXTENSION, GROUP_ID, type GroupName, MESSAGE, SCHEME_ID, SCHEMES, TLS_1_2, TLS_1_3 } from './codes.js';
import { alert } from './failure.js';

/** Extensions by their type, in the order in which they came. */
export type Extensions = ReadonlyMap<number, Uint8Array>;

const RANDOM_BYTES = 32;
/** The `random` of a ServerHello that is a HelloRetryRequest (RFC 8446 §4.1.3). */
export const RETRY_RANDOM = fromHex('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c');

/** RFC 8446 §4.2: none may stand twice. */
export function readExtensions(reader: Reader): Extensions {
  const inner = reader.within(reader.uint16());
  const extensions = new Map<number, Uint8Array>();
  while (inner.left > 0) {
    const type = inner.uint16();
    const value = inner.take(inner.uint16());
    if (inner.failed()) throw alert('decode_error', 'an extension is cut off');
    if (extensions.has(type)) throw alert('illegal_parameter', `extension ${String(type)} stands twice`);
    extensions.set(type, value);
  }
  return extensions;
}

/** Reads all of a structure, or fails. */
export function whole<T>(bytes: Uint8Array, what: string, read: (reader: Reader) => T): T {
  const reader = new Reader(bytes);
  const value = read(reader);
  if (!reader.complete) throw alert('decode_error', `${what} has another length`);
  return value;
}

/** RFC 8446 §4.1.2. */
export interface ClientHello {
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly suites: readonly number[];
  readonly extensions: Extensions;
}

export function readClientHello(body: Uint8Array): ClientHello {
  return whole(body, 'a ClientHello', (reader) => {
    const version = reader.uint16();
    const random = reader.take(RANDOM_BYTES);
    const sessionId = reader.take(reader.uint8());
    const suites = uint16s(reader.take(reader.uint16()));
    const compression = reader.take(reader.uint8());
    // Before TLS 1.2 a hello could end here, without extensions.
    if (reader.left === 0) throw alert('protocol_version', 'a ClientHello without extensions');
    const extensions = readExtensions(reader);
    if (version !== TLS_1_2) throw alert('protocol_version', 'another legacy version');
    if (sessionId.length > 32) throw alert('decode_error', 'a session id of more than 32 bytes');
    if (!equalBytes(compression, uint8(0))) throw alert('illegal_parameter', 'compression');
    return { random, sessionId, suites, extensions };
  });
}

/** A list of 16-bit numbers. */
export function uint16s(bytes: Uint8Array): number[] {
  if (bytes.length === 0 || bytes.length % 2 !== 0) throw alert('decode_error', 'a list is empty or cut off');
  return whole(bytes, 'a list', (reader) => {
    const values: number[] = [];
    while (reader.left > 0) values.push(reader.uint16());
    return values;
  });
}

/** An extension that is a list of 16-bit numbers behind its length. */
export function uint16List(value: Uint8Array): number[] {
  return uint16s(whole(value, 'a list', (reader) => reader.take(reader.uint16())));
}

/** What a client says to begin with; `shares` are its public keys. */
export interface NewClientHello {
  readonly random: Uint8Array;
  readonly suites: readonly number[];
  readonly groups: readonly GroupName[];
  readonly shares: readonly { readonly group: GroupName; readonly publicKey: Uint8Array }[];
  readonly alpn: readonly string[];
  readonly serverName: string | null;
  readonly transportParameters: Uint8Array | null;
  readonly cookie: Uint8Array | null;
}

export function clientHello(hello: NewClientHello): Uint8Array {
  const { serverName, transportParameters, cookie } = hello;
  const extensions = [
    ...(serverName === null
      ? []
      : [extension(EXTENSION.server_name, vector16(uint8(0), vector16(utf8Bytes(serverName))))]),
    extension(EXTENSION.supported_groups, vector16(uint16(...hello.groups.map((name) => GROUP_ID[name])))),
    extension(EXTENSION.signature_algorithms, vector16(uint16(...SCHEMES.map((name) => SCHEME_ID[name])))),
    extension(EXTENSION.application_layer_protocol_negotiation, alpnList(hello.alpn)),
    extension(EXTENSION.supported_versions, vector8(uint16(TLS_1_3))),
    ...(cookie === null ? [] : [extension(EXTENSION.cookie, vector16(cookie))]),
    extension(
      EXTENSION.key_share,
      vector16(...hello.shares.flatMap(({ group, publicKey }) => [uint16(GROUP_ID[group]), vector16(publicKey)])),
    ),
    ...(transportParameters === null ? [] : [extension(EXTENSION.quic_transport_parameters, transportParameters)]),
  ];
  return message(
    MESSAGE.client_hello,
    ...[uint16(TLS_1_2), hello.random, vector8(), vector16(uint16(...hello.suites)), vector8(uint8(0))],
    vector16(...extensions),
  );
}

/** RFC 7301 §3.1. */
export function alpnList(protocols: readonly string[]): Uint8Array {
  return vector16(...protocols.map((name) => vector8(utf8Bytes(name))));
}

export function readAlpn(value: Uint8Array): string[] {
  const list = whole(value, 'ALPN', (reader) => reader.take(reader.uint16()));
  return whole(list, 'ALPN', (reader) => {
    const names: string[] = [];
    while (reader.left > 0) {
      const name = reader.take(reader.uint8());
      if (name.length === 0) throw alert('decode_error', 'an empty protocol name');
      names.push(utf8Text(name));
    }
    return names;
  });
}

export interface KeyShare {
  readonly group: number;
  readonly publicKey: Uint8Array;
}

/** RFC 8446 §4.2.8: one share for a group at most. */
export function readClientShares(value: Uint8Array): KeyShare[] {
  const list = whole(value, 'key_share', (reader) => reader.take(reader.uint16()));
  return whole(list, 'key_share', (reader) => {
    const shares: KeyShare[] = [];
    while (reader.left > 0) {
      const share = { group: reader.uint16(), publicKey: reader.take(reader.uint16()) };
      if (shares.some(({ group }) => group === share.group)) throw alert('illegal_parameter', 'two shares for a group');
      shares.push(share);
    }
    return shares;
  });
}

/** RFC 8446 §4.1.3; a HelloRetryRequest has the same form. */
export interface ServerHello {
  readonly isRetry: boolean;
  readonly sessionId: Uint8Array;
  readonly suite: number;
  readonly extensions: Extensions;
}

export function readServerHello(body: Uint8Array): ServerHello {
  return whole(body, 'a ServerHello', (reader) => {
    const version = reader.uint16();
    const random = reader.take(RANDOM_BYTES);
    const sessionId = reader.take(reader.uint8());
    const suite = reader.uint16();
    const compression = reader.uint8();
    const extensions = readExtensions(reader);
    if (version !== TLS_1_2) throw alert('protocol_version', 'another legacy version');
    if (compression !== 0) throw alert('illegal_parameter', 'compression');
    return { isRetry: equalBytes(random, RETRY_RANDOM), sessionId, suite, extensions };
  });
}

export function serverHello(
  random: Uint8Array,
  sessionId: Uint8Array,
  suite: number,
  extensions: readonly Uint8Array[],
): Uint8Array {
  return message(
    MESSAGE.server_hello,
    ...[uint16(TLS_1_2), random, vector8(sessionId), uint16(suite), uint8(0)],
    vector16(extension(EXTENSION.supported_versions, uint16(TLS_1_3)), ...extensions),
  );
}
