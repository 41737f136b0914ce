import { beforeAll, describe, expect, test } from 'vitest';
import { concatBytes, toHex, utf8Bytes } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { KeyPhases } from '../../src/quic/crypto/key-phases.js';
import { initialKeys, packetKeys, type PacketKeys } from '../../src/quic/crypto/keys.js';
import { nodeCiphers } from '../../src/quic/crypto/node-ciphers.js';
import { openHeader, openPayload, protectPacket } from '../../src/quic/crypto/protection.js';
import { type CipherSuite, SUITES, TAG_BYTES } from '../../src/quic/crypto/suites.js';
import { type Identity, pinned } from '../../src/quic/tls/certificates.js';
import { TlsClient } from '../../src/quic/tls/client.js';
import type { Handshake, Level } from '../../src/quic/tls/handshake.js';
import { TlsServer } from '../../src/quic/tls/server.js';
import type { Frame } from '../../src/quic/wire/frames.js';
import { parsePacket, writeLongHeader, writeLongLength, writeShortHeader } from '../../src/quic/wire/header.js';
import { parseFrames } from '../../src/quic/wire/parse-frames.js';
import { DEFAULT_PARAMETERS, encodeTransportParameters } from '../../src/quic/wire/transport-parameters.js';
import { writeFrame } from '../../src/quic/wire/write-frames.js';
import { Writer } from '../../src/quic/wire/writer.js';
import { certificate, identityOf } from '../support/quic-certificates.js';
import { type Captured, tsharkQuic } from '../support/quic-packets.js';
import { describeWith } from '../support/skip.js';

/** The rooms together, without a connection: handshake messages in protected packets, there and back. */

type Role = 'client' | 'server';
const other = (role: Role): Role => (role === 'client' ? 'server' : 'client');
const IDS = { client: utf8Bytes('client-1'), server: utf8Bytes('server-1') };
const FIRST = utf8Bytes('original');
const ALL = { multipath: true, datagram: true };
const NONE = new Uint8Array();

let identity: Identity;
let fingerprint: Uint8Array;
beforeAll(async () => {
  const issued = await certificate('server', 'p256');
  identity = identityOf(issued);
  fingerprint = new Uint8Array(await crypto.subtle.digest('SHA-256', Buffer.from(issued.der)));
});

class Exchange {
  readonly datagrams: Captured[] = [];
  readonly keylog: string[] = [];
  readonly received: Record<Role, Frame[]> = { client: [], server: [] };
  readonly phases: Partial<Record<Role, KeyPhases>> = {};
  readonly complete = new Set<Role>();
  readonly #machines: Record<Role, Handshake>;
  readonly #keys: Record<Role, Partial<Record<Level, { read: PacketKeys; write: PacketKeys }>>>;
  readonly #said: Record<Role, Map<Level, Uint8Array[]>> = { client: new Map(), server: new Map() };
  readonly #offsets = new Map<string, number>();
  readonly #numbers = new Map<string, number>();

