import { describe, expect, it } from 'vitest';
import { judge } from '../../src/session/judge.js';
import { recordEventSchema } from '../../src/session/record.js';
import type { PathReport, Report } from '../../src/verdict/report.js';
import { type Carrier, CARRIERS, dropsPeerUdp, natCarrier } from '../../src/world/carriers.js';
import type { FilterRule } from '../../src/world/filter.js';
import { mesh, notes, REFERENCE_4, REFERENCE_6, type RunOptions, virtualRun } from './worlds.js';

/** Whole sessions on the model; expectations are the rows of verdicts.md. */
const run = (options: RunOptions = {}): Report => virtualRun(options).run();

function path(report: Report, id = 'wwan0-usb0-v4'): PathReport {
  const found = report.paths.find((one) => one.id === id);
  if (!found) throw new Error(`no path ${id} among ${report.paths.map((one) => one.id).join(', ')}`);
  return found;
}

const carriers = (report: Report): Record<string, string> =>
  Object.fromEntries(report.carriers.map(({ label, verdict }) => [label, verdict]));
const accused = (report: Report): string[] =>
  report.carriers.filter(({ verdict }) => /^(?:blocks|filters)-/.test(verdict)).map(({ label }) => label);

const EIM_APDF = { mapping: 'eim', filtering: 'apdf', ports: 'preserving' } as const;
/** An open carrier with a filter before its NAT. */
const filtering = (...rules: FilterRule[]): Carrier => natCarrier('filtering', 'a test', EIM_APDF, () => rules);

describe('the mesh of verdicts.md', () => {
  it('control-open: established, all open, exit 0', () => {
    const report = run();
    expect(path(report)).toMatchObject({ state: 'established', cause: null, arm: 'stun' });
    expect(path(report).up.state).toBe('open');
    expect(path(report).down.state).toBe('open');
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(path(report, 'wlan0-wlan0-v4').state).toBe('established');
    expect(carriers(report)).toMatchObject({ o2: 'open', telekom: 'open', hhg: 'open', hh2: 'open' });
    expect(report.exit.code).toBe(0);
  });

  it('matrix-peers-o2: blocked, o2 named, telekom open, exit 3', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: CARRIERS.o2 } }) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path(report, 'wlan0-wlan0-v4').state).toBe('established');
    expect(carriers(report)).toMatchObject({ o2: 'blocks-peer-udp', telekom: 'open' });
    expect(accused(report)).toEqual(['o2']);
    expect(report.exit.code).toBe(3);
  });

  it('matrix-cookie: established by another arm, the field named', () => {
    const cookie: FilterRule = {
      match: { bytes: [{ offset: 4, value: [0x21, 0x12, 0xa4, 0x42] }] },
      action: { type: 'drop' },
    };
    const report = run({ uplinks: mesh({ o2: { carrier: filtering(cookie) } }) });
    expect(path(report)).toMatchObject({ state: 'established', cause: 'stun-filtered', fields: [['cookie']] });
    expect(carriers(report)).toMatchObject({ o2: 'filters-stun', telekom: 'open' });
    expect(report.exit.code).toBe(0);
  });

  it('matrix-udp: TCP to the reference works, no UDP does', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: filtering({ match: {}, action: { type: 'drop' } }) } }) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'udp-blocked' });
    expect(carriers(report)).toMatchObject({ o2: 'blocks-udp' });
    expect(report.exit.code).toBe(3);
  });

  it('matrix-admin-prohibited: rejected, with type, code and sender', () => {
    const rule = dropsPeerUdp(['192.0.2.0/24']);
    const reject: FilterRule = {
      match: { ...rule.match, heading: 'out' },
      action: { type: 'reject', error: 'admin-prohibited', from: '10.20.0.1' },
    };
    const report = run({ uplinks: mesh({ o2: { carrier: filtering(reject) } }) });
    expect(path(report)).toMatchObject({ state: 'rejected', cause: 'admin-prohibited' });
    expect(path(report).icmp).toContainEqual(expect.objectContaining({ type: 3, code: 13, from: '10.20.0.1' }));
    expect(carriers(report)).toMatchObject({ o2: 'blocks-peer-udp' });
    expect(report.exit.code).toBe(3);
  });

  it('control-symmetric: failed, nobody accused', () => {
    const { symmetric } = CARRIERS;
    const report = run({ uplinks: mesh({ o2: { carrier: symmetric }, telekom: { carrier: symmetric } }) });
    expect(path(report)).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(3);
  });

  it('control-spoiled: unguarded Linux NATs are no block', () => {
    const carrier = natCarrier('unguarded', 'facts.md', 'linux-unguarded');
    for (const seed of [1, 2, 3]) {
      const report = run({ seed, uplinks: mesh({ o2: { carrier }, telekom: { carrier } }) });
      expect(['failed nat-incompatible', 'established null']).toContain(
        `${path(report).state} ${String(path(report).cause)}`,
      );
      expect(accused(report)).toEqual([]);
    }
  });

  it('control-loss30 and control-burst25 (2 s): never blocked, nobody accused', () => {
    for (const link of [{ loss: 0.3 }, { bursts: { loss: 0.25, burstMs: 2000 } }]) {
      const report = run({ uplinks: mesh({ o2: { up: { delayMs: 20, ...link } } }) });
      expect(['established', 'inconclusive']).toContain(path(report).state);
      expect(accused(report)).toEqual([]);
    }
  });

  it('control-rp-filter: the counter is named', () => {
    const report = run({ uplinks: mesh({ o2: { rpFilter: 1 } }) });
    expect(path(report)).toMatchObject({ state: 'inconclusive', cause: 'local-fault' });
    expect(path(report).summary).toContain('IPReversePathFilter');
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(4);
  });

  it('control-no-gateway: not gathered', () => {
    const report = run({ uplinks: mesh({ o2: { gateway: false } }) });
    expect(path(report)).toMatchObject({ state: 'not-gathered', cause: 'local-fault' });
    expect(report.exit.code).toBe(4);
  });

  it('control-reference-down: nobody accused', () => {
    const report = run({ session: { reflector: false } });
    expect(['established', 'inconclusive']).toContain(path(report).state);
    expect(accused(report)).toEqual([]);
  });

  it('control-peer-killed: lost, the peer’s fault', () => {
    const one = virtualRun();
    one.at(5000, () => {
      one.server.kill();
    });
    const report = one.run();
    expect(path(report)).toMatchObject({ state: 'lost', cause: 'peer-fault' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(3);
  });

  it('matrix-stateful-v6: IPv6 comes up through stateful firewalls', () => {
    const report = run({ families: ['ipv4', 'ipv6'], plan: { references: [REFERENCE_4, REFERENCE_6] } });
    expect(path(report, 'wwan0-usb0-v6')).toMatchObject({ state: 'established', cause: null });
    expect(report.exit.code).toBe(0);
  });
});

