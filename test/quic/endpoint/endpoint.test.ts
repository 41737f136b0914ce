import { beforeAll, describe, expect, test } from 'vitest';
import { transportAddress } from '../../../src/base/address.js';
import { SeededRandom } from '../../../src/base/random.js';
import { Connection } from '../../../src/quic/connection/connection.js';
import type { ConnectionEvent, FourTuple, QuicConnection } from '../../../src/quic/connection/types.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { Endpoint } from '../../../src/quic/endpoint/endpoint.js';
import type { EndpointLimits, ServerPolicy } from '../../../src/quic/endpoint/types.js';
import { parsePacket } from '../../../src/quic/wire/header.js';
import { type PairIdentities, pairIdentities } from '../../support/quic-pair.js';

const SERVER = transportAddress('192.0.2.1', 443);
const client = (port: number) => transportAddress('198.51.100.7', port);

let identities: PairIdentities;
beforeAll(async () => {
  identities = await pairIdentities();
});

interface Sent {
  readonly tuple: FourTuple;
  readonly bytes: Uint8Array;
}

/** An endpoint with what it sent and said. */
class End {
  readonly endpoint: Endpoint;
  readonly sent: Sent[] = [];
  readonly events: { readonly connection: QuicConnection; readonly event: ConnectionEvent }[] = [];
  readonly accepted: QuicConnection[] = [];
  readonly #into = new Uint8Array(65_536);

  constructor(seed: string, server: Partial<ServerPolicy> | null, limits: Partial<EndpointLimits> = {}) {
    const random = new SeededRandom(seed);
    const { identity } = identities;
    this.endpoint = new Endpoint({
      random,
      ciphers: nodeCiphers,
      connections: Connection,
      secret: random.bytes(32),
      server: server && {
        accept: () => ({ alpn: ['test'], identity: identity.server, check: null }),
        ...server,
      },
      limits,
    });
  }

  connect(port: number, now: number): QuicConnection {
    const tuple = { local: client(port), remote: SERVER };
    return this.endpoint.connect({ tuple, alpn: ['test'], check: identities.check.client }, now);
  }

