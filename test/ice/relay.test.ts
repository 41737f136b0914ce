import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { formatCandidate, parseCandidate } from '../../src/ice/candidate.js';
import type { Base } from '../../src/ice/types.js';
import { type End, Network, type NetworkOptions } from './network.js';

const SERVER = parseTransportAddress('198.18.0.1:3478');
const HOSTS = { L: '203.0.113.1', R: '203.0.113.2' } as const;
/** Where the relays of each are; as far as the agent is concerned a socket like any other. */
const RELAYS = { L: '198.18.0.1:50001', R: '198.18.0.1:50002' } as const;

function sides(host: keyof typeof HOSTS) {
  return {
    interfaces: {
      eth0: { kind: 'ethernet' as const, address: `${HOSTS[host]}:5000` },
      relay: { kind: 'ethernet' as const, address: RELAYS[host] },
    },
  };
}

function relayBase({ name }: End): Base {
  const own = name as keyof typeof HOSTS;
  return {
    ...{ id: `${own}/relay`, address: parseTransportAddress(RELAYS[own]), gathered: true },
    ...{ interface: 'eth0', kind: 'ethernet', label: 'lan' },
    relay: { server: SERVER, mapped: parseTransportAddress(`${HOSTS[own]}:5000`) },
  };
}

function start(options: NetworkOptions = {}): Network {
  const network = new Network(sides('L'), sides('R'), options);
  for (const end of network.ends) {
    network.signal(end, { type: 'remote-credentials', credentials: end.credentials, lite: false });
    const own = end.name as keyof typeof HOSTS;
    const address = parseTransportAddress(`${HOSTS[own]}:5000`);
    const host: Base = { id: `${own}/eth0`, address, interface: 'eth0', kind: 'ethernet', label: 'lan' };
    network.feed(end, { type: 'base', base: host });
    network.feed(end, { type: 'base', base: relayBase(end) });
    network.feed(end, { type: 'bases-end' });
  }
  return network.run(20_000);
}

describe('a base that is a TURN allocation', () => {
  it('is a relay candidate: type preference 0, and what the server saw as its related address (RFC 8445 §5.1.2.2)', () => {
    const [left] = start().ends;
    const relay = left.of('candidate').find(({ candidate }) => candidate.type === 'relay')?.candidate;
    expect(relay).toMatchObject({ address: parseTransportAddress(RELAYS.L), interface: 'eth0' });
    expect((relay?.priority ?? NaN) >>> 24).toBe(0);
    const line = relay ? formatCandidate(relay) : '';
    expect(line).toMatch(/ 198\.18\.0\.1 50001 typ relay raddr 203\.0\.113\.1 rport 5000$/);
    expect(parseCandidate(line)).toMatchObject({ type: 'relay', address: relay?.address, related: relay?.related });
  });

  it('is the last choice: the direct pair is selected where there is one', () => {
    const network = start();
    for (const end of network.ends) {
      expect(end.of('selected').at(-1)?.pair).toMatchObject({ local: { type: 'host' }, remote: { type: 'host' } });
    }
  });

  it('carries what nothing else carries', () => {
    const direct = new Set<string>(Object.values(HOSTS));
    const network = start({ drop: ({ from, to }) => direct.has(from.address) && direct.has(to.address) });
    for (const end of network.ends) {
      const types = end.of('valid').map(({ pair }) => [pair.local.type, pair.remote.type].join(' '));
      expect(types.sort()).toEqual(['host relay', 'relay host', 'relay relay']);
      expect(end.of('selected')).not.toEqual([]);
    }
  });

  it('asks no STUN server of its own', () => {
    const [left] = start().ends;
    expect(left.of('send').filter(({ purpose, base }) => purpose === 'gather' && base === 'L/relay')).toEqual([]);
  });
});
