import { expect, it } from 'vitest';
import { formatTransportAddress, parseTransportAddress } from '../../src/base/address.js';
import { Network, single, type EndOptions } from './network.js';

/**
 * The situation of RFC 8445 §15: L behind a NAT with endpoint-independent mapping, R on a public address, one STUN
 * server. Packets take 10 ms, signalling none; Ta is 20 ms, and 5 ms for what is first.
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
    // L asks the server first. Both wait 5 ms for more candidates; R's candidate is reached, L's is not.
    `0 gather ${nat} → ${server}`,
    `5 check ${nat} → ${publicly}`,
    `5 check ${publicly} → ${inside}`,
    // R answers what came, and checks back (triggered): L is a peer-reflexive candidate to it.
    `15 response ${publicly} → ${nat}`,
    `15 check ${publicly} → ${nat}`,
    // L's check was answered: it nominates. It answers R's.
    `25 check ${nat} → ${publicly}`,
    `25 response ${nat} → ${publicly}`,
    // The nomination comes before the answer to R's own check, and triggers another.
    `35 response ${publicly} → ${nat}`,
    `35 check ${publicly} → ${nat}`,
    `45 response ${nat} → ${publicly}`,
  ]);
  const [l, r] = net.ends;
  expect([l.of('valid')[0]?.at, r.of('valid')[0]?.at]).toEqual([25, 35]);
  expect([l.of('selected')[0]?.at, r.of('selected')[0]?.at]).toEqual([45, 35]);
});
