import type { HostInterface } from '../../src/base/interface.js';
import type { Execute } from '../../src/net/execute.js';
import type { HostFacts } from '../../src/net/host-facts.js';
import type { ListedInterface } from '../../src/net/interfaces.js';
import type { EgressResult } from '../../src/session/io.js';

/** A machine whose programs answer from a table: `mmcli -m 0 -J` → what it prints. Others are not installed. */
export function machine(answers: Readonly<Record<string, unknown>>): Execute {
  return (program, args) => {
    const answer = answers[[program, ...args].join(' ')];
    if (answer === undefined) return Promise.resolve(null);
    return Promise.resolve({ stdout: typeof answer === 'string' ? answer : JSON.stringify(answer), stderr: '' });
  };
}

const MM = '/org/freedesktop/ModemManager1';

/**
 * The laptop of the notes (requirements.md A0.1, A0.4), as `mmcli -J` prints it: the SIM of sim.de in slot 2, a bogus
 * eSIM in slot 1, which is primary. A reconstruction after ModemManager's manual and the notes, not a recording.
 */
export const LAPTOP = {
  'mmcli -L -J': { 'modem-list': [`${MM}/Modem/0`] },
  'mmcli -m 0 -J': {
    modem: {
      '3gpp': { 'operator-code': '26203', 'operator-name': 'o2 - de', 'registration-state': 'home' },
      generic: {
        'access-technologies': ['lte'],
        bearers: [`${MM}/Bearer/4`],
        manufacturer: 'Quectel',
        model: 'EM05-G',
        ports: ['cdc-wdm0 (mbim)', 'ttyUSB2 (at)', 'wwan0 (net)'],
        'power-state': 'on',
        'primary-sim-slot': '1',
        'signal-quality': { recent: 'yes', value: '71' },
        sim: `${MM}/SIM/0`,
        'sim-slots': [`${MM}/SIM/0`, `${MM}/SIM/1`],
        state: 'connected',
        'state-failed-reason': '--',
        'unlock-required': 'sim-pin2',
      },
    },
  },
  'mmcli -i 0 -J': {
    sim: { properties: { active: 'yes', 'operator-name': '--', 'sim-type': 'esim', 'esim-status': 'no-profiles' } },
  },
  'mmcli -i 1 -J': { sim: { properties: { active: 'no', 'operator-name': 'sim.de', 'sim-type': 'physical' } } },
  'mmcli -b 4 -J': {
    bearer: {
      'ipv4-config': { address: '10.71.3.9', prefix: '30', gateway: '10.71.3.10', mtu: '1500', dns: ['62.109.121.1'] },
      'ipv6-config': { address: '--', prefix: '--', gateway: '--', mtu: '--' },
      properties: { apn: 'internet' },
      status: { connected: 'yes', interface: 'wwan0', suspended: 'no' },
    },
  },
  'nmcli -t -f DEVICE,TYPE,STATE,CONNECTION device status':
    'enp0s31f6:ethernet:connected:Wired connection 1\ncdc-wdm0:gsm:connected:Drillisch\nlo:loopback:unmanaged:\n',
  'nmcli -t -f WIFI,WWAN radio': 'enabled:enabled\n',
  'nmcli -t -f NAME,TYPE connection show': 'Wired connection 1:802-3-ethernet\nDrillisch:gsm\nodd\\: name\\\\:gsm\n',
} as const;

export const listed = (name: string, kind: HostInterface['kind'], address: string | null): ListedInterface => ({
  name,
  kind,
  label: name,
  addresses: address === null ? [] : [{ family: 'ipv4', address, prefixLength: 24 }],
  up: true,
  driver: null,
});

export const leaves = (name: string, from: string, device: string | null = name): EgressResult => ({
  interface: name,
  from,
  to: '192.0.2.1',
  verdict: device === name ? 'verified' : 'mismatch',
  routed: true,
  device,
  gateway: from.replace(/\d+$/, '1'),
  neighbour: 'reachable',
  reason: `packets from ${from} leave by ${device ?? 'nothing'}`,
});

/** A laptop with eth0 (metric 100) and wwan0 (metric 700), and nothing wrong. */
export const HEALTHY: HostFacts = {
  interfaces: [listed('eth0', 'ethernet', '192.168.77.1'), listed('wwan0', 'cellular', '10.20.0.2')],
  missing: [],
  routes: [
    { pinned: leaves('eth0', '192.168.77.1'), unpinned: leaves('eth0', '192.168.77.1') },
    { pinned: leaves('wwan0', '10.20.0.2'), unpinned: leaves('wwan0', '10.20.0.2', 'eth0') },
  ],
  counters: { interfaces: {}, host: {}, rpFilter: { eth0: 0, wwan0: 0 } },
  modems: [],
  networkManager: null,
  firewall: { isReadable: true, closed: [] },
  absent: [],
  clockSynchronised: true,
};
