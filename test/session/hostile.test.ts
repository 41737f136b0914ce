import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scopeOf, transportAddress, type TransportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { ClientSession } from '../../src/session/client.js';
import type { SessionInput, SessionOutput } from '../../src/session/io.js';
import { judge } from '../../src/session/judge.js';
import { ServerSession } from '../../src/session/server.js';
import { renderReport } from '../../src/report/terminal.js';
import { hostInterface } from '../support/session-world.js';

/** A far end that has the invite, and is broken or means harm; RFC 5737 addresses stand for its victims. */
const INTERFACES = [
  hostInterface('eth0', 'ethernet', 'lan', '192.168.77.1'),
  hostInterface('wwan0', 'cellular', 'o2', '10.2.0.2', '2001:db8::2'),
];
const REFERENCE = transportAddress('198.51.100.10', 3478);
const VICTIM = transportAddress('203.0.113.7', 40_000);
const KEY = 'A'.repeat(43);

type Message = Readonly<Record<string, unknown>>;
interface Send {
  readonly at: Ms;
  readonly to: TransportAddress;
}

/** Opens every socket, takes every packet, answers every question; notes what the machine did. */
class Victim {
  readonly machine: ClientSession | ServerSession;
  readonly sends: Send[] = [];
  readonly messages: Message[] = [];
  readonly logs: { readonly name: string; readonly fields: Readonly<Record<string, unknown>> }[] = [];
  readonly open = new Set<string>();
  mostOpen = 0;
  events = 0;
  finished = false;
  now: Ms = 0;
  #ports = 40_000;
  #idle = 0;

  constructor(role: 'client' | 'server', references: readonly TransportAddress[] = []) {
    const common = {
      random: new SeededRandom('hostile'),
      version: 'test',
      name: role,
      backend: 'virtual',
      label: null,
      seed: 1,
      pinning: 'device' as const,
      references,
    };
    this.machine =
      role === 'server'
        ? new ServerSession({ ...common, pin: null })
        : new ClientSession(
            {
              policy: 'equal',
              arms: ARM_NAMES,
              firstOnly: false,
              wanted: null,
              pin: true,
              references,
              checksPerPair: 7,
              webrtc: false,
            },
            common,
          );
    this.feed({ type: 'start', startedAt: '2024-06-06T11:46:00.000Z', interfaces: INTERFACES, counters: null });
    this.feed({ type: 'peer-connected', address: 'test' });
  }

