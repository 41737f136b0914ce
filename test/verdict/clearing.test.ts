import { describe, expect, it } from 'vitest';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { CarrierReport } from '../../src/verdict/report.js';
import { type Edit, mesh, observe, pair, uplink, type Uplink, with_, type World } from '../support/observation.js';

const BLOCKING: Partial<Uplink> = { drops: ({ to }) => to === 'peer' };

function carrier(world: World, label: string, edits: Readonly<Record<string, Edit>> = {}): CarrierReport {
  const found = judgeRun(observe(world, edits)).carriers.find((candidate) => candidate.label === label);
  if (!found) throw new Error(`nothing was said of ${label}`);
  return found;
}

describe('the clearing rule', () => {
  it('between two uplinks that nothing has cleared: at least one of them', () => {
    for (const label of ['o2', 'telekom']) {
      const { verdict, remaining } = carrier(pair('o2', 'telekom'), label);
      expect(verdict).toBe('inconclusive');
      expect(remaining.join()).toMatch(/at least one of \{o2, telekom\}/);
      expect(remaining.join()).toContain('against a peer that is already cleared');
    }
  });

  it('three ends whose pairs are all blocked accuse nobody', () => {
    const world = with_(pair('o2', 'telekom'), uplink('client', 'wlan0', 'wifi', 'hhg', 13, BLOCKING));
    const [o2, hhg, telekom] = ['o2', 'hhg', 'telekom'].map((label) => carrier(world, label));
    expect([o2, hhg, telekom].map((one) => one?.verdict)).toEqual(['inconclusive', 'inconclusive', 'inconclusive']);
    // Telekom alone would explain both pairs.
    expect(telekom?.remaining.join()).toMatch(/at least one of \{.*hhg.*o2.*telekom\}/);
  });

  it('two pairs without an end in common need two culprits', () => {
    const edges = ({ interface: left }: Uplink, { interface: right }: Uplink): boolean =>
      !((left === 'wlan0' && right === 'wlan0') || (left === 'wwan0' && right === 'usb0'));
    // Every pair is silent: the four ends hang together, and one end cannot explain both of two disjoint pairs.
    const world = mesh({ hhg: BLOCKING, o2: BLOCKING, hh2: BLOCKING, telekom: BLOCKING }, { punches: edges });
    expect(carrier(world, 'o2').remaining.join()).toMatch(/at least two of \{/);
  });

  it('says why: the closed path, and the path that cleared its other end', () => {
    const { verdict, because } = carrier(mesh({ o2: BLOCKING }), 'o2');
    expect(verdict).toBe('blocks-peer-udp');
    expect(because.join()).toMatch(/wwan0-usb0-v4 up is closed, and its other end is cleared by wlan0-usb0-v4/);
  });

  const hostPair: Edit = ({ client, server }) => ({
    client: { ...client, candidate: { type: 'host', address: '10.5.0.2', port: 1 } },
    server: { ...server, candidate: { type: 'host', address: '10.5.0.3', port: 1 } },
  });

  it('a pair on private addresses clears nobody', () => {
    const edits = { 'wlan0-wlan0-v4': hostPair, 'wlan0-usb0-v4': hostPair, 'wwan0-wlan0-v4': hostPair };
    expect(carrier(mesh({ o2: BLOCKING }), 'o2', edits).verdict).toBe('inconclusive');
    expect(carrier(mesh(), 'hhg', { 'wlan0-wlan0-v4': hostPair, 'wlan0-usb0-v4': hostPair }).verdict).toBe(
      'inconclusive',
    );
  });

  it('two ends behind one NAT clear nobody', () => {
    const shared = { reflexive: '198.51.100.99' };
    const world = mesh({ hhg: shared, hh2: shared, telekom: BLOCKING, o2: BLOCKING });
    expect(carrier(world, 'hhg').verdict).toBe('inconclusive');
    expect(carrier(world, 'telekom').verdict).toBe('inconclusive');
  });

  it('the reference leg does not clear an end of blocking peers', () => {
    // telekom reaches the reference in every round, and is still a suspect.
    expect(carrier(pair('o2', 'telekom'), 'telekom').verdict).toBe('inconclusive');
  });

  it('a pair that is closed between two cleared ends accuses neither', () => {
    const world = mesh({}, { punches: (client, server) => !(client.label === 'o2' && server.label === 'telekom') });
    for (const label of ['o2', 'telekom']) {
      const { verdict, because } = carrier(world, label);
      expect(verdict).toBe('open');
      expect(because.join()).toContain('neither alone explains it');
    }
  });

  it('of two uplinks only, the reference tells who filters STUN', () => {
    const cookie: Partial<Uplink> = { drops: ({ arm }) => arm.startsWith('stun') && !arm.endsWith('cookie') };
    const base = pair('o2', 'telekom');
    const world = {
      ...base,
      uplinks: base.uplinks.map((on) => ({
        ...on,
        drops: on.label === 'o2' ? (cookie.drops ?? on.drops) : () => false,
      })),
    };
    expect(carrier(world, 'o2').verdict).toBe('filters-stun');
    expect(carrier(world, 'telekom').verdict).toBe('open');
  });

  it('does not take a misrouted path for a clearance', () => {
    const misrouted: Edit = ({ egress }) => ({
      egress: { ...egress, client: { verdict: 'mismatch', reason: 'leaves by eth0' } },
    });
    expect(
      carrier(mesh({ o2: BLOCKING }), 'o2', { 'wlan0-usb0-v4': misrouted, 'wlan0-wlan0-v4': misrouted }).verdict,
    ).toBe('inconclusive');
  });
});
