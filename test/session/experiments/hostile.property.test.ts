import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TransportAddress, transportAddress } from '../../../src/base/address.js';
import { ARM_NAMES } from '../../../src/mutation/names.js';
import { LIMITS } from '../../../src/session/limits.js';
import {
  busiestSecond,
  hello,
  type Message,
  plan,
  REFERENCE,
  type Send,
  third,
  Victim,
  VICTIM,
} from '../../support/hostile.js';

/** An end that knows of experiments, and whose interface pairs with the victim's eth0 and wwan0. */
const greeting = { ...hello, experiments: true };
const path = { client: 'usb0', server: 'wwan0', family: 'ipv4' };

const flows = (from: number, count: number, more: Message = {}): Message => ({
  type: 'flows',
  ...path,
  flows: Array.from({ length: count }, (_, index) => ({ flow: from + index, ports: { client: null, server: null } })),
  ...more,
});
const ends = (flow: number, ...addresses: readonly TransportAddress[]): Message => ({ type: 'flow', flow, addresses });
const packet = (more: Message = {}): Message => ({ arm: 'random', lengthBytes: null, graft: null, ttl: null, ...more });
const shots = (batch: number, list: readonly Message[], more: Message = {}): Message => ({
  type: 'shots',
  batch,
  experiment: 'x',
  waitMs: 0,
  shots: list,
  ...more,
});
const shot = (flow: number, index: number, more: Message = {}): Message => ({
  flow,
  from: 'server',
  to: 'peer',
  afterMs: 2 * index,
  counter: index,
  packet: packet(),
  ...more,
});

function victim(): Victim {
  const one = new Victim('server', [REFERENCE]);
  one.say(greeting, plan({ references: [REFERENCE] }));
  return one;
}
const to = (sends: readonly Send[], address: string): Send[] => sends.filter((send) => send.to.address === address);
const doneOf = ({ messages }: Victim): unknown[] => messages.filter(({ type }) => type === 'shots-done');

