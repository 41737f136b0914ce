import { describe, expect, it } from 'vitest';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { RunObservation } from '../../src/verdict/observation.js';
import type { Report } from '../../src/verdict/report.js';
import type { CarrierVerdict, Cause, PathState } from '../../src/verdict/words.js';
import {
  type Edit,
  mesh,
  observe,
  pair,
  type Seen,
  SILENT,
  SYMMETRIC,
  unheard,
  UNGUARDED,
  type Uplink,
  uplink,
  with_,
  type World,
} from '../support/observation.js';

/** What verdicts.md says of a scenario. Carriers are named by label, with the family where there are two. */
interface Expected {
  readonly path: string;
  readonly state: PathState;
  readonly cause: Cause | null;
  readonly fields?: readonly (readonly string[])[];
  readonly carriers: Readonly<Record<string, CarrierVerdict>>;
  readonly exit: number;
}

interface Scenario extends Expected {
  readonly name: string;
  readonly world: World;
  readonly edits?: Readonly<Record<string, Edit>>;
  readonly run?: Partial<RunObservation>;
}

const WANTED = 'wwan0-usb0-v4';

/** The same edit of all nine paths of the mesh. */
function everyPath(edit: Edit): Record<string, Edit> {
  const ids = ['eth0', 'wlan0', 'wwan0'].flatMap((left) =>
    ['eth0', 'wlan0', 'usb0'].map((right) => `${left}-${right}-v4`),
  );
  return Object.fromEntries(ids.map((id) => [id, edit]));
}
const ALL_OPEN = { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' } as const;
const PEERS = { drops: ({ to }: Seen) => to === 'peer' };
const stunDies = (...passing: readonly string[]): Partial<Uplink> => ({
  drops: ({ arm }) => arm.startsWith('stun') && !passing.includes(arm),
});
const misroutedAt =
  (host: 'client' | 'server'): Edit =>
  ({ egress }) => ({ egress: { ...egress, [host]: { verdict: 'mismatch', reason: 'leaves by eth0' } } });
const modelled = (nat: typeof SYMMETRIC): Partial<Uplink> => ({ nat });
const counter = {
  counter: 'TcpExtIPReversePathFilter',
  delta: 200,
  direction: 'in',
  explanation: 'sysctl -w net.ipv4.conf.wwan0.rp_filter=2',
} as const;
const noPunch = { punches: () => false };
const oneOf = { o2: 'inconclusive', telekom: 'inconclusive' } as const;

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'ice-01: the search ended at Ethernet',
    world: pair('o2', 'telekom'),
    edits: { [WANTED]: () => ({ up: SILENT, down: SILENT }) },
    run: { firstOnly: true },
    path: WANTED,
    state: 'unprobed',
    cause: 'priority-starved',
    carriers: oneOf,
    exit: 4,
  },
  {
    name: 'ice-02',
    world: pair('o2', 'telekom'),
    path: WANTED,
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: oneOf,
    exit: 3,
  },
  {
    name: 'ice-03: client unpinned',
    world: pair('o2', 'telekom'),
    edits: { [WANTED]: misroutedAt('client') },
    path: WANTED,
    state: 'misrouted',
    cause: 'wrong-route',
    carriers: oneOf,
    exit: 4,
  },
  {
    name: 'ice-06: the phone is on WiFi',
    world: pair('o2', 'hhg'),
    path: WANTED,
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: { o2: 'inconclusive', hhg: 'inconclusive' },
    exit: 3,
  },
  {
    name: 'ice-08: server unpinned',
    world: pair('o2', 'hhg'),
    edits: { [WANTED]: misroutedAt('server') },
    path: WANTED,
    state: 'misrouted',
    cause: 'wrong-route',
    carriers: { o2: 'inconclusive', hhg: 'inconclusive' },
    exit: 4,
  },
  {
    name: 'ice-10',
    world: pair('hhg', 'telekom'),
    path: 'wlan0-usb0-v4',
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: { hhg: 'inconclusive', telekom: 'inconclusive' },
    exit: 3,
  },
  {
    name: 'ice-13: stun~40 only',
    world: pair('o2', 'telekom', { arms: ['random', 'stun~40'] }),
    path: WANTED,
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: oneOf,
    exit: 3,
  },
  { name: 'control-open', world: mesh(), path: WANTED, state: 'established', cause: null, carriers: ALL_OPEN, exit: 0 },
  {
    name: 'control-symmetric',
    world: mesh(
      { o2: modelled(SYMMETRIC), telekom: modelled(SYMMETRIC) },
      { punches: (client, server) => client.nat !== SYMMETRIC && server.nat !== SYMMETRIC },
    ),
    path: WANTED,
    state: 'failed',
    cause: 'nat-incompatible',
    carriers: { hhg: 'open', hh2: 'open', o2: 'nat-incompatible', telekom: 'nat-incompatible' },
    exit: 3,
  },
  {
    name: 'matrix-symmetric-restricted',
    world: mesh({ o2: modelled(SYMMETRIC) }, { punches: (client) => client.nat !== SYMMETRIC }),
    path: WANTED,
    state: 'failed',
    cause: 'nat-incompatible',
    carriers: { hhg: 'open', hh2: 'open', o2: 'nat-incompatible', telekom: 'open' },
    exit: 3,
  },
  {
    name: 'control-spoiled',
    world: mesh(
      { o2: modelled(UNGUARDED), telekom: modelled(UNGUARDED) },
      { punches: (client, server) => client.nat !== UNGUARDED && server.nat !== UNGUARDED },
    ),
    path: WANTED,
    state: 'failed',
    cause: 'nat-incompatible',
    carriers: { hhg: 'open', hh2: 'open', o2: 'nat-incompatible', telekom: 'nat-incompatible' },
    exit: 3,
  },
  {
    name: 'control-reference-down, and it does not come up',
    world: mesh({}, { referenceUp: false, ...noPunch }),
    path: WANTED,
    state: 'inconclusive',
    cause: 'reference-fault',
    carriers: { hhg: 'inconclusive', o2: 'inconclusive', hh2: 'inconclusive', telekom: 'inconclusive' },
    exit: 4,
  },
  {
    name: 'control-reference-down, and it comes up all the same',
    world: mesh({}, { referenceUp: false }),
    path: WANTED,
    state: 'established',
    cause: null,
    carriers: ALL_OPEN,
    exit: 0,
  },
  {
    name: 'control-silent-peer',
    world: mesh({ telekom: { drops: () => true } }),
    edits: Object.fromEntries(
      [WANTED, 'wlan0-usb0-v4'].map((id) => [
        id,
        ({ up }) => ({ up: unheard(up), down: SILENT }) satisfies Partial<ReturnType<Edit>>,
      ]),
    ),
    path: WANTED,
    state: 'inconclusive',
    cause: 'peer-fault',
    carriers: { hhg: 'open', hh2: 'open', o2: 'open', telekom: 'inconclusive' },
    exit: 4,
  },
  {
    name: 'control-peer-killed after the path was up',
    world: mesh(),
    edits: everyPath(() => ({ lapses: [{ from: 9000, until: null, gone: null }] })),
    run: { controlLost: { at: 5000, reason: 'connection closed' } },
    path: WANTED,
    state: 'lost',
    cause: 'peer-fault',
    carriers: { hhg: 'inconclusive', hh2: 'inconclusive', o2: 'inconclusive', telekom: 'inconclusive' },
    exit: 3,
  },
  {
    name: 'an interface is back, and the far end logs its checks and answers none (O23)',
    world: mesh(),
    edits: {
      [WANTED]: () => ({
        lapses: [{ from: 9000, until: null, gone: 'client', unanswered: { sent: 20, received: 20 } }],
      }),
    },
    path: WANTED,
    state: 'unresponsive',
    cause: 'peer-fault',
    carriers: {},
    exit: 3,
  },
  {
    name: 'an interface is back, and too few of its checks are logged to tell',
    world: mesh(),
    edits: {
      [WANTED]: () => ({
        lapses: [{ from: 9000, until: null, gone: 'client', unanswered: { sent: 20, received: 2 } }],
      }),
    },
    path: WANTED,
    state: 'lost',
    cause: 'local-fault',
    carriers: {},
    exit: 3,
  },
  {
    name: 'the peer is killed before the path was up',
    world: mesh(PEERS_AT('o2')),
    run: { controlLost: { at: 5000, reason: 'connection closed' } },
    path: WANTED,
    state: 'inconclusive',
    cause: 'peer-fault',
    carriers: { o2: 'inconclusive' },
    exit: 4,
  },
  {
    name: 'control-rp-filter',
    world: mesh({ o2: { drops: ({ heading }) => heading === 'in', faults: [counter] } }),
    path: WANTED,
    state: 'inconclusive',
    cause: 'local-fault',
    carriers: { hhg: 'open', hh2: 'open', o2: 'inconclusive', telekom: 'open' },
    exit: 4,
  },
  {
    name: 'control-no-gateway',
    world: mesh({ o2: { notGathered: 'no-route', drops: () => true } }),
    path: WANTED,
    state: 'not-gathered',
    cause: 'local-fault',
    carriers: { hhg: 'open', hh2: 'open', o2: 'inconclusive', telekom: 'open' },
    exit: 4,
  },
  {
    name: 'matrix-peers-o2',
    world: mesh(PEERS_AT('o2')),
    path: WANTED,
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: { ...ALL_OPEN, o2: 'blocks-peer-udp' },
    exit: 3,
  },
  {
    name: 'matrix-peers-both',
    world: mesh({ ...PEERS_AT('o2'), ...PEERS_AT('telekom') }),
    path: WANTED,
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: { ...ALL_OPEN, o2: 'blocks-peer-udp', telekom: 'blocks-peer-udp' },
    exit: 3,
  },
  {
    name: 'matrix-peers-v4',
    world: with_(
      mesh({ o2: { drops: ({ to, family }) => to === 'peer' && family === 'ipv4' } }),
      uplink('client', 'wwan0', 'cellular', 'o2', 12, {
        family: 'ipv6',
        address: '2001:db8:12::2',
        reflexive: '2001:db8:12::2',
      }),
      uplink('server', 'usb0', 'tethered', 'telekom', 22, {
        family: 'ipv6',
        address: '2001:db8:22::2',
        reflexive: '2001:db8:22::2',
      }),
    ),
    path: WANTED,
    state: 'blocked',
    cause: 'peer-udp-blocked',
    carriers: {
      hhg: 'open',
      hh2: 'open',
      'o2 ipv4': 'blocks-peer-udp',
      'o2 ipv6': 'open',
      'telekom ipv4': 'open',
      'telekom ipv6': 'open',
    },
    exit: 3,
  },
  {
    name: 'matrix-udp',
    world: mesh({ o2: { drops: () => true, nat: null } }),
    path: WANTED,
    state: 'blocked',
    cause: 'udp-blocked',
    carriers: { ...ALL_OPEN, o2: 'blocks-udp' },
    exit: 3,
  },
  {
    name: 'matrix-cookie',
    world: mesh({ o2: stunDies('stun~cookie', 'stun~40~cookie') }),
    path: WANTED,
    state: 'established',
    cause: 'stun-filtered',
    fields: [['cookie']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    exit: 0,
  },
  {
    name: 'matrix-two-bits',
    world: mesh({ o2: stunDies('stun~40', 'stun~40~cookie') }),
    path: WANTED,
    state: 'established',
    cause: 'stun-filtered',
    fields: [['first-byte']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    exit: 0,
  },
  {
    name: 'matrix-ndpi',
    world: mesh({ o2: stunDies('stun~length', 'stun~type', 'stun~40~cookie') }),
    path: WANTED,
    state: 'established',
    cause: 'stun-filtered',
    fields: [['length'], ['type'], ['first-byte', 'cookie']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    exit: 0,
  },
  {
    name: 'matrix-zapret',
    world: mesh({ o2: stunDies('stun~40', 'stun~cookie', 'stun~length', 'stun~40~cookie') }),
    path: WANTED,
    state: 'established',
    cause: 'stun-filtered',
    fields: [['first-byte'], ['cookie'], ['length']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    exit: 0,
  },
  {
    name: 'matrix-stun-shape',
    world: mesh({ o2: stunDies() }),
    path: WANTED,
    state: 'blocked',
    cause: 'stun-filtered',
    fields: [],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    exit: 3,
  },
  {
    name: 'matrix-cookie-up',
    world: mesh({
      o2: {
        drops: (seen) => seen.heading === 'out' && (stunDies('stun~cookie', 'stun~40~cookie').drops?.(seen) ?? false),
      },
    }),
    path: WANTED,
    state: 'established',
    cause: 'stun-filtered',
    fields: [['cookie']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    exit: 0,
  },
  {
    name: 'matrix-admin-prohibited',
    world: mesh(PEERS_AT('o2')),
    edits: {
      [WANTED]: ({ family }) => ({
        icmp: [{ host: 'client', family, type: 3, code: 13, from: '10.12.0.1', quotedTo: '198.51.100.22', count: 4 }],
      }),
    },
    path: WANTED,
    state: 'rejected',
    cause: 'admin-prohibited',
    carriers: { ...ALL_OPEN, o2: 'blocks-peer-udp' },
    exit: 3,
  },
  {
    name: 'matrix-one-way: telekom drops what its customer sends to peers',
    world: mesh({ telekom: { drops: ({ heading, to }) => heading === 'out' && to === 'peer' } }),
    path: WANTED,
    state: 'one-way',
    cause: 'peer-udp-blocked',
    carriers: { ...ALL_OPEN, telekom: 'blocks-peer-udp' },
    exit: 3,
  },
  {
    name: 'matrix-unresponsive',
    world: mesh(),
    edits: {
      [WANTED]: ({ up, down }) => ({
        valid: null,
        up: { ...up, answersSent: 0, answersReceived: 0 },
        down: { ...down, checksSent: 0, checksReceived: 0 },
      }),
    },
    path: WANTED,
    state: 'unresponsive',
    cause: 'peer-fault',
    carriers: ALL_OPEN,
    exit: 3,
  },
];

function PEERS_AT(label: string): Readonly<Record<string, Partial<Uplink>>> {
  return { [label]: PEERS };
}

function judged({ world, edits, run }: Scenario): Report {
  return judgeRun(observe(world, edits, run));
}

function carrierOf(report: Report, name: string): CarrierVerdict | undefined {
  const [label, family = 'ipv4'] = name.split(' ');
  return report.carriers.find((carrier) => carrier.label === label && carrier.family === family)?.verdict;
}

describe('verdicts.md, Scenarios', () => {
  it.each(SCENARIOS)('$name: $state / $cause, exit $exit', (scenario) => {
    const report = judged(scenario);
    const path = report.paths.find(({ id }) => id === scenario.path);
    expect({ state: path?.state, cause: path?.cause }, path?.summary).toEqual({
      state: scenario.state,
      cause: scenario.cause,
    });
    expect(path?.fields).toEqual(scenario.fields ?? []);
    const carriers = Object.fromEntries(Object.keys(scenario.carriers).map((name) => [name, carrierOf(report, name)]));
    expect(carriers, JSON.stringify(report.carriers, null, 1)).toEqual(scenario.carriers);
    expect(report.exit.code).toBe(scenario.exit);
  });

  it.each(SCENARIOS)('$name: Ethernet is established and has no carrier', (scenario) => {
    const report = judged(scenario);
    const wire = report.paths.find(({ id }) => id === 'eth0-eth0-v4');
    expect(['established', 'lost']).toContain(wire?.state);
    expect(report.carriers.map((carrier) => carrier.interface)).not.toContain('eth0');
  });
});
