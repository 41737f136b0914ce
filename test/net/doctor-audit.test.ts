import { describe, expect, it } from 'vitest';
import { diagnose, type Finding } from '../../src/net/diagnose.js';
import { nftClosed } from '../../src/net/firewall.js';
import { type HostFacts, readHostFacts } from '../../src/net/host-facts.js';
import { readModems } from '../../src/net/modem-manager.js';
import { readNetworkManager } from '../../src/net/network-manager.js';
import { HEALTHY, LAPTOP, listed, machine } from './doctor-support.js';

/** What issue 4 asks of the doctor beyond what diagnose.test.ts has, each with the command that mends it. */
const found = (changes: Partial<HostFacts>, check: string): Finding | undefined =>
  diagnose({ ...HEALTHY, ...changes }).find((one) => one.check === check);

/** After `nft -j list ruleset` of nftables 1.0.6; nft(8), libnftables-json(5). */
const NFT = JSON.stringify({
  nftables: [
    { metainfo: { version: '1.0.6', json_schema_version: 1 } },
    { table: { family: 'inet', name: 'filter', handle: 1 } },
    ...['input', 'forward', 'output'].map((hook) => ({
      chain: {
        ...{ family: 'inet', table: 'filter', name: hook, handle: 1, type: 'filter', hook, prio: 0 },
        policy: hook === 'output' ? 'accept' : 'drop',
      },
    })),
  ],
});

describe('the firewall of the host', () => {
  it('that drops by policy, which is not counted', async () => {
    expect(nftClosed(NFT)).toEqual(['inet filter input']);
    expect(nftClosed('not JSON')).toEqual([]);
    const { firewall } = await readHostFacts(machine({ 'nft -j list ruleset': NFT }));
    expect(firewall).toEqual({ isReadable: true, closed: ['inet filter input'] });
    expect(found({ firewall }, 'firewall-closed')).toMatchObject({
      level: 'note',
      remedy: 'nft insert rule inet filter input ct state established,related accept',
    });
  });

  it('that may not be read, or that there is no program for', async () => {
    // nft without the right prints an error alone, on stderr.
    const { firewall } = await readHostFacts(machine({ 'nft -j list ruleset': '' }));
    expect(found({ firewall }, 'firewall-unknown')).toMatchObject({ remedy: 'sudo icepath doctor' });
    const none = await readHostFacts(machine({}));
    expect(found({ firewall: none.firewall }, 'firewall-unknown')?.what).toContain('neither nft nor iptables is here');
    expect(found({}, 'firewall-unknown')).toBeUndefined();
  });
});

it('every tool may be absent: each is named, and nothing fails for it', async () => {
  const facts = await readHostFacts(machine({}));
  expect(facts.absent).toEqual(['mmcli', 'nmcli', 'timedatectl']);
  const { absent, firewall, modems, networkManager, clockSynchronised } = facts;
  const findings = diagnose({ ...HEALTHY, absent, firewall, modems, networkManager, clockSynchronised });
  const named = findings.filter(({ check }) => /^no-|-unknown$/.test(check) && check !== 'no-ipv6');
  expect(named.map(({ check, level }) => [check, level])).toEqual([
    ['firewall-unknown', 'note'],
    ['clock-unknown', 'note'],
    ['no-network-manager', 'note'],
    ['no-modem-manager', 'note'],
  ]);
  expect(named.map(({ what }) => what).join()).toMatch(/nft nor iptables.*timedatectl.*nmcli.*mmcli/);
});

it('the clock, where nobody knows', () => {
  expect(found({ clockSynchronised: null }, 'clock-unknown')).toMatchObject({ level: 'note' });
  expect(found({ clockSynchronised: null }, 'clock-unknown')?.remedy).toMatch(/^chronyc tracking/);
  expect(found({ clockSynchronised: true }, 'clock-unknown')).toBeUndefined();
});

it('routes to the hosts of a run, each address to each of its family', async () => {
  const { routes } = await readHostFacts(machine({}), ['203.0.113.7', '2001:db8:1::7']);
  for (const { pinned } of routes) expect(pinned.to).toBe(pinned.from.includes(':') ? '2001:db8:1::7' : '203.0.113.7');
  expect(found({}, 'route')?.what).toBe('192.168.77.1 leaves by eth0 via 192.168.77.1, to 192.0.2.1');
});

describe('NetworkManager', () => {
  const managed = async (answers: Readonly<Record<string, string>>): Promise<HostFacts['networkManager']> =>
    readNetworkManager(machine({ ...LAPTOP, ...answers }));

  it('leaves a modem alone, or has a radio off', async () => {
    const devices = 'cdc-wdm0:gsm:unmanaged:\nwlp1s0:wifi:unavailable:\n';
    const networkManager = await managed({
      'nmcli -t -f DEVICE,TYPE,STATE,CONNECTION device status': devices,
      'nmcli -t -f WIFI,WWAN radio': 'disabled:enabled\n',
    });
    expect(found({ networkManager }, 'unmanaged')).toMatchObject({
      subject: 'cdc-wdm0',
      remedy: 'nmcli device set cdc-wdm0 managed yes',
    });
    expect(found({ networkManager }, 'radio-off')?.remedy).toBe('nmcli radio wifi on');
    expect(found({ networkManager: await managed({}) }, 'unmanaged')).toBeUndefined();
  });

  it('is installed and does not run', () => {
    expect(found({ networkManager: null }, 'no-network-manager')?.remedy).toMatch(/^systemctl start NetworkManager /);
    const wired = { networkManager: null, interfaces: [listed('eth0', 'ethernet', '192.168.77.1')] };
    expect(found(wired, 'no-network-manager')).toBeUndefined();
  });
});

describe('a modem', () => {
  const modemsOf = async (
    generic: Readonly<Record<string, unknown>>,
    cellular: Readonly<Record<string, unknown>> = {},
  ): Promise<HostFacts['modems']> => {
    const { modem } = LAPTOP['mmcli -m 0 -J'];
    const changed = {
      modem: { ...modem, generic: { ...modem.generic, ...generic }, '3gpp': { ...modem['3gpp'], ...cellular } },
    };
    return readModems(machine({ ...LAPTOP, 'mmcli -m 0 -J': changed }));
  };

  it('whose network refuses its SIM', async () => {
    const modems = await modemsOf({ state: 'enabled', bearers: [] }, { 'registration-state': 'denied' });
    const denied = found({ modems }, 'registration-denied');
    expect(denied).toMatchObject({ level: 'fails', subject: 'modem 0' });
    expect(denied?.what).toBe('the network o2 - de refuses the SIM (registration denied)');
    expect(denied?.remedy).toMatch(/^mmcli -m 0 --3gpp-scan /);
  });

  it('with a weak signal', async () => {
    const weak = await modemsOf({ 'signal-quality': { recent: 'yes', value: '12' } });
    expect(found({ modems: weak }, 'weak-signal')).toMatchObject({ level: 'spoils' });
    expect(found({ modems: weak }, 'weak-signal')?.remedy).toMatch(/^mmcli -m 0 --signal-setup=5 && /);
    expect(found({ modems: await modemsOf({}) }, 'weak-signal')).toBeUndefined();
  });

  it('that is locked to an operator', async () => {
    const modems = await modemsOf({ state: 'locked', bearers: [], 'unlock-required': 'ph-net-pin' });
    expect(found({ modems }, 'operator-lock')?.what).toContain('ph-net-pin');
    expect(found({ modems }, 'fcc-lock')).toBeUndefined();
  });
});
