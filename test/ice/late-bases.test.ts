import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { type End, Network, type Packet } from './network.js';

const SERVER = parseTransportAddress('198.18.0.1:3478');
const ADDRESSES = { L: '203.0.113.1', R: '203.0.113.2' } as const;
/** The first sockets have port 5000, the late ones 6000; what goes to or from the first is dropped. */
const dead = ({ from, to, send }: Packet): boolean =>
  send.purpose !== 'gather' && (from.port === 5000 || to.port === 5000);

function sides(host: keyof typeof ADDRESSES) {
  const at = (port: number) => ({ kind: 'ethernet' as const, address: `${ADDRESSES[host]}:${port}` });
  return { interfaces: { eth0: at(5000), late: at(6000) }, servers: [SERVER] };
}

function base(end: End, interfaceName: 'eth0' | 'late') {
  const address = parseTransportAddress(end.interfaces[interfaceName]?.address ?? '');
  return { id: `${end.name}/${interfaceName}`, address, interface: 'eth0', kind: 'ethernet', label: 'lan' } as const;
}

/** Both agents have tried their first sockets in vain. */
function failed(): Network {
  const net = new Network(sides('L'), sides('R'), { drop: dead });
  for (const end of net.ends) {
    net.signal(end, { type: 'remote-credentials', credentials: end.credentials, lite: false });
    net.feed(end, { type: 'base', base: base(end, 'eth0') });
    net.feed(end, { type: 'bases-end' });
  }
  return net.run(20_000);
}

function join(net: Network, group: string): void {
  for (const end of net.ends) {
    net.feed(end, { type: 'base', base: { ...base(end, 'late'), group, arm: 'stun~40', gathered: true } });
  }
}

const late = (end: End) => end.outputs.filter(({ at, type }) => at >= 20_000 && type === 'send');

describe('bases that join later, for one path alone', () => {
  it('come up where the first ones are dead, in the arm that they were given from their first check on', () => {
    const net = failed();
    for (const end of net.ends) expect(end.of('valid')).toEqual([]);
    join(net, 'again#1');
    net.run(25_000);
    for (const end of net.ends) {
      const valid = end.of('valid');
      expect(valid.map(({ pair }) => [pair.local.address.port, pair.remote.address.port, pair.arm])).toEqual([
        [6000, 6000, 'stun~40'],
      ]);
      expect(end.of('checks-done').length).toBeGreaterThan(1);
      for (const send of late(end)) expect(send).toMatchObject({ arm: 'stun~40', base: `${end.name}/late` });
    }
    expect(net.ends[0].of('selected').map(({ pair }) => pair.local.address.port)).toEqual([6000]);
  });

  it('pair with candidates of their own group only, and ask no STUN server', () => {
    const net = failed();
    join(net, 'again#1');
    net.run(25_000);
    for (const end of net.ends) {
      const pairs = end.agent.pairs().map(({ local, remote }) => `${local.address.port} ${remote.address.port}`);
      expect(pairs.sort()).toEqual(['5000 5000', '6000 6000']);
      expect(late(end).filter((send) => send.type === 'send' && send.purpose === 'gather')).toEqual([]);
    }
  });

  it('send nothing while the far end’s are not known', () => {
    const net = failed();
    const [left] = net.ends;
    left.peer = null;
    net.feed(left, { type: 'base', base: { ...base(left, 'late'), group: 'again#1', gathered: true } });
    net.run(30_000);
    expect(late(left)).toEqual([]);
  });
});
