import type { Family } from '../../src/base/address.js';
import type {
  CarrierReport,
  DirectionReport,
  HostReport,
  PathEndReport,
  PathReport,
  ReferenceLegReport,
  Report,
} from '../../src/verdict/report.js';
import type { NatModel } from '../../src/verdict/words.js';

/** A hand-made report: three interfaces each, o2 drops UDP between peers, the WiFi ends clear telekom. */

const ENDS = {
  eth0: { kind: 'ethernet', label: 'eth0', address: '192.0.2.10' },
  wlan0: { kind: 'wifi', label: 'hhg', address: '10.20.0.5' },
  wwan0: { kind: 'cellular', label: 'o2', address: '100.70.3.9' },
  usb0: { kind: 'tethered', label: 'telekom', address: '192.168.42.129' },
} as const;

function end(name: keyof typeof ENDS): PathEndReport {
  const { kind, label, address } = ENDS[name];
  return { interface: name, kind, label, candidate: { type: 'host', address, port: 50_001 } };
}

export function direction(received: number, sent: number): DirectionReport {
  const state = sent === 0 ? 'unknown' : received === 0 ? 'closed' : 'open';
  return { state, sent, received };
}

export function samplePath(more: Partial<PathReport> = {}): PathReport {
  return {
    id: 'eth0-eth0-v4',
    family: 'ipv4',
    wanted: false,
    state: 'established',
    cause: null,
    arm: 'stun',
    fields: [],
    summary: 'works in both directions',
    headline: 'works in both directions',
    evidence: [],
    client: end('eth0'),
    server: end('eth0'),
    egress: { client: 'verified', server: 'verified' },
    up: direction(24, 24),
    down: direction(24, 24),
    arms: [],
    rttMs: { min: 0.31, median: 0.42 },
    icmp: [],
    priority: 9_115_005_270_282_354_000,
    selected: false,
    ways: [],
    predicted: 'success',
    findings: {
      size: null,
      rewriting: null,
      firstPacket: null,
      trigger: null,
      headerFields: [],
      residual: null,
      flows: null,
      user: [],
      location: [],
      quoted: [],
      rate: [],
    },
    location: [],
    altered: [],
    conditions: [],
    ...more,
  };
}

export const blockedPath: PathReport = samplePath({
  id: 'wwan0-usb0-v4',
  wanted: true,
  state: 'blocked',
  cause: 'peer-udp-blocked',
  arm: null,
  summary:
    'none of 96 packets arrived in either direction, while the reference answered on both interfaces; more of it',
  headline: 'none of 96 packets arrived in either direction, while the reference answered on both interfaces',
  evidence: ['counted from the client, none hops away'],
  client: end('wwan0'),
  server: end('usb0'),
  up: direction(0, 48),
  down: direction(0, 48),
  rttMs: null,
  conditions: [
    { condition: 'egress', met: true, detail: 'verified at both ends' },
    { condition: 'reference', met: true, detail: '47 of 48 controls answered in the same rounds' },
    {
      condition: 'NAT models',
      met: true,
      detail: 'both endpoint-independent, spoil test 0 of 3: they predict success',
    },
  ],
});

export const filteredPath: PathReport = samplePath({
  id: 'wlan0-usb0-v4',
  wanted: true,
  state: 'established',
  cause: 'stun-filtered',
  arm: 'stun~cookie',
  fields: [['cookie'], ['first-byte', 'length']],
  summary: 'plain STUN is dropped on the way up, STUN with another cookie passes; more of it',
  headline: 'plain STUN is dropped on the way up, STUN with another cookie passes',
  evidence: ['counted from the client, plain hops away'],
  client: end('wlan0'),
  server: end('usb0'),
  up: direction(20, 48),
  rttMs: { min: 38.2, median: 41.4 },
  arms: [
    { arm: 'random', up: { sent: 24, received: 24, p: null }, down: { sent: 24, received: 24, p: null } },
    { arm: 'stun', up: { sent: 24, received: 0, p: 1.2e-7 }, down: { sent: 24, received: 24, p: 1 } },
    { arm: 'stun~cookie', up: { sent: 24, received: 23, p: 1 }, down: { sent: 24, received: 24, p: 1 } },
  ],
});

