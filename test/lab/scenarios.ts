import type { CarrierVerdict } from '../../src/verdict/words.js';
import { WANTED, type Scenario } from '../support/lab-scenario.js';
import { dualStack, mesh, routed, type Filter } from '../support/lab-topology.js';

/** What verdicts.md ("Controls and matrix") says of each, on kernel NATs and filters. */

const ALL_OPEN: Readonly<Record<string, CarrierVerdict>> = { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' };
/** Peers come up by their public addresses alone, which nobody learns without the reference. */
const LAN_ONLY = { 'eth0-eth0-v4': 'established' } as const;
const PEERS: Filter = { match: 'peer-udp' };
const established = { state: 'established', cause: null, exit: 0 } as const;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'open',
    why: 'the negative control: nothing is in the way, nobody is accused',
    topology: mesh(),
    outcomes: [established],
    arm: 'stun',
    carriers: ALL_OPEN,
    packets: { 'o2/udp/out': 'some', 'o2/udp/in': 'some', 'telekom/udp/out': 'some', 'telekom/udp/in': 'some' },
  },
  {
    name: 'open, routed',
    why: 'the control channel needs no shared LAN',
    topology: routed(),
    outcomes: [established],
    carriers: ALL_OPEN,
  },
  {
    name: 'cookie filter',
    why: 'a STUN filter is found, its field named, and the path comes up around it',
    topology: mesh({ o2: { filters: [{ match: 'stun-cookie' }] } }),
    outcomes: [{ state: 'established', cause: 'stun-filtered', exit: 0 }],
    arm: 'stun~cookie',
    fields: [['cookie']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    packets: { 'o2/filter0/out': 'some' },
  },
  {
    name: 'cookie filter, client to server only',
    why: 'a filter of one direction is a filter',
    topology: mesh({ o2: { filters: [{ match: 'stun-cookie', heading: 'out' }] } }),
    outcomes: [{ state: 'established', cause: 'stun-filtered', exit: 0 }],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    packets: { 'o2/filter0/out': 'some' },
  },
  {
    name: 'two-bit filter',
    why: 'the other kind of STUN filter is not taken for the first',
    topology: mesh({ o2: { filters: [{ match: 'stun-two-bits' }] } }),
    outcomes: [{ state: 'established', cause: 'stun-filtered', exit: 0 }],
    arm: 'stun~40',
    fields: [['first-byte']],
    carriers: { ...ALL_OPEN, o2: 'filters-stun' },
    packets: { 'o2/filter0/out': 'some' },
  },
  {
    name: 'all UDP dropped',
    why: 'UDP to anyone dies while TCP works: not the peers’ block',
    topology: mesh({ o2: { filters: [{ match: 'udp' }] } }),
    outcomes: [{ state: 'blocked', cause: 'udp-blocked', exit: 3 }],
    carriers: { ...ALL_OPEN, o2: 'blocks-udp' },
    packets: { 'o2/filter0/out': 'some', 'o2/udp/in': 'none' },
  },
  {
    name: 'peers dropped by one carrier',
    why: 'what the notes claimed, proven and attributed to one of the two',
    topology: mesh({ o2: { filters: [PEERS] } }),
    outcomes: [{ state: 'blocked', cause: 'peer-udp-blocked', exit: 3 }],
    carriers: { ...ALL_OPEN, o2: 'blocks-peer-udp' },
    packets: { 'o2/filter0/out': 'some', 'o2/udp/in': 'some' },
  },
  {
    name: 'peers dropped by both carriers',
    why: 'the WiFi ends clear each other, so both carriers can be named',
    topology: mesh({ o2: { filters: [PEERS] }, telekom: { filters: [PEERS] } }),
    outcomes: [{ state: 'blocked', cause: 'peer-udp-blocked', exit: 3 }],
    carriers: { hhg: 'open', hh2: 'open', o2: 'blocks-peer-udp', telekom: 'blocks-peer-udp' },
    packets: { 'o2/filter0/out': 'some', 'telekom/filter0/out': 'some' },
  },
  {
    name: 'peers dropped, IPv4 only',
    why: 'the families are judged apart',
    topology: dualStack({ o2: { filters: [{ ...PEERS, family: 'ipv4' }] } }),
    outcomes: [{ state: 'blocked', cause: 'peer-udp-blocked', exit: 3 }],
    carriers: { ...ALL_OPEN, o2: 'blocks-peer-udp' },
    carriersV6: ALL_OPEN,
    others: { ...LAN_ONLY, 'wlan0-wlan0-v4': 'established', 'wwan0-usb0-v6': 'established' },
  },
  {
    name: 'peers dropped one way, beyond the NAT',
    why: 'one direction lives: one-way, and telekom is named for it',
    topology: mesh({ telekom: { filters: [{ ...PEERS, heading: 'out', at: 'outside' }] } }),
    outcomes: [{ state: 'one-way', cause: 'peer-udp-blocked', exit: 3 }],
    directions: { up: 'open', down: 'closed' },
    carriers: { hhg: 'open', hh2: 'open', o2: 'open', telekom: 'blocks-peer-udp' },
    packets: { 'telekom/filter0/out': 'some' },
  },
  {
    name: 'symmetric NATs',
    why: 'incompatible NATs are not a block',
    topology: mesh({ o2: { nat: 'symmetric' }, telekom: { nat: 'symmetric' } }),
    outcomes: [{ state: 'failed', cause: 'nat-incompatible', exit: 3 }],
  },
  {
    name: 'unguarded NATs',
    why: 'a mapping that an early packet spoils is not a block, and low-TTL openers get through',
    topology: mesh({ o2: { nat: 'unguarded' }, telekom: { nat: 'unguarded' } }),
    outcomes: [{ state: 'established', exit: 0 }],
  },
  {
    name: 'reject admin-prohibited',
    why: 'a carrier that says so is quoted',
    topology: mesh({ o2: { filters: [{ ...PEERS, action: 'admin-prohibited', heading: 'out' }] } }),
    outcomes: [{ state: 'rejected', cause: 'admin-prohibited', exit: 3 }],
    // RFC 1812 §5.2.7.1: destination unreachable, communication administratively prohibited.
    icmp: (lab) => ({ type: 3, code: 13, from: lab.address('L', 'wwan0').replace(/\.2$/, '.1') }),
    carriers: { ...ALL_OPEN, o2: 'blocks-peer-udp' },
    packets: { 'o2/filter0/out': 'some' },
  },
  {
    name: '30 % loss',
    why: 'loss is not a block',
    topology: mesh({ o2: { filters: [{ match: 'loss30' }] } }),
    outcomes: [established, { state: 'inconclusive', exit: 4 }],
    packets: { 'o2/filter0/out': 'some', 'o2/filter0/in': 'some' },
  },
  {
    name: 'rp_filter=1',
    why: 'a local fault that reads as "down is blocked"',
    topology: mesh({ o2: { rpFilter: 1 } }),
    outcomes: [{ state: 'inconclusive', cause: 'local-fault', exit: 4 }],
    summary: /rp_filter|ReversePathFilter/,
    packets: { 'o2/udp/in': 'some' },
  },
  {
    name: 'no gateway',
    why: 'an interface without a route proves nothing about its carrier',
    topology: mesh({ o2: { gateway: false } }),
    outcomes: [{ state: 'not-gathered', cause: 'local-fault', exit: 4 }],
    packets: { 'o2/udp/out': 'none' },
  },
  {
    name: 'unpinned',
    why: 'the notes’ mistake: metrics 100 and 700, and the cellular path never leaves by the modem',
    topology: mesh(),
    clientArgs: ['--pin', 'off'],
    serverArgs: ['--pin', 'auto'],
    outcomes: [{ state: 'misrouted', cause: 'wrong-route', exit: 4 }],
    packets: { 'o2/udp/out': 'none', 'hhg/stray/out': 'some' },
  },
  {
    name: 'pinned',
    why: 'the same metrics, pinned: established, and the far interfaces’ counters agree',
    topology: mesh(),
    clientArgs: ['--pin', 'auto'],
    outcomes: [established],
    carriers: ALL_OPEN,
    packets: { 'o2/udp/out': 'some', 'telekom/udp/out': 'some', 'hhg/stray/out': 'none', 'hh2/stray/out': 'none' },
  },
  {
    name: 'reference unplugged',
    why: 'a silent reference is the reference’s fault',
    topology: { ...mesh(), reference: 'unplugged' },
    outcomes: [established, { state: 'inconclusive', cause: 'reference-fault', exit: 4 }],
    others: LAN_ONLY,
  },
  {
    name: 'reference not started',
    why: 'its host is there, nobody listens: the same',
    topology: mesh(),
    reflector: 'none',
    outcomes: [established, { state: 'inconclusive', cause: 'reference-fault', exit: 4 }],
    others: LAN_ONLY,
  },
  {
    name: 'reference without alternate',
    why: 'without the spoil test nothing is called blocked, and the report says what is missing',
    topology: mesh({ o2: { filters: [PEERS] } }),
    reflector: 'no-alternate',
    outcomes: [{ state: 'inconclusive', exit: 4 }],
    natMissing: /spoil test: the reference has only one address/,
    summary: /spoil/,
    packets: { 'o2/filter0/out': 'some' },
  },
  {
    name: 'peer killed',
    why: 'a dead peer is no carrier’s doing; what was known before stays known',
    topology: mesh(),
    during: async ({ clientLogs, kill }) => {
      await clientLogs(({ msg, path, to }) => msg === 'path.state' && path === WANTED && to === 'established');
      kill('server', 'SIGKILL');
    },
    outcomes: [{ state: 'lost', cause: 'peer-fault', exit: 3 }],
    others: {},
  },
];
