import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { parseProfile, PROFILE_NAMES } from '../../src/profile/file.js';
import { parseStrict, transactionKey } from '../../src/stun/message.js';
import { base, FILES, gapsOf, Pair, profile, RELAYS, textOf, type Told } from './pair.js';

/** Expected figures: requirements.md, A.5 to A.7 and AC11; RFC 8445 §14 and RFC 8489 §6.2.1 for `rfc8445`. */

const WIFI = base('wlan0', 'wifi', '10.0.0.2');
const CELL = base('rmnet0', 'cellular', '100.64.0.2');
const FAR_WIFI = base('wlan1', 'wifi', '10.0.0.3');
const FAR_CELL = base('rmnet1', 'cellular', '100.64.9.3');

const within = (value: number, expected: number, share: number): void => {
  expect(value).toBeGreaterThanOrEqual(expected * (1 - share));
  expect(value).toBeLessThanOrEqual(expected * (1 + share));
};

function even(events: readonly Told[], count: number, gapMs: number): void {
  expect(events).toHaveLength(count);
  for (const gap of gapsOf(events)) within(gap, gapMs, 0.05);
}

test('the eight profiles are there, by the names of the issue, and each file is one', () => {
  expect(FILES).toEqual([...PROFILE_NAMES].sort());
  for (const name of FILES) expect(profile(name).profile.title).not.toBe('');
});