  constructor(suite: CipherSuite) {
    const parameters = (initialSourceConnectionId: Uint8Array) =>
      encodeTransportParameters({ ...DEFAULT_PARAMETERS, initialSourceConnectionId, initialMaxPathId: 3 });
    const common = { alpn: ['perf'], suites: [suite] };
    this.#machines = {
      client: new TlsClient({
        ...common,
        random: new SeededRandom('client'),
        transportParameters: parameters(IDS.client),
        check: pinned([fingerprint]),
        identity: null,
        serverName: 'desktop.example',
      }),
      server: new TlsServer({
        ...common,
        random: new SeededRandom('server'),
        transportParameters: parameters(IDS.server),
        identity,
        check: null,
      }),
    };
    const { client, server } = initialKeys(FIRST, nodeCiphers);
    this.#keys = {
      client: { initial: { read: server, write: client } },
      server: { initial: { read: client, write: server } },
    };
    this.#machines.client.handle({ type: 'start' });
    for (let moved = true; moved;) moved = this.#flight('client') || this.#flight('server');
  }

  /** Keys are there before the next packet is looked at; what is to be said waits. */
  #absorb(role: Role): void {
    const said = this.#said[role];
    for (let output = this.#machines[role].poll(); output !== undefined; output = this.#machines[role].poll()) {
      if (output.type === 'send') said.set(output.level, [...(said.get(output.level) ?? []), output.data]);
      else if (output.type === 'complete') this.complete.add(role);
      else if (output.type === 'failed') throw new Error(output.error.reason);
      else if (output.type === 'keylog' && role === 'client') this.keylog.push(output.line);
      else if (output.type === 'keys' && output.level === 'handshake') {
        const keys = (secret: Uint8Array) => packetKeys(output.suite, secret, nodeCiphers);
        this.#keys[role].handshake = { read: keys(output.read), write: keys(output.write) };
      } else if (output.type === 'keys') {
        const { suite, read: readSecret, write: writeSecret } = output;
        this.phases[role] = new KeyPhases({ suite, ciphers: nodeCiphers, readSecret, writeSecret });
      }
    }
  }

  /** All that a machine says goes out in one packet a level. */
  #flight(role: Role): boolean {
    this.#absorb(role);
    const said = [...this.#said[role]];
    this.#said[role].clear();
    for (const [level, data] of said) this.#sendLong(role, level as 'initial' | 'handshake', concatBytes(...data));
    return said.length > 0;
  }

  #next(role: Role, space: string): number {
    const number = this.#numbers.get(`${role} ${space}`) ?? 0;
    this.#numbers.set(`${role} ${space}`, number + 1);
    return number;
  }

  #sendLong(role: Role, level: 'initial' | 'handshake', data: Uint8Array): void {
    const packetNumber = this.#next(role, level);
    const offset = this.#offsets.get(`${role} ${level}`) ?? 0;
    this.#offsets.set(`${role} ${level}`, offset + data.length);
    const bytes = new Uint8Array(4000);
    const writer = new Writer(bytes);
    const destination = role === 'client' ? (this.received.client.length > 0 ? IDS.server : FIRST) : IDS.client;
    const header = { destination, source: IDS[role], token: NONE, packetNumber, packetNumberLength: 2 } as const;
    const packetNumberAt = writeLongHeader(writer, { type: level, ...header });
    writeFrame(writer, { type: 'crypto', offset, data });
    if (level === 'initial') writer.zeros(Math.max(0, 1200 - TAG_BYTES - writer.offset));
    const end = writer.offset + TAG_BYTES;
    writeLongLength(bytes, packetNumberAt, end);
    const place = { start: 0, packetNumberAt, packetNumberLength: 2, end: writer.offset } as const;
    const keys = this.#keys[role][level];
    if (keys === undefined) throw new Error('no keys');
    this.#deliver(role, bytes.slice(0, protectPacket(bytes, place, keys.write, 0, packetNumber)));
  }

  /** A 1-RTT packet on a path. */
  send(role: Role, path: number, ...frames: readonly Frame[]): void {
    const packetNumber = this.#next(role, `path ${String(path)}`);
    const keys = this.phases[role];
    if (keys === undefined) throw new Error('no keys');
    const bytes = new Uint8Array(1500);
    const writer = new Writer(bytes);
    const header = { destination: IDS[other(role)], keyPhase: keys.keyPhase, spin: 0, packetNumber } as const;
    const packetNumberAt = writeShortHeader(writer, { ...header, packetNumberLength: 2 });
    for (const frame of frames) writeFrame(writer, frame);
    writer.zeros(4);
    const place = { start: 0, packetNumberAt, packetNumberLength: 2, end: writer.offset } as const;
    this.#deliver(role, bytes.slice(0, keys.protect(bytes, place, path, packetNumber)), path);
  }

  #deliver(from: Role, payload: Uint8Array, path = 0): void {
    this.datagrams.push({ from, payload: payload.slice() });
    const role = other(from);
    const packet = parsePacket(payload, 0, 8);
    if (packet === null || !('packetNumberAt' in packet) || packet.type === '0-rtt') throw new Error('not a packet');
    const phases = this.phases[role];
    const level: Level = packet.type;
    const mask = level === '1-rtt' ? phases?.readMask : this.#keys[role][level]?.read.mask;
    const header = mask && openHeader(payload, packet, mask, -1);
    if (!header) throw new Error('no header');
    const keys = this.#keys[role][level];
    const plain = keys
      ? openPayload(payload, header, keys.read, 0)
      : (phases?.open(payload, header, path, 0, { pto: 100 }) ?? null);
    if (plain === null) throw new Error('not opened');
    const frames = parseFrames(plain, packet.type, ALL);
    if (!frames.ok) throw new Error(frames.error.reason);
    for (const frame of frames.value) {
      this.received[role].push(frame);
      if (frame.type === 'crypto') this.#machines[role].handle({ type: 'crypto', level, data: frame.data });
    }
    this.#absorb(role);
  }
}

