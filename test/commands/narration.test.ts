import { describe, expect, test } from 'vitest';
import { Narrator } from '../../src/commands/narration.js';
import { recordEventSchema, type RecordEvent } from '../../src/session/record.js';

/** Events as a record holds them; `t` and `host` may be left out. */
function tell(...events: readonly Readonly<Record<string, unknown>>[]): string[] {
  const narrator = new Narrator();
  return events
    .map((event) => recordEventSchema.parse({ t: 0, host: 'client', ...event }))
    .flatMap((event: RecordEvent) => narrator.tell(event))
    .map(({ text }) => text);
}

const RUN = {
  ...{ type: 'run', v: 1, id: 'x', started: '2024-06-06T11:46:00Z', version: '0', backend: 'virtual', label: null },
  ...{ seed: 1, policy: '', arms: ['random', 'stun', 'stun~cookie'], firstOnly: false, references: [] },
  wanted: [{ client: 'wwan0', server: 'usb0' }],
};
const host = (role: 'client' | 'server', name: string, label: string): Record<string, unknown> => ({
  ...{ type: 'host', host: role, name: role, pinning: 'device' },
  interfaces: [
    { name, kind: 'cellular', label, addresses: [] },
    { name: 'eth0', kind: 'ethernet', label: 'lan', addresses: [] },
  ],
});
const HOSTS = [RUN, host('client', 'wwan0', 'o2'), host('server', 'usb0', 'telekom')];
const address = { family: 'ipv4', address: '198.51.100.6', port: 4000 };

/** A packet of a round, and whether the far end logged it. */
function packet(arm: string, round: number, role: 'client' | 'server', arrives: boolean): Record<string, unknown>[] {
  const far = role === 'client' ? 'server' : 'client';
  const [name, towards] = role === 'client' ? ['wwan0', 'usb0'] : ['usb0', 'wwan0'];
  const id = `${arm} ${role} ${String(round)}`;
  const common = { leg: 'peer', purpose: 'arm', id, arm, family: 'ipv4', t: 2000 + round * 250 };
  const to = { to: address, round, error: null, towards };
  return [
    { ...common, ...to, type: 'sent', host: role, interface: name },
    ...(arrives ? [{ ...common, type: 'received', host: far, interface: towards, from: address }] : []),
  ];
}

function rounds(
  count: number,
  arrives: (arm: string, role: 'client' | 'server') => boolean,
): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, round) => round).flatMap((round) =>
    ['random', 'stun'].flatMap((arm) =>
      (['client', 'server'] as const).flatMap((role) => packet(arm, round, role, arrives(arm, role))),
    ),
  );
}

