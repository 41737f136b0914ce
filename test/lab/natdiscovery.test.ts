import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { BoxChain } from '../../src/world/box-chain.js';
import type { Box } from '../../src/world/box.js';
import { Hop } from '../../src/world/hop.js';
import type { TunHost } from '../../src/world/kernel/tun-host.js';
import { LinuxNat } from '../../src/world/linux-nat.js';
import { Nat, type NatOptions } from '../../src/world/nat.js';
import type { Place } from '../../src/world/network.js';
import { Router } from '../../src/world/router.js';
import { listens } from '../support/link-measurements.js';
import { type BuiltTree, buildTree } from '../support/netns.js';
import { describeWith } from '../support/skip.js';
import { TunWorld } from '../support/tun-world.js';

// coturn's `turnutils_natdiscovery` (RFC 5780) behind each NAT of the model, asked of two servers: its own
// `turnserver` and `icepath reflector`. Both must be told the class that was built. And the other way round: what
// icepath's own measurement says of the same NATs with coturn's `turnserver` as its reference.

type Mapping = NatOptions['mapping'];
type Filtering = NatOptions['filtering'];

interface Class {
  readonly name: string;
  readonly mapping: Mapping;
  readonly filtering: Filtering;
  readonly nat: (outside: string) => Box;
}

const random = new SeededRandom('natdiscovery');
const RFC_4787 = (['eim', 'adm', 'apdm'] as const).flatMap((mapping) =>
  (['eif', 'adf', 'apdf'] as const).map((filtering) => ({
    name: `${mapping} and ${filtering}`,
    mapping,
    filtering,
    nat: (outside: string): Box => new Nat({ mapping, filtering, ports: 'preserving', pool: [outside] }, random),
  })),
);
const linux = (name: string, mapping: Mapping, guarded: boolean, randomPorts: boolean): Class => ({
  name,
  mapping,
  filtering: 'apdf',
  nat: (outside) => new LinuxNat({ outside, guarded, randomPorts }, random),
});
const CLASSES: readonly Class[] = [
  ...RFC_4787,
  linux('masquerade', 'eim', true, false),
  linux('masquerade, unguarded', 'eim', false, false),
  linux('masquerade random', 'apdm', true, true),
];

const REFLECTOR = ['192.0.2.10', '192.0.2.11'] as const;
const COTURN = ['192.0.2.20', '192.0.2.21'] as const;
const LINK = { delayMs: 2 } as const;
const FILTERING_SAID: Readonly<Record<string, Filtering>> = {
  'Endpoint Independent': 'eif',
  'Address Dependent': 'adf',
  'Address and Port Dependent': 'apdf',
};
const MAPPING_SAID: Readonly<Record<string, Mapping>> = {
  'Endpoint Independent': 'eim',
  'Address Dependent': 'adm',
  'Address and Port Dependent': 'apdm',
};

/** What it says in the end. */
function verdict(output: string): object {
  const [, mapping = ''] = /NAT with ([\w ]+) Mapping!/.exec(output) ?? [];
  const [, filtering = ''] = /NAT with ([\w ]+) Filtering!/.exec(output) ?? [];
  return { mapping: MAPPING_SAID[mapping], filtering: FILTERING_SAID[filtering] };
}

/**
 * The mapping by the addresses that it was told. Its third request goes to the OTHER-ADDRESS of the second answer, and
 * it takes that for the second address's other port, as coturn has it. RFC 5780 §7.4 has the first address there:
 * whose mapping depends on the address alone then has its first address again.
 */
function mappingByAddresses(output: string): Mapping | null {
  const [part = ''] = output.split('Filtering Behavior');
  // The first line of an answer is about its origin, the one before the local address about the mapping.
  const told = [...part.matchAll(/reflexive addr: ([\d.]+:\d+)\s+[^\n]*Local addr/g)].map(([, address]) => address);
  if (told.length < 2) return null;
  if (told[0] === told[1]) return 'eim';
  return told[2] === told[0] ? 'adm' : 'apdm';
}

