import { describe, expect, it } from 'vitest';
import type { Report } from '../../src/verdict/report.js';
import { differences } from '../../src/world/expectation.js';
import type { Expectation } from '../../src/world/scenario.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { scenario } from './scenario-files.js';

type Host = Report['run']['hosts'][number];

function withLifetime(host: Host): Host {
  const lifetime = { leastMs: 110_000, mostMs: 120_000, n: 20 };
  const interfaces = host.interfaces.map((on) => ({
    ...on,
    nat: Object.fromEntries(Object.entries(on.nat).map(([family, nat]) => [family, { ...nat, lifetime }])),
  }));
  return { ...host, interfaces };
}

describe('differences', () => {
  const { report } = runVirtual(scenario('ice-02'), { seed: 1, version: 'test' });
  const base = scenario('ice-02');
  const expecting = (change: Partial<Expectation>): string[] =>
    differences({ ...base, expect: { ...base.expect, ...change } }, report);

  it('none where everything is as expected', () => {
    expect(expecting({})).toEqual([]);
  });

  it('state, cause and exit', () => {
    expect(expecting({ outcomes: [{ state: 'established', cause: null, exit: 0 }] })).toEqual([
      expect.stringMatching(/^wwan0-usb0-v4 is blocked \/ peer-udp-blocked, expected established: /),
      expect.stringMatching(/^wwan0-usb0-v4 goes with exit 3, expected 0: /),
    ]);
    expect(
      expecting({
        outcomes: [
          { state: 'failed', exit: 3 },
          { state: 'blocked', exit: 3 },
        ],
      }),
    ).toEqual([]);
  });

  it('what else is said of the path', () => {
    const outcome = { state: 'blocked', exit: 3 } as const;
    const of = (more: object): string[] => expecting({ outcomes: [{ ...outcome, ...more }] });
    expect(of({ arm: 'stun' })).toEqual(['wwan0-usb0-v4 came up with no arm, expected stun']);
    expect(of({ fields: [['cookie']] })).toEqual(['wwan0-usb0-v4 has the fields [], expected [["cookie"]]']);
    expect(of({ directions: { up: 'open', down: 'closed' } })).toEqual(['wwan0-usb0-v4 is closed up, expected open']);
    expect(of({ says: ['0 of 56', 'green'] })).toEqual([expect.stringContaining('does not say "green"')]);
    expect(of({ icmp: { type: 3, code: 13 } })).toEqual([expect.stringContaining('was told [] by ICMP')]);
  });

  it('other paths, and paths that are not there', () => {
    expect(expecting({ paths: { 'eth0-eth0-v4': { state: ['lost'] }, 'x-y-v4': { state: ['lost'] } } })).toEqual([
      expect.stringMatching(/^eth0-eth0-v4 is established, expected lost: /),
      'the report has no path x-y-v4',
    ]);
    expect(differences({ ...base, run: { ...base.run, wanted: [{ client: 'a', server: 'b' }] } }, report)).toEqual([
      'the report has no path a <-> b',
    ]);
  });

  it('carriers: another verdict, none, and an accusation that nobody expects', () => {
    expect(expecting({ carriers: [{ label: 'o2', family: null, verdict: 'open' }] })).toEqual([
      expect.stringMatching(/^expected open: o2 is inconclusive over ipv4/),
    ]);
    expect(expecting({ carriers: [{ label: 'o2', family: 'ipv6', verdict: 'inconclusive' }] })).toEqual([
      'the report says nothing of o2 over ipv6',
    ]);
    const accusing: Report = {
      ...report,
      carriers: report.carriers.map((one) => ({ ...one, verdict: 'blocks-udp', remaining: [] })),
    };
    expect(differences({ ...base, expect: { ...base.expect, suspects: [] } }, accusing)).toEqual([
      expect.stringMatching(/^accused without being expected to: o2 is blocks-udp/),
      expect.stringMatching(/^accused without being expected to: telekom is blocks-udp/),
    ]);
  });

  it('how long a NAT keeps its mappings: not measured, or another time', () => {
    expect(expecting({ lifetimes: [{ label: 'o2', ms: 120_000 }] })).toEqual([
      'client wwan0 ipv4: its mappings live for an unknown time, expected 120 s',
    ]);
    expect(expecting({ lifetimes: [{ label: 'nobody', ms: 1 }] })).toEqual(['the report has no NAT of nobody']);
    const run = { ...report.run, hosts: report.run.hosts.map(withLifetime) };
    const lasting = (ms: number): string[] =>
      differences({ ...base, expect: { ...base.expect, lifetimes: [{ label: 'o2', ms }] } }, { ...report, run });
    expect(lasting(115_000)).toEqual([]);
    expect(lasting(90_000)).toEqual(['client wwan0 ipv4: its mappings live for 110 to 120 s, expected 90 s']);
  });

  it('suspects: exactly those', () => {
    expect(expecting({ suspects: ['telekom', 'o2'] })).toEqual([]);
    expect(expecting({ suspects: ['o2', 'hhg'] })).toEqual([
      expect.stringMatching(
        /^o2 should be at least one of \{hhg, o2\}: it is inconclusive \(at least one of \{o2, telekom\}/,
      ),
      'the report says nothing of hhg',
    ]);
  });
});
