import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { drain } from '../../src/base/machine.js';
import { NEVER } from '../../src/base/time.js';
import { Broker, BROKER_LIMITS, type BrokerInput } from '../../src/control/broker.js';
import { CLOSE, parseAnswer, roomOf } from '../../src/control/rendezvous.js';

const room = roomOf(new Uint8Array(16).fill(1));
const key = 'K'.repeat(22);
const SECOND = 1000;

/** A broker on a virtual clock: what each connection was told, in order, and how it was closed. */
class Meeting {
  now = 0;
  readonly broker = new Broker(new SeededRandom('broker'));
  readonly told = new Map<number, (string | Uint8Array)[]>();
  readonly closed = new Map<number, number>();
  readonly flow: string[] = [];
  #last = 0;

  give(input: BrokerInput): void {
    this.broker.handle(input, this.now);
    for (const output of drain(this.broker)) {
      if (output.type === 'send') {
        this.told.set(output.connection, [...(this.told.get(output.connection) ?? []), output.data]);
      } else if (output.type === 'close') {
        expect(this.closed.has(output.connection)).toBe(false);
        this.closed.set(output.connection, output.code);
      } else this.flow.push(`${output.type} ${String(output.connection)}`);
    }
  }

  come(hello: unknown = null, address = '192.0.2.1'): number {
    const connection = (this.#last += 1);
    this.give({ type: 'connected', connection, address });
    if (hello !== null) this.give({ type: 'text', connection, text: JSON.stringify(hello) });
    return connection;
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (let at = this.broker.deadline(); at <= end; at = this.broker.deadline()) {
      this.now = at;
      this.give({ type: 'timeout' });
    }
    this.now = end;
  }

  answers(connection: number): (string | undefined)[] {
    return (this.told.get(connection) ?? []).map((data) =>
      typeof data === 'string' ? parseAnswer(data)?.type : 'bytes',
    );
  }

  tickets(host: number): string[] {
    return (this.told.get(host) ?? []).flatMap((data) => {
      const answer = typeof data === 'string' ? parseAnswer(data) : null;
      return answer?.type === 'visitor' ? [answer.ticket] : [];
    });
  }

  /** A host, a visitor, and the connection that the host met it on. */
  joined(): { host: number; visitor: number; met: number } {
    const host = this.come({ type: 'host', room, key });
    const visitor = this.come({ type: 'join', room });
    const met = this.come({ type: 'accept', room, key, ticket: this.tickets(host).at(-1) });
    return { host, visitor, met };
  }

  bytes(connection: number, ...bytes: number[]): void {
    this.give({ type: 'bytes', connection, bytes: Uint8Array.from(bytes) });
  }
}

describe('two hosts', () => {
  test('meet, and what one says the other hears, unread and in order', () => {
    const meeting = new Meeting();
    const { host, visitor, met } = meeting.joined();
    expect(meeting.answers(host)).toEqual(['waiting', 'visitor']);
    meeting.bytes(visitor, 1, 2);
    meeting.bytes(visitor, 3);
    meeting.bytes(met, 9);
    expect(meeting.told.get(met)?.slice(1)).toEqual([Uint8Array.of(1, 2), Uint8Array.of(3)]);
    expect(meeting.told.get(visitor)?.slice(1)).toEqual([Uint8Array.of(9)]);
    expect(meeting.closed.size).toBe(0);
  });

  test('a client may come a moment before its server does', () => {
    const meeting = new Meeting();
    const visitor = meeting.come({ type: 'join', room });
    meeting.pass(BROKER_LIMITS.absentMs - SECOND);
    const host = meeting.come({ type: 'host', room, key });
    meeting.come({ type: 'accept', room, key, ticket: meeting.tickets(host)[0] });
    expect(meeting.answers(visitor)).toEqual(['joined']);
  });

  test('when one leaves the other is closed, and the host waits on', () => {
    const meeting = new Meeting();
    const { host, visitor, met } = meeting.joined();
    meeting.give({ type: 'gone', connection: visitor });
    expect([...meeting.closed]).toEqual([[met, CLOSE.left]]);
    const next = meeting.come({ type: 'join', room });
    expect(meeting.tickets(host)).toHaveLength(2);
    expect(meeting.closed.has(next)).toBe(false);
  });

  test('a host that comes again takes its own place, and nobody else can', () => {
    const meeting = new Meeting();
    const old = meeting.come({ type: 'host', room, key });
    const thief = meeting.come({ type: 'host', room, key: 'X'.repeat(22) });
    expect([...meeting.closed]).toEqual([[thief, CLOSE.taken]]);
    const again = meeting.come({ type: 'host', room, key });
    expect(meeting.closed.get(old)).toBe(CLOSE.taken);
    meeting.come({ type: 'join', room });
    expect(meeting.tickets(again)).toHaveLength(1);
  });
});

describe('nobody waits for ever', () => {
  test.each([
    ['who says nothing', null, BROKER_LIMITS.helloMs, CLOSE.idle],
    ['a client without a server', { type: 'join', room }, BROKER_LIMITS.absentMs, CLOSE.absent],
    ['a host that answers no ping', { type: 'host', room, key }, BROKER_LIMITS.silentMs, CLOSE.idle],
  ])('%s is closed', (_, hello, afterMs, code) => {
    const meeting = new Meeting();
    const connection = meeting.come(hello);
    meeting.pass(afterMs - SECOND);
    expect(meeting.closed.size).toBe(0);
    meeting.pass(2 * SECOND);
    expect([...meeting.closed]).toEqual([[connection, code]]);
    expect(meeting.broker.size).toEqual({ rooms: 0, connections: 0 });
  });

  test('a client whose server does not meet it is closed, the server is not', () => {
    const meeting = new Meeting();
    const host = meeting.come({ type: 'host', room, key });
    const visitor = meeting.come({ type: 'join', room });
    meeting.pass(BROKER_LIMITS.acceptMs + SECOND);
    expect([...meeting.closed]).toEqual([[visitor, CLOSE.idle]]);
    expect(meeting.closed.has(host)).toBe(false);
  });

  test('a host that answers pings waits for an hour', () => {
    const meeting = new Meeting();
    const host = meeting.come({ type: 'host', room, key });
    for (let minute = 0; minute < 120; minute += 1) {
      meeting.pass(30 * SECOND);
      meeting.give({ type: 'pong', connection: host });
    }
    expect(meeting.closed.size).toBe(0);
    expect(meeting.flow).toContain(`ping ${String(host)}`);
  });

  test('two who are joined and silent are both closed', () => {
    const meeting = new Meeting();
    const { visitor, met } = meeting.joined();
    meeting.pass(BROKER_LIMITS.idleMs - SECOND);
    meeting.bytes(visitor, 1);
    meeting.pass(BROKER_LIMITS.idleMs - SECOND);
    expect(meeting.closed.has(met)).toBe(false);
    meeting.pass(2 * SECOND);
    expect(meeting.closed.has(met) && meeting.closed.has(visitor)).toBe(true);
  });

  test('an empty rendezvous has nothing to do', () => {
    const meeting = new Meeting();
    meeting.give({ type: 'gone', connection: meeting.come() });
    meeting.pass(60 * SECOND);
    expect(meeting.broker.deadline()).toBe(NEVER);
  });
});

describe('what is too much', () => {
  test.each([
    ['no JSON', 'hello'],
    ['an unknown type', JSON.stringify({ type: 'list' })],
    ['a room of another length', JSON.stringify({ type: 'join', room: 'short' })],
    ['a long text', JSON.stringify({ type: 'join', room, more: 'x'.repeat(600) })],
  ])('%s is refused', (_, text) => {
    const meeting = new Meeting();
    const connection = meeting.come();
    meeting.give({ type: 'text', connection, text });
    expect([...meeting.closed]).toEqual([[connection, CLOSE.malformed]]);
  });

  test('bytes before there is anybody to hear them', () => {
    const meeting = new Meeting();
    const visitor = meeting.come({ type: 'join', room });
    meeting.bytes(visitor, 1);
    expect([...meeting.closed]).toEqual([[visitor, CLOSE.malformed]]);
  });

  test('a ticket serves once, with the key, in its room', () => {
    const meeting = new Meeting();
    const host = meeting.come({ type: 'host', room, key });
    meeting.come({ type: 'join', room });
    const [ticket] = meeting.tickets(host);
    const wrong = [
      { type: 'accept', room, key: 'X'.repeat(22), ticket },
      { type: 'accept', room, key, ticket: 'X'.repeat(22) },
      { type: 'accept', room: roomOf(new Uint8Array(16)), key, ticket },
    ];
    for (const hello of wrong) expect(meeting.closed.get(meeting.come(hello))).toBe(CLOSE.absent);
    expect(meeting.answers(meeting.come({ type: 'accept', room, key, ticket }))).toEqual(['joined']);
    expect(meeting.closed.get(meeting.come({ type: 'accept', room, key, ticket }))).toBe(CLOSE.absent);
  });

  test('a fifth client of a room', () => {
    const meeting = new Meeting();
    const clients = Array.from({ length: 5 }, () => meeting.come({ type: 'join', room }));
    expect([...meeting.closed]).toEqual([[clients[4], CLOSE.full]]);
  });

  test('a crowd from one address is turned away, and another address is not', () => {
    const meeting = new Meeting();
    for (let n = 0; n < 200; n += 1) meeting.come(null, '203.0.113.9');
    expect(meeting.closed.size).toBe(200 - BROKER_LIMITS.perAddress);
    const other = meeting.come({ type: 'host', room, key }, '192.0.2.7');
    expect(meeting.answers(other)).toEqual(['waiting']);
  });

  test('who comes and goes quickly is slowed to four a second', () => {
    const meeting = new Meeting();
    const comings = (): number => {
      const before = meeting.closed.size;
      for (let n = 0; n < 100; n += 1) meeting.give({ type: 'gone', connection: meeting.come() });
      return 100 - (meeting.closed.size - before);
    };
    expect(comings()).toBe(BROKER_LIMITS.burst);
    meeting.pass(5 * SECOND);
    expect(comings()).toBe(20);
  });

  test('all connections together are bounded', () => {
    const meeting = new Meeting();
    for (let n = 0; n < 2000; n += 1) meeting.come(null, `198.51.${String(n >> 8)}.${String(n & 255)}`);
    expect(meeting.broker.size.connections).toBe(BROKER_LIMITS.connections);
  });

  test('who sends faster than the other takes is paused until that has caught up', () => {
    const meeting = new Meeting();
    const { visitor, met } = meeting.joined();
    meeting.give({ type: 'backlog', connection: met, bytes: BROKER_LIMITS.backlogHigh + 1 });
    meeting.give({ type: 'backlog', connection: met, bytes: BROKER_LIMITS.backlogHigh - 1 });
    expect(meeting.flow).toEqual([`pause ${String(visitor)}`]);
    meeting.give({ type: 'backlog', connection: met, bytes: BROKER_LIMITS.backlogLow - 1 });
    expect(meeting.flow).toEqual([`pause ${String(visitor)}`, `resume ${String(visitor)}`]);
  });

  test('in the long run 2 MiB a second are carried each way', () => {
    const meeting = new Meeting();
    const { visitor } = meeting.joined();
    const bytes = new Uint8Array(64 * 1024);
    let carried = 0;
    for (let at = 0; at < 40; at += 1) {
      for (let n = 0; n < 1000 && meeting.flow.at(-1) !== `pause ${String(visitor)}`; n += 1) {
        meeting.give({ type: 'bytes', connection: visitor, bytes });
        carried += bytes.length;
      }
      meeting.pass(250);
    }
    const allowed = BROKER_LIMITS.bytesBurst + 10 * BROKER_LIMITS.bytesPerSecond;
    expect(carried).toBeGreaterThan(allowed * 0.9);
    expect(carried).toBeLessThan(allowed + 64 * 1024);
  });
});