describeWith(['linux', 'root', 'ip', 'koffi', 'coturn'], 'turnutils_natdiscovery tells the NATs of the model', () => {
  const world = new TunWorld();
  const said = new Map<Class, { readonly ofReflector: string; readonly ofCoturn: string; readonly model: string }>();
  let tree: BuiltTree;
  let folder: string;

  beforeAll(async () => {
    tree = buildTree('test/lab/child');
    folder = mkdtempSync(join(tmpdir(), 'icepath-coturn-'));
    const core = new Router({ addresses: {}, routes: [] });
    const plug = (place: Place, name: string, addresses: readonly string[]): void => {
      world.network.connect(place, { node: core, port: name }, LINK);
      for (const to of addresses) core.addRoute({ to, via: name });
    };
    const serverAt = (name: string, addresses: readonly string[]): TunHost => {
      const host = world.host(name, ...addresses);
      plug({ node: host, port: 'net0' }, name, addresses);
      return host;
    };
    const [reflector, coturn] = [serverAt('reflector', REFLECTOR), serverAt('coturn', COTURN)];
    const customers = CLASSES.map((natClass, index) => {
      const [address, gateway, outside] = [`10.0.${index}.2`, `10.0.${index}.1`, `198.51.100.${index}`];
      const host = world.host(`customer${index}`, address);
      const chain = new BoxChain([new Hop({ addresses: { ipv4: gateway } }), natClass.nat(outside)], () => gateway);
      world.network.connect({ node: host, port: 'net0' }, { node: chain, port: 'inside' }, LINK);
      plug({ node: chain, port: 'outside' }, natClass.name, [outside]);
      return { natClass, host, address };
    });
    world.start();
    const ends = ['--listen', `${REFLECTOR[0]}:3478`, '--alternate', `${REFLECTOR[1]}:3479`];
    world.spawn(reflector, process.execPath, tree.file('src/cli.ts'), 'reflector', ...ends);
    const files = [`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`, '--log-file=stdout'];
    const listening = COTURN.map((address) => `--listening-ip=${address}`);
    world.spawn(coturn, 'turnserver', '-n', '--stun-only', '--no-tls', '--no-dtls', '--no-cli', ...listening, ...files);
    await Promise.all([listens(reflector, 'udp', 3479), listens(coturn, 'udp', 3479)]);
    await Promise.all(
      customers.map(async ({ natClass, host, address }) => {
        const discover = async (port: number, ...args: readonly string[]): Promise<string> => {
          const from = ['-L', address, '-l', String(port)];
          const { stdout } = await world.run(host, 'turnutils_natdiscovery', '-m', '-f', ...from, ...args);
          return stdout;
        };
        const [ofReflector, ofCoturn] = await Promise.all([
          // Padded: a reflector answers nobody with more bytes than it got.
          discover(5000, '-P', REFLECTOR[0]),
          discover(5001, COTURN[0]),
        ]);
        const measured = [tree.file('test/lab/child/nat-model.ts'), 'net0', address, `${COTURN[0]}:3478`];
        const { stdout: model } = await world.run(host, process.execPath, ...measured);
        said.set(natClass, { ofReflector, ofCoturn, model });
      }),
    );
  }, 90_000);

  afterAll(async () => {
    await world.close();
    tree.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test.for(CLASSES)('$name', (natClass) => {
    const { mapping, filtering } = natClass;
    const { ofReflector = '', ofCoturn = '', model = 'null' } = said.get(natClass) ?? {};
    expect(verdict(ofCoturn), ofCoturn).toEqual({ mapping, filtering });
    expect(verdict(ofReflector), ofReflector).toMatchObject({ filtering });
    expect(mappingByAddresses(ofReflector), ofReflector).toBe(mapping);
    expect(JSON.parse(model), 'icepath’s own, asked of coturn').toMatchObject({ mapping, filtering, missing: [] });
  });
});
