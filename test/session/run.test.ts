import { describe, expect, it } from 'vitest';
import { sameAddress } from '../../src/base/address.js';
import { judge } from '../../src/session/judge.js';
import { recordEventSchema } from '../../src/session/record.js';
import type { PathReport, Report } from '../../src/verdict/report.js';
import type { RuleDescription } from '../../src/world/box-description.js';
import { dropsPeerUdp } from '../../src/world/box-description.js';
import { type Carrier, CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { mesh, notes, REFERENCE_4, REFERENCE_6, type RunOptions, virtualRun } from '../world/worlds.js';

/** A whole run of client, server and reflector on the virtual clock; expectations are the rows of verdicts.md. */
function run(options: RunOptions = {}): Report {
  return virtualRun(options).run();
}

function path(report: Report, id = 'wwan0-usb0-v4'): PathReport {
  const found = report.paths.find((one) => one.id === id);
  if (!found) throw new Error(`no path ${id} among ${report.paths.map((one) => one.id).join(', ')}`);
  return found;
}

const carriers = (report: Report): Record<string, string> =>
  Object.fromEntries(report.carriers.map(({ label, verdict }) => [label, verdict]));
const accused = (report: Report): string[] =>
  report.carriers
    .filter(({ verdict }) => verdict.startsWith('blocks') || verdict.startsWith('filters'))
    .map(({ label, verdict }) => `${label} ${verdict}`);

/** An open carrier with a filter before its NAT. */
const filtering = (...rules: RuleDescription[]): Carrier =>
  natCarrier('filtering', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'preserving' }, rules);
const drops = (match: RuleDescription['match']): Carrier => filtering({ match, action: { type: 'drop' } });
const COOKIE = drops({ bytes: [{ offset: 4, value: [0x21, 0x12, 0xa4, 0x42] }] });
const TWO_BITS = drops({ bytes: [{ offset: 0, value: [0x00], mask: [0xc0] }] });
const PEERS = filtering(dropsPeerUdp());
const ALL = drops({});
const { symmetric, o2, telekom, hhg } = CARRIERS;
const UNGUARDED = natCarrier('unguarded', 'facts.md', 'linux-unguarded');

