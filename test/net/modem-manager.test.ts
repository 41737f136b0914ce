import { describe, expect, it } from 'vitest';
import { readModems } from '../../src/net/modem-manager.js';
import { readNetworkManager, rowsOf } from '../../src/net/network-manager.js';
import { LAPTOP, machine } from './doctor-support.js';

describe('ModemManager', () => {
  it('tells slots, SIMs, operator, signal and bearer', async () => {
    const [modem] = (await readModems(machine(LAPTOP))) ?? [];
    expect(modem).toMatchObject({
      index: 0,
      model: 'Quectel EM05-G',
      state: 'connected',
      lock: 'sim-pin2',
      interfaces: ['wwan0'],
      primarySlot: 1,
      operator: { name: 'o2 - de', code: '26203' },
      access: ['lte'],
      signalPercent: 71,
    });
    expect(modem?.slots).toEqual([
      { slot: 1, sim: { index: 0, active: true, type: 'esim', hasProfile: false, operator: null } },
      { slot: 2, sim: { index: 1, active: false, type: 'physical', hasProfile: null, operator: 'sim.de' } },
    ]);
    expect(modem?.bearers).toEqual([
      {
        interface: 'wwan0',
        connected: true,
        apn: 'internet',
        ipv4: { address: '10.71.3.9', prefixLength: 30, gateway: '10.71.3.10', dns: ['62.109.121.1'], mtuBytes: 1500 },
        ipv6: null,
      },
    ]);
  });

  it('is absent without being a failure, and may print anything', async () => {
    expect(await readModems(machine({}))).toBeNull();
    expect(await readModems(machine({ 'mmcli -L -J': 'error: no such service' }))).toBeNull();
    expect(await readModems(machine({ 'mmcli -L -J': { 'modem-list': [] } }))).toEqual([]);
    const broken = { ...LAPTOP, 'mmcli -m 0 -J': { modem: { generic: 3 } } };
    expect(await readModems(machine(broken))).toEqual([]);
    const odd = { 'mmcli -L -J': { 'modem-list': ['/x/Modem/../../etc', 'Modem', '/Modem/99999999999'] } };
    expect(await readModems(machine(odd))).toEqual([]);
  });

  it('keeps a modem whose SIMs and bearers tell nothing', async () => {
    const { 'mmcli -L -J': list, 'mmcli -m 0 -J': modem } = LAPTOP;
    const [found] = (await readModems(machine({ 'mmcli -L -J': list, 'mmcli -m 0 -J': modem }))) ?? [];
    expect(found).toMatchObject({ bearers: [], slots: [{ sim: null }, { sim: null }] });
  });
});

describe('NetworkManager', () => {
  it('tells devices, radios and profiles', async () => {
    expect(await readNetworkManager(machine(LAPTOP))).toEqual({
      devices: [
        { device: 'enp0s31f6', type: 'ethernet', state: 'connected', connection: 'Wired connection 1' },
        { device: 'cdc-wdm0', type: 'gsm', state: 'connected', connection: 'Drillisch' },
        { device: 'lo', type: 'loopback', state: 'unmanaged', connection: null },
      ],
      radio: { wifi: true, wwan: true },
      cellularProfiles: ['Drillisch', 'odd: name\\'],
    });
    expect(await readNetworkManager(machine({}))).toBeNull();
  });

  it('reads escaped colons as nmcli(1), --escape, says', () => {
    expect(rowsOf('a\\:b:c\\\\:\n::x\n')).toEqual([
      ['a:b', 'c\\', ''],
      ['', '', 'x'],
    ]);
  });
});
