import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseMessage } from '../../src/control/messages.js';

const address = { family: 'ipv4', address: '192.0.2.1', port: 5000 };
const samples: Record<string, unknown>[] = [
  {
    type: 'hello',
    version: '0.1.0',
    name: 'laptop',
    interfaces: [
      {
        name: 'wwan0',
        kind: 'cellular',
        label: 'o2',
        addresses: [{ family: 'ipv6', address: '2001:db8::1', prefixLength: 64 }],
      },
    ],
    pinning: 'device',
    references: [address],
    wallClockMs: 1_717_674_360_000.5,
  },
  {
    type: 'plan',
    runId: 'r1',
    started: '2026-01-01T00:00:00.000Z',
    policy: 'cellular,wifi,ethernet',
    arms: ['random', 'stun'],
    ownArms: [],
    firstOnly: false,
    deep: false,
    wanted: null,
    pin: true,
    references: [address],
    sessionKey: 'A'.repeat(43),
    checksPerPair: 7,
    webrtc: false,
  },
  { type: 'credentials', ufrag: 'abcd', password: 'abcdefghijklmnopqrstuv' },
  {
    type: 'candidate',
    candidate: {
      type: 'srflx',
      address,
      foundation: '1',
      component: 1,
      priority: 1694498815,
      related: { ...address, address: '10.0.0.1' },
      interface: 'wwan0',
      kind: 'cellular',
      label: 'o2',
    },
  },
  { type: 'candidates-end' },
  {
    type: 'interface',
    interface: {
      name: 'usb0',
      kind: 'tethered',
      label: 'telekom',
      addresses: [{ family: 'ipv4', address: '10.0.0.2', prefixLength: 24 }],
    },
  },
  { type: 'sockets', block: 0, ends: [{ interface: 'wwan0', family: 'ipv4', arm: 'stun', addresses: [address] }] },
  { type: 'rounds', block: 0, rounds: 10, intervalMs: 200 },
  { type: 'arm', path: 'wwan0-usb0-v4', arm: 'stun~40' },
  { type: 'events', events: [{ anything: [1] }] },
  { type: 'yardstick', stack: 'libjuice', payload: 'v=0' },
  { type: 'finish', reason: 'decided' },
  { type: 'finished' },
  { type: 'ping', id: 1 },
  { type: 'pong', id: 1 },
];

describe('messages', () => {
  test.each(samples.map((sample) => [String(sample.type), sample] as const))('%s is taken as it is', (_, sample) => {
    expect(parseMessage(sample)).toEqual({ ok: true, message: sample });
  });

  test('what a newer end adds is passed over: types and fields', () => {
    expect(parseMessage({ type: 'teleport', to: 'moon' })).toEqual({ ok: true, message: { type: 'unknown' } });
    expect(parseMessage({ type: 'finished', mood: 'good' })).toEqual({ ok: true, message: { type: 'finished' } });
  });

  test('an older end does not tell its clock', () => {
    const older = Object.fromEntries(Object.entries(samples[0] ?? {}).filter(([field]) => field !== 'wallClockMs'));
    expect(parseMessage(older)).toEqual({ ok: true, message: older });
  });

  test('a malformed one names the field', () => {
    const candidate = { ...(samples[3]?.candidate as object), address: { ...address, port: 70000 } };
    const parsed = parseMessage({ type: 'candidate', candidate });
    expect(parsed.ok ? '' : parsed.error).toContain('candidate.address.port');
  });

  test.each([
    { family: 'ipv6', address: '192.0.2.1', port: 1 },
    { family: 'ipv4', address: '::ffff:192.0.2.1', port: 1, extra: 1, expected: true },
    { family: 'ipv4', address: '192.0.2.256', port: 1 },
    { family: 'ipv4', address: 'example.net', port: 1 },
    { family: 'ipv4', address: '192.0.2.1', port: 1.5 },
  ])('addresses are addresses of their family: %j', ({ expected = false, ...end }) => {
    const ends = [{ interface: 'a', family: 'ipv4', arm: 'stun', addresses: [end] }];
    expect(parseMessage({ type: 'sockets', block: 0, ends }).ok).toBe(expected);
  });

  test('an address has one spelling', () => {
    const end = { family: 'ipv6', address: '2001:DB8:0:0:0:0:0:1', port: 1 };
    const parsed = parseMessage({
      type: 'sockets',
      block: 0,
      ends: [{ interface: 'a', family: 'ipv6', arm: 'stun', addresses: [end] }],
    });
    expect(parsed).toMatchObject({ message: { ends: [{ addresses: [{ address: '2001:db8::1' }] }] } });
  });

  test.each([
    { type: 'events', events: Array<number>(501).fill(0) },
    { type: 'arm', path: 'x'.repeat(257), arm: 'stun' },
    { type: 'credentials', ufrag: 'abc', password: 'abcdefghijklmnopqrstuv' },
    { type: 'credentials', ufrag: 'ab=d', password: 'abcdefghijklmnopqrstuv' },
    { type: 'rounds', block: 0, rounds: 1e9, intervalMs: 1 },
    { type: 'rounds', block: 0, rounds: 1, intervalMs: Number.NaN },
    { ...samples[0], wallClockMs: -1 },
    { ...samples[0], wallClockMs: 8.64e15 + 1 },
    { ...samples[0], wallClockMs: '2024-06-06' },
    { type: 'ping' },
    {},
    null,
    'hello',
    { type: 7 },
  ])('refuses what is out of bounds (%#)', (value) => {
    expect(parseMessage(value)).toMatchObject({ ok: false });
  });

  test('nothing throws', () => {
    const types = fc.constantFrom(...samples.map((sample) => sample.type));
    fc.assert(
      fc.property(fc.jsonValue(), types, (value, type) => {
        parseMessage(value);
        parseMessage({ ...(value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {}), type });
      }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.jsonValue(), fc.nat(), (sample, value, pick) => {
        const keys = Object.keys(sample);
        parseMessage({ ...sample, [keys[pick % keys.length] ?? 'type']: value });
      }),
    );
  });
});
