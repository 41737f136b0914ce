import { describe, expect, it } from 'vitest';
import type { RunObservation } from '../../src/verdict/observation.js';
import { judgeSeries } from '../../src/verdict/series.js';
import type { SeriesReport } from '../../src/verdict/series-report.js';
import { type Edit, mesh, observe, pair, SILENT, UNTRANSLATED, uplink, with_ } from '../support/observation.js';

const misrouted: Edit = ({ egress }) => ({
  egress: { ...egress, client: { verdict: 'mismatch', reason: 'dev eth0, not wwan0' } },
});
const notes = (...arms: string[]): { arms: string[] } => ({ arms: ['random', ...arms] });
const WANTED = 'wwan0-usb0-v4';
const M1 = 'stun~40';
const M2 = 'stun~40~cookie';

/** The 18 rows of the notes (requirements.md, A.1), as their runs would be recorded with controls. */
const ROWS: Readonly<Record<string, RunObservation>> = {
  'ice-01': observe(
    pair('o2', 'telekom', notes('stun')),
    { [WANTED]: () => ({ up: SILENT, down: SILENT }) },
    { firstOnly: true },
  ),
  'ice-02': observe(pair('o2', 'telekom', notes('stun'))),
  'ice-03': observe(pair('o2', 'telekom', notes('stun')), { [WANTED]: misrouted }),
  'ice-04': observe(pair('o2', 'telekom', notes('stun'))),
  'ice-05': observe(pair('o2', 'telekom', notes('stun'))),
  'ice-06': observe(pair('o2', 'hhg', notes('stun'))),
  'ice-07': observe(pair('o2', 'telekom', notes('stun'))),
  'ice-08': observe(pair('o2', 'hhg', notes('stun')), { [WANTED]: misrouted }),
  'ice-09': observe(pair('o2', 'hhg', notes('stun'))),
  'ice-10': observe(pair('hhg', 'telekom', notes('stun'))),
  'ice-11': observe(pair('hhg', 'telekom', notes('stun'))),
  'ice-12': observe(pair('o2', 'telekom', notes(M1)), { [WANTED]: misrouted }),
  'ice-13': observe(pair('o2', 'telekom', notes(M1))),
  'ice-14': observe(pair('o2', 'telekom', notes(M2))),
  'ice-15': observe(pair('o2', 'hhg', notes(M2))),
  'ice-16': observe(pair('hhg', 'telekom', notes('stun'))),
  'ice-17': observe(pair('hhg', 'telekom', notes(M2))),
  'ice-18': observe(pair('o2', 'hhg', notes(M2))),
};

/** HHG against a host with a public address, which nothing is in front of. */
const CLEARING = observe(
  with_(
    pair('hhg', 'hhg', { wanted: [['wlan0', 'wan0']] }),
    uplink('server', 'wan0', 'ethernet', 'office', 40, {
      address: '203.0.113.40',
      reflexive: '203.0.113.40',
      nat: UNTRANSLATED,
    }),
  ),
);

function series(...runs: readonly (readonly [string, RunObservation])[]): SeriesReport {
  return judgeSeries(runs.map(([name, observation]) => ({ name, observation })));
}

const verdicts = ({ carriers }: SeriesReport): Record<string, string> =>
  Object.fromEntries(carriers.filter(({ family }) => family === 'ipv4').map(({ label, verdict }) => [label, verdict]));

