import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import type { Report } from '../../src/verdict/report.js';
import { type Carrier, CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { buildInternet } from '../../src/world/internet.js';
import { mesh, virtualRun } from './worlds.js';

/** What a session's own NAT probes say of the client's modem: measured from inside, towards the reference. */
function measured(carrier: Carrier): Report['run']['hosts'][number]['interfaces'][number]['nat']['ipv4'] {
  const uplinks = mesh({ o2: { carrier } }).filter(({ kind }) => kind === 'cellular');
  const report = virtualRun({ uplinks, plan: { arms: ['random', 'stun'] } }).run();
  const client = report.run.hosts.find(({ role }) => role === 'client');
  return client?.interfaces.find(({ name }) => name === 'wwan0')?.nat.ipv4;
}

describe('what RFC 5780 measures is what was built', () => {
  for (const mapping of ['eim', 'adm', 'apdm'] as const) {
    for (const filtering of ['eif', 'adf', 'apdf'] as const) {
      it(`${mapping}, ${filtering}`, () => {
        const nat = measured(natCarrier('measured', 'a test', { mapping, filtering, ports: 'random' }));
        expect(nat).toMatchObject({ mapping, filtering });
      });
    }
  }

  it('the spoil test: 3 of 3 on an unguarded Linux NAT, 0 of 3 on a guarded one (facts.md)', () => {
    expect(measured(natCarrier('unguarded', 'a test', 'linux-unguarded'))?.spoil).toEqual({ n: 3, k: 3 });
    expect(measured(natCarrier('guarded', 'a test', 'linux-guarded'))?.spoil).toEqual({ n: 3, k: 0 });
  });

  it('a port is preserved where it is built so', () => {
    expect(measured(CARRIERS.open)?.portPreservation).toBe(true);
    expect(measured(CARRIERS.symmetric)?.portPreservation).toBe(false);
  });
});

/** Whether each TTL gets from the host to the reference, and who says that it did not. */
function hops(carrier: Carrier): string[] {
  const uplink = { host: 'client', interface: 'wwan0', kind: 'cellular', label: 'o2', metric: 700 } as const;
  const { network, hosts } = buildInternet({ seed: 1, lan: null, uplinks: [{ ...uplink, carrier }] });
  const said: string[] = [];
  const own = hosts.client.interfaces[0]?.addresses[0]?.address ?? '';
  for (let ttl = 1; ttl <= 5; ttl += 1) {
    const socket = hosts.client.bind(parseTransportAddress(`${own}:0`), 'wwan0', {
      onDatagram: () => undefined,
      onIcmp: (_to, { type, from }) => said.push(`${ttl}: ${type === 11 ? 'time exceeded' : 'closed port'} at ${from}`),
    });
    if (typeof socket === 'string') throw new Error(socket);
    hosts.client.sendUdp(socket, parseTransportAddress('192.0.2.10:9'), new Uint8Array(8), ttl);
    network.runUntil(network.now + 1000);
  }
  return said;
}

describe('how far packets get', () => {
  it('one NAT, the public router, the reference', () => {
    expect(hops(CARRIERS.home)).toEqual([
      '1: time exceeded at 10.10.0.1',
      '2: time exceeded at 192.0.2.1',
      ...[3, 4, 5].map((ttl) => `${ttl}: closed port at 192.0.2.10`),
    ]);
  });

  it('a phone and a CGNAT are a hop more (facts.md: an opener of 3 instead of 2)', () => {
    expect(hops(CARRIERS.android)).toEqual([
      '1: time exceeded at 10.10.0.1',
      '2: time exceeded at 100.64.1.1',
      '3: time exceeded at 192.0.2.1',
      ...[4, 5].map((ttl) => `${ttl}: closed port at 192.0.2.10`),
    ]);
  });
});

it('every carrier says where it was observed', () => {
  for (const [key, { name, observed }] of Object.entries(CARRIERS)) {
    expect(name).toBe(key);
    expect(observed.length).toBeGreaterThan(20);
  }
});