export const rejectedPath: PathReport = samplePath({
  id: 'wwan0-wlan0-v6',
  family: 'ipv6',
  state: 'rejected',
  cause: 'admin-prohibited',
  arm: null,
  summary: 'a router on the way says that it may not pass; more of it',
  headline: 'a router on the way says that it may not pass',
  evidence: ['counted from the client, a hops away'],
  client: end('wwan0'),
  server: end('wlan0'),
  up: direction(0, 24),
  down: { state: 'unknown', sent: 0, received: 0 },
  rttMs: null,
  icmp: [{ type: 1, code: 1, from: '2001:db8::1' }],
});

const guarded: NatModel = {
  mapping: 'eim',
  filtering: 'apdf',
  portPreservation: true,
  spoil: { n: 3, k: 0 },
  reflexive: { address: '203.0.113.7', port: 41_003 },
  missing: [],
};

function host(role: 'client' | 'server', name: string, names: readonly (keyof typeof ENDS)[]): HostReport {
  return {
    role,
    name,
    pinning: 'device',
    interfaces: names.map((interfaceName) => ({
      name: interfaceName,
      kind: ENDS[interfaceName].kind,
      label: ENDS[interfaceName].label,
      addresses: [{ family: 'ipv4', address: ENDS[interfaceName].address, prefixLength: 24 }],
      nat: interfaceName === 'eth0' ? {} : { ipv4: guarded },
    })),
  };
}

function leg(role: 'client' | 'server', name: string, k: number): ReferenceLegReport {
  return {
    host: role,
    interface: name,
    family: 'ipv4',
    udp: { n: 48, k, low: 0.89, high: 1, p: null },
    tcp: { n: 3, k: 3, low: 0.29, high: 1, p: null },
    arms: [],
    notAsked: [],
  };
}

function carrier(
  role: 'client' | 'server',
  name: keyof typeof ENDS,
  more: Pick<CarrierReport, 'verdict' | 'because' | 'remaining'>,
): CarrierReport {
  const family: Family = 'ipv4';
  return { host: role, interface: name, label: ENDS[name].label, family, runs: 1, ...more };
}

export function sampleReport(more: Partial<Report> = {}): Report {
  return {
    schema: 'icepath.report/1',
    run: {
      id: '7f3a9c',
      started: '2024-06-04T11:46:00.000Z',
      durationMs: 14_230,
      label: null,
      version: '0.1.0',
      backend: 'real',
      seed: null,
      policy: 'cellular,wifi,ethernet',
      arms: ['random', 'stun', 'stun~cookie'],
      ownArms: [],
      hosts: [
        host('client', 'laptop', ['eth0', 'wlan0', 'wwan0']),
        host('server', 'desktop', ['eth0', 'wlan0', 'usb0']),
      ],
      clock: null,
      incomplete: null,
    },
    paths: [samplePath({ selected: true }), blockedPath, filteredPath, rejectedPath],
    carriers: [
      carrier('client', 'wwan0', {
        verdict: 'blocks-peer-udp',
        because: ['wwan0 ↔ usb0 is closed to every packet while telekom passes the same packets from wlan0'],
        remaining: [],
      }),
      carrier('server', 'usb0', {
        verdict: 'inconclusive',
        because: ['no path of its own was tried in the other direction'],
        remaining: ['the phone that tethers', 'telekom'],
      }),
      carrier('client', 'wlan0', { verdict: 'open', because: [], remaining: [] }),
    ],
    reference: [leg('client', 'wlan0', 48), leg('client', 'wwan0', 47), leg('server', 'usb0', 48)],
    transfer: null,
    policies: [],
    webrtc: [
      {
        stack: 'libjuice',
        connected: true,
        afterMs: 0.48,
        pair: 'udp 192.0.2.10:5000 (host) ↔ 192.0.2.20:5000 (host)',
        note: null,
      },
      { stack: 'libwebrtc', connected: false, afterMs: 30_000, pair: null, note: 'gave up' },
    ],
    advice: ['Ask o2 whether UDP between its customers is allowed, and show this report.'],
    exit: { code: 3, reason: 'a wanted path is blocked: wwan0-usb0-v4' },
    ...more,
  };
}
