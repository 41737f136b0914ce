import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { Network, single, type EndOptions, type Packet } from './network.js';

const SERVER = parseTransportAddress('198.18.0.1:3478');
/** Behind a NAT: a private address, mapped to `outside`. */
function home(host: number, outside: string, symmetric = false): EndOptions {
  const address = `192.168.${host}.2:5000`;
  return { interfaces: { eth0: { kind: 'ethernet', address, nat: { outside, symmetric } } }, servers: [SERVER] };
}

describe('NATs', () => {
  it('meets over server-reflexive candidates, both behind port-restricted NATs', () => {
    const net = new Network(home(1, '203.0.113.1'), home(2, '203.0.113.2')).start().run(10_000);
    for (const [index, end] of net.ends.entries()) {
      const valid = end.of('valid').filter(({ pair }) => pair.remote.address.address.startsWith('203.'));
      expect(valid).toHaveLength(1);
      expect(valid[0]?.pair.local.type).toBe('srflx');
      expect(valid[0]?.pair.local.address.address).toBe(`203.0.113.${index + 1}`);
      expect(end.of('reflexive')[0]?.server).toEqual(SERVER);
    }
  });

  it('learns the address of a far end behind a symmetric NAT from its checks, and which interface it is', () => {
    const right: EndOptions = {
      servers: [SERVER],
      interfaces: {
        eth0: { kind: 'ethernet', address: '192.168.2.2:5000', nat: { outside: '203.0.113.2', symmetric: true } },
        wwan0: { kind: 'cellular', address: '10.0.0.2:5000', nat: { outside: '192.0.2.2', symmetric: true } },
      },
    };
    const net = new Network({ interfaces: single(1) }, right).start().run(10_000);
    const [left, far] = net.ends;
    const learnt = left.of('valid').map(({ pair }) => pair.remote);
    expect(learnt.map((remote) => [remote.type, remote.address.address, remote.interface, remote.kind])).toEqual([
      ['prflx', '203.0.113.2', 'eth0', 'ethernet'],
      ['prflx', '192.0.2.2', 'wwan0', 'cellular'],
    ]);
    // The mapping towards this peer is another than the one towards the server (RFC 8445 §7.2.5.3.1).
    expect(far.of('valid').map(({ pair }) => pair.local.type)).toEqual(['prflx', 'prflx']);
  });

  it('tells the interface of an early check once its host candidate is signalled', () => {
    const net = new Network({ interfaces: single(1) }, home(2, '203.0.113.2', true), { signalMs: 5 });
    net.start();
    const [left, right] = net.ends;
    net.options = { ...net.options, signalMs: 300 };
    // The right end hears of the left long before the left hears of the right's candidates.
    const candidate = left.agent.localCandidates()[0];
    if (!candidate) throw new Error('no candidate');
    net.feed(right, { type: 'remote-candidate', candidate });
    net.feed(right, { type: 'remote-credentials', credentials: left.credentials, lite: false });
    net.feed(left, { type: 'remote-credentials', credentials: right.credentials, lite: false });
    net.run(100);
    expect(left.agent.pairs().some(({ remote }) => remote.type === 'prflx')).toBe(true);
    net.run(2000);
    expect(left.agent.pairs().find(({ remote }) => remote.type === 'prflx')?.remote.interface).toBe('eth0');
  });

  it('fails the pair where the far end is symmetric and this end filters by port', () => {
    const net = new Network(home(1, '203.0.113.1'), home(2, '203.0.113.2', true)).start().run(20_000);
    for (const end of net.ends) {
      expect(end.of('valid')).toHaveLength(0);
      expect(end.of('checks-done')).not.toHaveLength(0);
    }
  });

  it('gives a silent STUN server up within 3 s', () => {
    const options = { ...home(1, '203.0.113.1'), servers: [SERVER] };
    const drop = ({ send }: Packet) => send.purpose === 'gather';
    const net = new Network(options, { interfaces: single(2) }, { drop }).start().run(10_000);
    expect(net.ends[0].of('candidates-end')[0]?.at).toBeLessThan(3000);
    expect(net.ends[0].of('send').filter(({ purpose }) => purpose === 'gather')).toHaveLength(4);
  });

  it('signals a reflexive address that the caller found by other means', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) });
    const mapped = parseTransportAddress('192.0.2.77:1234');
    net.start();
    net.feed(net.ends[0], { type: 'reflexive', base: 'L/eth0', mapped });
    expect(net.ends[0].of('candidate').map(({ candidate }) => [candidate.type, candidate.address.address])).toEqual([
      ['host', '203.0.113.1'],
      ['srflx', '192.0.2.77'],
    ]);
  });
});
