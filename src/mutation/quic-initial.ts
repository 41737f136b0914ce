import { concatBytes } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import { initialSecrets, packetKeys } from '../quic/crypto/keys.js';
import { nodeCiphers } from '../quic/crypto/node-ciphers.js';
import { protectPacket } from '../quic/crypto/protection.js';
import { AES_128_GCM, TAG_BYTES } from '../quic/crypto/suites.js';
import { clientHello } from '../quic/tls/hello.js';
import {
  MAX_CONNECTION_ID_BYTES,
  MIN_INITIAL_DATAGRAM_BYTES,
  parsePacket,
  writeLongHeader,
  writeLongLength,
} from '../quic/wire/header.js';
import { DEFAULT_PARAMETERS, encodeTransportParameters } from '../quic/wire/transport-parameters.js';
import { writeFrame } from '../quic/wire/write-frames.js';
import { Writer } from '../quic/wire/writer.js';

const SOURCE_ID_BYTES = 8;
const PACKET_NUMBER_BYTES = 2;
const X25519_BYTES = 32;
/** TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256. */
const SUITES = [0x1301, 0x1302, 0x1303];
/** What HTTP/3 clients say. */
const LIMITS = {
  maxIdleTimeoutMs: 30_000,
  maxUdpPayloadBytes: 1472,
  initialMaxData: 1_048_576,
  initialMaxStreamDataBidiLocal: 262_144,
  initialMaxStreamDataBidiRemote: 262_144,
  initialMaxStreamDataUni: 262_144,
  initialMaxStreamsBidi: 100,
  initialMaxStreamsUni: 100,
};

/**
 * A client's first Initial of QUIC version 1 (RFC 9000 §17.2.2) with a whole ClientHello, protected with the keys of its
 * connection id (RFC 9001 §5.2), so that whoever looks inside finds what a browser would send. The destination
 * connection id is the first 20 bytes of `sealed`, what is left of it is the token. 1200 bytes at least.
 */
export function quicInitial(sealed: Uint8Array, lengthBytes: number, random: Random): Uint8Array {
  const destination = sealed.subarray(0, MAX_CONNECTION_ID_BYTES);
  const source = random.bytes(SOURCE_ID_BYTES);
  const wire = new Uint8Array(Math.max(lengthBytes, MIN_INITIAL_DATAGRAM_BYTES));
  const writer = new Writer(wire);
  const packetNumberAt = writeLongHeader(writer, {
    type: 'initial',
    destination,
    source,
    token: sealed.subarray(MAX_CONNECTION_ID_BYTES),
    packetNumber: 0,
    packetNumberLength: PACKET_NUMBER_BYTES,
  });
  const hello = clientHello({
    random: random.bytes(32),
    suites: SUITES,
    groups: ['x25519'],
    // Every 32 bytes are a public key of X25519 (RFC 7748 §5).
    shares: [{ group: 'x25519', publicKey: random.bytes(X25519_BYTES) }],
    alpn: ['h3'],
    serverName: null,
    transportParameters: encodeTransportParameters({
      ...DEFAULT_PARAMETERS,
      ...LIMITS,
      initialSourceConnectionId: source,
    }),
    cookie: null,
  });
  writeFrame(writer, { type: 'crypto', offset: 0, data: hello });
  // What is left are PADDING frames, which are zeros (RFC 9000 §19.1).
  writeLongLength(wire, packetNumberAt, wire.length);
  const keys = packetKeys(AES_128_GCM, initialSecrets(destination).client, nodeCiphers);
  const end = wire.length - TAG_BYTES;
  protectPacket(wire, { start: 0, packetNumberAt, packetNumberLength: PACKET_NUMBER_BYTES, end }, keys, 0, 0);
  return wire;
}

/** Connection id and token of an Initial with a connection id as long as ours; `null` for every other packet. */
export function sealedInInitial(wire: Uint8Array): Uint8Array | null {
  if (wire.length < MIN_INITIAL_DATAGRAM_BYTES) return null;
  const packet = parsePacket(wire, 0, 0);
  if (packet?.type !== 'initial' || packet.destination.length !== MAX_CONNECTION_ID_BYTES) return null;
  return concatBytes(packet.destination, packet.token);
}