describe('whatsapp-video-2024', () => {
  const named = profile('whatsapp-video-2024');

  test('silent peer: 20 probes at 600 ms, 11.4 s from the first to the last, then the relay and no more (O12, O13)', () => {
    const pair = new Pair(named, { caller: [WIFI, CELL], callee: [FAR_WIFI, FAR_CELL], silent: true });
    pair.runTo(60_000);
    even(pair.told('caller', 'probe'), 20, 600);
    const [gaveUp] = pair.told('caller', 'gave-up');
    within(gaveUp?.ms ?? 0, 11_400, 0.001);
    expect(pair.told('caller', 'found')).toEqual([]);
    expect(pair.told('caller', 'active').map(({ on }) => on)).toEqual(['relay']);
    expect(pair.ends.caller.player.decided).toBe(true);
  });

  test('five relays are asked twice within 10 ms, the fastest is used, in less than 100 ms (O5)', () => {
    const pair = new Pair(named, { caller: [WIFI], callee: [FAR_WIFI] });
    pair.runTo(400);
    const asked = pair.told('caller', 'relay-asked');
    expect(asked).toHaveLength(10);
    expect(asked.at(-1)?.t).toBeLessThanOrEqual(10);
    expect(pair.told('caller', 'active')[0]).toMatchObject({ on: 'relay', t: expect.closeTo(42.5) as number });
    const requests = pair.ends.caller.sent.map(({ bytes }) => parseStrict(bytes));
    for (const request of requests)
      expect(
        request.ok && [
          request.message.method,
          request.message.attributes[0]?.type,
          request.message.attributes[0]?.value.length,
        ],
      ).toEqual([0x003, 0x4000, 150]);
  });

  test('answering peer: found 400 to 1000 ms after the call began, with MESSAGE-INTEGRITY as the only attribute (O2, O6)', () => {
    const pair = new Pair(named, { caller: [WIFI], callee: [FAR_WIFI] });
    pair.runTo(3000);
    const [found] = pair.told('caller', 'found');
    expect(found?.t).toBeGreaterThanOrEqual(400);
    expect(found?.t).toBeLessThanOrEqual(1000);
    expect(pair.told('caller', 'active').map(({ on }) => on)).toEqual(['relay', 'direct']);
    expect(pair.told('caller', 'probe').length).toBeLessThanOrEqual(2);
    const probe = pair.ends.caller.sent.find(({ to }) => to.address === FAR_WIFI.address.address);
    const parsed = parseStrict(probe?.bytes ?? new Uint8Array());
    expect(probe?.bytes.length).toBe(20 + 24);
    expect(parsed.ok && parsed.message.attributes.map(({ type }) => type)).toEqual([0x0008]);
  });

  test('keepalives: the callee alone, PRIORITY 1, 15.4 s after the path is in use, then every 2 s; the relay every 1 s (O7, O8)', () => {
    const pair = new Pair(named, { caller: [WIFI], callee: [FAR_WIFI] });
    pair.runTo(30_000);
    const inUse = pair.told('callee', 'active').find(({ on }) => on === 'direct')?.t ?? NaN;
    const kept = pair.told('callee', 'keepalive');
    expect(Math.abs((kept[0]?.t ?? NaN) - inUse - 15_400)).toBeLessThanOrEqual(100);
    for (const gap of gapsOf(kept)) within(gap, 2000, 0.05);
    expect(pair.told('callee', 'keepalive-answered')).toHaveLength(kept.length);
    expect(pair.told('caller', 'keepalive')).toEqual([]);
    const idle = pair.told('caller', 'idle');
    for (const gap of gapsOf(idle)) within(gap, 1000, 0.05);
    expect(pair.told('caller', 'idle-answered').length).toBeGreaterThanOrEqual(idle.length - 1);
    const keepalive = pair.ends.callee.sent.find(({ t }) => t === kept[0]?.t);
    const parsed = parseStrict(keepalive?.bytes ?? new Uint8Array());
    const priority = parsed.ok ? parsed.message.attributes.find(({ type }) => type === 0x0024)?.value : undefined;
    expect([...(priority ?? [])]).toEqual([0, 0, 0, 1]);
    const idleMessage = pair.ends.caller.sent.find(({ t }) => t === idle[0]?.t);
    expect([...(idleMessage?.bytes.subarray(0, 4) ?? [])]).toEqual([0x08, 0x01, 0, 0]);
  });

  test('from cellular to cellular the first keepalive is after 14.7 s (O17)', () => {
    const pair = new Pair(named, { caller: [CELL], callee: [FAR_CELL] });
    pair.runTo(20_000);
    const inUse = pair.told('callee', 'active').find(({ on }) => on === 'direct')?.t ?? NaN;
    expect(Math.abs((pair.told('callee', 'keepalive')[0]?.t ?? NaN) - inUse - 14_700)).toBeLessThanOrEqual(100);
  });

  test('from cellular to a WiFi: 12 probes at 3 s (O11)', () => {
    const pair = new Pair(named, { caller: [CELL], callee: [FAR_WIFI, FAR_CELL], silent: true });
    pair.runTo(60_000);
    even(pair.told('caller', 'probe'), 12, 3000);
    // O11: the callee's own cellular address is never probed.
    expect(new Set(pair.told('caller', 'probe').map(({ far }) => far))).toEqual(new Set(['wlan1']));
    even(pair.told('callee', 'probe'), 20, 600);
  });

  test('the train: 10 packets at 50 ms under one transaction, after 33 s, by the callee, on the idle interface (O4)', () => {
    const pair = new Pair(named, { caller: [WIFI, CELL], callee: [FAR_WIFI, FAR_CELL] });
    pair.runTo(40_000);
    const train = pair.told('callee', 'train');
    even(train, 10, 50);
    expect(train[0]?.t).toBeGreaterThanOrEqual(33_000);
    expect(new Set(train.map(({ interface: on }) => on))).toEqual(new Set(['rmnet1']));
    expect(pair.told('callee', 'train-answered')).toHaveLength(10);
    expect(pair.told('caller', 'train')).toEqual([]);
    const packets = pair.ends.callee.sent.filter(({ bytes }) => bytes.length === 512);
    const ids = packets.map(({ bytes }) => {
      const parsed = parseStrict(bytes);
      return parsed.ok ? transactionKey(parsed.message.transactionId) : '';
    });
    expect(new Set(ids).size).toBe(1);
  });

  test('WiFi off at 15 s, on at 30 s: about 500 ms without a path, then the relay, and it stays there (O19 to O23, AC10)', () => {
    const pair = new Pair(named, { caller: [WIFI, CELL], callee: [FAR_WIFI, FAR_CELL] });
    pair.runTo(15_000);
    pair.setBases('caller', [CELL]);
    pair.runTo(30_000);
    pair.setBases('caller', [WIFI, CELL]);
    pair.runTo(45_000);
    const used = pair.told('caller', 'active');
    expect(used.map(({ on, interface: name }) => `${on ?? ''} ${name ?? ''}`.trim())).toEqual([
      'relay wlan0',
      'direct wlan0',
      'nothing',
      'relay rmnet0',
      'relay wlan0',
    ]);
    const gap = (used[3]?.t ?? NaN) - (used[2]?.t ?? NaN);
    expect(gap).toBeGreaterThanOrEqual(300);
    expect(gap).toBeLessThanOrEqual(700);
    // Only the phone with the change probes; the other hears it and does not answer.
    const since = (role: 'caller' | 'callee', what: Told['what']): number =>
      pair.told(role, what).filter(({ t }) => t > 15_000).length;
    expect(since('caller', 'probe')).toBe(20);
    expect(since('callee', 'heard')).toBe(20);
    expect(since('callee', 'answer')).toBe(0);
    expect(since('callee', 'probe')).toBe(0);
    expect(pair.told('callee', 'active').at(-1)).toMatchObject({ on: 'relay' });
  });

  test('at the end every relay that answered is told, with the token of the first request (O27)', () => {
    const pair = new Pair(named, { caller: [WIFI], callee: [FAR_WIFI] });
    pair.runTo(1000);
    pair.feed('caller', { type: 'end' });
    const last = pair.ends.caller.sent.slice(-5);
    expect(last.map(({ to }) => to.address).sort()).toEqual(
      RELAYS.slice(0, 5)
        .map(({ address }) => address)
        .sort(),
    );
    const tokens = [pair.ends.caller.sent[0], ...last].map((sent) => {
      const parsed = parseStrict(sent?.bytes ?? new Uint8Array());
      return parsed.ok ? parsed.message.attributes[0]?.value : undefined;
    });
    for (const token of tokens) expect(token).toEqual(tokens[0]);
    pair.runTo(60_000);
    expect(pair.ends.caller.sent.at(-1)?.t).toBe(1000);
  });
});

