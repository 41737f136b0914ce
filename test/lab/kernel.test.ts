import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PathReport } from '../../src/verdict/report.js';
import { differences } from '../../src/world/expectation.js';
import { runKernel } from '../../src/world/kernel/lab.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { type BuiltTree, buildTree } from '../support/netns.js';
import { describeWith, testWith } from '../support/skip.js';
import { scenario, SCENARIO_NAMES } from '../world/scenario-files.js';

// icepath between kernels gives what verdicts.md says, and the same states as on the virtual clock: every row of the notes
// and of the controls, and of the matrix what the kernel does and the model only claims (ICMP, two families, TCP beside
// UDP). `icepath lab run all --backend kernel` runs the others.

const TIMEOUT_MS = 600_000;
const OPTIONS = { seed: 1, version: '0' };
const NAMES = [
  ...SCENARIO_NAMES.filter((name) => /^(?:ice|control)-/.test(name)),
  'matrix-admin-prohibited',
  'matrix-peers-v4',
  'matrix-udp',
];
/** What a lost packet or a millisecond decides: verdicts.md gives these rows more than one outcome, or a race. */
const EITHER: ReadonlySet<string> = new Set([
  'control-burst25',
  'control-loss30',
  'control-reference-down',
  'control-spoiled',
  'ice-01',
]);

/** Priority starves the other pairs only while the first one's answer comes within Ta (5 ms): no other lab runs beside it. */
const ALONE: readonly string[] = ['ice-01'];

const states = (paths: readonly PathReport[]): object =>
  Object.fromEntries(paths.map(({ id, state, cause }) => [id, `${state} / ${cause ?? '–'}`]));

describeWith(['linux', 'root', 'ip', 'koffi'], 'scenarios between kernels', () => {
  let tree: BuiltTree;
  const virtual = new Map<string, object>();
  beforeAll(() => {
    tree = buildTree();
    // Before the others: it would hold up their packets.
    for (const name of NAMES.filter((one) => !EITHER.has(one)))
      virtual.set(name, states(runVirtual(scenario(name), OPTIONS).report.paths));
  }, TIMEOUT_MS);
  afterAll(() => {
    tree.remove();
  });

  const gives = async (name: string): Promise<void> => {
    const what = scenario(name);
    const command = [process.execPath, tree.file('src/cli.ts')];
    const { report, events } = await runKernel(what, { ...OPTIONS, command });
    expect(differences(what, report)).toEqual([]);
    expect(report.run).toMatchObject({ backend: 'kernel', seed: 1 });
    expect(report.run.hosts.map((host) => host.name)).toEqual([what.hostNames.client, what.hostNames.server]);
    expect(new Set(events.map(({ host }) => host)), 'both ends’ evidence').toEqual(new Set(['client', 'server']));
    if (virtual.has(name)) expect(states(report.paths), 'as on the virtual clock').toEqual(virtual.get(name));
  };

  test.for(ALONE)('%s', { timeout: TIMEOUT_MS }, gives);
  test.concurrent.for(NAMES.filter((name) => !ALONE.includes(name)))('%s', { timeout: TIMEOUT_MS }, gives);

  testWith(['coturn'], 'relay-only, by coturn', async () => {
    await gives('relay-only');
  });
});
