import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { runKernel } from '../../src/world/kernel/lab.js';
import type { Scenario } from '../../src/world/scenario.js';
import { belongingsOf, LabProcess, leftOf, ownLabFiles } from '../support/kernel-lab.js';
import { type BuiltTree, buildTree } from '../support/netns.js';
import { describeWith } from '../support/skip.js';
import { scenario } from '../world/scenario-files.js';

const TIMEOUT_MS = 120_000;

// Nothing of a lab is left behind, and where there can be none the reason is told.

describeWith(['linux', 'root', 'ip', 'koffi', 'unshare'], 'what a lab leaves behind', () => {
  let tree: BuiltTree;
  const labs: LabProcess[] = [];
  const start = (what: Scenario, wrapper?: readonly string[]): LabProcess => {
    const lab = new LabProcess(tree, what, wrapper);
    labs.push(lab);
    return lab;
  };
  const deviceNames = (): string[] => {
    const links = JSON.parse(execFileSync('ip', ['-json', 'link'], { encoding: 'utf8' })) as { ifname: string }[];
    return links.map(({ ifname }) => ifname).filter((name) => /^(?:wlan0|wwan0|usb0)$/.test(name));
  };

  beforeAll(() => {
    tree = buildTree('test/lab/child');
  });
  afterEach(() => {
    for (const lab of labs.splice(0)) lab.remove();
  });
  afterAll(() => {
    tree.remove();
  });

  test(
    'kill -9 of one of two labs in mid-run: nothing of it is left, and the other runs to its end',
    { timeout: TIMEOUT_MS },
    async () => {
      const before = deviceNames();
      const [killed, other] = [start(scenario('ice-14')), start(scenario('ice-02'))];
      await Promise.all([killed.running(), other.running()]);
      const belongings = belongingsOf(killed);
      expect(belongings.processes, 'reflector, server, client').toHaveLength(3);
      expect(belongings.namespaces, 'of three hosts').toHaveLength(3);
      expect(deviceNames(), 'none of its devices is where others are').toEqual(before);

      killed.child.kill('SIGKILL');
      await killed.ended();
      expect(await leftOf(killed, belongings)).toEqual([]);
      expect(deviceNames()).toEqual(before);

      const others = belongingsOf(other);
      expect(await other.ended()).toEqual({ exit: 3 });
      expect(await leftOf(other, others)).toEqual([]);
    },
  );

  test('Ctrl-C in mid-run: a report with what is known, and nothing is left', { timeout: TIMEOUT_MS }, async () => {
    const lab = start(scenario('ice-14'));
    await lab.running();
    const belongings = belongingsOf(lab);
    lab.child.kill('SIGINT');
    expect(await lab.ended()).toEqual({ exit: 130 });
    expect(await leftOf(lab, belongings)).toEqual([]);
  });

  test('two interfaces of one name: told, and nothing is left', async () => {
    const open = scenario('control-open');
    const uplinks = open.internet.uplinks.map((uplink) => ({ ...uplink, interface: 'eth0' }));
    const clash = { ...open, internet: { ...open.internet, uplinks } };
    await expect(runKernel(clash, { seed: 1, version: '0', command: [process.execPath] })).rejects.toMatchObject({
      code: 'tun-name-taken',
      message: expect.stringContaining('eth0') as string,
    });
    expect(ownLabFiles()).toEqual([]);
  });

  test('an icepath that does not start: told, and nothing is left', async () => {
    const options = { seed: 1, version: '0', command: [process.execPath, '-e', 'process.exit(9)', '--'] };
    await expect(runKernel(scenario('ice-14'), options)).rejects.toMatchObject({
      code: 'lab-run-failed',
      message: expect.stringContaining('exit 9') as string,
    });
    expect(ownLabFiles()).toEqual([]);
  });

  const hide = (commands: string): string[] => ['unshare', '--mount', 'sh', '-c', `${commands}; exec "$@"`, 'sh'];
  const HIDDEN = [
    {
      what: 'ip',
      wrapper: hide(
        'for f in /sbin/ip /usr/sbin/ip /bin/ip /usr/bin/ip; do [ ! -e $f ] || mount --bind /dev/null $f; done',
      ),
      reason: 'the program ip (iproute2) cannot be run',
    },
    {
      what: '/dev/net/tun',
      wrapper: hide('mount -t tmpfs none /dev/net'),
      reason: '/dev/net/tun cannot be opened: ENOENT',
    },
    {
      what: 'the right to',
      wrapper: ['setpriv', '--bounding-set=-all', '--inh-caps=-all'],
      reason: 'this user may not make network namespaces (EPERM)',
    },
  ];
  test.for(HIDDEN)('without $what: told, with what to do', { timeout: TIMEOUT_MS }, async ({ wrapper, reason }) => {
    const lab = start(scenario('ice-14'), wrapper);
    expect(await lab.ended()).toEqual({
      code: 'lab-no-kernel',
      message: expect.stringContaining(reason) as string,
      nextStep: expect.stringContaining('--backend virtual') as string,
    });
    expect(await leftOf(lab, { processes: [], namespaces: [] })).toEqual([]);
  });
});