describe('the 18 runs of the notes', () => {
  const report = series(...Object.entries(ROWS));

  it('excludes the four that prove nothing, and says why', () => {
    const excluded = report.runs.filter(({ excluded: reason }) => reason !== null);
    expect(excluded.map(({ name }) => name)).toEqual(['ice-01', 'ice-03', 'ice-08', 'ice-12']);
    expect(excluded[0]?.excluded).toMatch(/^unprobed \(priority-starved\)/);
    for (const { excluded: reason } of excluded.slice(1)) expect(reason).toMatch(/^misrouted \(wrong-route\)/);
  });

  it('says that content makes no difference, over IPv4', () => {
    expect(report.content).toHaveLength(1);
    expect(report.content[0]).toMatchObject({ family: 'ipv4', verdict: 'independent' });
    for (const arm of ['random', 'stun', M1, M2]) expect(report.content[0]?.because).toContain(arm);
  });

  it('accuses nobody: at least two of the three, and the run that would tell', () => {
    expect(report.suspects).toEqual(['at least two of {hhg, o2, telekom}']);
    expect(report.next).toHaveLength(1);
    expect(report.next[0]).toMatch(/^hhg ↔ a peer that is already cleared/);
    expect(verdicts(report)).toEqual({ o2: 'inconclusive', telekom: 'inconclusive', hhg: 'inconclusive' });
  });

  it('counts the repeats of each pair', () => {
    expect(report.pairs.map(({ pair: name, runs, valid }) => [name, runs, valid])).toEqual([
      ['o2 ↔ telekom', 9, 6],
      ['o2 ↔ hhg', 5, 4],
      ['hhg ↔ telekom', 4, 4],
    ]);
    for (const { outcomes, valid } of report.pairs) {
      expect(outcomes).toEqual([{ state: 'blocked', cause: 'peer-udp-blocked', runs: valid }]);
    }
  });
});

describe('one run more', () => {
  it('clears hhg, and convicts the two others', () => {
    const report = series(...Object.entries(ROWS), ['clear-hhg', CLEARING]);
    expect(verdicts(report)).toMatchObject({ o2: 'blocks-peer-udp', telekom: 'blocks-peer-udp', hhg: 'open' });
    expect(report.suspects).toEqual([]);
    expect(report.next).toEqual([]);
    expect(report.carriers.find(({ label }) => label === 'o2')?.because.join()).toContain('clear-hhg');
  });

  it('that was excluded clears nobody', () => {
    const starved = observe(pair('hhg', 'hhg'), { 'wlan0-usb0-v4': () => ({ up: SILENT, down: SILENT }) });
    const report = series(...Object.entries(ROWS), ['starved', starved]);
    expect(report.runs.at(-1)?.excluded).toMatch(/^unprobed/);
    expect(report.suspects).toEqual(['at least two of {hhg, o2, telekom}']);
  });
});

describe('other series', () => {
  it('one run alone says what it said by itself', () => {
    const blocked = observe(mesh({ o2: { drops: ({ to }) => to === 'peer' } }));
    expect(verdicts(series(['one', blocked]))).toMatchObject({ o2: 'blocks-peer-udp', telekom: 'open', hhg: 'open' });
  });

  it('a carrier that was open one day and closed the other is not convicted', () => {
    const blocked = observe(mesh({ o2: { drops: ({ to }) => to === 'peer' } }));
    const report = series(['monday', observe(mesh())], ['tuesday', blocked]);
    const o2 = report.carriers.find(({ label }) => label === 'o2');
    expect(o2?.verdict).toBe('inconclusive');
    expect(o2?.remaining.join()).toContain('monday');
  });

  it('a filter that looks at the header is content-dependent', () => {
    const filtered = observe(mesh({ o2: { drops: ({ to, arm }) => to === 'peer' && !/cookie|random/.test(arm) } }));
    const report = series(['one', filtered]);
    expect(report.content).toEqual([expect.objectContaining({ family: 'ipv4', verdict: 'dependent' })]);
    expect(verdicts(report).o2).toBe('filters-stun');
  });

  it('a run with one label at both ends is one run', () => {
    const [hhg] = series(['one', observe(pair('hhg', 'hhg'))]).carriers;
    expect(hhg).toMatchObject({ label: 'hhg', verdict: 'open', runs: 1 });
  });

  it('no run, and runs without a wanted path, prove nothing', () => {
    expect(series()).toMatchObject({ runs: [], carriers: [], suspects: [], next: [] });
    const none = series(['none', observe(pair('o2', 'telekom', { wanted: [] }))]);
    expect(none.runs[0]?.excluded).toBe('it has no wanted path');
  });
});
