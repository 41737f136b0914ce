import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Netns } from '../support/netns.js';
import { Programs } from '../support/programs.js';
import { describeWith } from '../support/skip.js';
import { threeHosts } from '../support/three-hosts.js';

// Two hosts that share no network: each has one link to a third, which runs `icepath rendezvous` and routes UDP between
// them. No TCP connection goes from the one to the other, so the control channel can only run through the rendezvous.

const LIMIT_MS = 100_000;

describeWith(['linux', 'root', 'ip', 'nft'], 'two hosts without a shared network', () => {
  let programs: Programs;
  const hosts: Netns[] = [];
  beforeAll(() => {
    programs = new Programs();
  }, 60_000);
  afterAll(async () => {
    await programs.end();
    for (const host of hosts) host.remove();
    programs.remove();
  });

  test('meet at the rendezvous, find their path, and send data over it', async () => {
    const { left, middle, right } = threeHosts('ip-rdv-', hosts);
    middle.sysctl('net.ipv4.ip_forward', 1);
    middle.nft(
      'table ip t {\n chain f {\n type filter hook forward priority 0\n meta l4proto tcp counter drop\n }\n}\n',
    );

    const meeting = programs.startIn(middle, 'rendezvous', '--listen', '0.0.0.0:4810');
    await meeting.logs(({ msg }) => msg === 'listening');
    const url = 'ws://10.83.2.1:4810';
    const server = programs.startIn(right, 'server', '--interface', 'eth0', '--rendezvous', url, '--once');
    const data = ['--duration', '3', '--rate', '400 kbit/s'];
    const what = ['--interface', 'eth0', '--first-only', '--arms', 'random,stun', '--json'];
    const client = programs.startIn(left, 'client', await server.invite(), ...what, ...data);
    expect(await client.ended(LIMIT_MS), client.story()).toBe(0);
    expect(client.log.find(({ msg }) => msg === 'connected')?.server).toBe(`through ${url}/`);
    const { paths, transfer } = client.report();
    expect(paths).toMatchObject([{ id: 'eth0-eth0-v4', state: 'established' }]);
    expect(transfer).toMatchObject({ complete: true, error: null });
    expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
    expect(await server.ended(LIMIT_MS), server.story()).toBe(0);
  });
});
