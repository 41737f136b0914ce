import { describe, expect, it } from 'vitest';
import type { Report } from '../../src/verdict/report.js';
import { type BoxDescription, dropsPeerUdp, type TranslatorDescription } from '../../src/world/box-description.js';
import { type Carrier, CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { mesh, REFERENCE_4, REFERENCE_6, virtualRun } from './worlds.js';

/** Whole sessions from a modem with IPv6 alone to a phone with IPv4 alone. */
const EIM: TranslatorDescription = { mapping: 'eim', filtering: 'apdf', ports: 'preserving' };
const ipv6Only = (
  nat: TranslatorDescription,
  more: Partial<Extract<BoxDescription, { type: 'nat64' }>> = {},
  ...outside: BoxDescription[]
): Carrier => ({
  ...CARRIERS['ipv6-only'],
  boxes: [
    { type: 'hop' },
    { type: 'firewall', families: ['ipv6'] },
    { type: 'resolver', dns64: true },
    { type: 'nat64', nat, ...more },
    ...outside,
  ],
});
const run = (o2: Carrier, telekom: Carrier = CARRIERS.tethered, references = [REFERENCE_4, REFERENCE_6]): Report =>
  virtualRun({
    families: ['ipv4', 'ipv6'],
    plan: { references },
    uplinks: mesh({ o2: { carrier: o2 }, telekom: { carrier: telekom } }),
  }).run();
const wanted = (report: Report) => report.paths.filter((path) => path.wanted);
const verdict = (report: Report, label: string, family: string): string | undefined =>
  report.carriers.find((one) => one.label === label && one.family === family)?.verdict;
const modelOf = (report: Report, name: string) =>
  report.run.hosts.flatMap(({ interfaces }) => interfaces).find((on) => on.name === name)?.nat;

describe('IPv6 alone to IPv4 alone', () => {
  it('one path, over IPv6, by the prefix that the resolver tells of (RFC 7050)', () => {
    const report = run(ipv6Only(EIM, { prefix: '2001:db8:64::' }));
    const [path, ...others] = wanted(report);
    expect(others).toEqual([]);
    expect(path).toMatchObject({
      id: 'wwan0-usb0-v6',
      family: 'ipv6',
      state: 'established',
      nat64: { host: 'client', prefix: '2001:db8:64::/96' },
      predicted: 'success',
    });
    expect(path?.summary).toContain('2001:db8:64::/96');
    expect(modelOf(report, 'wwan0')?.ipv4).toMatchObject({
      mapping: 'eim',
      filtering: 'apdf',
      spoil: { n: 3, k: 0 },
      translated: { by: 'nat64', prefix: '2001:db8:64::/96' },
    });
    expect(modelOf(report, 'wwan0')?.ipv6).toMatchObject({ mapping: 'none', firewall: 'stateful' });
  });

  it('nobody needs an IPv6 reference for it', () => {
    const [path] = wanted(run(CARRIERS['ipv6-only'], CARRIERS.tethered, [REFERENCE_4]));
    expect(path).toMatchObject({ id: 'wwan0-usb0-v6', state: 'established' });
  });

  it('a NAT64 that no peer can get through is not a block', () => {
    const report = run(ipv6Only({ ...EIM, mapping: 'apdm', ports: 'random' }));
    expect(wanted(report)).toMatchObject([{ id: 'wwan0-usb0-v6', state: 'failed', cause: 'nat-incompatible' }]);
    expect(report.carriers.filter(({ verdict: one }) => /^(blocks|filters)/.test(one))).toEqual([]);
  });

  it('peers dropped behind the NAT64: blocked, and the carrier is named for IPv4, not for IPv6', () => {
    const report = run(ipv6Only(EIM, {}, { type: 'filter', rules: [dropsPeerUdp('ipv4')] }));
    expect(wanted(report)).toMatchObject([{ id: 'wwan0-usb0-v6', state: 'blocked', cause: 'peer-udp-blocked' }]);
    expect(verdict(report, 'o2', 'ipv4')).toBe('blocks-peer-udp');
    expect(verdict(report, 'o2', 'ipv6')).toBe('open');
    expect(verdict(report, 'telekom', 'ipv4')).toBe('open');
  });

  it('a network that translates nothing has no path to IPv4, and nobody is accused', () => {
    const bare = { ...natCarrier('bare', 'a test', 'none'), families: ['ipv6'] as const };
    const report = run(bare);
    expect(wanted(report)).toEqual([]);
    expect(report.carriers.filter(({ verdict: one }) => /^(blocks|filters)/.test(one))).toEqual([]);
  });

  it('a filter before the NAT64: its field, its bytes and its place, and nothing else', () => {
    const {
      boxes: [hop, ...boxes],
      ...o2
    } = ipv6Only(EIM);
    const cookie = { offset: 4, value: [0x21, 0x12, 0xa4, 0x42] };
    const filter: BoxDescription = {
      type: 'filter',
      rules: [{ match: { bytes: [cookie] }, action: { type: 'drop' } }],
    };
    const report = run({ ...o2, boxes: [hop ?? { type: 'hop' }, filter, ...boxes] });
    const [path, ...others] = wanted(report);
    expect(others).toEqual([]);
    expect(path).toMatchObject({
      state: 'established',
      cause: 'stun-filtered',
      arm: 'stun~cookie',
      fields: [['cookie']],
      // The router before it has an IPv6 address alone; the one behind it is before the NAT64's other side.
      location: [{ direction: 'up', after: { hop: 1 }, before: { hop: 2 } }, { direction: 'down' }],
    });
    expect(path?.findings).toMatchObject({ trigger: { confirmed: true }, rewriting: [], flows: null });
    expect(path?.summary).toContain('through NAT64, by the prefix 64:ff9b::/96');
    expect(path?.summary).toContain('are refused as too big: the path MTU, 1452 pass');
    expect(verdict(report, 'o2', 'ipv4')).toBe('filters-stun');
    expect(verdict(report, 'telekom', 'ipv4')).toBe('open');
  });

  it('where both have IPv6, that is the path', () => {
    const report = run(CARRIERS['ipv6-only'], CARRIERS.open);
    expect(wanted(report).map(({ id, nat64, client }) => [id, nat64, client.candidate?.type])).toEqual([
      ['wwan0-usb0-v6', undefined, 'host'],
    ]);
  });
});
