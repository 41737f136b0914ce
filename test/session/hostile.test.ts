import { describe, expect, it } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import {
  busiestSecond,
  candidate,
  distinct,
  end,
  hello,
  hostInterface,
  plan,
  REFERENCE,
  refusals,
  sockets,
  third,
  type Message,
  Victim,
  VICTIM,
} from '../support/hostile.js';

describe('a server whose client has the invite and means harm', () => {
  it.each([
    ['an unknown arm', { arms: ['random', 'evil'] }, /arm "evil"/],
    ['an arm that every object has', { arms: ['__proto__'] }, /arm "__proto__"/],
    ['an arm many times', { arms: Array<string>(64).fill('stun') }, /twice/],
    [
      'an arm of its own that is another',
      {
        arms: ['random', 'a'],
        ownArms: [{ name: 'a', fields: ['cookie'], changes: [], starts: null, lengthBytes: null }],
      },
      /"a" cannot be used: its stun makes the same packets as stun~cookie/,
    ],
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

  it('counts long packets of an arm of its own as several', () => {
    const victim = new Victim('server');
    const ownArms = [{ name: 'long', fields: [], changes: [], starts: '80', lengthBytes: 1200 }];
    victim.say(hello, plan({ arms: ['random', 'long'], ownArms }));
    const ends = Array.from({ length: 1024 }, (_, index) => end('long', { ...VICTIM, port: 1024 + index }));
    victim.advance(1);
    victim.say(sockets(0, ends));
    victim.advance(100);
    victim.say({ type: 'rounds', block: 0, rounds: 10, intervalMs: 200 });
    victim.end();
    // 1200 bytes count as 8 packets of 160.
    expect(victim.sends.length).toBe((10 * 256) / 8);
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

  it('holds a bounded number of events however many come', () => {
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
