import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scopeOf } from '../../src/base/address.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { candidate, distinct, hello, plan, REFERENCE, third, Victim, VICTIM } from '../support/hostile.js';

const port = fc.integer({ min: -1, max: 65_536 });
const address = fc.oneof(
  fc.record({ family: fc.constant('ipv4'), address: fc.ipV4(), port }),
  fc.record({ family: fc.constantFrom('ipv4', 'ipv6'), address: fc.oneof(fc.ipV6(), fc.string()), port }),
);
const arm = fc.oneof(fc.constantFrom(...ARM_NAMES), fc.string());
const name = fc.oneof(fc.constantFrom('usb0', 'eth0', 'wwan0', '__proto__', 'constructor', ''), fc.string());
const block = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer());
const eventLike = fc.oneof(
  fc.record({ t: fc.double(), host: fc.constantFrom('client', 'server'), type: name, path: name, reason: fc.string() }),
  fc.constantFrom('lost', 'selected', 'interrupted', 'end', 'control-lost').chain((type) =>
    fc.record({
      t: fc.double({ noNaN: true }),
      host: fc.constantFrom('client', 'server'),
      type: fc.constant(type),
      path: name,
      reason: fc.string(),
    }),
  ),
  fc.anything(),
);
const messageLike: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(hello) },
  { weight: 4, arbitrary: fc.constant(plan()) },
  fc
    .record({
      arms: fc.array(arm, { maxLength: 4 }),
      policy: fc.string(),
      references: fc.array(address, { maxLength: 2 }),
      checksPerPair: fc.integer(),
      webrtc: fc.boolean(),
    })
    .map(plan),
  fc.record({
    type: fc.constant('credentials'),
    ufrag: fc.constantFrom('abcd', 'x', '%%%%'),
    password: fc.constantFrom('p'.repeat(22), ''),
  }),
  address.map((at) => ({
    ...candidate(VICTIM),
    candidate: { ...(candidate(VICTIM).candidate as object), address: at },
  })),
  fc.nat(500).map((index) => candidate(third(index), index)),
  fc.constantFrom(
    { type: 'candidates-end' },
    { type: 'finished' },
    { type: 'pong', id: 1 },
    { type: 'finish', reason: 'done' },
  ),
  fc.record({
    type: fc.constant('sockets'),
    block,
    ends: fc.array(
      fc.record({
        interface: name,
        family: fc.constantFrom('ipv4', 'ipv6'),
        arm,
        addresses: fc.array(address, { maxLength: 3 }),
      }),
      { maxLength: 5 },
    ),
  }),
  fc.record({
    type: fc.constant('rounds'),
    block,
    rounds: fc.oneof(fc.constant(8), fc.integer()),
    intervalMs: fc.oneof(fc.constant(250), fc.double()),
  }),
  fc.record({ type: fc.constant('arm'), path: name, arm }),
  fc.record({
    type: fc.constant('interface'),
    interface: fc.record({
      name,
      kind: fc.constantFrom('cellular', 'wire'),
      label: name,
      addresses: fc.array(
        fc.constantFrom(
          { family: 'ipv4', address: '203.0.113.7', prefixLength: 24 },
          { family: 'ipv6', address: '2001:db8::7', prefixLength: 64 },
          { family: 'ipv4', address: '2001:db8::7', prefixLength: 64 },
        ),
        { maxLength: 3 },
      ),
    }),
  }),
  fc.array(eventLike, { maxLength: 20 }).map((events) => ({ type: 'events', events })),
  fc.record({ type: fc.constant('yardstick'), stack: fc.constantFrom('libjuice', 'x'), payload: fc.string() }),
  fc.record({ type: name, id: fc.anything() }),
  fc.anything(),
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ message: messageLike }) },
  { weight: 2, arbitrary: fc.record({ wait: fc.constantFrom(0, 1, 50, 300, 2000) }) },
  { weight: 2, arbitrary: fc.record({ datagram: fc.uint8Array({ maxLength: 200 }), socket: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ stun: fc.uint8Array({ minLength: 12, maxLength: 80 }), socket: fc.nat(60) }) },
);

describe('whatever comes in whatever order', () => {
  it.each(['client', 'server'] as const)(
    'the %s throws nothing, floods nobody and ends',
    { timeout: 120_000 },
    (role) => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
          const victim = new Victim(role, [REFERENCE]);
          victim.say(hello);
          if (role === 'server') victim.say(plan());
          for (const one of steps) {
            if (victim.finished) break;
            if ('message' in one) victim.say(one.message);
            else if ('wait' in one) victim.advance(victim.now + one.wait);
            else {
              const socket = `s${String(one.socket)}`;
              const bytes =
                'stun' in one
                  ? Uint8Array.from([0, 1, 0, one.stun.length - 12, 0x21, 0x12, 0xa4, 0x42, ...one.stun])
                  : one.datagram;
              victim.feed({ type: 'datagram', socket, from: VICTIM, bytes });
            }
          }
          victim.end();
          for (const { to } of victim.sends) {
            expect(to.port).toBeGreaterThan(0);
            expect(['global', 'private', 'shared', 'link-local']).toContain(scopeOf(to.address));
          }
          expect(distinct(victim.sends).size).toBeLessThanOrEqual(66);
          expect(victim.logs.length).toBeLessThan(300);
        }),
        { numRuns: 60 },
      );
    },
  );
});
