import fc from 'fast-check';
import { type Family, formatAddressBytes } from '../../src/base/address.js';
import {
  echoReply,
  echoRequest,
  ICMP_ERRORS,
  icmpError,
  type IcmpErrorName,
  type Packet,
  tcpPacket,
  udpPacket,
} from '../../src/world/packet.js';

const addresses: Readonly<Record<Family, fc.Arbitrary<string>>> = {
  ipv4: fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatAddressBytes),
  ipv6: fc.uint8Array({ minLength: 16, maxLength: 16, max: 0xff }).map(formatAddressBytes),
};
const byte = fc.nat(0xff);
const port = fc.nat(0xffff);
const word = fc.nat(0xffff_ffff);

const transport = (family: Family): fc.Arbitrary<Packet> =>
  fc
    .record({
      source: addresses[family],
      destination: addresses[family],
      ports: fc.tuple(port, port),
      payload: fc.uint8Array({ maxLength: 1500 }),
      tcp: fc.record({
        sequence: word,
        acknowledgment: word,
        flags: byte,
        window: port,
        options: fc.nat(10).chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 })),
      }),
      header: fc.record({ ttl: byte, trafficClass: byte }),
      dontFragment: fc.boolean(),
      kind: fc.constantFrom('udp', 'tcp', 'request', 'reply'),
    })
    .map(({ source, destination, ports, payload, tcp, header, dontFragment, kind }) => {
      const from = { family, address: source, port: ports[0] };
      const to = { family, address: destination, port: ports[1] };
      const request = echoRequest(family, source, destination, ports[0], payload, 64, ports[1]);
      const packet = {
        udp: () => udpPacket(from, to, payload),
        tcp: () => tcpPacket(from, to, tcp, payload),
        request: () => request,
        reply: () => echoReply(request),
      }[kind as 'udp']();
      // IPv6 has no such flag: whatever comes as one packet counts so.
      return { ...packet, ...header, dontFragment: family === 'ipv6' || dontFragment };
    });

/** UDP, TCP and ICMP echo of both families with anything in them. */
export const transportPackets = fc.oneof(transport('ipv4'), transport('ipv6'));

/** The same, and ICMP errors about them. */
export const packets: fc.Arbitrary<Packet> = fc
  .record({
    about: transportPackets,
    error: fc.option(fc.constantFrom(...(Object.keys(ICMP_ERRORS) as IcmpErrorName[])), { freq: 3 }),
    mtuBytes: fc.integer({ min: 1, max: 0xffff }),
  })
  .map(({ about, error, mtuBytes }) => {
    const packet = error && icmpError(about, about.destination, error, error === 'too-big' ? mtuBytes : null);
    return packet ? { ...packet, dontFragment: packet.family === 'ipv6' } : about;
  });
