import { describe, expect, test } from 'vitest';
import { parseTransportAddress, type TransportAddress } from '../../src/base/address.js';
import { drain } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildReferenceRequest, canAnswerLate, recogniseReferenceAnswer } from '../../src/mutation/reference.js';
import { Reflector } from '../../src/session/reflector.js';
import { LATE_LIMITS } from '../../src/session/reflector-late.js';

const CLIENT = parseTransportAddress('192.0.2.1:40000');
let counter = 0;

function request(arm: string, afterSeconds?: number): { readonly id: string; readonly bytes: Uint8Array } {
  counter += 1;
  const random = new SeededRandom(counter);
  const after = afterSeconds === undefined ? {} : { afterSeconds };
  return buildReferenceRequest(arm, { counter, random, nonce: random.bytes(8), ...after });
}

/** A reflector with one socket, and what it sends. */
class Bench {
  readonly reflector = new Reflector({
    listen: parseTransportAddress('198.51.100.10:3478'),
    alternate: null,
    ports: [],
    random: new SeededRandom('late'),
  });

  constructor() {
    this.reflector.handle({ type: 'start', startedAt: '', interfaces: [], counters: null }, 0);
    for (const output of drain(this.reflector)) {
      if (output.type !== 'open') continue;
      this.reflector.handle({ type: 'opened', socket: output.socket, local: output.address, pinned: false }, 0);
    }
    this.sent();
  }

  ask(bytes: Uint8Array, now = 0, from: TransportAddress = CLIENT): Uint8Array[] {
    this.reflector.handle({ type: 'datagram', socket: 'r0', from, bytes }, now);
    return this.sent();
  }

  at(now: number): Uint8Array[] {
    this.reflector.handle({ type: 'timeout' }, now);
    return this.sent();
  }

  sent(): Uint8Array[] {
    return drain(this.reflector).flatMap((output) => (output.type === 'send' ? [output.bytes] : []));
  }
}

const afterOf = (bytes: Uint8Array | undefined, id: string, arm: string): number | null | undefined =>
  bytes && recogniseReferenceAnswer(bytes, (asked) => (asked === id ? arm : undefined))?.afterSeconds;

describe('a second answer, after so many seconds', () => {
  test.each(ARM_NAMES.filter(canAnswerLate))('%s: two answers, together no longer than the request', (arm) => {
    const bench = new Bench();
    const { id, bytes } = request(arm, 30);
    const [first, ...more] = bench.ask(bytes, 1000);
    expect([afterOf(first, id, arm), more]).toEqual([30, []]);
    expect(bench.reflector.deadline()).toBe(31_000);
    expect(bench.at(30_999)).toEqual([]);
    const [second, ...others] = bench.at(31_000);
    expect([afterOf(second, id, arm), others]).toEqual([0, []]);
    expect((first?.length ?? 0) + (second?.length ?? 0)).toBeLessThanOrEqual(bytes.length);
    expect(bench.at(100_000)).toEqual([]);
  });

  test('only where it is asked for, and for five minutes at most', () => {
    const bench = new Bench();
    for (const bytes of [request('stun').bytes, request('stun', 301).bytes, request('stun', 0).bytes]) {
      expect(bench.ask(bytes)).toHaveLength(1);
    }
    expect(bench.at(59_000)).toEqual([]);
    expect(bench.at(400_000)).toEqual([]);
  });

  test('IPv6 clients get both, too', () => {
    const bench = new Bench();
    const { id, bytes } = request('stun', 15);
    const from = parseTransportAddress('[2001:db8::1]:40000');
    expect(afterOf(bench.ask(bytes, 0, from)[0], id, 'stun')).toBe(15);
    expect(afterOf(bench.at(15_000)[0], id, 'stun')).toBe(0);
  });

  test('one customer is promised only so many; beyond them the answer is plain', () => {
    const bench = new Bench();
    const promised = Array.from({ length: LATE_LIMITS.perPrefix + 10 }, (_, index) => {
      const { id, bytes } = request('stun', 300);
      return afterOf(bench.ask(bytes, index, { ...CLIENT, port: 1024 + index })[0], id, 'stun');
    });
    expect(promised.filter((after) => after === 300)).toHaveLength(LATE_LIMITS.perPrefix);
    expect(promised.slice(LATE_LIMITS.perPrefix)).toEqual(Array(10).fill(null));
    // What was promised is kept, and then there is room again.
    expect(bench.at(301_000)).toHaveLength(LATE_LIMITS.perPrefix);
    const { id, bytes } = request('stun', 300);
    expect(afterOf(bench.ask(bytes, 302_000)[0], id, 'stun')).toBe(300);
  });

  test('all together are promised only so many, whatever sources they claim', () => {
    const bench = new Bench();
    let promised = 0;
    for (let index = 0; index < LATE_LIMITS.all + 100; index += 1) {
      const { id, bytes } = request('stun', 300);
      const from = parseTransportAddress(`10.${index >> 8}.${index & 255}.1:40000`);
      if (afterOf(bench.ask(bytes, index, from)[0], id, 'stun') === 300) promised += 1;
    }
    expect(promised).toBe(LATE_LIMITS.all);
  });
});
