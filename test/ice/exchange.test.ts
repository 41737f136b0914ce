import { expect, it } from 'vitest';
import { formatTransportAddress, parseTransportAddress } from '../../src/base/address.js';
import { Network, single, type EndOptions } from './network.js';

/**
 * The situation of RFC 8445 §15: L behind a NAT with endpoint-independent mapping, R on a public address, one STUN
 * server. Packets take 10 ms, signalling none; Ta is 20 ms.
 */
const SERVER = parseTransportAddress('192.0.2.2:3478');
const left: EndOptions = {
  interfaces: { eth0: { kind: 'ethernet', address: '10.0.1.1:8998', nat: { outside: '192.0.2.3' } } },
  servers: [SERVER],
  mode: 'first-only',
};

it('exchanges exactly the packets of RFC 8445 §15', () => {
  const right: EndOptions = { interfaces: single(141), mode: 'first-only' };
  const net = new Network(left, right).start().run(4000);
  const seen = net.packets.map(({ at, from, to, send }) =>
    [at, send.purpose, formatTransportAddress(from), '→', formatTransportAddress(to)].join(' '),
  );
  const [server, nat, publicly, inside] = ['192.0.2.2:3478', '192.0.2.3:40000', '203.0.113.141:5000', '10.0.1.1:8998'];
  expect(seen).toEqual([
    // L asks the server first; R tries the host candidate, which is unreachable, once it waited 5 ms for others.
    `0 gather ${nat} → ${server}`,
    `5 check ${publicly} → ${inside}`,
    // L hears its reflexive address at 20 and is free to check; R hears of it as well and checks it in its next slot.
    `20 check ${nat} → ${publicly}`,
    `25 check ${publicly} → ${nat}`,
    // Each answers what came, and checks back (triggered), for its own check is not answered yet.
    `30 response ${publicly} → ${nat}`,
    `35 response ${nat} → ${publicly}`,
    // L's check was answered at 40: it nominates; R's was at 45.
    `40 check ${nat} → ${publicly}`,
    `45 check ${publicly} → ${nat}`,
    `50 response ${publicly} → ${nat}`,
    `55 response ${nat} → ${publicly}`,
  ]);
  const [l, r] = net.ends;
  expect([l.of('valid')[0]?.at, r.of('valid')[0]?.at]).toEqual([40, 45]);
  expect([l.of('selected')[0]?.at, r.of('selected')[0]?.at]).toEqual([60, 50]);
});