test('whatsapp-audio-2024: first keepalive after 13.2 s, attribute 0x4024 beside the token (O9)', () => {
  const pair = new Pair(profile('whatsapp-audio-2024'), { caller: [WIFI], callee: [FAR_WIFI] });
  pair.runTo(20_000);
  const inUse = pair.told('callee', 'active').find(({ on }) => on === 'direct')?.t ?? NaN;
  expect(Math.abs((pair.told('callee', 'keepalive')[0]?.t ?? NaN) - inUse - 13_200)).toBeLessThanOrEqual(100);
  const parsed = parseStrict(pair.ends.caller.sent[0]?.bytes ?? new Uint8Array());
  expect(parsed.ok && parsed.message.attributes.map(({ type }) => type)).toEqual([0x4000, 0x4024]);
});

test('whatsapp-2015: 8 relays within 1.8 ms, 15 probes at 628 ms', () => {
  const pair = new Pair(profile('whatsapp-2015'), {
    ...{ caller: [WIFI], callee: [FAR_WIFI], silent: true },
    relays: [70, 80, 90, 100, 120, 150, 200, 290],
  });
  pair.runTo(60_000);
  const asked = pair.told('caller', 'relay-asked');
  expect(asked).toHaveLength(16);
  expect(asked.at(-1)?.t).toBeLessThanOrEqual(1.8 + 1e-9);
  even(pair.told('caller', 'probe'), 15, 628);
});

