import fc from 'fast-check';
import { expect, it } from 'vitest';
import { renderReport } from '../../src/report/terminal.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { INTERFACE_KINDS } from '../../src/base/interface.js';
import { PLAY_WORDS } from '../../src/profile/types.js';
import { judge } from '../../src/session/judge.js';
import { recordEventSchema, type RecordEvent } from '../../src/session/record.js';
import {
  CAUSES,
  EGRESS_VERDICTS,
  FILTERINGS,
  MAPPINGS,
  PATH_STATES,
  TRANSFER_DIRECTIONS,
  WAYS,
} from '../../src/verdict/words.js';

/** A record may be anything that the schema lets through: lies, fragments, both ends mixed up, hostile text. */
const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '\u001b[2J\u001b]0;owned\u0007',
    '\r\n\u202e',
    '\u0000',
    'a'.repeat(200),
  ),
);
/** Few names, so that events meet. */
const interfaceName = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('eth0', 'wwan0', 'usb0', '__proto__') }, text);
const host = fc.constantFrom('client' as const, 'server' as const);
const family = fc.constantFrom('ipv4' as const, 'ipv6' as const);
const number = fc.oneof(
  fc.nat(60_000),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-1, 1e308, -1e308),
);
const count = fc.oneof(fc.nat(300), fc.maxSafeNat());
const address = fc.record({
  family,
  address: fc.oneof(fc.constantFrom('10.0.0.1', '10.0.0.2', '198.51.100.1'), text),
  port: fc.oneof(fc.constantFrom(4000, 4001), fc.nat(65_535)),
});
const arm = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...ARM_NAMES) }, text);
const id = fc.oneof({ weight: 8, arbitrary: fc.nat(40).map(String) }, text);
const path = fc.oneof(
  fc.constantFrom('eth0-eth0-v4', 'wwan0-usb0-v4', 'wwan0-usb0-v6', '__proto__-__proto__-v4'),
  text,
);
const phase = fc.constantFrom('before', 'after');
const purpose = fc.constantFrom('check', 'consent', 'response', 'arm', 'gather', 'nat', 'keepalive', 'opener');
const leg = fc.constantFrom('peer', 'reference', 'relay');
const numbers = fc.dictionary(
  fc.oneof(text, fc.constantFrom('nft ip filter input: drop', 'TcpExtIPReversePathFilter', '__proto__')),
  number,
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary);

