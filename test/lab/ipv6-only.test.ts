import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CARRIERS } from '../../src/world/carriers.js';
import { type Internet, REFERENCE_NAME, wireInternet } from '../../src/world/internet.js';
import { Pump } from '../../src/world/kernel/pump.js';
import { TunHost } from '../../src/world/kernel/tun-host.js';
import { describeWith } from '../support/skip.js';

// Carriers without IPv4 as a kernel and programs of others find them: ping through CLAT and NAT64, node's resolver
// towards DNS64. What they must see is RFC 6877's and RFC 7050's word.

const RESOLVE = `
const { Resolver } = require('node:dns/promises');
const resolver = new Resolver({ timeout: 2000, tries: 2 });
resolver.setServers(['[2001:db8:53::1]']);
Promise.all(process.argv.slice(1).map((name) => resolver.resolve6(name))).then((found) => console.log(JSON.stringify(found)));
`;

describeWith(['linux', 'root', 'ip', 'koffi', 'ping'], 'carriers without IPv4, between kernels', () => {
  const hosts: TunHost[] = [];
  let internet: Internet<TunHost>;
  let pump: Pump;

  beforeAll(() => {
    const common = { kind: 'cellular', carrier: CARRIERS['ipv6-only-464xlat'], metric: 700 } as const;
    const link = { delayMs: 1 };
    const uplinks = [{ host: 'client', interface: 'wwan0', label: 'modern', up: link, ...common }] as const;
    internet = wireInternet({ seed: 1, lan: null, families: ['ipv4', 'ipv6'], uplinks }, (description) => {
      const host = new TunHost(description);
      hosts.push(host);
      return host;
    });
    pump = new Pump(internet.network, hosts);
    void pump.run();
  });

  afterAll(() => {
    pump.stop();
    for (const host of hosts) host.close();
  });

  async function run(program: string, ...args: readonly string[]): Promise<string> {
    const child = internet.hosts.client.run(() =>
      spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], timeout: 20_000 }),
    );
    let told = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (told += text));
    await once(child, 'close');
    return told;
  }

  test('IPv4 programs reach IPv4 hosts, the CLAT and the NAT64 between them', async () => {
    expect(await run('ping', '-n', '-c', '3', '-i', '0.2', '-W', '2', '192.0.2.10')).toMatch(
      / 3 received, 0% packet loss/,
    );
  });

  test('IPv6 programs reach IPv4 hosts by the carrier’s prefix', async () => {
    const told = await run('ping', '-n', '-c', '3', '-i', '0.2', '-W', '2', '64:ff9b::192.0.2.10');
    expect(told).toMatch(/ 3 received, 0% packet loss/);
  });

  test('1480 bytes of IPv4 pass, 1481 do not: the kernel is told, and believes, 1480', async () => {
    const ping = (bytes: number) =>
      run('ping', '-n', '-c', '1', '-W', '2', '-M', 'do', '-s', `${bytes - 28}`, '192.0.2.10');
    expect(await ping(1480)).toMatch(/ 1 received/);
    expect(await ping(1481)).toMatch(/From 192\.0\.0\.1 .*mtu = 1480/i);
    expect(await run('ip', 'route', 'get', '192.0.2.10')).toMatch(/mtu 1480/);
  });

  test('a TTL that ends in the carrier’s IPv6 network is told to IPv4 programs', async () => {
    const dies = (ttl: number) => run('ping', '-n', '-c', '1', '-W', '2', '-t', `${ttl}`, '192.0.2.10');
    expect(await dies(1)).toMatch(/From 192\.0\.0\.1 .*Time to live exceeded/);
    expect(await dies(2)).toMatch(/From 192\.0\.0\.8 .*Time to live exceeded/);
    expect(await dies(3)).toMatch(/From 192\.0\.2\.1 .*Time to live exceeded/);
  });

  test('node’s resolver finds the prefix, and an IPv4-only name through it', async () => {
    const found = await run(process.execPath, '-e', RESOLVE, 'ipv4only.arpa', REFERENCE_NAME, `ipv4.${REFERENCE_NAME}`);
    expect(JSON.parse(found)).toEqual([
      ['64:ff9b::c000:aa', '64:ff9b::c000:ab'],
      ['2001:db8:ff::10'],
      ['64:ff9b::c000:20a'],
    ]);
  });
});
