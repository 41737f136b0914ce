import { describe, expect, it } from 'vitest';
import { sameAddress } from '../../src/base/address.js';
import type { CounterSnapshot } from '../../src/session/io.js';
import { judge } from '../../src/session/judge.js';
import { recordEventSchema } from '../../src/session/record.js';
import type { PathReport, Report } from '../../src/verdict/report.js';
import {
  hostInterface,
  isReference,
  REFERENCE,
  SessionWorld,
  type Filter,
  type WorldOptions,
} from '../support/session-world.js';

/** A whole run of client, server and reflector on the virtual clock; expectations are the rows of verdicts.md. */
function run(options: WorldOptions = {}): Report {
  return new SessionWorld(options).run();
}

function path(report: Report, id: string): PathReport {
  const found = report.paths.find((one) => one.id === id);
  if (!found) throw new Error(`no path ${id} among ${report.paths.map((one) => one.id).join(', ')}`);
  return found;
}

const wanted = (report: Report): PathReport => path(report, 'wwan0-usb0-v4');
const accused = (report: Report): string[] =>
  report.carriers
    .filter(({ verdict }) => verdict.startsWith('blocks') || verdict.startsWith('filters'))
    .map(({ label, verdict }) => `${label} ${verdict}`);

const COOKIE: Filter = ({ bytes }) =>
  bytes.length > 8 && Buffer.from(bytes.subarray(4, 8)).toString('hex') === '2112a442' ? 'drop' : 'pass';
const TWO_BITS: Filter = ({ bytes }) => ((bytes[0] ?? 0) < 0x40 ? 'drop' : 'pass');
const PEERS: Filter = ({ remote }) => (isReference(remote) ? 'pass' : 'drop');
const ALL: Filter = () => 'drop';

