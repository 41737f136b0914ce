import { afterAll, beforeAll, expect, test } from 'vitest';
import { differences } from '../../src/world/expectation.js';
import { runKernel } from '../../src/world/kernel/lab.js';
import type { Report } from '../../src/verdict/report.js';
import type { LabRun, Scenario } from '../../src/world/scenario.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { type BuiltTree, buildTree } from '../support/netns.js';
import { describeWith } from '../support/skip.js';
import { scenario, textOf } from '../world/scenario-files.js';

// Data between two kernels while interfaces, addresses and routes change (issue 6): nothing is lost, or both say so. How
// long a pause is allowed to be the virtual clock tells (test/world/transfers.test.ts); here machines are busy.

/** `wifi-off-on` in a quarter of its time. */
const OFF_ON = `
like: wifi-off-on
title: The WiFi is switched off under way, and on again, soon
observed: wifi-off-on
story: [The laptop's WiFi is switched off after 5 s and on again after 9 s.]
meaning: [The data go on over the modem, and come back.]
arms: [random, stun]
transfer: { duration: 14 s, direction: upload, rate: 400 kbit/s }
events:
  - { at: 5 s, down: client.wlan0 }
  - { at: 9 s, up: client.wlan0 }
expect: { state: established, exit: 0, transfer: complete }
`;

/** `notes-100s-blocked` for as long as the verdict takes. */
const BLOCKED = `
like: notes-100s-blocked
title: Data on the cable where carriers let no peers through
observed: ice-02
story: [As in notes-100s-blocked.]
meaning: [The data stay on the cable.]
transfer: { duration: 15 s, direction: upload }
expect:
  { state: blocked, cause: peer-udp-blocked, exit: 3, suspects: [o2, telekom], transfer: complete }
`;

/** What a capped sender writes is rounded down, at each end. */
function expectAll({ transfer }: Report, bytes: number): void {
  expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
  expect(Math.abs((transfer?.bytesSent ?? 0) - bytes)).toBeLessThanOrEqual(2);
}

describeWith(['linux', 'root', 'ip', 'koffi'], 'data between kernels', () => {
  let tree: BuiltTree;
  beforeAll(() => {
    tree = buildTree();
  }, 60_000);
  afterAll(() => {
    tree.remove();
  });

  const run = async (what: Scenario): Promise<LabRun> => {
    const ran = await runKernel(what, { seed: 1, version: '0', command: [process.execPath, tree.file('src/cli.ts')] });
    expect(differences(what, ran.report), what.name).toEqual([]);
    return ran;
  };
  const mine = (text: string): Scenario => parseScenario(text, 'mine.yaml', textOf);

  test('the WiFi goes and comes: what was sent is what arrived, and the WiFi carries it again', async () => {
    const { report } = await run(mine(OFF_ON));
    const { transfer } = report;
    expectAll(report, (14 * 4e5) / 8);
    const joined = transfer?.perPath.filter(({ path }) => path.startsWith('wlan0')).map(({ joined: times }) => times);
    expect(joined?.every((times) => times.length >= 2)).toBe(true);
  });

  test('an address and a default route change under way: nothing is lost', async () => {
    const [address, route] = await Promise.all([run(scenario('fault-address')), run(scenario('fault-route'))]);
    for (const { report } of [address, route]) expectAll(report, (2 * 12 * 2e5) / 8);
    const joined = address.report.transfer?.perPath.find(({ path }) => path === 'wwan0-usb0-v4')?.joined;
    expect(joined?.length).toBeGreaterThanOrEqual(2);
  });

  test('a NAT between them forgets its mappings under way: nothing is lost', async () => {
    const { report } = await run(scenario('fault-rebinding'));
    expectAll(report, (2 * 12 * 2e5) / 8);
  });

  test('nothing gets through: both ends say so and end; carriers that block: the data stay on the cable', async () => {
    const [blackout, blocked] = await Promise.all([run(scenario('fault-blackout')), run(mine(BLOCKED))]);
    expect(blackout.report.transfer?.error).toMatch(/^the run ended before it was complete: the control channel ended/);
    expect(blocked.report.transfer?.perPath.map(({ path }) => path)).toEqual(['eth0-eth0-v4']);
  });
});