test('whatsapp-2023: an address that does not answer is probed on after the direct path is up: 20 at 552 ms, 10.5 s', () => {
  const nowhere = base('tun0', 'wifi', '10.0.0.9');
  const pair = new Pair(profile('whatsapp-2023'), { caller: [WIFI], callee: [FAR_WIFI] });
  pair.runTo(30);
  pair.feed('caller', {
    type: 'far',
    candidates: [FAR_WIFI, nowhere].map(({ interface: name, kind, address }) => ({
      interface: name,
      kind,
      address,
      reflexive: false,
    })),
  });
  pair.runTo(60_000);
  expect(pair.told('caller', 'found')).toHaveLength(1);
  const dead = pair.told('caller', 'probe').filter(({ far }) => far === 'tun0');
  even(dead, 20, 552);
  within((dead.at(-1)?.t ?? 0) - (dead[0]?.t ?? 0), 10_500, 0.01);
});

test('whatsapp-2023: two trains of 16, 10.8 and 10.9 ms apart; the relay is kept every 3.02 s', () => {
  const pair = new Pair(profile('whatsapp-2023'), { caller: [WIFI], callee: [FAR_WIFI] });
  pair.runTo(30_000);
  const train = pair.told('caller', 'train');
  expect(train).toHaveLength(32);
  for (const gap of gapsOf(train.slice(0, 16))) within(gap, 10.8, 0.05);
  for (const gap of gapsOf(train.slice(16))) within(gap, 10.9, 0.05);
  for (const gap of gapsOf(pair.told('caller', 'idle'))) within(gap, 3020, 0.05);
});

test('rfc8445: Ta 50 ms between two addresses; 7 requests each, doubling from 500 ms; given up after 39.5 s', () => {
  const pair = new Pair(profile('rfc8445'), { caller: [WIFI, CELL], callee: [FAR_WIFI], silent: true });
  pair.runTo(60_000);
  const probes = pair.told('caller', 'probe');
  expect(probes).toHaveLength(14);
  const first = probes.filter(({ interface: on }) => on === 'wlan0');
  const expected = [500, 1000, 2000, 4000, 8000, 16_000];
  for (const [index, gap] of gapsOf(first).entries()) within(gap, expected[index] ?? NaN, 0.05);
  within(gapsOf(probes)[0] ?? NaN, 50, 0.05);
  const gaveUp = pair.told('caller', 'gave-up')[0];
  within((gaveUp?.t ?? NaN) - (first[0]?.t ?? NaN), 39_500, 0.01);
});

test('rfc8445: after an interface is gone everything is gathered again, and both ends answer', () => {
  const pair = new Pair(profile('rfc8445'), { caller: [WIFI], callee: [FAR_WIFI] });
  pair.runTo(15_000);
  pair.setBases('caller', [CELL]);
  pair.runTo(20_000);
  expect(pair.told('caller', 'active').at(-1)).toMatchObject({ on: 'direct', interface: 'rmnet0' });
  pair.setBases('caller', [WIFI, CELL]);
  pair.runTo(30_000);
  expect(pair.told('caller', 'active').at(-1)).toMatchObject({ on: 'direct' });
});

test('quicheperf-ice: towards cellular 0x40 is set and the cookie is another; on the LAN it is STUN', () => {
  const cable = base('eth0', 'ethernet', '10.0.1.2');
  const farCable = base('eth1', 'ethernet', '10.0.1.3');
  const pair = new Pair(profile('quicheperf-ice'), { caller: [cable, CELL], callee: [farCable, FAR_CELL] });
  pair.runTo(3000);
  const to = (address: string, from: string) =>
    pair.ends.caller.sent.filter((sent) => sent.base === from && sent.to.address === address);
  for (const { bytes } of to(farCable.address.address, 'eth0'))
    expect([...bytes.subarray(4, 8)]).toEqual([0x21, 0x12, 0xa4, 0x42]);
  const cellular = to(FAR_CELL.address.address, 'rmnet0');
  expect(cellular.length).toBeGreaterThan(0);
  for (const { bytes } of cellular) {
    expect((bytes[0] ?? 0) & 0x40).toBe(0x40);
    expect([bytes[4], bytes[5]]).not.toEqual([0x21, 0x12]);
  }
  expect(pair.told('caller', 'found').map(({ interface: on, far }) => `${on ?? ''} ${far ?? ''}`)).toContain(
    'rmnet0 rmnet1',
  );
});

