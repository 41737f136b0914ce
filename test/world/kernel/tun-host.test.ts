import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import type { HostDescription } from '../../../src/world/internet.js';
import { Pump } from '../../../src/world/kernel/pump.js';
import { TunHost } from '../../../src/world/kernel/tun-host.js';
import { Network } from '../../../src/world/network.js';
import { ownLabFiles } from '../../support/kernel-lab.js';
import { describeWith } from '../../support/skip.js';

const LAPTOP: HostDescription = {
  name: 'laptop',
  interfaces: [
    {
      name: 'eth0',
      kind: 'ethernet',
      label: 'lan',
      addresses: [
        { family: 'ipv4', address: '192.168.77.1', prefixLength: 24 },
        { family: 'ipv6', address: 'fd77::1', prefixLength: 64 },
      ],
      neighbours: ['192.168.77.2', 'fd77::2'],
      rpFilter: 1,
    },
    {
      name: 'wwan0',
      kind: 'cellular',
      label: 'o2',
      addresses: [
        { family: 'ipv4', address: '10.10.0.2', prefixLength: 24 },
        { family: 'ipv6', address: '2001:db8:1::2', prefixLength: 64 },
      ],
      mtuBytes: 1400,
      pointToPoint: true,
    },
  ],
  routes: [
    { to: '0.0.0.0/0', interface: 'eth0', gateway: '192.168.77.254', metric: 100 },
    { to: '::/0', interface: 'eth0', gateway: 'fd77::fe', metric: 100 },
    { to: '0.0.0.0/0', interface: 'wwan0', gateway: '10.10.0.1', metric: 700 },
    { to: '::/0', interface: 'wwan0', gateway: '2001:db8:1::1', metric: 700 },
    { to: '0.0.0.0/0', interface: 'wwan0', gateway: '10.10.0.1', table: 'modem' },
  ],
  rules: [{ priority: 1000, from: '10.10.0.2/32', table: 'modem' }],
};

describeWith(['linux', 'root', 'ip', 'koffi'], 'a host with a kernel behind it', () => {
  const open: { close(): void }[] = [];
  const host = (description: HostDescription): TunHost => {
    const made = new TunHost(description);
    open.push(made);
    return made;
  };
  const run = (on: TunHost, program: string, ...args: readonly string[]): string =>
    on.run(() => execFileSync(program, args, { encoding: 'utf8' }));
  const deviceOf = (on: TunHost, ...route: readonly string[]): string | undefined =>
    /\bdev (\S+)/.exec(run(on, 'ip', 'route', 'get', ...route))?.[1];

  afterEach(() => {
    for (const one of open.splice(0)) one.close();
    expect(ownLabFiles()).toEqual([]);
  });

  test('routes as described: by metric, by policy rule, by device', () => {
    const laptop = host(LAPTOP);
    expect(deviceOf(laptop, '203.0.113.5')).toBe('eth0');
    expect(deviceOf(laptop, '203.0.113.5', 'from', '10.10.0.2')).toBe('wwan0');
    expect(deviceOf(laptop, '203.0.113.5', 'oif', 'wwan0')).toBe('wwan0');
    expect(deviceOf(laptop, '2001:db8:99::1')).toBe('eth0');
    expect(deviceOf(laptop, '2001:db8:99::1', 'oif', 'wwan0')).toBe('wwan0');
    expect(run(laptop, 'ip', '-oneline', 'link', 'show', 'wwan0')).toMatch(/POINTOPOINT.*mtu 1400/);
    expect(run(laptop, 'ip', '-oneline', 'link', 'show', 'eth0')).toMatch(/BROADCAST.*mtu 1500/);
  });

  test('filters by reverse path where told, and nowhere else', () => {
    const read = (name: string): string => readFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, 'utf8').trim();
    expect(host(LAPTOP).run(() => ['all', 'eth0', 'wwan0'].map(read))).toEqual(['0', '1', '0']);
  });

  test('an interface that went down and up again is as it was', () => {
    const laptop = host(LAPTOP);
    const state = (): string[] =>
      ['-4 route', '-6 route', '-4 route show table all', 'neighbour', 'address show wwan0', 'address show eth0'].map(
        (what) => run(laptop, 'ip', ...what.split(' ')).replace(/valid_lft.*/g, ''),
      );
    const before = state();
    for (const name of ['eth0', 'wwan0']) {
      laptop.setUp(name, false);
      expect(deviceOf(laptop, '203.0.113.5')).toBe(name === 'eth0' ? 'wwan0' : 'eth0');
      laptop.setUp(name, true);
    }
    expect(state().map((text) => text.split('\n').toSorted())).toEqual(
      before.map((text) => text.split('\n').toSorted()),
    );
  });

  test('what the kernel refuses is told in its own words, and nothing is left', () => {
    const [eth0] = LAPTOP.interfaces;
    if (!eth0) throw new Error('no eth0');
    const wrong = { ...eth0, addresses: [{ family: 'ipv4' as const, address: '192.168.77.1', prefixLength: 33 }] };
    expect(() => new TunHost({ ...LAPTOP, interfaces: [wrong] })).toThrow(
      expect.objectContaining({
        code: 'lab-host-setup',
        message: expect.stringContaining('192.168.77.1/33') as string,
      }),
    );
  });

  test('two kernels reach each other through the world, with fragments, and only while the cable is in', async () => {
    const onWire = (name: string, own: number, other: number): HostDescription => ({
      name,
      interfaces: [
        {
          name: 'eth0',
          kind: 'ethernet',
          label: 'lan',
          addresses: [{ family: 'ipv4', address: `192.0.2.${own}`, prefixLength: 24 }],
          neighbours: [`192.0.2.${other}`],
        },
      ],
      routes: [],
    });
    const [near, far] = [host(onWire('near', 1, 2)), host(onWire('far', 2, 1))];
    const network = new Network(new SeededRandom('wire'));
    const cable = network.connect({ node: near, port: 'eth0' }, { node: far, port: 'eth0' });
    const pump = new Pump(network, [near, far]);
    void pump.run();
    const ping = async (...options: readonly string[]): Promise<number> => {
      const child = near.run(() => spawn('ping', ['-c', '1', ...options, '192.0.2.2'], { stdio: 'ignore' }));
      return (await once(child, 'close'))[0] as number;
    };
    try {
      expect(await ping('-W', '10'), 'answered').toBe(0);
      expect(await ping('-W', '10', '-s', '4000'), 'in three fragments').toBe(0);
      cable.setUp(false);
      expect(await ping('-W', '1'), 'no answer').toBe(1);
    } finally {
      pump.stop();
    }
  });
});