describe('a server whose client means harm', () => {
  it('does an ordinary batch as it is told', () => {
    const server = victim();
    server.say(flows(1, 1), ends(1, VICTIM));
    server.say(shots(1, [shot(1, 0), shot(1, 1, { packet: packet({ ttl: 5, lengthBytes: 900 }) })]));
    server.advance(server.now + 1000);
    expect(to(server.sends, VICTIM.address).map(({ bytes, ttl }) => [bytes, ttl])).toEqual([
      [108, null],
      [900, 5],
    ]);
    expect(doneOf(server)).toEqual([{ type: 'shots-done', batch: 1, ok: true }]);
    server.end();
  });

  it('holds so many sockets and no more, and closes all of them', () => {
    const server = victim();
    const before = server.open.size;
    for (let from = 1; from < 4000; from += 400) server.say(flows(from, 400));
    expect(server.mostOpen).toBeLessThanOrEqual(before + LIMITS.openFlows);
    server.end();
  });

  it('sends no address more than so many packets and bytes a second, however many batches there are', () => {
    const server = victim();
    server.say(flows(1, 64));
    for (let flow = 1; flow <= 64; flow += 1) server.say(ends(flow, VICTIM));
    const since = server.sends.length;
    for (let batch = 1; batch <= 40; batch += 1) {
      const list = Array.from({ length: 500 }, (_, index) =>
        shot(1 + (index % 64), batch * 1000 + index, { afterMs: 2 * index, packet: packet({ lengthBytes: 1472 }) }),
      );
      server.say(shots(batch, list));
      if (batch % 10 === 0) server.advance(server.now + 2500);
    }
    const own = to(server.sends.slice(since), VICTIM.address);
    expect(own.length).toBeGreaterThan(100);
    // A bucket that was full, and what fills it in a second.
    expect(busiestSecond(own)).toBeLessThanOrEqual(1.5 * LIMITS.trialPacketsPerAddress);
    expect(busiestSecond(own) * 1472).toBeLessThanOrEqual(1.5 * LIMITS.trialBytesPerAddress + 1472);
    server.end();
  });

  it('sends nothing to who cannot be a peer, and to no more addresses than a run may have', () => {
    const server = victim();
    const bad = ['224.0.0.1', '255.255.255.255', '127.0.0.1', '0.0.0.0'].map((address) =>
      transportAddress(address, 4000),
    );
    const low = transportAddress('198.18.9.9', 53);
    server.say(flows(1, 200));
    [...bad, low].forEach((address, index) => {
      server.say(ends(index + 1, address));
    });
    for (let flow = 10; flow <= 200; flow += 1) server.say(ends(flow, third(flow)));
    server.say(
      shots(
        1,
        Array.from({ length: 200 }, (_, index) => shot(index + 1, index, { afterMs: 5 * index })),
      ),
    );
    server.advance(server.now + 3000);
    const addresses = new Set(server.sends.map((send) => send.to.address));
    for (const { address } of [...bad, low]) expect(addresses).not.toContain(address);
    expect([...addresses].filter((address) => address.startsWith('198.18.')).length).toBeLessThanOrEqual(
      LIMITS.addresses,
    );
    server.end();
  });

  it('binds no port below 1024', () => {
    const server = victim();
    const refused = [0, 22, 53, 443, 1023].filter((port) => port > 0);
    server.say(
      flows(1, 0, {
        flows: refused.map((port, index) => ({ flow: index + 1, ports: { client: null, server: port } })),
      }),
    );
    const told = server.messages.filter(({ type }) => type === 'flow');
    expect(told).toEqual(refused.map((_, index) => ({ type: 'flow', flow: index + 1, addresses: [] })));
    server.end();
  });

  it(
    'whatever is said in whatever order: it throws nothing, keeps to its bounds and ends',
    { timeout: 120_000 },
    () => {
      const flow = fc.integer({ min: 0, max: 12 });
      const number = fc.oneof(fc.integer({ min: 0, max: 1500 }), fc.integer(), fc.double());
      const arm = fc.oneof(fc.constantFrom(...ARM_NAMES), fc.constantFrom('none', '__proto__', 'constructor'));
      const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
      const range = fc.record({ at: number, end: number });
      const spec = fc.record({
        arm,
        lengthBytes: maybe(number),
        graft: maybe(fc.record({ from: arm, bytes: fc.array(range, { maxLength: 3 }) })),
        ttl: maybe(fc.integer({ min: -1, max: 300 })),
      });
      const oneShot = fc.record({
        flow,
        from: fc.constantFrom('client', 'server'),
        to: fc.constantFrom('peer', 'reference'),
        afterMs: fc.oneof(fc.integer({ min: 0, max: 500 }), fc.double()),
        counter: fc.nat(50),
        packet: spec,
      });
      const message = fc.oneof(
        fc
          .tuple(flow, fc.nat(6), fc.constantFrom('wwan0', 'eth0', 'none'))
          .map(([from, count, server]) => flows(from, count, { server })),
        fc
          .tuple(flow, fc.constantFrom(VICTIM, third(3), transportAddress('224.0.0.1', 5000)))
          .map(([one, at]) => ends(one, at)),
        fc.tuple(fc.nat(4), fc.array(oneShot, { maxLength: 12 })).map(([batch, list]) => shots(batch, list)),
        fc.array(flow, { maxLength: 4 }).map((list) => ({ type: 'flows-close', flows: list })),
        fc.record({ type: fc.constant('shots-done'), batch: fc.nat(4), ok: fc.boolean() }),
      );
      const step = fc.oneof(
        { weight: 5, arbitrary: fc.record({ message }) },
        { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(0, 5, 400, 2500) }) },
        { weight: 1, arbitrary: fc.record({ datagram: fc.uint8Array({ maxLength: 1500 }), socket: fc.nat(80) }) },
        { weight: 1, arbitrary: fc.record({ quoted: fc.uint8Array({ maxLength: 64 }), socket: fc.nat(80) }) },
      );
      fc.assert(
        fc.property(
          fc.constantFrom('client' as const, 'server' as const),
          fc.array(step, { maxLength: 60 }),
          (role, steps) => {
            const one = new Victim(role, [REFERENCE]);
            one.say(greeting);
            if (role === 'server') one.say(plan({ references: [REFERENCE] }));
            for (const what of steps) {
              if (one.finished) break;
              if ('message' in what) one.say(what.message);
              else if ('wait' in what) one.advance(one.now + what.wait);
              else {
                const socket = `s${String(what.socket)}`;
                if ('datagram' in what) one.feed({ type: 'datagram', socket, from: VICTIM, bytes: what.datagram });
                else {
                  const error = { family: 'ipv4', type: 11, code: 0, from: '198.18.0.1' } as const;
                  one.feed({ type: 'icmp', socket, to: VICTIM, error, quoted: what.quoted });
                }
              }
            }
            one.end();
            expect(to(one.sends, '224.0.0.1')).toEqual([]);
            for (const { ttl } of one.sends) expect(ttl === null || (ttl >= 1 && ttl <= 64)).toBe(true);
            expect(one.logs.length).toBeLessThan(300);
          },
        ),
        { numRuns: 60 },
      );
    },
  );
});