const interfaces = fc.array(
  fc.record({
    name: interfaceName,
    kind: fc.constantFrom(...INTERFACE_KINDS),
    label: text,
    addresses: fc.array(fc.record({ family, address: text, prefixLength: fc.integer() }), { maxLength: 3 }),
  }),
  { maxLength: 5 },
);
const FIELDS: Readonly<Record<RecordEvent['type'], Readonly<Record<string, fc.Arbitrary<unknown>>>>> = {
  run: {
    v: fc.constant(1),
    id: text,
    started: text,
    version: text,
    backend: text,
    label: maybe(text),
    seed: maybe(fc.oneof(text, number)),
    policy: text,
    arms: fc.array(arm),
    firstOnly: fc.boolean(),
    wanted: maybe(fc.array(fc.record({ client: interfaceName, server: interfaceName }))),
    references: fc.array(address),
  },
  host: { name: text, pinning: fc.constantFrom('device', 'address', 'off'), interfaces },
  altered: {
    leg: fc.constantFrom('peer', 'reference'),
    purpose: fc.constantFrom('check', 'response', 'arm'),
    id,
    arm,
    interface: interfaceName,
    family,
    from: address,
    changed: maybe(fc.array(fc.record({ at: fc.nat(99), end: fc.nat(99) }), { maxLength: 3 })),
  },
  trials: { batch: fc.nat(9) },
  relayed: { path, rttMs: number, local: address, localType: text, remote: address, remoteType: text },
  turn: {
    ...{ interface: interfaceName, family, server: address, what: fc.constantFrom('chosen', 'failed', 'lost') },
    ...{ code: maybe(text), relayed: maybe(address), rttMs: maybe(number) },
  },
  way: { path, attempt: fc.nat(9), way: fc.constantFrom(...WAYS), arm, ttl: maybe(fc.nat(9)) },
  joined: { path, quicPath: fc.nat(9), afterMs: number },
  left: { path, quicPath: fc.nat(9), why: text },
  transfer: {
    direction: fc.constantFrom(...TRANSFER_DIRECTIONS),
    seconds: number,
    rateBps: maybe(number),
  },
  progress: {
    second: fc.nat(9),
    sentBytes: fc.nat(),
    receivedBytes: fc.nat(),
    paths: fc.array(
      fc.record({
        path,
        sentBytes: fc.nat(),
        receivedBytes: fc.nat(),
        sentDatagrams: fc.nat(),
        receivedDatagrams: fc.nat(),
        lostPackets: fc.nat(),
        smoothedRttMs: number,
      }),
      { maxLength: 3 },
    ),
  },
  transferred: {
    sentBytes: fc.nat(),
    receivedBytes: fc.nat(),
    afterMs: number,
    longestPauseMs: number,
    longestPauseAt: number,
    error: maybe(text),
  },
  interface: {
    interface: interfaceName,
    addresses: fc.array(fc.record({ family, address: text, prefixLength: fc.integer() }), { maxLength: 3 }),
  },
  'not-gathered': {
    interface: interfaceName,
    family,
    reason: fc.constantFrom('no-address', 'no-route', 'no-bearer', 'socket-error'),
    detail: text,
  },
  candidate: {
    interface: interfaceName,
    family,
    candidate: fc.constantFrom('host', 'srflx', 'prflx', 'relay'),
    address,
    use: fc.oneof(fc.constant('ice'), arm),
  },
  nat: {
    interface: interfaceName,
    family,
    model: fc.record({
      mapping: fc.constantFrom(...MAPPINGS),
      filtering: fc.constantFrom(...FILTERINGS),
      portPreservation: maybe(fc.boolean()),
      spoil: maybe(fc.record({ n: fc.integer(), k: fc.integer() })),
      reflexive: maybe(fc.record({ address: text, port: fc.integer() })),
      missing: fc.array(text),
    }),
  },
  egress: {
    phase,
    interface: interfaceName,
    from: text,
    to: fc.oneof(fc.constantFrom('10.0.0.1', '10.0.0.2'), text),
    verdict: fc.constantFrom(...EGRESS_VERDICTS),
    routed: maybe(fc.boolean()),
    device: maybe(text),
    gateway: maybe(text),
    neighbour: maybe(text),
    reason: text,
  },
  counters: {
    phase,
    counters: fc.record({
      interfaces: fc.dictionary(
        interfaceName,
        fc.record({ rxPackets: count, txPackets: count, rxDropped: count, txDropped: count }),
      ),
      host: numbers,
      rpFilter: fc.dictionary(interfaceName, number),
    }),
  },
  sent: {
    leg,
    purpose,
    id,
    arm,
    interface: interfaceName,
    family,
    towards: maybe(interfaceName),
    to: address,
    round: maybe(fc.oneof(fc.nat(60), fc.integer())),
    error: maybe(fc.oneof(fc.constantFrom('EPERM', '__proto__', 'constructor'), text)),
  },
  received: { leg, purpose, id, arm, interface: interfaceName, family, from: address },
  icmp: {
    interface: interfaceName,
    family,
    to: address,
    icmp: fc.record({ type: count, code: count, from: text }),
    id: maybe(id),
  },
  tcp: { interface: interfaceName, family, to: address, code: maybe(text), afterMs: number },
  valid: {
    path,
    arm,
    rttMs: number,
    local: address,
    localType: text,
    remote: address,
    remoteType: text,
    priority: number,
  },
  rtt: { path, min: number, median: number },
  selected: { path },
  pair: { path, priority: number, requestsSent: count },
  lost: { path, reason: text },
  'path.state': {
    path,
    from: maybe(fc.constantFrom(...PATH_STATES)),
    to: fc.constantFrom(...PATH_STATES),
    cause: maybe(fc.constantFrom(...CAUSES)),
  },
  'profile-plan': {
    ...{ name: text, title: text, relays: fc.nat(9), standIns: fc.nat(9), otherwise: maybe(text) },
    unchangedAnswers: fc.boolean(),
  },
  profile: {
    ...{ what: fc.constantFrom(...PLAY_WORDS), interface: maybe(interfaceName), far: maybe(interfaceName) },
    family: maybe(family),
    on: fc.constantFrom('direct', 'relay', 'nothing'),
    ms: number,
  },
  'control-lost': { reason: text },
  yardstick: {
    results: fc.array(
      fc.oneof(
        fc.anything(),
        fc.record({
          stack: fc.constant('libjuice'),
          connected: fc.boolean(),
          afterMs: maybe(number),
          pair: maybe(text),
          note: maybe(text),
        }),
      ),
    ),
  },
  interrupted: {},
  end: {},
};
const eventOf = (type: RecordEvent['type']): fc.Arbitrary<unknown> =>
  fc.record({ type: fc.constant(type), t: number, host, ...FIELDS[type] });