  /** Takes everything that it wants to send, and to say. */
  drain(now: number): Sent[] {
    const sent: Sent[] = [];
    for (;;) {
      const transmit = this.endpoint.send(now, this.#into, 1);
      if (transmit === undefined) break;
      sent.push({ tuple: { local: transmit.local, remote: transmit.remote }, bytes: transmit.bytes.slice() });
    }
    for (let event = this.endpoint.pollEvent(); event !== undefined; event = this.endpoint.pollEvent()) {
      if (event.type === 'accepted') this.accepted.push(event.connection);
      else this.events.push(event);
    }
    this.sent.push(...sent);
    return sent;
  }

  take(sent: readonly Sent[], now: number): void {
    for (const { bytes, tuple } of sent) {
      this.endpoint.receive(bytes.slice(), { local: tuple.remote, remote: tuple.local }, 'none', now);
    }
  }

  count(type: ConnectionEvent['type']): number {
    return this.events.filter(({ event }) => event.type === type).length;
  }
}

/** Both ends talk, a millisecond each way, until nobody has anything to say; the time then. */
function talk(left: End, right: End, from: number, most = 2000): number {
  let now = from;
  for (let silent = 0; silent < 50 && now < from + most; now += 1) {
    for (const end of [left, right]) if (end.endpoint.deadline() <= now) end.endpoint.timeout(now);
    const [fromLeft, fromRight] = [left.drain(now), right.drain(now)];
    right.take(fromLeft, now);
    left.take(fromRight, now);
    silent = fromLeft.length + fromRight.length === 0 ? silent + 1 : 0;
  }
  return now;
}

/** The first Initial of a fresh client on `port`. */
function initialFrom(port: number): Sent {
  const end = new End(`stranger ${String(port)}`, null);
  end.connect(port, 0);
  const [first] = end.drain(0);
  if (first === undefined) throw new Error('a client that says nothing');
  return first;
}

const bytesOf = (sent: readonly Sent[]): number => sent.reduce((sum, { bytes }) => sum + bytes.length, 0);

test('1,000 connections at once, each with its own stream', () => {
  const limits = { connectionsPerSecond: 1000, mostHandshakes: 1000, loadHandshakes: 1000 };
  const server = new End('server', {}, limits);
  const clients = new End('clients', null);
  const connections = Array.from({ length: 1000 }, (_, index) => clients.connect(10_000 + index, 0));
  let now = talk(clients, server, 0);
  expect(server.endpoint.counters).toMatchObject({ connections: 1000, handshakes: 0, accepted: 1000, retries: 0 });
  expect(clients.count('handshake-complete')).toBe(1000);
  connections.forEach((connection, index) => {
    const stream = connection.openStream('bidi') ?? 0;
    connection.write(stream, Uint8Array.of(index >> 8, index & 0xff));
    connection.finish(stream);
    clients.endpoint.touch(connection);
  });
  now = talk(clients, server, now);
  const got = server.events.flatMap(({ connection, event }) => {
    const bytes = event.type === 'readable' ? connection.read(event.stream) : null;
    return bytes === null ? [] : [(bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)];
  });
  expect(got.toSorted((left, right) => left - right)).toEqual(connections.map((_, index) => index));
  for (const connection of connections) {
    connection.close(7, 'enough', now);
    clients.endpoint.touch(connection);
  }
  talk(clients, server, now, 20_000);
  for (const end of [clients, server]) {
    end.endpoint.timeout(now + 30_000);
    end.drain(now + 30_000);
    expect(end.endpoint.counters.connections).toBe(0);
    expect(end.endpoint.deadline()).toBe(Infinity);
  }
});

test('an Initial that comes as a Buffer of Node’s, whose slices are no copies, is answered at once', () => {
  const near = new End('near', null);
  const far = new End('far', {});
  near.connect(1000, 0);
  for (const { bytes, tuple } of near.drain(0))
    far.endpoint.receive(Buffer.from(bytes), { local: tuple.remote, remote: tuple.local }, 'none', 0);
  expect(far.drain(0).length).toBeGreaterThan(0);
});

describe('strangers', () => {
  test('of another version hear which there are, and get less than they sent', () => {
    const server = new End('server', {});
    const { bytes, tuple } = initialFrom(5000);
    bytes.set([0xfa, 0xce, 0xb0, 0x0c], 1);
    server.take([{ bytes, tuple }], 0);
    const sent = server.drain(0);
    expect(sent).toHaveLength(1);
    expect(parsePacket(sent[0]?.bytes ?? bytes, 0, 8)).toMatchObject({
      type: 'version-negotiation',
      versions: expect.arrayContaining([1]) as number[],
    });
    expect(bytesOf(sent)).toBeLessThan(100);
    // RFC 9000 §6.1: not to datagrams that are too small.
    server.take([{ bytes: bytes.subarray(0, 1199), tuple }], 0);
    expect(server.drain(0)).toEqual([]);
  });

  test('with a packet of a connection that is gone are told so, with less than they sent, and not all of a flood', () => {
    const server = new End('server', {}, { repliesPerSecond: 10 });
    const packet = (length: number): Sent => {
      const bytes = new SeededRandom(length).bytes(length);
      bytes[0] = 0x41;
      return { bytes, tuple: { local: client(5000), remote: SERVER } };
    };
    server.take([packet(50)], 0);
    expect(bytesOf(server.drain(0))).toBeLessThan(50);
    expect(server.endpoint.counters.resets).toBe(1);
    server.take([packet(21)], 0);
    expect(server.drain(0)).toEqual([]);
    server.take(
      Array.from({ length: 1000 }, (_, index) => packet(50 + index)),
      0,
    );
    expect(server.drain(0).length).toBeLessThan(10);
  });

  test('who send anything else hear nothing', () => {
    const server = new End('server', {});
    const random = new SeededRandom('anything');
    const { bytes, tuple } = initialFrom(5000);
    const others = [bytes.slice(0, 1199), bytes.slice(), bytes.slice(), new Uint8Array(0), Uint8Array.of(0xc0)];
    // Not encrypted with the keys that its destination gives; a Handshake packet out of nowhere.
    others[1]?.set(random.bytes(40), 600);
    others[2]?.set([0xe0], 0);
    server.take(
      others.map((each) => ({ bytes: each, tuple })),
      0,
    );
    expect(server.drain(0)).toEqual([]);
    expect(server.endpoint.counters).toMatchObject({ connections: 0, accepted: 0 });
    const clientOnly = new End('client', null);
    clientOnly.take([{ bytes, tuple }], 0);
    expect(clientOnly.drain(0)).toEqual([]);
  });
});

describe('Retry', () => {
  test('is asked of everybody where that is the policy, costs no state, and connects', () => {
    const server = new End('server', { retry: 'always' });
    const clients = new End('clients', null);
    clients.connect(5000, 0);
    const first = clients.drain(0);
    server.take(first, 0);
    const retry = server.drain(0);
    expect(server.endpoint.counters).toMatchObject({ connections: 0, retries: 1 });
    expect(bytesOf(retry)).toBeLessThan(bytesOf(first));
    clients.take(retry, 1);
    talk(clients, server, 1);
    expect(clients.count('handshake-confirmed')).toBe(1);
    expect(server.endpoint.counters).toMatchObject({ connections: 1, accepted: 1, retries: 1 });
  });

  test('spares who brings a token from a connection before', () => {
    const server = new End('server', { retry: 'always', newTokens: true });
    const clients = new End('clients', null);
    clients.connect(5000, 0);
    const now = talk(clients, server, 0);
    const token = clients.events.map(({ event }) => event).find((event) => event.type === 'new-token')?.token;
    expect(token).toBeDefined();
    const tuple = { local: client(5001), remote: SERVER };
    const options = { tuple, alpn: ['test'], check: identities.check.client, ...(token && { token }) };
    clients.endpoint.connect(options, now);
    talk(clients, server, now);
    expect(server.endpoint.counters).toMatchObject({ connections: 2, accepted: 2, retries: 1 });
  });
});

test('a flood of Initials from everywhere is bounded, and a transfer that runs meanwhile finishes', () => {
  const server = new End('server', {}, { loadHandshakes: 8, mostHandshakes: 16, retriesPerSecond: 50 });
  const clients = new End('clients', null);
  const connection = clients.connect(5000, 0);
  let now = talk(clients, server, 0);
  const flood = Array.from({ length: 40 }, (_, index) => initialFrom(20_000 + index));
  const data = new SeededRandom('data').bytes(500_000);
  const stream = connection.openStream('uni') ?? 0;
  let written = 0;
  let received = 0;
  let floodBytes = 0;
  let answerBytes = 0;
  const until = now + 5000;
  for (; received < data.length && now < until; now += 1) {
    written += connection.write(stream, data.subarray(written, written + 100_000));
    clients.endpoint.touch(connection);
    for (const end of [clients, server]) if (end.endpoint.deadline() <= now) end.endpoint.timeout(now);
    // Each millisecond as many strangers as there are real packets, from other ports each time.
    const strangers = flood.map(({ bytes, tuple }, index) => ({
      bytes,
      tuple: { ...tuple, local: client(1024 + ((now * 41 + index) % 60_000)) },
    }));
    server.take(strangers, now);
    floodBytes += bytesOf(strangers);
    const [fromClient, fromServer] = [clients.drain(now), server.drain(now)];
    const toClient = fromServer.filter(({ tuple }) => tuple.remote.port === 5000);
    answerBytes += bytesOf(fromServer) - bytesOf(toClient);
    server.take(fromClient, now);
    clients.take(toClient, now);
    const [accepted] = server.accepted;
    for (let bytes = accepted?.read(stream) ?? null; bytes !== null; bytes = accepted?.read(stream) ?? null) {
      received += bytes.length;
    }
    if (accepted) server.endpoint.touch(accepted);
  }
  expect(received).toBe(data.length);
  expect(server.endpoint.counters.handshakes).toBeLessThanOrEqual(16);
  expect(server.endpoint.counters.retries).toBeLessThanOrEqual(50 + Math.ceil((now / 1000) * 50));
  expect(answerBytes).toBeLessThan(3 * floodBytes);
});
