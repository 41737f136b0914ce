import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isSpoiled } from '../../src/verdict/nat-prediction.js';
import type { NatModel } from '../../src/verdict/words.js';
import { createLab, type Lab } from '../support/lab.js';
import { type HostName, mesh, type Nat, SERVERS } from '../support/lab-topology.js';
import { type BuiltTree, buildTree } from '../support/netns.js';
import { describeWith } from '../support/skip.js';

// The NAT model of a session behind kernel NATs, asked of coturn's `turnserver` and of icepath's own reflector, again and
// again: mapping class and spoil test must be right in every run. What is right was measured with nft and conntrack
// (`facts.md`); the servers are not ours to please.

const TIMES = 10;
const TIMEOUT_MS = 240_000;
/** Below what kernels draw from, and further apart than all runs of one server take. */
const FIRST_PORTS = { coturn: 10_000, reflector: 20_000 } as const;

const NATS: readonly { readonly label: string; readonly nat: Nat; readonly host: HostName; readonly device: string }[] =
  [
    { label: 'hhg', nat: 'guarded', host: 'L', device: 'wlan0' },
    { label: 'o2', nat: 'unguarded', host: 'L', device: 'wwan0' },
    { label: 'telekom', nat: 'symmetric', host: 'D', device: 'usb0' },
    { label: 'hh2', nat: 'none', host: 'D', device: 'wlan0' },
  ];
const KEEPS = { mapping: 'eim', filtering: 'apdf', portPreservation: true, missing: [] } satisfies Partial<NatModel>;
/** `moves`: whether an early packet moves the mapping; `null`: nothing is there to be moved. */
const EXPECTED: Readonly<Record<Nat, { readonly model: Partial<NatModel>; readonly moves: boolean | null }>> = {
  guarded: { model: { ...KEEPS, hairpin: 'none', pooling: 'paired' }, moves: false },
  unguarded: { model: { ...KEEPS, hairpin: 'none', pooling: 'paired' }, moves: true },
  symmetric: { model: { mapping: 'apdm', filtering: 'apdf', portPreservation: false, missing: [] }, moves: null },
  none: { model: { mapping: 'none', filtering: 'eif', firewall: 'open', missing: [] }, moves: false },
};

const [first, second] = SERVERS.ipv4.addresses;
const REFERENCES = { coturn: `${first}:3478`, reflector: `${first}:5478` } as const;
const SERVERS_ASKED = ['coturn', 'reflector'] as const;

describeWith(['linux', 'root', 'ip', 'nft', 'koffi', 'coturn'], 'the NAT model behind kernel NATs', () => {
  let lab: Lab;
  let tree: BuiltTree;
  let folder: string;
  const models = new Map<string, NatModel[]>();

  beforeAll(async () => {
    tree = buildTree('test/lab/child');
    folder = mkdtempSync(join(tmpdir(), 'icepath-coturn-'));
    lab = createLab(mesh(Object.fromEntries(NATS.map(({ label, nat }) => [label, { nat }]))));
    const files = [`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`, '--log-file=stdout'];
    const listening = [first, second].map((address) => `--listening-ip=${address}`);
    lab.spawn('R', 'turnserver', ['-n', '--stun-only', '--no-tls', '--no-dtls', '--no-cli', ...listening, ...files]);
    const ends = ['--listen', REFERENCES.reflector, '--alternate', `${second}:5479`];
    lab.spawn('R', process.execPath, [tree.file('src/cli.ts'), 'reflector', ...ends]);
    for (const port of [3478, 5479]) {
      while (!lab.exec('R', 'ss', ['-Hlun', `sport = :${port}`]).includes(String(port))) await sleep(50);
    }
    await Promise.all(
      NATS.flatMap(({ label, host, device }) =>
        SERVERS_ASKED.map(async (server) => {
          const child = tree.file('test/lab/child/nat-model.ts');
          const args = [child, device, lab.address(host, device), REFERENCES[server], String(TIMES)];
          args.push(String(FIRST_PORTS[server]));
          const running = lab.spawn(host, process.execPath, args);
          let told = '';
          running.stdout.setEncoding('utf8').on('data', (text: string) => (told += text));
          await once(running, 'close');
          const lines = told.split('\n').filter((line) => line !== '');
          models.set(
            `${label} ${server}`,
            lines.map((line) => JSON.parse(line) as NatModel),
          );
        }),
      ),
    );
  }, TIMEOUT_MS);

  afterAll(() => {
    lab.destroy();
    tree.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test.for(NATS.flatMap((nat) => SERVERS_ASKED.map((server) => ({ ...nat, server }))))(
    `$nat, asked of $server: right ${TIMES} times of ${TIMES}`,
    ({ nat, label, server }) => {
      const all = models.get(`${label} ${server}`) ?? [];
      expect(all).toHaveLength(TIMES);
      const { model: expected, moves } = EXPECTED[nat];
      const tries: { readonly n: number; readonly k: number }[] = [];
      for (const model of all) {
        expect(model).toMatchObject(expected);
        // A busy machine may cost a try its answer, never change what the verdict is made of.
        const { n = 0, k = 0 } = model.spoil ?? {};
        if (moves === null) expect(model.spoil).toBeNull();
        else expect([n >= 2, isSpoiled(model), moves || k === 0]).toEqual([true, moves, true]);
        tries.push({ n, k });
        const pattern = { guarded: 'preserving', unguarded: 'preserving', symmetric: 'random', none: undefined }[nat];
        expect(model.ports?.pattern).toBe(pattern);
      }
      if (moves === true) expect(tries.filter(({ n, k }) => k < n)).toEqual([]);
    },
  );
});
