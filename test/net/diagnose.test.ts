import { describe, expect, it } from 'vitest';
import { diagnose, type Finding } from '../../src/net/diagnose.js';
import { type HostFacts, readHostFacts } from '../../src/net/host-facts.js';
import { readModems } from '../../src/net/modem-manager.js';
import { readNetworkManager } from '../../src/net/network-manager.js';
import { HEALTHY, LAPTOP, leaves, listed, machine } from './doctor-support.js';

const found = (changes: Partial<HostFacts>, check: string): Finding | undefined =>
  diagnose({ ...HEALTHY, ...changes }).find((one) => one.check === check);

describe('a host with two uplinks', () => {
  it('has nothing to mend, and a note that unpinned sockets take the lower metric (AC6)', () => {
    const findings = diagnose(HEALTHY);
    expect(findings.filter(({ level }) => level === 'fails' || level === 'spoils')).toEqual([]);
    const unpinned = found({}, 'route-unpinned');
    expect(unpinned?.subject).toBe('wwan0');
    expect(unpinned?.what).toContain('leave by eth0');
    expect(unpinned?.remedy).toBe(
      'ip rule add from 10.20.0.2 lookup 702; ip route add default via 10.20.0.1 dev wwan0 table 702',
    );
  });

  it('mends IPv6 with the commands of IPv6', () => {
    const from = '2001:db8:7::2';
    const pinned = { ...leaves('wwan0', from), gateway: 'fe80::1' };
    const routes = [{ pinned, unpinned: leaves('wwan0', from, 'eth0') }];
    expect(found({ routes }, 'route-unpinned')?.remedy).toBe(
      `ip -6 rule add from ${from} lookup 702; ip -6 route add default via fe80::1 dev wwan0 table 702`,
    );
  });

  it('without a route, with a silent gateway', () => {
    const eth0 = leaves('eth0', '192.168.77.1');
    const none = { ...leaves('wwan0', '10.20.0.2'), verdict: 'unknown', routed: false, gateway: null } as const;
    expect(found({ routes: [{ pinned: none, unpinned: eth0 }] }, 'no-route')).toMatchObject({
      level: 'fails',
      subject: 'wwan0',
      remedy: 'ip route add default dev wwan0 metric 700',
    });
    const lan = { ...leaves('eth0', '192.168.77.1'), verdict: 'unknown', routed: false, gateway: null } as const;
    expect(found({ routes: [{ pinned: lan, unpinned: eth0 }] }, 'no-route')?.remedy).toBe(
      'ip route add default via GATEWAY dev eth0 metric 700   # the address of its router',
    );
    const silent = { ...leaves('wwan0', '10.20.0.2'), verdict: 'unknown', neighbour: 'failed' } as const;
    expect(found({ routes: [{ pinned: silent, unpinned: silent }] }, 'gateway-silent')?.remedy).toBe(
      'ping -I wwan0 10.20.0.1',
    );
  });

  it('strict rp_filter counts only where the default route goes elsewhere', () => {
    const counters = { interfaces: {}, host: {}, rpFilter: { eth0: 1, wwan0: 1 } };
    const strict = diagnose({ ...HEALTHY, counters }).filter(({ check }) => check === 'rp-filter');
    expect(strict.map(({ subject, level }) => [subject, level])).toEqual([['wwan0', 'fails']]);
    expect(strict[0]?.remedy).toContain('net.ipv4.conf.wwan0.rp_filter=2');
    const alone = { ...HEALTHY, counters, routes: HEALTHY.routes.slice(0, 1) };
    expect(diagnose(alone).filter(({ check }) => check === 'rp-filter')).toEqual([]);
  });

  it('its own firewall, its clock, an interface that is down or has no address', () => {
    const counters = { interfaces: {}, host: { 'nft inet filter input: udp drop': 12, UdpNoPorts: 3 }, rpFilter: {} };
    expect(found({ counters }, 'firewall')?.what).toContain('inet filter input: udp drop (12 packets');
    expect(found({ clockSynchronised: false }, 'clock')?.remedy).toBe('timedatectl set-ntp true');
    expect(found({ clockSynchronised: null }, 'clock')).toBeUndefined();
    const down = [{ ...listed('wwan0', 'cellular', null), up: false }];
    expect(found({ interfaces: down }, 'interface-down')?.remedy).toBe('ip link set wwan0 up');
    expect(found({ interfaces: [listed('wwan0', 'cellular', null)] }, 'no-address')).toMatchObject({ level: 'fails' });
  });
});

