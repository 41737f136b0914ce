import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { formatTransportAddress, parseTransportAddress, type TransportAddress } from '../../src/base/address.js';
import { fromHex } from '../../src/base/bytes.js';
import { drain } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildReferenceRequest, recogniseReferenceAnswer } from '../../src/mutation/reference.js';
import type { SessionOutput } from '../../src/session/io.js';
import { Reflector, REFLECTOR_LIMITS } from '../../src/session/reflector.js';

const A_P = '198.51.100.10:3478';
const A_Q = '198.51.100.10:3479';
const B_P = '203.0.113.20:3478';
const B_Q = '203.0.113.20:3479';
const CLIENT = parseTransportAddress('192.0.2.1:40000');
const BARE = fromHex('0001 0000 2112a442 b7e7a701bc34d686fa87dfae');

interface Sent {
  readonly from: string;
  readonly to: TransportAddress;
  readonly bytes: Uint8Array;
}

/** A reflector whose sockets are all open, and what it sends. */
class Host {
  readonly reflector: Reflector;
  readonly random = new SeededRandom('reflector');
  readonly #sockets = new Map<string, string>();
  readonly others: SessionOutput[] = [];

  constructor(listen = A_P, alternate: string | null = B_Q, ports: number[] = []) {
    const parsed = alternate === null ? null : parseTransportAddress(alternate);
    this.reflector = new Reflector({
      listen: parseTransportAddress(listen),
      alternate: parsed,
      ports,
      random: this.random,
    });
    this.reflector.handle({ type: 'start', startedAt: '', interfaces: [], counters: null }, 0);
    for (const output of drain(this.reflector)) {
      if (output.type !== 'open') continue;
      this.#sockets.set(formatTransportAddress(output.address), output.socket);
      this.reflector.handle({ type: 'opened', socket: output.socket, local: output.address, pinned: false }, 0);
    }
    this.others.push(...drain(this.reflector));
  }