  feed(input: SessionInput): void {
    const inputs = [input];
    for (let next = inputs.shift(); next; next = inputs.shift()) {
      this.machine.handle(next, this.now);
      for (let output = this.machine.poll(); output; output = this.machine.poll()) inputs.push(...this.#answer(output));
    }
  }

  say(...messages: readonly unknown[]): void {
    for (const message of messages) this.feed({ type: 'message', message });
  }

  /** Runs the clock to `until`; a machine whose deadline does not move on would never let a driver sleep. */
  advance(until: Ms): void {
    while (!this.finished && this.machine.deadline() <= until) {
      const deadline = this.machine.deadline();
      expect(deadline).not.toBeNaN();
      this.#idle = deadline <= this.now ? this.#idle + 1 : 0;
      if (this.#idle > 1000) throw new Error(`no progress at ${String(this.now)} ms`);
      this.now = Math.max(this.now, deadline);
      this.feed({ type: 'timeout' });
    }
    if (!this.finished) this.now = until;
  }

  /** To the end of the run, which comes by itself. */
  end(): void {
    this.advance(this.now + 1_000_000);
    expect(this.finished).toBe(true);
    expect(this.open.size).toBe(0);
    if (this.machine.events.length > 0) renderReport(judge(this.machine.events), { colour: false, columns: 100 });
  }

  #answer(output: SessionOutput): SessionInput[] {
    switch (output.type) {
      case 'open': {
        this.open.add(output.socket);
        this.mostOpen = Math.max(this.mostOpen, this.open.size);
        this.#ports += 1;
        const local = { ...output.address, port: 32_768 + (this.#ports % 28_000) };
        return [{ type: 'opened', socket: output.socket, local, pinned: true }];
      }
      case 'close':
        this.open.delete(output.socket);
        return [];
      case 'send':
        this.sends.push({ at: this.now, to: output.to });
        return [{ type: 'sent', token: output.token, code: null }];
      case 'check-egress':
        expect(output.checks.length).toBeLessThan(1000);
        return [{ type: 'egress', token: output.token, results: [] }];
      case 'read-counters':
        return [{ type: 'counters', token: output.token, counters: null }];
      case 'connect-tcp':
        return [{ type: 'tcp', token: output.token, code: 'ETIMEDOUT', afterMs: 3000 }];
      case 'yardstick':
        return [{ type: 'yardstick', results: [] }];
      case 'message':
        this.messages.push(output.message);
        return [];
      case 'log':
        this.logs.push({ name: output.name, fields: output.fields });
        return [];
      case 'event':
        this.events += 1;
        return [];
      case 'finished':
        this.finished = true;
        return [];
      default:
        return [];
    }
  }
}

const hello = {
  type: 'hello',
  version: 'evil',
  name: 'M',
  interfaces: [hostInterface('usb0', 'tethered', 'telekom', '10.4.0.2')],
  pinning: 'device',
  references: [],
};
const plan = (changes: Message = {}): Message => ({
  type: 'plan',
  runId: 'r',
  started: 'now',
  policy: 'equal',
  arms: ['random', 'stun'],
  firstOnly: false,
  wanted: null,
  pin: true,
  references: [],
  sessionKey: KEY,
  checksPerPair: 7,
  webrtc: false,
  ...changes,
});
const candidate = (address: TransportAddress, index = 0): Message => ({
  type: 'candidate',
  candidate: {
    type: 'host',
    address,
    foundation: `f${String(index)}`,
    component: 1,
    priority: 2_000_000_000 - index,
    interface: 'usb0',
    kind: 'tethered',
    label: 'telekom',
  },
});
const sockets = (block: number, ends: readonly Message[]): Message => ({ type: 'sockets', block, ends });
const end = (arm: string, ...addresses: readonly TransportAddress[]): Message => ({
  interface: 'usb0',
  family: 'ipv4',
  arm,
  addresses,
});
const third = (index: number): TransportAddress =>
  transportAddress(`198.18.${String(index >> 8)}.${String(index & 255)}`, 40_000);
const distinct = (sends: readonly Send[]): Set<string> => new Set(sends.map(({ to }) => to.address));
const refusals = ({ logs }: Victim): unknown[] =>
  logs.filter(({ name }) => name === 'run.refused').map(({ fields }) => fields.reason);

/** The most sends in any second. */
function busiestSecond(sends: readonly Send[]): number {
  let most = 0;
  let first = 0;
  sends.forEach(({ at }, index) => {
    while ((sends[first]?.at ?? at) <= at - 1000) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}

describe('a server whose client has the invite and means harm', () => {
  it.each([
    ['an unknown arm', { arms: ['random', 'evil'] }, /arm "evil"/],
    ['an arm that every object has', { arms: ['__proto__'] }, /arm "__proto__"/],
    ['an arm many times', { arms: Array<string>(64).fill('stun') }, /twice/],
    ['a policy word that is none', { policy: 'fastest' }, /fastest/],
    [
      'a policy that is too long',
      { policy: Array.from({ length: 20 }, (_, i) => `wifi:${String(i)}`).join(',') },
      /20 words/,
    ],
    ['a multicast reference', { references: [transportAddress('224.0.0.251', 5353)] }, /224\.0\.0\.251/],
    ['a broadcast reference', { references: [transportAddress('255.255.255.255', 3478)] }, /255\.255/],
    ['a loopback reference', { references: [transportAddress('127.0.0.1', 3478)] }, /127\.0\.0\.1/],
    ['a reference at IPv6 loopback', { references: [transportAddress('::1', 3478)] }, /::1/],
    ['a reference without a port', { references: [transportAddress('198.51.100.1', 0)] }, /port 0/],
    ['a thousand checks a pair', { checksPerPair: 1000 }, /1000 checks/],
  ])('refuses %s with the reason, and is ready for the next client', (_what, changes, reason) => {
    const victim = new Victim('server');
    victim.say(hello, plan(changes));
    expect(victim.finished).toBe(true);
    expect(refusals(victim)).toEqual([expect.stringMatching(reason)]);
    expect(victim.messages.find(({ type }) => type === 'finish')?.reason).toMatch(reason);
    expect(victim.sends).toEqual([]);
    victim.end();
  });

  it('does not wait for a plan for ever', () => {
    const victim = new Victim('server');
    victim.say(hello, { type: 'ping', id: 1 });
    victim.end();
    expect(victim.now).toBeLessThanOrEqual(10_000);
  });

  it('ends a run that the client never ends, and says goodbye', () => {
    const victim = new Victim('server');
    victim.say(hello, plan());
    for (let second = 1; second < 1000 && !victim.finished; second += 1) {
      victim.say({ type: 'finish', reason: 'done' }, hello, plan());
      victim.advance(second * 1000);
    }
    victim.end();
    const idle = new Victim('server');
    idle.say(hello, plan());
    idle.end();
    expect(idle.now).toBeLessThan(400_000);
    expect(idle.messages.some(({ type, reason }) => type === 'finish' && String(reason).includes('too long'))).toBe(
      true,
    );
  });

  it('a second plan changes nothing', () => {
    const victim = new Victim('server');
    victim.say(hello, plan({ runId: 'first' }), plan({ runId: 'second', arms: ['evil'] }));
    expect(victim.finished).toBe(false);
    expect(victim.machine.events.filter(({ type }) => type === 'run')).toMatchObject([{ id: 'first' }]);
    victim.end();
  });

  it('is no attack tool: 1024 sockets at 16 addresses of strangers, 10 000 rounds of 1 ms', () => {
    const victim = new Victim('server');
    victim.say(hello, plan({ arms: ['random'] }));
    const ends = Array.from({ length: 1024 }, (_, index) =>
      end('random', ...Array.from({ length: 16 }, (_unused, of) => third(index * 16 + of))),
    );
    victim.advance(1);
    victim.say(sockets(0, ends), { type: 'rounds', block: 0, rounds: 10_000, intervalMs: 1 });
    victim.advance(2000);
    expect(victim.sends).toEqual([]);
    expect(victim.logs.some(({ name }) => name === 'rounds.refused')).toBe(true);
    victim.say({ type: 'rounds', block: 0, rounds: 64, intervalMs: 200 });
    victim.end();
    expect(distinct(victim.sends).size).toBeLessThanOrEqual(64);
    expect(busiestSecond(victim.sends)).toBeLessThanOrEqual(6 * 2048);
    expect(victim.sends.length).toBeLessThanOrEqual(64 * 2048);
  });

  it('sends one stranger no more than 256 packets a round', () => {
    const victim = new Victim('server');
    victim.say(hello, plan({ arms: ['random', 'stun'] }));
    const ends = Array.from({ length: 1024 }, (_, index) =>
      end(index % 2 ? 'stun' : 'random', { ...VICTIM, port: 1024 + index }),
    );
    victim.advance(1);
    victim.say(sockets(0, ends));
    victim.advance(100);
    victim.say({ type: 'rounds', block: 0, rounds: 10, intervalMs: 200 });
    victim.end();
    expect(distinct(victim.sends)).toEqual(new Set([VICTIM.address]));
    expect(victim.sends.length).toBe(10 * 256);
    expect(busiestSecond(victim.sends)).toBeLessThanOrEqual(6 * 256);
  });

  it.each([
    ['multicast', transportAddress('224.0.0.251', 5353)],
    ['broadcast', transportAddress('255.255.255.255', 9999)],
    ['itself', transportAddress('127.0.0.1', 8080)],
    ['nowhere', transportAddress('0.0.0.0', 8080)],
    ['IPv6 multicast', transportAddress('ff02::1', 9999)],
    ['a name server', transportAddress('198.51.100.53', 53)],
    ['port 0', transportAddress('198.51.100.53', 0)],
  ])('sends nothing to %s, however it is asked', (_what, address) => {
    const victim = new Victim('server');
    victim.say(hello, plan(), { type: 'credentials', ufrag: 'abcd', password: 'p'.repeat(22) });
    const socket = { ...end('random', address), family: address.family };
    victim.say(candidate(address), { type: 'candidates-end' }, sockets(0, [socket, { ...socket, arm: 'stun' }]));
    victim.advance(100);
    victim.say({ type: 'rounds', block: 0, rounds: 8, intervalMs: 250 });
    victim.end();
    expect(victim.sends).toEqual([]);
  });

  it('opens the sockets of few blocks, and of none twice', () => {
    const victim = new Victim('server');
    victim.say(hello, plan({ arms: [...ARM_NAMES] }));
    const before = victim.open.size;
    for (let block = 0xffff; block >= 0; block -= 97) victim.say(sockets(block, []));
    for (let block = 0; block < 500; block += 1) victim.say(sockets(block, []), sockets(block, []));
    // Three slots: eth0 has one family, wwan0 two.
    expect(victim.mostOpen).toBeLessThanOrEqual(before + 3 * 3 * ARM_NAMES.length);
    victim.end();
  });

  it('believes few candidates of thousands and still ends; the log does not grow with them', () => {
    const victim = new Victim('server');
    victim.say(hello, plan(), { type: 'credentials', ufrag: 'abcd', password: 'p'.repeat(22) });
    for (let index = 0; index < 5000; index += 1) victim.say(candidate(third(index), index));
    for (let index = 0; index < 5000; index += 1) {
      victim.say({ type: 'arm', path: `p${String(index)}`, arm: index % 2 ? 'stun~40' : 'evil' }, { type: 'plan' });
    }
    victim.say({ type: 'candidates-end' }, { type: 'finish', reason: 'done' });
    victim.end();
    expect(distinct(victim.sends).size).toBeLessThanOrEqual(64);
    expect(busiestSecond(victim.sends)).toBeLessThanOrEqual(400);
    expect(victim.logs.length).toBeLessThan(200);
  });

  it('takes no word of a client on the server itself, and only so many of the client', () => {
    const victim = new Victim('server');
    victim.say(hello, plan());
    const interfaces = (count: number) =>
      Array.from({ length: count }, (_, index) => hostInterface(`i${String(index)}`, 'wifi', 'l', '10.0.0.1'));
    const host = (count: number): Message => ({
      t: 0,
      host: 'client',
      type: 'host',
      name: 'M',
      pinning: 'off',
      interfaces: interfaces(count),
    });
    const lie = { t: 0, host: 'server', type: 'lost', path: 'eth0-eth0-v4', reason: 'lie' };
    const polluted: unknown = JSON.parse(
      '{"t":1,"host":"client","type":"counters","phase":"before","__proto__":{"polluted":1},"counters":{"interfaces":{"__proto__":{"rxPackets":1,"txPackets":1,"rxDropped":1,"txDropped":1}},"host":{"__proto__":5,"constructor":7,"nft x input":3},"rpFilter":{"__proto__":1}}}',
    );
    victim.say({ type: 'events', events: [lie, host(5000), host(1), host(64), polluted, polluted] });
    const { events } = victim.machine;
    expect(events.filter(({ type }) => type === 'lost')).toEqual([]);
    expect(events.filter(({ type, host: of }) => type === 'host' && of === 'client')).toHaveLength(1);
    expect(Object.getOwnPropertyDescriptor(Object.prototype, 'polluted')).toBeUndefined();
    victim.end();
  });

  it('holds a bounded number of events however many come', { timeout: 60_000 }, () => {
    const victim = new Victim('server');
    victim.say(hello, plan());
    const bytes = 'x'.repeat(2000);
    const event = { t: 1, host: 'client', type: 'lost', path: 'p', reason: bytes };
    const events = Array<unknown>(500).fill(event);
    // 500 × 2 kB × 200 = 200 MB.
    for (let message = 0; message < 200; message += 1) victim.say({ type: 'events', events });
    expect(victim.machine.events.length * 2000).toBeLessThan(64 * 1024 * 1024);
    expect(victim.events).toBe(victim.machine.events.length);
    victim.end();
  });
});

describe('a client whose server is not what it should be', () => {
  it('gives up on a server that does not greet', () => {
    const victim = new Victim('client', [REFERENCE]);
    victim.end();
    expect(victim.now).toBeLessThanOrEqual(10_000);
    expect(victim.messages.map(({ type }) => type)).toEqual(['hello']);
  });

  it('ends when the server is lost before it greeted', () => {
    const victim = new Victim('client', [REFERENCE]);
    victim.feed({ type: 'peer-lost', reason: 'reset' });
    expect(victim.finished).toBe(true);
  });

  it('takes no reference from it that is none', () => {
    const victim = new Victim('client');
    const references = [
      transportAddress('127.0.0.1', 22),
      transportAddress('239.1.1.1', 9),
      transportAddress('255.255.255.255', 9),
    ];
    victim.say({ ...hello, references });
    victim.end();
    expect(victim.messages.find(({ type }) => type === 'plan')?.references).toEqual([]);
    expect(victim.sends).toEqual([]);
  });

  it('ends although the server says "finish" for ever, lingers for no reason, or goes silent at any moment', () => {
    for (const at of [0, 5, 700, 3000, 20_000]) {
      for (const last of ['finish', 'lost', 'silence'] as const) {
        const victim = new Victim('client', [REFERENCE]);
        victim.say(hello, { type: 'credentials', ufrag: 'abcd', password: 'p'.repeat(22) });
        victim.say(candidate(VICTIM), sockets(0, [end('random', VICTIM)]));
        victim.advance(at);
        if (last === 'lost') victim.feed({ type: 'peer-lost', reason: 'reset' });
        for (let round = 0; round < 300 && last === 'finish' && !victim.finished; round += 1) {
          victim.say({ type: 'finish', reason: 'again' });
          victim.advance(victim.now + 100);
        }
        victim.end();
        expect(victim.now).toBeLessThan(120_000);
      }
    }
  });
});

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
  fc.constantFrom('lost', 'selected', 'superseded', 'interrupted', 'end', 'control-lost').chain((type) =>
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