test('skype-2007: one packet to an address, 16 addresses in five minutes, nothing again', () => {
  const pair = new Pair(profile('skype-2007'), { caller: [WIFI], callee: [FAR_WIFI], silent: true });
  pair.feed('caller', {
    type: 'far',
    candidates: Array.from({ length: 20 }, (_, index) => ({
      ...{ interface: 'wlan1', kind: 'wifi' as const, reflexive: false },
      address: { ...FAR_WIFI.address, port: 40_000 + index },
    })),
  });
  pair.runTo(300_000 - 1);
  expect(pair.told('caller', 'probe').length).toBe(16);
  pair.runTo(900_000);
  expect(pair.told('caller', 'probe').length).toBeLessThanOrEqual(21);
});

test('quickshare: two probes on the same link, none to another network, nothing over cellular', () => {
  const other = base('wlan1', 'wifi', '10.0.7.3');
  const near = new Pair(profile('quickshare'), { caller: [WIFI, CELL], callee: [FAR_WIFI], silent: true });
  near.runTo(60_000);
  expect(near.told('caller', 'probe')).toHaveLength(2);
  expect(near.told('caller', 'gave-up')[0]?.t).toBeGreaterThan(10_000);
  const far = new Pair(profile('quickshare'), { caller: [WIFI, CELL], callee: [other] });
  far.runTo(60_000);
  expect(far.ends.caller.sent).toEqual([]);
});

describe('what comes from outside', () => {
  test('a probe that is signed with another key is neither answered nor believed', () => {
    const pair = new Pair(profile('whatsapp-video-2024'), {
      ...{ caller: [WIFI], callee: [FAR_WIFI] },
      key: new Uint8Array(32).fill(9),
    });
    pair.runTo(20_000);
    expect(pair.told('callee', 'heard')).toEqual([]);
    expect(pair.told('caller', 'found')).toEqual([]);
    even(pair.told('caller', 'probe'), 20, 600);
  });

  test('no datagram stops a player', () => {
    const pair = new Pair(profile('whatsapp-2023'), { caller: [WIFI], callee: [FAR_WIFI] });
    const random = new SeededRandom('noise');
    for (let count = 0; count < 2000; count += 1) {
      pair.runTo(count * 5);
      const sent = pair.ends.caller.sent.at(-1 - (random.uint32() % 8));
      const bytes =
        random.uint32() % 2 === 0 || !sent ? random.bytes(random.uint32() % 80) : Uint8Array.from(sent.bytes);
      if (bytes.length > 0) bytes[random.uint32() % bytes.length] = random.uint32() & 0xff;
      pair.feed('caller', {
        type: 'datagram',
        base: 'wlan0',
        from: RELAYS[random.uint32() % 8] ?? FAR_WIFI.address,
        bytes,
      });
    }
    expect(pair.told('caller', 'active').at(-1)).toMatchObject({ on: 'direct' });
  });
});

describe('the file', () => {
  const wrong = (text: string): string => {
    try {
      parseProfile(text, 'mine.yaml', textOf);
    } catch (error) {
      return error instanceof Error ? error.message : '';
    }
    return 'taken';
  };

  test('a mistake is told with its line and field', () => {
    expect(wrong('extends: rfc8445\ndirect:\n  every: 1 ms\n')).toContain(
      'mine.yaml:3: direct.every: takes 5 ms at least',
    );
    expect(wrong('extends: rfc8445\nrelais: {}\n')).toMatch(
      /mine\.yaml:2: relais: no field is called "relais": did you mean relay\?/,
    );
    expect(wrong('extends: nobody\n')).toContain('no profile is called "nobody"');
    expect(wrong('extends: rfc8445\ndirect: { most: 1000 }\n')).toContain('direct.most: takes a number from 0 to 64');
  });
});
