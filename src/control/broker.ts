import type { Random } from '../base/random.js';
import { Queue, type Machine } from '../base/machine.js';
import { NEVER, type Ms } from '../base/time.js';
import { toBase64url } from './base64url.js';
import { CLOSE, parseHello, type Answer, type Hello } from './rendezvous.js';

export type BrokerInput =
  /** A WebSocket is open. `address`: the IP address it came from. `connection`: never used before. */
  | { readonly type: 'connected'; readonly connection: number; readonly address: string }
  | { readonly type: 'text'; readonly connection: number; readonly text: string }
  | { readonly type: 'bytes'; readonly connection: number; readonly bytes: Uint8Array }
  /** So many bytes wait for the far end of the connection to take them. */
  | { readonly type: 'backlog'; readonly connection: number; readonly bytes: number }
  | { readonly type: 'pong'; readonly connection: number }
  /** Also after our own `close`. */
  | { readonly type: 'gone'; readonly connection: number }
  | { readonly type: 'timeout' };

export type BrokerOutput =
  | { readonly type: 'send'; readonly connection: number; readonly data: Uint8Array | string }
  /** Take no more from it until `resume`. */
  | { readonly type: 'pause' | 'resume' | 'ping'; readonly connection: number }
  /** Let what was sent leave, then close. The last output for a connection. */
  | { readonly type: 'close'; readonly connection: number; readonly code: number; readonly reason: string };

/** What a rendezvous takes from everybody together and from anybody alone. Bytes a second: each way, as a mean. */
export const BROKER_LIMITS = {
  connections: 1024,
  perAddress: 64,
  /** New ones of an address: so many at once, and so many a second. */
  burst: 64,
  perSecond: 4,
  /** Clients of one room, waiting or joined. */
  visitors: 4,
  helloMs: 5000,
  /** A client waits so long for its server to come (back), and so long for it to answer. */
  absentMs: 5000,
  acceptMs: 5000,
  /** The control channel pings every 2 s. */
  idleMs: 30_000,
  pingMs: 15_000,
  silentMs: 45_000,
  backlogHigh: 1024 * 1024,
  backlogLow: 256 * 1024,
  bytesPerSecond: 2 * 1024 * 1024,
  bytesBurst: 8 * 1024 * 1024,
  /** What a message costs at least, so that empty ones are not free. */
  messageCost: 64,
} as const;

const TICK_MS: Ms = 250;

interface Connection {
  readonly id: number;
  readonly address: string;
  role: 'new' | 'host' | 'visitor' | 'joined';
  room: Room | null;
  ticket: string;
  peer: Connection | null;
  /** When it is closed, and what is said then. */
  deadline: Ms;
  late: number;
  nextPing: Ms;
  allowance: number;
  readonly paused: Set<'rate' | 'backlog'>;
}

interface Room {
  readonly name: string;
  host: Connection | null;
  key: string;
  /** Waiting or joined. */
  readonly visitors: Set<Connection>;
}

/**
 * The rendezvous: rooms with one host and a few visitors, each joined to the host over a connection of its own, whose
 * bytes are handed on unread. Its rules are only about room and time; who is who, the two ends find out themselves.
 */
export class Broker implements Machine<BrokerInput, BrokerOutput> {
  readonly #random: Random;
  readonly #outputs = new Queue<BrokerOutput>();
  readonly #connections = new Map<number, Connection>();
  readonly #rooms = new Map<string, Room>();
  readonly #addresses = new Map<string, { open: number; allowance: number }>();
  #tick: Ms = NEVER;
  #ticked: Ms = 0;

  /** `random`: from a cryptographic source, for tickets. */
  constructor(random: Random) {
    this.#random = random;
  }

