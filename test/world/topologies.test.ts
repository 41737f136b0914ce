import { describe, expect, it } from 'vitest';
import type { PathReport, Report } from '../../src/verdict/report.js';
import type { NatModel } from '../../src/verdict/words.js';
import { type Carrier, CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { mesh, REFERENCE_4, REFERENCE_6, type RunOptions, virtualRun } from './worlds.js';

/** Whole sessions in worlds where addresses are not what they seem. */
function path(report: Report, id: string): PathReport {
  const found = report.paths.find((one) => one.id === id);
  if (!found) throw new Error(`no path ${id} among ${report.paths.map((one) => one.id).join(', ')}`);
  return found;
}

const accused = (report: Report): string[] =>
  report.carriers.filter(({ verdict }) => /^(?:blocks|filters)-/.test(verdict)).map(({ label }) => label);
const wanted = (report: Report): (string | null | undefined)[] =>
  report.paths.filter((one) => one.wanted).map(({ id, state, client }) => `${id} ${state} ${client.candidate?.type}`);

const modelOf = (report: Report, name: string): NatModel | undefined =>
  report.run.hosts.flatMap(({ interfaces }) => interfaces).find((on) => on.name === name)?.nat.ipv4;

const BOTH: RunOptions = { families: ['ipv4', 'ipv6'], plan: { references: [REFERENCE_4, REFERENCE_6] } };
const MODERN = CARRIERS['ipv6-only-464xlat'];

describe('carriers without IPv4', () => {
  it('464XLAT at both ends: every path comes up, and that both are 192.0.0.4 accuses nobody', () => {
    const uplinks = mesh({ o2: { carrier: MODERN }, telekom: { carrier: MODERN } });
    const report = virtualRun({ ...BOTH, uplinks }).run();
    expect(wanted(report)).toEqual(['wwan0-usb0-v4 established srflx', 'wwan0-usb0-v6 established host']);
    expect(accused(report)).toEqual([]);
    expect(report.exit.code).toBe(0);
    expect(modelOf(report, 'wwan0')?.translated).toMatchObject({ by: 'clat' });
  });

  it('IPv6 only: one path, over IPv6', () => {
    const report = virtualRun({ ...BOTH, uplinks: mesh({ o2: { carrier: CARRIERS['ipv6-only'] } }) }).run();
    expect(wanted(report)).toEqual(['wwan0-usb0-v6 established host']);
    expect(accused(report)).toEqual([]);
  });
});

describe('two hosts behind one carrier’s boxes', () => {
  const cgn = (hairpin: 'none' | 'external'): Carrier => ({
    ...natCarrier('cgn', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'preserving', hairpin }),
    isolates: true,
  });
  const behind = (carrier: Carrier): Report =>
    virtualRun({ uplinks: mesh({ o2: { carrier, site: 'cgn' }, telekom: { carrier, site: 'cgn' } }) }).run();

  it('a CGN that hairpins: established, by the outside addresses', () => {
    const report = behind(cgn('external'));
    expect(wanted(report)).toEqual(['wwan0-usb0-v4 established srflx']);
    expect(path(report, 'wwan0-usb0-v4').predicted).toBe('success');
    expect(modelOf(report, 'wwan0')).toMatchObject({ hairpin: 'external', pooling: 'paired' });
    // The world's customers have RFC 1918 addresses: on a modem that is the carrier's doing.
    expect(modelOf(report, 'wwan0')?.carrierGrade).toEqual([expect.stringContaining('a modem has no router')]);
  });

  it('one that does not: failed, and nobody is accused', () => {
    const report = behind(cgn('none'));
    expect(path(report, 'wwan0-usb0-v4')).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect(path(report, 'wwan0-usb0-v4')).toMatchObject({ predicted: 'failure' });
    expect(path(report, 'wwan0-usb0-v4').summary).toContain('does not turn their packets back inside (hairpin)');
    expect(modelOf(report, 'wwan0')?.hairpin).toBe('none');
    expect(accused(report)).toEqual([]);
  });

  it('one WiFi: established, directly', () => {
    const report = virtualRun({ uplinks: mesh({ hhg: { site: 'home' }, hh2: { site: 'home' } }) }).run();
    expect(path(report, 'wlan0-wlan0-v4')).toMatchObject({
      state: 'established',
      client: { candidate: { type: 'host', address: '10.10.0.2' } },
      server: { candidate: { type: 'host', address: '10.10.0.3' } },
    });
  });
});
