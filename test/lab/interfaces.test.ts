import { afterAll, beforeAll, expect, test } from 'vitest';
import { runKernel } from '../../src/world/kernel/lab.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { type BuiltTree, buildTree } from '../support/netns.js';
import { describeWith } from '../support/skip.js';
import { textOf } from '../world/scenario-files.js';

// A real interface of a real kernel goes down and comes up again during a run: both ends join its paths again.

const SCENARIO = `
like: control-open
title: The WiFi goes and comes
observed: Anybody who carries a laptop through a door.
story: [The laptop's WiFi is switched off after 2 s and on again after 3 s.]
meaning: [Its paths are lost and joined again.]
events:
  - { at: 2 s, down: client.wlan0 }
  - { at: 3 s, up: client.wlan0 }
wanted: wlan0 <-> wlan0
expect: { state: established, cause: none, exit: 0 }
`;

/** The desktop's phone: not there, or without an address, for the first 3 s. */
const plugged = (starts: 'absent' | 'down'): string => `
like: control-open
title: A phone is plugged in
observed: Anybody who remembers the cable when the transfer is slow.
story: [The desktop's phone is there after 3 s.]
meaning: [Its paths are joined.]
server:
  interfaces:
    usb0: { starts: ${starts} }
events:
  - { at: 3 s, up: server.usb0 }
wanted: wlan0 <-> wlan0
expect: { state: established, cause: none, exit: 0 }
`;

describeWith(['linux', 'root', 'ip', 'koffi'], 'an interface of the kernel that goes and comes', () => {
  let tree: BuiltTree;
  beforeAll(() => {
    tree = buildTree();
  }, 60_000);
  afterAll(() => {
    tree.remove();
  });

  test('its path is lost with its address, gathered again, checked again, and up at the end', async () => {
    const what = parseScenario(SCENARIO, 'off-on.yaml', textOf);
    const command = [process.execPath, tree.file('src/cli.ts')];
    const { report, events } = await runKernel(what, { seed: 1, version: '0', command });
    const id = 'wlan0-wlan0-v4';
    expect(report.paths.find((path) => path.id === id)).toMatchObject({ state: 'established', cause: null });
    const told = events.filter(({ host }) => host === 'client');
    const changes = told.flatMap((event) => (event.type === 'interface' ? [event] : []));
    expect(changes.map((event) => [event.interface, event.addresses.length])).toEqual([
      ['wlan0', 0],
      ['wlan0', 1],
    ]);
    const [gone, back] = changes.map(({ t }) => t);
    expect(told.some((event) => event.type === 'lost' && event.path === id && event.gone && event.t === gone)).toBe(
      true,
    );
    expect(told.some((event) => event.type === 'valid' && event.path === id && event.t > (back ?? 0))).toBe(true);
  });

  test.each([
    // Nobody named it, so it has no label but its name.
    ['absent', 'usb0'],
    ['down', 'telekom'],
  ] as const)('one that is %s at the beginning is gathered, checked and up at the end', async (starts, label) => {
    const what = parseScenario(plugged(starts), 'plugged.yaml', textOf);
    const command = [process.execPath, tree.file('src/cli.ts')];
    const { report, events } = await runKernel(what, { seed: 1, version: '0', command });
    const path = report.paths.find(({ id }) => id === 'wlan0-usb0-v4');
    expect(path).toMatchObject({ state: 'established', cause: null, server: { label } });
    const came = events.find((event) => event.type === 'interface' && event.host === 'server');
    const valid = events.find((event) => event.type === 'valid' && event.host === 'server' && event.path === path?.id);
    expect(came?.t).toBeGreaterThan(2500);
    expect((valid?.t ?? 0) - (came?.t ?? 0)).toBeLessThan(1000);
  });
});