const TYPES = Object.keys(FIELDS) as RecordEvent['type'][];
const anyEvent = fc.oneof(
  { weight: 6, arbitrary: eventOf('sent') },
  { weight: 6, arbitrary: eventOf('received') },
  ...TYPES.map((type) => ({ weight: 1, arbitrary: eventOf(type) })),
);

it(
  'any record that the schema takes is judged and shown, and nothing in it steers the terminal',
  { timeout: 120_000 },
  () => {
    expect(new Set(TYPES)).toEqual(new Set(recordEventSchema.options.flatMap(({ shape }) => [...shape.type.values])));
    fc.assert(
      fc.property(
        eventOf('run'),
        fc.array(eventOf('host'), { maxLength: 3 }),
        fc.array(anyEvent, { maxLength: 60 }),
        fc.integer({ min: 20, max: 200 }),
        (run, hosts, more, columns) => {
          const events = [run, ...hosts, ...more].map((event) => recordEventSchema.parse(event));
          const report = judge(events);
          expect(JSON.parse(JSON.stringify(report))).toMatchObject({ schema: 'icepath.report/1' });
          expect([0, 3, 4, 130]).toContain(report.exit.code);
          const shown = renderReport(report, { colour: false, columns }).replaceAll('\n', '');
          expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        },
      ),
      { numRuns: 60 },
    );
  },
);

it('a record of many events is judged: nothing is spread over the stack', () => {
  const common = { t: 1, host: 'client' as const };
  const on = {
    name: 'eth0',
    kind: 'wifi',
    label: 'l',
    addresses: [{ family: 'ipv4', address: '10.0.0.1', prefixLength: 24 }],
  };
  const head = [
    {
      ...common,
      type: 'run',
      v: 1,
      id: 'r',
      started: '',
      version: '',
      backend: '',
      label: null,
      seed: null,
      policy: '',
      arms: ['random', 'stun'],
      firstOnly: false,
      wanted: null,
      references: [],
    },
    ...(['client', 'server'] as const).map((host) => ({
      ...common,
      host,
      type: 'host',
      name: host,
      pinning: 'off',
      interfaces: [on],
    })),
  ].map((event) => recordEventSchema.parse(event));
  const path = 'eth0-eth0-v4';
  const to = { family: 'ipv4' as const, address: '10.0.0.2', port: 4000 };
  const events: RecordEvent[] = [...head];
  for (let index = 0; index < 130_000; index += 1) {
    events.push(
      { ...common, type: 'pair', path, priority: index, requestsSent: 1 },
      { ...common, type: 'rtt', path, min: 1, median: 2 },
      {
        ...common,
        type: 'sent',
        leg: index % 2 ? 'peer' : 'reference',
        purpose: 'arm',
        id: String(index),
        arm: 'random',
        interface: 'eth0',
        family: 'ipv4',
        towards: 'eth0',
        to,
        round: index,
        error: null,
      },
    );
  }
  const report = judge(events);
  expect(report.paths.map(({ id }) => id)).toEqual([path]);
  expect(report.paths[0]?.up.sent).toBe(65_000);
});