describe('a run between two hosts in a mesh', () => {
  it('control-open: every path that can be is established, nobody is accused', () => {
    const report = run();
    expect(wanted(report)).toMatchObject({ state: 'established', cause: null, arm: 'stun' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(path(report, 'wlan0-wlan0-v4').state).toBe('established');
    expect(wanted(report).up.state).toBe('open');
    expect(wanted(report).down.state).toBe('open');
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(0);
  });

  it('matrix-cookie: goes on with another arm, names the field and the carrier', () => {
    const report = run({ uplinks: { 'client.wwan0': { filter: COOKIE } } });
    expect(wanted(report)).toMatchObject({
      state: 'established',
      cause: 'stun-filtered',
      arm: 'stun~cookie',
      fields: [['cookie']],
    });
    expect(accused(report)).toEqual(['o2 filters-stun']);
    expect(report.exit.code).toBe(0);
  });

  it('matrix-two-bits: names the first byte', () => {
    const report = run({ uplinks: { 'client.wwan0': { filter: TWO_BITS } } });
    expect(wanted(report)).toMatchObject({
      state: 'established',
      cause: 'stun-filtered',
      arm: 'stun~40',
      fields: [['first-byte']],
    });
    expect(accused(report)).toEqual(['o2 filters-stun']);
    expect(report.exit.code).toBe(0);
  });

  it('matrix-peers-o2: blocked, and the mesh tells by whom', () => {
    const report = run({ uplinks: { 'client.wwan0': { filter: PEERS } } });
    expect(wanted(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path(report, 'wlan0-usb0-v4').state).toBe('established');
    expect(accused(report)).toEqual(['o2 blocks-peer-udp']);
    expect(report.carriers.find(({ label }) => label === 'telekom')?.verdict).toBe('open');
    expect(report.exit.code).toBe(3);
  });

  it('matrix-peers-both: both are named, the WiFi ends are open', () => {
    const report = run({ uplinks: { 'client.wwan0': { filter: PEERS }, 'server.usb0': { filter: PEERS } } });
    expect(wanted(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(accused(report)).toEqual(['o2 blocks-peer-udp', 'telekom blocks-peer-udp']);
    expect(report.exit.code).toBe(3);
  });

  it('matrix-udp: no UDP at all on one interface while its TCP works', () => {
    const report = run({ uplinks: { 'client.wwan0': { filter: ALL } } });
    expect(wanted(report)).toMatchObject({ state: 'blocked', cause: 'udp-blocked' });
    expect(accused(report)).toEqual(['o2 blocks-udp']);
    expect(report.exit.code).toBe(3);
  });

  it('control-symmetric: failed, and nobody is accused', () => {
    const nat = { kind: 'rfc4787', mapping: 'apdm', filtering: 'apdf', preserves: false } as const;
    const report = run({ uplinks: { 'client.wwan0': { nat }, 'server.usb0': { nat } } });
    expect(wanted(report)).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(3);
  });

  it('control-spoiled: unguarded Linux NATs on both sides are never called a block', () => {
    const nat = { kind: 'linux', guarded: false } as const;
    for (let seed = 0; seed < 5; seed += 1) {
      const report = run({ seed, uplinks: { 'client.wwan0': { nat }, 'server.usb0': { nat } } });
      const { state, cause } = wanted(report);
      expect(['failed nat-incompatible', 'established null']).toContain(`${state} ${String(cause)}`);
      expect(accused(report)).toEqual([]);
    }
  });

  it('control-loss30: loss is never a block', () => {
    for (let seed = 0; seed < 5; seed += 1) {
      const report = run({ seed, uplinks: { 'client.wwan0': { loss: 0.3 }, 'server.usb0': { loss: 0.3 } } });
      expect(['established', 'inconclusive']).toContain(wanted(report).state);
      expect(accused(report)).toEqual([]);
    }
  });

  it('control-reference-down: what cannot be tried is the reference’s fault', () => {
    const report = run({ referenceDown: true });
    expect(wanted(report)).toMatchObject({ state: 'inconclusive', cause: 'reference-fault' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(4);
  });

  it('control-peer-killed: a path that was up is lost', () => {
    const report = run({
      during: [
        {
          at: 5000,
          act: (world) => {
            world.kill('server');
          },
        },
      ],
    });
    expect(wanted(report)).toMatchObject({ state: 'lost', cause: 'peer-fault' });
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(3);
  });

  it('control-rp-filter: the counter explains the silence', () => {
    const counters = (host: 'client' | 'server', reading: number): CounterSnapshot => ({
      interfaces: {},
      host: { TcpExtIPReversePathFilter: host === 'client' ? reading * 50 : 0 },
      rpFilter: { eth0: 0, wlan0: 0, wwan0: host === 'client' ? 1 : 0, usb0: 0 },
    });
    const report = run({
      counters,
      uplinks: { 'client.wwan0': { filter: ({ way }) => (way === 'in' ? 'drop' : 'pass') } },
      referenceTcp: (host, on) => on !== 'eth0' && !(host === 'client' && on === 'wwan0'),
    });
    expect(wanted(report)).toMatchObject({ state: 'inconclusive', cause: 'local-fault' });
    expect(wanted(report).summary).toContain('IPReversePathFilter');
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(4);
  });

  it('control-no-gateway: an interface without a route is not gathered', () => {
    const report = run({
      egress: (host, check) =>
        host === 'client' && check.interface === 'wwan0'
          ? { routed: false, verdict: 'unknown', reason: 'wwan0 has no route' }
          : {},
      uplinks: { 'client.wwan0': { filter: ALL } },
      referenceTcp: (_host, on) => on !== 'wwan0' && on !== 'eth0',
    });
    expect(wanted(report)).toMatchObject({ state: 'not-gathered', cause: 'local-fault' });
    expect(report.exit.code).toBe(4);
  });

  it('ice-03: an unpinned client whose packets leave elsewhere is misrouted, whatever arrives', () => {
    const report = run({
      plan: { pin: false },
      egress: (host, check) =>
        host === 'client' && check.interface === 'wwan0'
          ? { verdict: 'mismatch', device: 'eth0', reason: 'leaves by eth0' }
          : {},
    });
    expect(wanted(report)).toMatchObject({ state: 'misrouted', cause: 'wrong-route' });
    expect(report.exit.code).toBe(4);
  });

  it('ice-01: first-only stops at Ethernet and leaves the rest unprobed', () => {
    const report = run({ plan: { firstOnly: true, policy: 'ethernet,wifi,cellular' } });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(['unprobed priority-starved', 'superseded null']).toContain(
      `${wanted(report).state} ${String(wanted(report).cause)}`,
    );
    expect(report.exit.code).toBe(4);
  });

  it('ice-02: two carriers that block, and nothing to tell them apart by', () => {
    const uplinks = { 'client.wwan0': { filter: PEERS }, 'server.usb0': { filter: PEERS } };
    const interfaces = {
      client: [
        hostInterface('eth0', 'ethernet', 'lan', '192.168.77.1'),
        hostInterface('wwan0', 'cellular', 'o2', '10.2.0.2'),
      ],
      server: [
        hostInterface('eth0', 'ethernet', 'lan', '192.168.77.2'),
        hostInterface('usb0', 'cellular', 'telekom', '10.4.0.2'),
      ],
    };
    const report = run({ uplinks, interfaces });
    expect(wanted(report)).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path(report, 'eth0-eth0-v4').state).toBe('established');
    expect(accused(report)).toEqual([]);
    const verdicts = report.carriers
      .filter(({ label }) => label === 'o2' || label === 'telekom')
      .map(({ verdict }) => verdict);
    expect(verdicts).toEqual(['inconclusive', 'inconclusive']);
    expect(report.exit.code).toBe(3);
  });

  it('without a reference nothing is ever called blocked', () => {
    const report = run({ plan: { references: [] }, uplinks: { 'client.wwan0': { filter: PEERS } } });
    expect(report.paths.map(({ state }) => state)).not.toContain('blocked');
    expect(accused(report)).toEqual([]);
  });
});

describe('the record of a run', () => {
  it('is valid line by line, and judged again it gives the same report at both ends', () => {
    const world = new SessionWorld({ uplinks: { 'client.wwan0': { filter: PEERS } } });
    const report = world.run();
    const lines = world.events.client.map((event) => JSON.stringify(event));
    const again = lines.map((line) => recordEventSchema.parse(JSON.parse(line)));
    expect(judge(again)).toEqual(report);
    expect(judge(world.events.server).paths.map(({ id, state, cause }) => ({ id, state, cause }))).toEqual(
      report.paths.map(({ id, state, cause }) => ({ id, state, cause })),
    );
  });

  it('is the same, event by event, for the same seed', () => {
    const [one, two] = [new SessionWorld({ seed: 7 }), new SessionWorld({ seed: 7 })];
    one.run();
    two.run();
    expect(one.events).toEqual(two.events);
  });

  it.each([0, 3, 300, 1500, 4000, 9000])('after Ctrl-C at %i ms it is valid, says so, and exits 130', (at) => {
    const world = new SessionWorld({
      during: [
        {
          at,
          act: (running) => {
            running.interrupt('client');
          },
        },
      ],
    });
    if (at < 20) return;
    const report = world.run();
    expect(report.exit.code).toBe(130);
    expect(report.paths.length).toBe(9);
  });
});

it('talks to the reference at the address that was given', () => {
  const world = new SessionWorld();
  world.run();
  const asked = world.events.client
    .filter((event) => event.type === 'sent')
    .filter((event) => event.leg === 'reference' && event.purpose === 'arm');
  expect(asked.length).toBeGreaterThan(20);
  expect(asked.every((event) => sameAddress(event.to, REFERENCE))).toBe(true);
});