describe('the notes', () => {
  it('ice-02: blocked, and at least one of the two', () => {
    const report = run({ uplinks: notes(CARRIERS.o2, CARRIERS.telekom) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(carriers(report)).toMatchObject({ o2: 'inconclusive', telekom: 'inconclusive' });
    expect(report.exit.code).toBe(3);
  });

  it('ice-03: an unpinned client leaves by Ethernet, misrouted', () => {
    const report = run({
      uplinks: notes(CARRIERS.o2, CARRIERS.telekom),
      plan: { pin: false },
      session: { serverPin: true },
    });
    expect(path(report)).toMatchObject({ state: 'misrouted', cause: 'wrong-route' });
    expect(path(report).egress).toEqual({ client: 'mismatch', server: 'verified' });
    expect(report.exit.code).toBe(4);
  });

  it('ice-08: an unpinned server, misrouted there', () => {
    const report = run({ uplinks: notes(CARRIERS.o2, CARRIERS.hhg), session: { serverPin: false } });
    expect(path(report)).toMatchObject({ state: 'misrouted', cause: 'wrong-route' });
    expect(path(report).egress).toEqual({ client: 'verified', server: 'mismatch' });
    expect(report.exit.code).toBe(4);
  });
});

describe('a run', () => {
  it('is the same, event by event, for the same seed, and another for another', () => {
    const events = (seed: number): unknown => {
      const one = virtualRun({ seed, uplinks: notes(CARRIERS.o2, CARRIERS.telekom) });
      one.run();
      return [one.client.events, one.server.events];
    };
    expect(events(7)).toEqual(events(7));
    expect(events(7)).not.toEqual(events(8));
  });

  it('leaves a record that is valid line by line and says the same when judged again', () => {
    const one = virtualRun({ uplinks: notes(CARRIERS.o2, CARRIERS.telekom) });
    const report = one.run();
    const again = one.client.events.map((event) => recordEventSchema.parse(JSON.parse(JSON.stringify(event))));
    expect(judge(again)).toEqual(report);
  });
});