describe('a run in sentences', () => {
  test('begins with what is tried, the control named', () => {
    const [first, second] = tell(RUN);
    expect(first).toContain('every pair');
    expect(second).toMatch(/stun, stun~cookie.*random bytes.*control/);
  });

  test('a path that comes up is named by its interfaces and labels, once', () => {
    const valid = {
      ...{ type: 'valid', path: 'wwan0-usb0-v4', arm: 'stun~cookie', rttMs: 40, priority: 1 },
      ...{ local: address, localType: 'host', remote: address, remoteType: 'host' },
    };
    expect(tell(...HOSTS, valid, valid).slice(2)).toEqual([
      'wwan0 (o2) ↔ usb0 (telekom) IPv4 is up with stun~cookie: a check came back.',
    ]);
    // The far end's interfaces may become known only afterwards.
    expect(tell(RUN, HOSTS[1] ?? {}, valid, HOSTS[2] ?? {}).at(-1)).toContain('usb0 (telekom)');
  });

  test('an interface that is plugged in is told with its end, and its paths have names from then on', () => {
    const valid = {
      ...{ type: 'valid', path: 'wwan0-usb1-v4', arm: 'stun', rttMs: 40, priority: 1 },
      ...{ local: address, localType: 'host', remote: address, remoteType: 'host' },
    };
    const change = { type: 'interface', host: 'server', interface: 'usb1', addresses: [] };
    const come = { ...change, added: { kind: 'tethered', label: 'hhg' } };
    expect(tell(...HOSTS, come, change, valid).slice(2)).toEqual([
      'The server has hhg (usb1) from now on: its pairs are tried, too.',
      'wwan0 (o2) ↔ usb1 (hhg) IPv4 is up: a check came back.',
    ]);
  });

  test('a block of rounds is counted in rounds that arrived, from both records', () => {
    const sentences = tell(...HOSTS, ...rounds(11, (arm) => arm === 'random')).filter((text) =>
      text.includes('rounds'),
    );
    expect(sentences.at(-1)).toContain('8 rounds over wwan0 ↔ usb0: up and down random arrived, stun never');
  });

  test('a block that fares as the one before is told in a few words', () => {
    const told = tell(...HOSTS, ...rounds(20, (arm) => arm === 'random')).filter((text) =>
      text.includes('rounds over'),
    );
    expect(told).toEqual([
      '8 rounds over wwan0 ↔ usb0: up and down random arrived, stun never.',
      '16 rounds over wwan0 ↔ usb0: as before.',
    ]);
  });

  test('what fares differently up and down is told apart', () => {
    const last = tell(...HOSTS, ...rounds(11, (_, role) => role === 'server')).at(-1);
    expect(last).toMatch(/: up 0 of 16 packets of 2 kinds arrived; down 16 of 16 packets of 2 kinds arrived/);
  });

  test('a packet whose fate the far end has not told yet is not counted as lost', () => {
    const silent = rounds(11, () => false).filter(({ host: role }) => role === 'client');
    expect(tell(...HOSTS, ...silent).join('\n')).not.toContain('rounds over');
  });

  test('the NAT, in words', () => {
    const model = (more: object): object => ({
      ...{
        mapping: 'eim',
        filtering: 'apdf',
        portPreservation: true,
        spoil: { n: 3, k: 0 },
        reflexive: null,
        missing: [],
      },
      ...more,
    });
    const nat = (more: object): string =>
      tell(...HOSTS, { type: 'nat', interface: 'wwan0', family: 'ipv4', model: model(more) }).at(-1) ?? '';
    expect(nat({})).toMatch(
      /^The NAT before client wwan0 \(o2\) keeps one outside port, lets in only who was sent to\.$/,
    );
    expect(nat({ mapping: 'apdm', spoil: { n: 3, k: 3 } })).toMatch(/another.*each destination.*spoiled.*\(3 of 3\)/);
    expect(nat({ mapping: 'unknown', filtering: 'unknown', spoil: null })).toMatch(/could not be measured\.$/);
  });

  test('what leaves by the wrong interface, who says no, and what nobody asked about', () => {
    const egress = {
      ...{ type: 'egress', phase: 'before', interface: 'wwan0', from: '10.0.0.1', to: '192.0.2.1' },
      ...{ verdict: 'mismatch', routed: true, device: 'eth0', gateway: null, neighbour: null, reason: 'eth0 takes it' },
    };
    expect(tell(...HOSTS, egress, egress).slice(2)).toEqual([
      'What belongs to client wwan0 (o2) leaves elsewhere: eth0 takes it.',
    ]);
    expect(tell(...HOSTS, { ...egress, interface: 'eth0' })).toHaveLength(2);
    const icmp = { type: 'icmp', interface: 'wwan0', family: 'ipv4', to: address, id: null };
    const told = tell(...HOSTS, { ...icmp, icmp: { type: 3, code: 13, from: '10.20.0.1' } }).at(-1);
    expect(told).toBe('10.20.0.1 answers client wwan0 (o2) with ICMP 3/13 (administratively prohibited).');
  });

  test('the verdict of a wanted path comes with its cause, that of another path does not come', () => {
    const state = { type: 'path.state', from: null, to: 'blocked', cause: 'peer-udp-blocked' };
    expect(tell(...HOSTS, { ...state, path: 'wwan0-usb0-v4' }).at(-1)).toMatch(
      /^wwan0 \(o2\) ↔ usb0 \(telekom\) IPv4: blocked, peer-udp-blocked\. /,
    );
    expect(tell(...HOSTS, { ...state, path: 'eth0-usb0-v4' })).toHaveLength(2);
    // Nothing was measured of a NAT that no UDP comes to.
    const udp = tell(...HOSTS, { ...state, path: 'wwan0-usb0-v4', cause: 'udp-blocked' }).at(-1);
    expect(udp).not.toContain('NAT');
  });

  test('a path that falls silent is told where it is wanted, and a reason keeps its full stop', () => {
    const lost = { type: 'lost', path: 'wwan0-usb0-v4', reason: 'the far end is gone.' };
    expect(tell(...HOSTS, lost, { ...lost, path: 'eth0-usb0-v4' }).slice(2)).toEqual([
      'wwan0 (o2) ↔ usb0 (telekom) IPv4 fell silent: the far end is gone.',
    ]);
  });

  test('the time is when the client knew of it, and never goes back', () => {
    const narrator = new Narrator();
    const events = [RUN, { ...HOSTS[1], t: 400 }, { ...HOSTS[2], t: 2 }, { type: 'interrupted', t: 900 }];
    const times = events
      .map((event) => recordEventSchema.parse({ t: 0, host: 'client', ...event }))
      .flatMap((event) => narrator.tell(event))
      .map(({ atMs }) => atMs);
    expect(times).toEqual([0, 0, 900]);
  });
});
