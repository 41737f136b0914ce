import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IcepathProcess, type Role } from '../support/lab-process.js';
import { type BuiltTree, buildTree, Netns } from '../support/netns.js';
import { describeWith } from '../support/skip.js';

// Two hosts that share no network: each has one link to a third, which runs `icepath rendezvous` and routes UDP between
// them. No TCP connection goes from the one to the other, so the control channel can only run through the rendezvous.

const LIMIT_MS = 100_000;

describeWith(['linux', 'root', 'ip', 'nft'], 'two hosts without a shared network', () => {
  let tree: BuiltTree;
  const hosts: Netns[] = [];
  const started: IcepathProcess[] = [];
  beforeAll(() => {
    tree = buildTree();
  }, 60_000);
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map((one) => one.ended(LIMIT_MS)));
    for (const host of hosts) host.remove();
    tree.remove();
  });

  const start = (host: Netns, role: Role, ...args: string[]): IcepathProcess => {
    const command = ['netns', 'exec', host.name, process.execPath, tree.file('src/cli.ts'), role, ...args];
    const one = new IcepathProcess(role, spawn('ip', command, { stdio: ['ignore', 'pipe', 'pipe'] }));
    started.push(one);
    return one;
  };

  test('meet at the rendezvous, find their path, and send data over it', async () => {
    const [left, middle, right] = ['l', 'm', 'r'].map((name) => {
      const host = new Netns(`ip-rdv-${name}`);
      hosts.push(host);
      return host;
    }) as [Netns, Netns, Netns];
    for (const [host, network] of [
      [left, '10.81.1'],
      [right, '10.81.2'],
    ] as const) {
      const toHost = `to-${network.slice(-1)}`;
      host.link('eth0', middle, toHost);
      host.ip(`addr add ${network}.2/24 dev eth0`);
      middle.ip(`addr add ${network}.1/24 dev ${toHost}`);
      host.ip(`route add default via ${network}.1`);
    }
    middle.sysctl('net.ipv4.ip_forward', 1);
    middle.nft(
      'table ip t {\n chain f {\n type filter hook forward priority 0\n meta l4proto tcp counter drop\n }\n}\n',
    );

    const meeting = start(middle, 'rendezvous', '--listen', '0.0.0.0:4810');
    await meeting.logs(({ msg }) => msg === 'listening');
    const url = 'ws://10.81.2.1:4810';
    const server = start(right, 'server', '--interface', 'eth0', '--rendezvous', url, '--once');
    const data = ['--duration', '3', '--rate', '400 kbit/s'];
    const what = ['--interface', 'eth0', '--first-only', '--arms', 'random,stun', '--json'];
    const client = start(left, 'client', await server.invite(), ...what, ...data);
    expect(await client.ended(LIMIT_MS), client.story()).toBe(0);
    expect(client.log.find(({ msg }) => msg === 'connected')?.server).toBe(`through ${url}/`);
    const { paths, transfer } = client.report();
    expect(paths).toMatchObject([{ id: 'eth0-eth0-v4', state: 'established' }]);
    expect(transfer).toMatchObject({ complete: true, error: null });
    expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
    expect(await server.ended(LIMIT_MS), server.story()).toBe(0);
  });
});