  handle(input: BrokerInput, now: Ms): void {
    if (input.type === 'timeout') {
      if (now >= this.#tick) this.#housekeeping(now);
      return;
    }
    if (input.type === 'connected') {
      this.#connected(input.connection, input.address, now);
      return;
    }
    const connection = this.#connections.get(input.connection);
    if (!connection) return;
    switch (input.type) {
      case 'text':
        this.#text(connection, input.text, now);
        return;
      case 'bytes':
        this.#bytes(connection, input.bytes, now);
        return;
      case 'backlog':
        this.#backlog(connection, input.bytes);
        return;
      case 'pong':
        if (connection.role === 'host') connection.deadline = now + BROKER_LIMITS.silentMs;
        return;
      case 'gone':
        this.#forget(connection);
    }
  }

  poll(): BrokerOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    return this.#tick;
  }

  /** Rooms and connections at the moment, for a log. */
  get size(): { readonly rooms: number; readonly connections: number } {
    return { rooms: this.#rooms.size, connections: this.#connections.size };
  }

  #connected(id: number, address: string, now: Ms): void {
    if (this.#tick === NEVER) {
      this.#ticked = now;
      this.#tick = now + TICK_MS;
    }
    const from = this.#addresses.get(address) ?? { open: 0, allowance: BROKER_LIMITS.burst };
    this.#addresses.set(address, from);
    const full = this.#connections.size >= BROKER_LIMITS.connections || from.open >= BROKER_LIMITS.perAddress;
    if (full || from.allowance < 1) {
      this.#outputs.push({ type: 'close', connection: id, code: CLOSE.full, reason: 'too many connections' });
      return;
    }
    from.open += 1;
    from.allowance -= 1;
    this.#connections.set(id, {
      ...{ id, address, role: 'new', room: null, ticket: '', peer: null, nextPing: NEVER },
      ...{ deadline: now + BROKER_LIMITS.helloMs, late: CLOSE.idle, allowance: BROKER_LIMITS.bytesBurst },
      paused: new Set(),
    });
  }

  #text(connection: Connection, text: string, now: Ms): void {
    const hello = connection.role === 'new' ? parseHello(text) : null;
    if (hello?.type === 'host') this.#host(connection, hello, now);
    else if (hello?.type === 'join') this.#join(connection, hello, now);
    else if (hello?.type === 'accept') this.#accept(connection, hello, now);
    else this.#close(connection, CLOSE.malformed, 'not what is said here');
  }

  #host(connection: Connection, { room: name, key }: Hello & { type: 'host' }, now: Ms): void {
    const room = this.#room(name);
    const before = room.host;
    if (before && room.key !== key) {
      this.#close(connection, CLOSE.taken, 'the room has a host');
      return;
    }
    // It comes again and its old connection is not known to be dead yet.
    if (before) this.#close(before, CLOSE.taken, 'the host came again');
    // Closing may have forgotten the room that it left empty.
    this.#rooms.set(name, room);
    room.host = connection;
    room.key = key;
    connection.role = 'host';
    connection.room = room;
    connection.deadline = now + BROKER_LIMITS.silentMs;
    connection.nextPing = now + BROKER_LIMITS.pingMs;
    this.#say(connection, { type: 'waiting' });
    for (const visitor of room.visitors) if (visitor.role === 'visitor') this.#announce(room, visitor, now);
  }

  #join(connection: Connection, { room: name }: Hello & { type: 'join' }, now: Ms): void {
    const room = this.#room(name);
    if (room.visitors.size >= BROKER_LIMITS.visitors) {
      this.#close(connection, CLOSE.full, 'too many clients in the room');
      return;
    }
    room.visitors.add(connection);
    connection.role = 'visitor';
    connection.room = room;
    connection.ticket = toBase64url(this.#random.bytes(16));
    connection.deadline = now + BROKER_LIMITS.absentMs;
    connection.late = CLOSE.absent;
    this.#announce(room, connection, now);
  }

  #announce({ host }: Room, visitor: Connection, now: Ms): void {
    if (!host) return;
    visitor.deadline = now + BROKER_LIMITS.acceptMs;
    visitor.late = CLOSE.idle;
    this.#say(host, { type: 'visitor', ticket: visitor.ticket });
  }

  #accept(connection: Connection, { room: name, key, ticket }: Hello & { type: 'accept' }, now: Ms): void {
    const room = this.#rooms.get(name);
    const theirs = room?.host && room.key === key ? [...room.visitors] : [];
    const visitor = theirs.find((candidate) => candidate.role === 'visitor' && candidate.ticket === ticket);
    if (!visitor) {
      this.#close(connection, CLOSE.absent, 'nobody waits with this ticket');
      return;
    }
    connection.peer = visitor;
    visitor.peer = connection;
    for (const end of [connection, visitor]) {
      end.role = 'joined';
      end.deadline = now + BROKER_LIMITS.idleMs;
      end.late = CLOSE.idle;
      this.#say(end, { type: 'joined' });
    }
  }

  #bytes(connection: Connection, bytes: Uint8Array, now: Ms): void {
    const { peer } = connection;
    if (connection.role !== 'joined' || !peer) {
      this.#close(connection, CLOSE.malformed, 'nobody to say this to yet');
      return;
    }
    connection.deadline = peer.deadline = now + BROKER_LIMITS.idleMs;
    connection.allowance -= Math.max(bytes.length, BROKER_LIMITS.messageCost);
    if (connection.allowance < 0) this.#pause(connection, 'rate');
    this.#outputs.push({ type: 'send', connection: peer.id, data: bytes });
  }

  #backlog({ peer }: Connection, bytes: number): void {
    if (!peer) return;
    if (bytes > BROKER_LIMITS.backlogHigh) this.#pause(peer, 'backlog');
    else if (bytes < BROKER_LIMITS.backlogLow) this.#resume(peer, 'backlog');
  }

  #pause(connection: Connection, why: 'rate' | 'backlog'): void {
    if (connection.paused.size === 0) this.#outputs.push({ type: 'pause', connection: connection.id });
    connection.paused.add(why);
  }

  #resume(connection: Connection, why: 'rate' | 'backlog'): void {
    if (connection.paused.delete(why) && connection.paused.size === 0) {
      this.#outputs.push({ type: 'resume', connection: connection.id });
    }
  }

  #housekeeping(now: Ms): void {
    const seconds = (now - this.#ticked) / 1000;
    this.#ticked = now;
    for (const connection of [...this.#connections.values()]) {
      if (now >= connection.deadline) this.#close(connection, connection.late, 'waited too long');
      else if (now >= connection.nextPing) {
        connection.nextPing = now + BROKER_LIMITS.pingMs;
        this.#outputs.push({ type: 'ping', connection: connection.id });
      }
      const earned = seconds * BROKER_LIMITS.bytesPerSecond;
      connection.allowance = Math.min(BROKER_LIMITS.bytesBurst, connection.allowance + earned);
      if (connection.allowance > 0) this.#resume(connection, 'rate');
    }
    for (const [address, from] of this.#addresses) {
      from.allowance = Math.min(BROKER_LIMITS.burst, from.allowance + seconds * BROKER_LIMITS.perSecond);
      if (from.open === 0 && from.allowance === BROKER_LIMITS.burst) this.#addresses.delete(address);
    }
    this.#tick = this.#connections.size + this.#addresses.size > 0 ? now + TICK_MS : NEVER;
  }

  #room(name: string): Room {
    const room = this.#rooms.get(name) ?? { name, host: null, key: '', visitors: new Set() };
    this.#rooms.set(name, room);
    return room;
  }

  #say({ id }: Connection, answer: Answer): void {
    this.#outputs.push({ type: 'send', connection: id, data: JSON.stringify(answer) });
  }

  #close(connection: Connection, code: number, reason: string): void {
    if (!this.#connections.has(connection.id)) return;
    this.#outputs.push({ type: 'close', connection: connection.id, code, reason });
    this.#forget(connection);
  }

  #forget(connection: Connection): void {
    const { id, address, room, peer } = connection;
    if (!this.#connections.delete(id)) return;
    const from = this.#addresses.get(address);
    if (from) from.open -= 1;
    if (room) {
      room.visitors.delete(connection);
      if (room.host === connection) room.host = null;
      if (!room.host && room.visitors.size === 0) this.#rooms.delete(room.name);
    }
    connection.peer = null;
    if (!peer) return;
    peer.peer = null;
    this.#close(peer, CLOSE.left, 'the other end has left');
  }
}