describe('a run between two hosts in a mesh', () => {
  it('control-open: every path that can be is established, nobody is accused', () => {
    const report = run();
    expect(path(report)).toMatchObject({ state: 'established', cause: null, arm: 'stun' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(path(report, 'wlan0-wlan0-v4').state).toBe('established');
    expect(path(report).up.state).toBe('open');
    expect(path(report).down.state).toBe('open');
    expect(carriers(report)).toMatchObject({ o2: 'open', telekom: 'open', hhg: 'open', hh2: 'open' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(0);
  });

  it('matrix-cookie: goes on with another arm, names the field and the carrier', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: COOKIE } }) });
    expect(path(report)).toMatchObject({
      state: 'established',
      cause: 'stun-filtered',
      arm: 'stun~cookie',
      fields: [['cookie']],
    });
    expect(accused(report)).toEqual(['o2 filters-stun']);
    expect(carriers(report)).toMatchObject({ telekom: 'open' });
    expect(report.exit.code).toBe(0);
  });

  it('matrix-two-bits: names the first byte', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: TWO_BITS } }) });
    expect(path(report)).toMatchObject({
      state: 'established',
      cause: 'stun-filtered',
      arm: 'stun~40',
      fields: [['first-byte']],
    });
    expect(accused(report)).toEqual(['o2 filters-stun']);
    expect(report.exit.code).toBe(0);
  });

  it('matrix-peers-o2: blocked, and the mesh tells by whom', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: PEERS } }) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path(report, 'wlan0-wlan0-v4').state).toBe('established');
    expect(path(report, 'wlan0-usb0-v4').state).toBe('established');
    expect(accused(report)).toEqual(['o2 blocks-peer-udp']);
    expect(carriers(report)).toMatchObject({ telekom: 'open' });
    expect(report.exit.code).toBe(3);
  });

  it('matrix-peers-both: both are named, the WiFi ends are open', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: PEERS }, telekom: { carrier: PEERS } }) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(accused(report)).toEqual(['o2 blocks-peer-udp', 'telekom blocks-peer-udp']);
    expect(report.exit.code).toBe(3);
  });

  it('matrix-udp: no UDP at all on one interface while its TCP works', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: ALL } }) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'udp-blocked' });
    expect(accused(report)).toEqual(['o2 blocks-udp']);
    expect(report.exit.code).toBe(3);
  });

  it('matrix-admin-prohibited: rejected, with type, code and sender', () => {
    const reject: RuleDescription = {
      match: { ...dropsPeerUdp().match, heading: 'out' },
      action: { type: 'reject', error: 'admin-prohibited', from: '10.20.0.1' },
    };
    const report = run({ uplinks: mesh({ o2: { carrier: filtering(reject) } }) });
    expect(path(report)).toMatchObject({ state: 'rejected', cause: 'admin-prohibited' });
    expect(path(report).icmp).toContainEqual(expect.objectContaining({ type: 3, code: 13, from: '10.20.0.1' }));
    expect(accused(report)).toEqual(['o2 blocks-peer-udp']);
    expect(report.exit.code).toBe(3);
  });

  it('matrix-stateful-v6: IPv6 comes up through stateful firewalls', () => {
    const report = run({ families: ['ipv4', 'ipv6'], plan: { references: [REFERENCE_4, REFERENCE_6] } });
    expect(path(report, 'wwan0-usb0-v6')).toMatchObject({ state: 'established', cause: null });
    expect(report.exit.code).toBe(0);
  });

  it('control-symmetric: failed, and nobody is accused', () => {
    const report = run({ uplinks: mesh({ o2: { carrier: symmetric }, telekom: { carrier: symmetric } }) });
    expect(path(report)).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(3);
  });

  it('control-spoiled: unguarded Linux NATs on both sides are never called a block', () => {
    for (let seed = 0; seed < 5; seed += 1) {
      const report = run({ seed, uplinks: mesh({ o2: { carrier: UNGUARDED }, telekom: { carrier: UNGUARDED } }) });
      const { state, cause } = path(report);
      expect(['failed nat-incompatible', 'established null']).toContain(`${state} ${String(cause)}`);
      expect(accused(report)).toEqual([]);
    }
  });

  it('control-loss30, control-burst25 (2 s): loss is never a block', () => {
    const lossy = { delayMs: 20, loss: 0.3 };
    const bursts = { delayMs: 20, bursts: { loss: 0.25, burstMs: 2000 } };
    const weathers = [
      ...[0, 1, 2, 3, 4].map((seed) => ({ seed, uplinks: mesh({ o2: { up: lossy }, telekom: { up: lossy } }) })),
      { seed: 1, uplinks: mesh({ o2: { up: bursts } }) },
    ];
    for (const weather of weathers) {
      const report = run(weather);
      expect(['established', 'inconclusive']).toContain(path(report).state);
      expect(accused(report)).toEqual([]);
    }
  });

  it('control-reference-down: what cannot be tried is the reference’s fault', () => {
    const report = run({ session: { reflector: false } });
    expect(path(report)).toMatchObject({ state: 'inconclusive', cause: 'reference-fault' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(4);
  });

  it('control-peer-killed: a path that was up is lost', () => {
    const one = virtualRun();
    one.at(5000, () => {
      one.server.kill();
    });
    const report = one.run();
    expect(path(report)).toMatchObject({ state: 'lost', cause: 'peer-fault' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(3);
  });

  it('control-peer-killed while an answer is on its way: what comes after the channel broke may have left before', () => {
    const one = virtualRun();
    one.at(5220, () => {
      one.server.kill();
    });
    const states = one.run().paths.map(({ state }) => state);
    expect(states).not.toContain('established');
    expect(states.filter((state) => state === 'lost')).toHaveLength(5);
  });

  it('control-rp-filter: the counter explains the silence', () => {
    const report = run({ uplinks: mesh({ o2: { rpFilter: 1 } }) });
    expect(path(report)).toMatchObject({ state: 'inconclusive', cause: 'local-fault' });
    expect(path(report).summary).toContain('IPReversePathFilter');
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(4);
  });

  it('control-no-gateway: an interface without a route is not gathered', () => {
    const report = run({ uplinks: mesh({ o2: { gateway: false } }) });
    expect(path(report)).toMatchObject({ state: 'not-gathered', cause: 'local-fault' });
    expect(report.exit.code).toBe(4);
  });

  it('without a reference nothing is ever called blocked', () => {
    const report = run({ plan: { references: [] }, uplinks: mesh({ o2: { carrier: PEERS } }) });
    expect(report.paths.map(({ state }) => state)).not.toContain('blocked');
    expect(accused(report)).toEqual([]);
  });
});

describe('a run of the notes', () => {
  it('ice-01: first-only stops at Ethernet and leaves the rest unprobed', () => {
    const report = run({ plan: { firstOnly: true, policy: 'ethernet,wifi,cellular' } });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(['unprobed priority-starved', 'superseded null']).toContain(
      `${path(report).state} ${String(path(report).cause)}`,
    );
    expect(report.exit.code).toBe(4);
  });

  it('ice-02: two carriers that block, and nothing to tell them apart by', () => {
    const report = run({ uplinks: notes(o2, telekom) });
    expect(path(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(accused(report)).toEqual([]);
    expect(carriers(report)).toMatchObject({ o2: 'inconclusive', telekom: 'inconclusive' });
    expect(report.exit.code).toBe(3);
  });

  it('ice-03: an unpinned client whose packets leave elsewhere is misrouted, whatever arrives', () => {
    for (const uplinks of [mesh(), notes(o2, telekom)]) {
      const report = run({ uplinks, plan: { pin: false }, session: { serverPin: true } });
      expect(path(report)).toMatchObject({ state: 'misrouted', cause: 'wrong-route' });
      expect(path(report).egress).toEqual({ client: 'mismatch', server: 'verified' });
      expect(report.exit.code).toBe(4);
    }
  });

  it('ice-08: an unpinned server, misrouted there', () => {
    const report = run({ uplinks: notes(o2, hhg), session: { serverPin: false } });
    expect(path(report)).toMatchObject({ state: 'misrouted', cause: 'wrong-route' });
    expect(path(report).egress).toEqual({ client: 'verified', server: 'mismatch' });
    expect(report.exit.code).toBe(4);
  });
});

describe('the record of a run', () => {
  it('is valid line by line, and judged again it gives the same report at both ends', () => {
    const one = virtualRun({ uplinks: mesh({ o2: { carrier: PEERS } }) });
    const report = one.run();
    const lines = one.client.events.map((event) => JSON.stringify(event));
    const again = lines.map((line) => recordEventSchema.parse(JSON.parse(line)));
    expect(judge(again)).toEqual(report);
    expect(judge(one.server.events).paths.map(({ id, state, cause }) => ({ id, state, cause }))).toEqual(
      report.paths.map(({ id, state, cause }) => ({ id, state, cause })),
    );
  });

  describe('wall clocks that differ', () => {
    const told = { client: '2024-06-06T11:46:00.000Z', server: '2024-06-06T11:51:00.000Z' };
    const same = virtualRun();
    const apart = virtualRun({ session: { startedAt: told, serverLateMs: 700 } });
    const report = run({ session: { serverLateMs: 700 } });

    it('are told by both ends’ records to within half a round trip, which is 0.5 ms by the cable', () => {
      expect(same.run()).toMatchObject({ run: { clock: { serverAheadMs: 0, withinMs: 1 } }, advice: [] });
      // 5 min between the starts, of which the server's came 0.7 s later.
      const clock = { serverAheadMs: 300_000 - 700, withinMs: 1 };
      const late = apart.run();
      expect(late.run.clock).toEqual(clock);
      expect(judge(apart.server.events).run.clock).toEqual(clock);
      expect(late.advice).toEqual([expect.stringMatching(/^the server's clock is 5 min ahead of the client's: /)]);
    });

    it('change nothing else', () => {
      const { paths, carriers: who, exit } = judge(apart.client.events);
      expect({ paths, carriers: who, exit }).toEqual({
        paths: report.paths,
        carriers: report.carriers,
        exit: report.exit,
      });
    });

    it('are not known of an older record, or of one end, and everything else is', () => {
      for (const hosts of [['client'], ['server'], ['client', 'server']]) {
        const older = apart.client.events.map((event) => {
          if (event.type !== 'host' || !hosts.includes(event.host)) return event;
          return recordEventSchema.parse(JSON.parse(JSON.stringify({ ...event, farClockAheadMs: undefined })));
        });
        const judged = judge(older);
        expect(judged.run.clock).toBeNull();
        expect(judged.advice).toEqual([]);
        expect(judged.paths).toEqual(report.paths);
      }
    });
  });

  it('tells every change of a path, of its cause alone too: the last one is what the report says', () => {
    const one = virtualRun({ uplinks: mesh({ o2: { carrier: COOKIE } }) });
    const { id, state, cause } = path(one.run());
    const told = one.client.events.flatMap((event) =>
      event.type === 'path.state' && event.host === 'client' && event.path === id ? [event] : [],
    );
    // It comes up in another arm first; that STUN is filtered takes more rounds.
    expect(told.map(({ from, to, cause: why }) => [from, to, why])).toEqual([
      [null, 'established', null],
      ['established', state, cause],
    ]);
  });

  it('is the same, event by event, for the same seed, and another for another', () => {
    const events = (seed: number): unknown => {
      const one = virtualRun({ seed });
      one.run();
      return [one.client.events, one.server.events];
    };
    expect(events(7)).toEqual(events(7));
    expect(events(7)).not.toEqual(events(8));
  });

  it('Ctrl-C before the two have met: there was no run, and that is said', () => {
    const one = virtualRun();
    one.at(0, () => {
      one.client.interrupt();
    });
    expect(() => one.run()).toThrow(expect.objectContaining({ code: 'record-without-run' }));
  });

  it.each([3, 300, 1500, 4000, 9000])('after Ctrl-C at %i ms it is valid, says so, and exits 130', (at) => {
    const one = virtualRun();
    one.at(at, () => {
      one.client.interrupt();
    });
    const report = one.run();
    expect(report.exit.code).toBe(130);
    if (at >= 20) expect(report.paths.length).toBe(9);
    for (const event of one.client.events) recordEventSchema.parse(JSON.parse(JSON.stringify(event)));
  });
});

it('talks to the reference at the address that was given', () => {
  const one = virtualRun();
  one.run();
  const asked = one.client.events
    .filter((event) => event.type === 'sent')
    .filter((event) => event.leg === 'reference' && event.purpose === 'arm');
  expect(asked.length).toBeGreaterThan(20);
  expect(asked.every((event) => sameAddress(event.to, REFERENCE_4))).toBe(true);
});
