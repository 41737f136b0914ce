import { describe, expect, test } from 'vitest';
import { classify } from '../../src/net/classify.js';
import {
  ipv6Flags,
  listInterfaces,
  parseInterfaceOption,
  readInterface,
  selectInterfaces,
  usableAddresses,
} from '../../src/net/interfaces.js';
import type { ListedInterface } from '../../src/net/interfaces.js';
import { IcepathError } from '../../src/base/errors.js';
import { plantSysfs, sysfsFixtures } from '../support/sysfs.js';

describe('the kind of an interface', () => {
  test.each(sysfsFixtures().map((fixture) => [fixture.machine, fixture] as const))('%s', (_, fixture) => {
    const sysfs = plantSysfs(fixture);
    const names = Object.keys(fixture.interfaces);
    const found = names.map((name) => [name, classify(readInterface(sysfs.root, name).facts)]);
    sysfs.remove();
    expect(Object.fromEntries(found)).toEqual(
      Object.fromEntries(names.map((name) => [name, fixture.interfaces[name]?.kind])),
    );
  });

  test('an interface that sysfs knows nothing of goes by its name', () => {
    const nothing = { type: null, hardware: false, wireless: false, devtype: null, driver: null, modalias: null };
    const kinds = ['lo', 'eth0', 'wlp3s0', 'wwan0', 'usb0', 'enx0a1b2c3d4e5f', 'awdl0'].map((name) =>
      classify({ name, ...nothing }),
    );
    expect(kinds).toEqual(['loopback', 'ethernet', 'wifi', 'cellular', 'tethered', 'tethered', 'other']);
  });
});

describe('the list of this machine', () => {
  test('has a loopback interface with 127.0.0.1 and no link-local IPv6 address', () => {
    const all = listInterfaces();
    const loopback = all.find(({ kind }) => kind === 'loopback');
    expect(loopback?.addresses).toContainEqual({ family: 'ipv4', address: '127.0.0.1', prefixLength: 8 });
    expect(all.flatMap(({ addresses }) => addresses).filter(({ address }) => address.startsWith('fe80'))).toEqual([]);
  });

  test('does not fail where there is no sysfs and no procfs', () => {
    const all = listInterfaces({ sysfs: '/nonexistent', procfs: '/nonexistent' });
    expect(all.find(({ addresses }) => addresses.some(({ address }) => address === '127.0.0.1'))?.up).toBe(true);
  });

  test('a cable that is not plugged in is down, a loopback without operstate is up', () => {
    const fixture = sysfsFixtures().find(({ interfaces }) => 'wwp0s20f0u6' in interfaces);
    if (!fixture) throw new Error('the fixture is missing');
    const sysfs = plantSysfs(fixture);
    const up = ['lo', 'enp0s31f6', 'wlp2s0', 'wwp0s20f0u6', 'gone0'].map((name) => readInterface(sysfs.root, name).up);
    sysfs.remove();
    expect(up).toEqual([true, false, true, false, null]);
  });
});

describe('addresses', () => {
  const v6 = (address: string) => ({ family: 'ipv6' as const, address, prefixLength: 64 });

  test('one for each scope: a stable one rather than a temporary or deprecated one', () => {
    // /proc/net/if_inet6: address, index, prefix length, scope, flags (01 temporary, 20 deprecated, 40 tentative, 80 permanent).
    const flags = ipv6Flags(
      [
        '20010db8000000000000000000000001 02 40 00 01     eth0',
        '20010db8000000000000000000000002 02 40 00 20     eth0',
        '20010db8000000000000000000000003 02 40 00 80     eth0',
        'fd000000000000000000000000000001 02 40 00 80     eth0',
        'fd000000000000000000000000000002 02 40 00 c0     eth0',
        '',
      ].join('\n'),
    );
    const all = ['2001:db8::1', '2001:db8::2', '2001:db8::3', 'fe80::1', 'fd00::2', 'fd00::1'].map(v6);
    const chosen = usableAddresses(all, (address) => flags.get(address) ?? 0);
    expect(chosen.map(({ address }) => address)).toEqual(['2001:db8::3', 'fd00::1']);
  });

  test('a temporary address is better than none', () => {
    expect(usableAddresses([v6('2001:db8::1')], () => 0x01)).toHaveLength(1);
  });
});

describe('--interface', () => {
  test.each([
    ['wwan0', { name: 'wwan0', kind: null, label: null }],
    ['usb0=cellular', { name: 'usb0', kind: 'cellular', label: null }],
    ['usb0=cellular:telekom', { name: 'usb0', kind: 'cellular', label: 'telekom' }],
    ['eth0.7=ethernet:my lan: room 2', { name: 'eth0.7', kind: 'ethernet', label: 'my lan: room 2' }],
  ])('%s', (text, expected) => {
    expect(parseInterfaceOption(text)).toEqual(expected);
  });

  test.each(['', '=wifi', 'usb0=', 'usb0=phone', 'usb0=cellular:', 'usb0=cellular:a\u001b[31mb', 'a b'])(
    '%j is refused with the kinds',
    (text) => {
      const error = thrownBy(() => parseInterfaceOption(text));
      expect(error).toMatchObject({ code: 'interface-option' });
      expect(error.nextStep).toContain('ethernet, wifi, cellular, tethered, loopback, other');
    },
  );

  const listed = (name: string, kind: ListedInterface['kind'], up = true): ListedInterface => ({
    name,
    kind,
    label: name,
    addresses: [],
    up,
    driver: null,
  });
  const machine = [
    listed('lo', 'loopback'),
    listed('eth0', 'ethernet'),
    listed('wlan0', 'wifi', false),
    listed('wwan0', 'cellular'),
    listed('docker0', 'other'),
    listed('br-4ac1', 'ethernet'),
    listed('veth12', 'ethernet'),
  ];

  test('without it: what is up, but no loopback and nothing of containers', () => {
    expect(selectInterfaces(machine, []).map(({ name }) => name)).toEqual(['eth0', 'wwan0']);
  });

  test('with it: those alone, in this order, down or without address, with the user’s words', () => {
    const options = ['wlan0', 'wwan0=tethered:o2', 'docker0'].map(parseInterfaceOption);
    expect(selectInterfaces(machine, options)).toEqual([
      { name: 'wlan0', kind: 'wifi', label: 'wlan0', addresses: [] },
      { name: 'wwan0', kind: 'tethered', label: 'o2', addresses: [] },
      { name: 'docker0', kind: 'other', label: 'docker0', addresses: [] },
    ]);
  });

  test('an unknown name is refused with those that exist, a repeated one is refused', () => {
    const unknown = thrownBy(() => selectInterfaces(machine, [parseInterfaceOption('wwan1')]));
    expect(unknown).toMatchObject({ code: 'interface-unknown' });
    expect(unknown.nextStep).toContain('lo, eth0, wlan0, wwan0');
    const twice = thrownBy(() => selectInterfaces(machine, ['eth0', 'eth0=wifi'].map(parseInterfaceOption)));
    expect(twice).toMatchObject({ code: 'interface-twice' });
  });
});

function thrownBy(work: () => unknown): IcepathError {
  try {
    work();
  } catch (error) {
    if (error instanceof IcepathError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