const word = (text: string): Frame => ({
  type: 'stream',
  stream: 0,
  offset: 0,
  data: utf8Bytes(text),
  fin: true,
  hasLength: true,
});

describe.each(SUITES.map((suite) => [suite.name, suite] as const))('%s', (_, suite) => {
  test('a handshake in packets, then a word each way, on path 0 and on path 3', () => {
    const exchange = new Exchange(suite);
    expect(exchange.complete).toEqual(new Set(['client', 'server']));
    exchange.send('client', 0, word('up'));
    exchange.send('server', 3, word('down'));
    expect(exchange.received.server).toContainEqual(word('up'));
    expect(exchange.received.client).toContainEqual(word('down'));
  });
});

describeWith(['tshark'], 'tshark, which is not ours, with our key log', () => {
  test.each(SUITES.map((suite) => [suite.name, suite] as const))(
    '%s: decrypts and understands everything',
    (_, suite) => {
      const exchange = new Exchange(suite);
      exchange.send('client', 0, word('up'));
      exchange.send('server', 0, { type: 'handshake-done' }, word('down'));
      // A key update (RFC 9001 §6), once something was acknowledged.
      const server = exchange.phases.server;
      expect(server?.onAcknowledged(0, 0, 0, 0)).toBeNull();
      expect(server?.update(300, 100)).toBe(true);
      exchange.send('server', 0, { type: 'ping' }, { type: 'max-data', maximum: 77_777 });

      const rows = tsharkQuic(
        exchange.datagrams,
        exchange.keylog,
        ...[
          'quic.long.packet_type',
          'tls.handshake.type',
          'quic.stream_data',
          'quic.md.maximum_data',
          'quic.key_phase',
        ],
        ...['_ws.malformed', 'quic.decryption_failed', 'tls.handshake.extensions_alpn_str'],
      );
      // 0 Initial, 2 Handshake (RFC 9000 §17.2); message types of RFC 8446 §4.
      expect(rows.map(([type, messages]) => [type, messages])).toEqual([
        [['0'], ['1']],
        [['0'], ['2']],
        [['2'], ['8', '11', '15', '20']],
        [['2'], ['20']],
        [[], []],
        [[], []],
        [[], []],
      ]);
      expect(rows.slice(4, 6).map(([, , data]) => data)).toEqual([
        [toHex(utf8Bytes('up'))],
        [toHex(utf8Bytes('down'))],
      ]);
      expect(rows[6]?.[3]).toEqual(['77777']);
      expect(rows[6]?.[4]).toEqual(['1']);
      expect(rows.flatMap(([, , , , , malformed = [], failed = []]) => [...malformed, ...failed])).toEqual([]);
      expect(rows[0]?.[7]).toEqual(['perf']);
    },
  );
});