  get listening(): string[] {
    return [...this.#sockets.keys()];
  }

  receive(bytes: Uint8Array, { at = A_P, from = CLIENT, now = 0 } = {}): Sent[] {
    const socket = this.#sockets.get(at) ?? '';
    this.reflector.handle({ type: 'datagram', socket, from, bytes }, now);
    return drain(this.reflector).flatMap((output) => {
      if (output.type !== 'send') {
        this.others.push(output);
        return [];
      }
      const local = [...this.#sockets].find(([, name]) => name === output.socket)?.[0] ?? '';
      return [{ from: local, to: output.to, bytes: output.bytes }];
    });
  }
}

const NONE = { address: false, port: false };
let counter = 0;
function request(arm: string, change = NONE): { id: string; bytes: Uint8Array } {
  counter += 1;
  const random = new SeededRandom(counter);
  return buildReferenceRequest(arm, { counter, random, change, nonce: random.bytes(8) });
}

describe('RFC 5780 §6.1, table 1', () => {
  const swap = { address: true, port: false };
  const port = { address: false, port: true };
  const both = { address: true, port: true };
  test.each([
    [A_P, NONE, A_P, B_Q],
    [A_P, swap, B_P, B_Q],
    [A_P, port, A_Q, B_Q],
    [A_P, both, B_Q, B_Q],
    [A_Q, NONE, A_Q, B_P],
    [A_Q, swap, B_Q, B_P],
    [A_Q, port, A_P, B_P],
    [A_Q, both, B_P, B_P],
    [B_P, NONE, B_P, A_Q],
    [B_P, both, A_Q, A_Q],
    [B_Q, NONE, B_Q, A_P],
    [B_Q, swap, A_Q, A_P],
    [B_Q, port, B_P, A_P],
    [B_Q, both, A_P, A_P],
  ])('asked at %s with change %o: leaves from %s, OTHER-ADDRESS %s', (at, change, leaves, other) => {
    for (const arm of ARM_NAMES) {
      const { id, bytes } = request(arm, change);
      const [sent] = new Host().receive(bytes, { at });
      const answer = sent && recogniseReferenceAnswer(sent.bytes, (asked) => (asked === id ? arm : undefined));
      expect(sent?.from).toBe(leaves);
      expect(sent?.to).toEqual(CLIENT);
      expect(answer).toMatchObject({ id, arm, mapped: CLIENT });
      // The one arm without attributes has no room for more than the mapped address.
      const room = arm !== 'stun~attributes';
      expect(answer?.origin).toEqual(room ? parseTransportAddress(leaves) : null);
      expect(answer?.other).toEqual(room ? parseTransportAddress(other) : null);
      expect(sent?.bytes.length).toBeLessThanOrEqual(bytes.length);
    }
  });
});

describe('one address', () => {
  test('answers on its port and the extra ones, without OTHER-ADDRESS', () => {
    const host = new Host(A_P, null, [443, 53]);
    expect(host.listening).toEqual([A_P, '198.51.100.10:443', '198.51.100.10:53']);
    const { id, bytes } = request('stun');
    const [sent] = host.receive(bytes, { at: '198.51.100.10:443' });
    expect(sent?.from).toBe('198.51.100.10:443');
    const answer = sent && recogniseReferenceAnswer(sent.bytes, (asked) => (asked === id ? 'stun' : undefined));
    expect(answer?.mapped).toEqual(CLIENT);
    expect(answer?.other ?? null).toBeNull();
  });

  test('does not answer from the wrong place what asks for another', () => {
    const { bytes } = request('stun', { address: true, port: true });
    expect(new Host(A_P, null).receive(bytes)).toEqual([]);
  });

  test('listening on every address, it does not call itself 0.0.0.0', () => {
    const { id, bytes } = request('stun');
    const [sent] = new Host('0.0.0.0:3478', null).receive(bytes, { at: '0.0.0.0:3478' });
    const answer = sent && recogniseReferenceAnswer(sent.bytes, (asked) => (asked === id ? 'stun' : undefined));
    expect(answer?.mapped).toEqual(CLIENT);
    expect(answer?.origin ?? null).toBeNull();
  });
});

describe('plain STUN clients', () => {
  test('a bare Binding request is answered with 32 bytes as RFC 8489 §14.2 computes them', () => {
    const [sent] = new Host().receive(BARE, { from: parseTransportAddress('192.0.2.1:32853') });
    expect(sent?.bytes).toEqual(fromHex('0101000c2112a442b7e7a701bc34d686fa87dfae002000080001a147e112a643'));
  });

  test('over IPv6 with 44', () => {
    const host = new Host('[2001:db8::10]:3478', null);
    const from = parseTransportAddress('[2001:db8:1234::1]:32853');
    expect(host.receive(BARE, { at: '[2001:db8::10]:3478', from })[0]?.bytes).toHaveLength(44);
  });

  test('one source prefix gets its burst and 10 a second; another prefix does not suffer', () => {
    const host = new Host();
    const from = (index: number): TransportAddress => ({ ...CLIENT, address: `192.0.2.${index % 256}` });
    const ask = (count: number, now: number): number =>
      Array.from({ length: count }, (_, index) => host.receive(BARE, { from: from(index), now })).flat().length;
    expect(ask(500, 0)).toBe(50);
    expect(ask(500, 1000)).toBe(10);
    expect(host.receive(BARE, { from: { ...CLIENT, address: '192.0.3.1' }, now: 1000 })).toHaveLength(1);
  });
});

describe('never an amplifier', () => {
  test('hostile datagrams: no throw, and nothing larger than what was sent but the answer to a bare request', () => {
    const arms = fc.constantFrom(...ARM_NAMES);
    const edits = fc.array(fc.tuple(fc.nat(700), fc.nat(255)), { maxLength: 6 });
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 1500 }),
      fc.tuple(arms, edits, fc.nat(700)).map(([arm, changes, length]) => {
        const { bytes } = request(arm);
        for (const [offset, value] of changes) if (offset < bytes.length) bytes[offset] = value;
        return length < bytes.length ? bytes.subarray(0, length) : bytes;
      }),
      fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.nat(100)).map(([rest, length]) => {
        const bytes = Uint8Array.of(...BARE, ...rest);
        bytes[3] = length;
        return bytes;
      }),
    );
    const host = new Host();
    fc.assert(
      fc.property(hostile, (bytes) => {
        for (const sent of host.receive(bytes)) {
          expect(sent.to).toEqual(CLIENT);
          expect(sent.bytes.length <= bytes.length || sent.bytes.length <= 44).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test('a minute of bare requests from forged sources gains at most 12 bytes × (500/s + burst)', () => {
    const host = new Host();
    let [bytesIn, bytesOut, answers] = [0, 0, 0];
    for (let now = 0; now < 60_000; now += 1) {
      const value = host.random.uint32();
      const address = [1 + (value % 200), (value >> 8) & 255, (value >> 16) & 255, 9].join('.');
      bytesIn += BARE.length;
      for (const sent of host.receive(BARE, { from: { family: 'ipv4', address, port: 4000 }, now })) {
        bytesOut += sent.bytes.length;
        answers += 1;
      }
    }
    expect(answers).toBeLessThanOrEqual(60 * REFLECTOR_LIMITS.larger.perSecond + REFLECTOR_LIMITS.larger.burst);
    expect(answers).toBeGreaterThan(59 * REFLECTOR_LIMITS.larger.perSecond);
    expect(bytesOut).toBe(answers * 32);
    expect(bytesOut).toBeLessThan(bytesIn);
  });

  test('all answers together stay under the cap', () => {
    const host = new Host();
    const { bytes } = request('stun');
    let answers = 0;
    for (let index = 0; index < 20_000; index += 1) answers += host.receive(bytes, { now: index / 20 }).length;
    expect(answers).toBeGreaterThan(14_990);
    expect(answers).toBeLessThanOrEqual(15_000);
  });

  test('those that no answer can reach, and its own sockets, get none', () => {
    const { bytes } = request('stun');
    for (const from of ['192.0.2.1:0', '224.0.0.1:5', '0.0.0.0:5', A_P, B_Q]) {
      expect(new Host().receive(bytes, { from: parseTransportAddress(from) })).toEqual([]);
    }
  });

  test('an answer is not answered', () => {
    const host = new Host();
    for (const arm of ARM_NAMES) {
      const [sent] = host.receive(request(arm).bytes);
      expect(sent && host.receive(sent.bytes)).toEqual([]);
    }
  });
});

describe('as a program', () => {
  test('says what it did every minute, and ends when interrupted', () => {
    const host = new Host();
    host.receive(request('stun').bytes);
    host.receive(Uint8Array.of(1, 2, 3));
    expect(host.reflector.deadline()).toBe(60_000);
    host.reflector.handle({ type: 'timeout' }, 60_000);
    expect(drain(host.reflector)).toMatchObject([
      { type: 'log', name: 'reflector.minute', fields: { datagrams: 2, answers: 1, foreign: 1, limited: 0 } },
    ]);
    host.reflector.handle({ type: 'interrupt' }, 61_000);
    expect(drain(host.reflector).map(({ type }) => type)).toEqual([
      'log',
      'close',
      'close',
      'close',
      'close',
      'finished',
    ]);
    expect(host.reflector.failure).toBeNull();
  });

  test('a port in use ends it with a coded error and closes the sockets that it had', () => {
    const random = new SeededRandom(1);
    const [listen, alternate] = [parseTransportAddress(A_P), parseTransportAddress(B_Q)];
    const reflector = new Reflector({ listen, alternate, ports: [], random });
    reflector.handle({ type: 'start', startedAt: '', interfaces: [], counters: null }, 0);
    const [first, second] = drain(reflector).flatMap((output) => (output.type === 'open' ? [output] : []));
    if (!first || !second) throw new Error('no sockets asked for');
    reflector.handle({ type: 'opened', socket: first.socket, local: first.address, pinned: false }, 0);
    const message = 'address already in use';
    reflector.handle({ type: 'socket-failed', socket: second.socket, code: 'EADDRINUSE', message }, 0);
    expect(drain(reflector)).toEqual([{ type: 'close', socket: first.socket }, { type: 'finished' }]);
    expect(reflector.failure).toMatchObject({ code: 'reflector-socket' });
    expect(reflector.failure?.message).toContain(A_Q);
  });

  test.each([A_Q, B_P, '[2001:db8::1]:3479'])('%s is no alternate', (alternate) => {
    expect(() => new Host(A_P, alternate)).toThrow(expect.objectContaining({ code: 'reflector-alternate' }));
  });
});