describe('the laptop of the notes', () => {
  const modemsOf = async (generic: Readonly<Record<string, unknown>>): Promise<HostFacts['modems']> => {
    const { modem } = LAPTOP['mmcli -m 0 -J'];
    const changed = { modem: { ...modem, generic: { ...modem.generic, ...generic } } };
    return readModems(machine({ ...LAPTOP, 'mmcli -m 0 -J': changed }));
  };

  it('has its SIM in the slot that is not primary, and the command that mends it (A0.1)', async () => {
    const slot = found({ modems: await modemsOf({}) }, 'sim-slot');
    expect(slot).toMatchObject({ level: 'fails', subject: 'modem 0' });
    expect(slot?.remedy).toMatch(/^mmcli -m 0 --set-primary-sim-slot=2 /);
    const mended = await modemsOf({ 'primary-sim-slot': '2' });
    expect(found({ modems: mended }, 'sim-slot')).toMatchObject({ level: 'note' });
  });

  it('is connected: operator, technology, signal, address, MTU, name server', async () => {
    const { what } = found({ modems: await modemsOf({}) }, 'bearer') ?? { what: '' };
    for (const fact of [
      'wwan0',
      'o2 - de (26203)',
      'lte',
      '71 %',
      'internet',
      '10.71.3.9',
      'MTU 1500',
      'DNS 62.109.121.1',
    ])
      expect(what).toContain(fact);
  });

  it('FCC lock (A0.2), PIN, no bearer, radio off, failed', async () => {
    const locked = await modemsOf({ state: 'locked', bearers: [], 'unlock-required': '--' });
    expect(found({ modems: locked }, 'fcc-lock')?.remedy).toContain('/etc/ModemManager/fcc-unlock.d');
    const pin = await modemsOf({ state: 'locked', bearers: [], 'unlock-required': 'sim-pin' });
    expect(found({ modems: pin }, 'sim-locked')?.remedy).toBe('mmcli -i 0 --pin=PIN');
    expect(found({ modems: pin }, 'fcc-lock')).toBeUndefined();
    const idle = await modemsOf({ state: 'registered', bearers: [] });
    expect(found({ modems: idle }, 'no-bearer')?.what).toContain('registered on o2 - de');
    const nm = await readNetworkManager(machine(LAPTOP));
    expect(found({ modems: idle, networkManager: nm }, 'no-bearer')?.remedy).toMatch(
      /^nmcli connection up id "Drillisch"/,
    );
    const fresh = nm && { ...nm, cellularProfiles: [] };
    expect(found({ modems: idle, networkManager: fresh }, 'no-bearer')?.remedy).toMatch(
      /^nmcli connection add type gsm /,
    );
    expect(found({ modems: idle, networkManager: null }, 'no-bearer')?.remedy).toMatch(/^mmcli -m 0 --simple-connect=/);
    const failed = await modemsOf({ state: 'failed', 'state-failed-reason': 'sim-missing', bearers: [] });
    expect(found({ modems: failed }, 'modem-failed')?.what).toContain('sim-missing');
    const networkManager = { devices: [], radio: { wifi: true, wwan: false }, cellularProfiles: [] };
    expect(found({ modems: idle, networkManager }, 'radio-off')?.remedy).toBe('nmcli radio wwan on');
  });

  it('without ModemManager a modem’s interface is a note, no failure', () => {
    expect(found({ modems: null }, 'no-modem-manager')?.level).toBe('note');
    const wired = { modems: null, interfaces: [listed('eth0', 'ethernet', '192.168.77.1')] };
    expect(found(wired, 'no-modem-manager')).toBeUndefined();
  });
});

it('reads this very host, whatever it has', async () => {
  const findings = diagnose(await readHostFacts());
  for (const { check, subject, what } of findings)
    expect([check, subject, what].every((text) => text !== '')).toBe(true);
});
