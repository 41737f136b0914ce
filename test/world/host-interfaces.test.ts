import { describe, expect, it } from 'vitest';
import { parseTransportAddress, type TransportAddress } from '../../src/base/address.js';
import type { InterfaceAddress } from '../../src/base/interface.js';
import { SeededRandom } from '../../src/base/random.js';
import { Host, type UdpSocket, type WorldInterface } from '../../src/world/host.js';
import { type Cable, Network, type NetworkNode, type Plug } from '../../src/world/network.js';
import type { Packet } from '../../src/world/packet.js';
import { present, udp } from './packets.js';

/**
 * What a host does while an interface goes down, comes up, loses its carrier, or gets other addresses. The expected
 * answers are those of kernel 6.18, asked in a namespace with two veths, 10.1.0.2 and 10.2.0.2, and default routes of
 * metric 100 and 700: sendto(), bind() and connect() of sockets that were opened while both were up.
 */
const addresses = (network: number): InterfaceAddress[] => [
  { family: 'ipv4', address: `10.${network}.0.2`, prefixLength: 24 },
  { family: 'ipv6', address: `2001:db8:${network}::2`, prefixLength: 64 },
];
const on = (name: string, network: number): WorldInterface => ({
  name,
  kind: 'other',
  label: name,
  addresses: addresses(network),
});
const defaults = (name: string, network: number, metric: number) => [
  { to: '0.0.0.0/0', interface: name, gateway: `10.${network}.0.1`, metric },
  { to: '::/0', interface: name, gateway: `2001:db8:${network}::1`, metric },
];
const FAR = { ipv4: parseTransportAddress('192.0.2.1:3478'), ipv6: parseTransportAddress('[2001:db8:ff::10]:3478') };
const [V4, V6] = ['10.2.0.2', '2001:db8:2::2'];

class Wire implements NetworkNode {
  readonly seen: Packet[] = [];
  plug: Plug | null = null;

  plugIn(_port: string, plug: Plug): void {
    this.plug = plug;
  }

  receive(packet: Packet): void {
    this.seen.push(packet);
  }
}

class Laptop {
  readonly network = new Network(new SeededRandom(1));
  readonly wires = { eth0: new Wire(), wwan0: new Wire() };
  readonly cables: Record<'eth0' | 'wwan0', Cable>;
  readonly heard: string[] = [];
  readonly host = new Host({
    name: 'laptop',
    interfaces: [on('eth0', 1), on('wwan0', 2)],
    routes: [...defaults('eth0', 1, 100), ...defaults('wwan0', 2, 700)],
    random: new SeededRandom(1),
  });
  /** Opened while everything is up: address, and the device that it is pinned to. */
  readonly sockets: Record<string, UdpSocket>;

  constructor() {
    const wire = (port: 'eth0' | 'wwan0'): Cable =>
      this.network.connect({ node: this.host, port }, { node: this.wires[port], port: 'far' });
    this.cables = { eth0: wire('eth0'), wwan0: wire('wwan0') };
    const open = (address: string, device: string | null, port: number): UdpSocket => {
      const socket = this.bind(address, device, port);
      if (typeof socket === 'string') throw new Error(socket);
      return socket;
    };
    this.sockets = {
      v4: open(V4, null, 5000),
      v6: open(V6, null, 5000),
      'v4 pinned': open(V4, 'wwan0', 6000),
      'v6 pinned': open(V6, 'wwan0', 6000),
    };
  }

  bind(address: string, device: string | null, port = 0): UdpSocket | string {
    const local: TransportAddress = { family: address.includes(':') ? 'ipv6' : 'ipv4', address, port };
    return this.host.bind(local, device, { onDatagram: () => this.heard.push(address), onIcmp: () => undefined });
  }

  /** What each of them is told, and where its packet left: `ENETUNREACH`, `eth0`, `wwan0`, or `nowhere`. */
  sends(): Record<string, string> {
    return Object.fromEntries(
      Object.entries(this.sockets).map(([name, socket]) => {
        for (const { seen } of Object.values(this.wires)) seen.length = 0;
        const code = this.host.sendUdp(socket, FAR[socket.local.family], new Uint8Array(8));
        this.network.runUntil(this.network.now + 1);
        const [left] = Object.entries(this.wires).filter(([, { seen }]) => seen.length > 0);
        return [name, code ?? left?.[0] ?? 'nowhere'];
      }),
    );
  }

  binds(...where: [address: string, device: string | null][]): string[] {
    return where.map(([address, device]) => {
      const socket = this.bind(address, device);
      return typeof socket === 'string' ? socket : 'bound';
    });
  }

  hears(packet: Packet, device: 'eth0' | 'wwan0'): number {
    this.heard.length = 0;
    present(this.wires[device].plug).send(packet);
    this.network.runUntil(this.network.now + 1);
    return this.heard.length;
  }
}

const EVERY: [string, string | null][] = [
  [V4, null],
  [V6, null],
  [V4, 'wwan0'],
  [V6, 'wwan0'],
];

describe('an interface that is set down', () => {
  it('pinned sockets get ENETUNREACH, others leave by the other interface; the IPv6 address is gone, the IPv4 one is not', () => {
    const laptop = new Laptop();
    laptop.host.setUp('wwan0', false);
    expect(laptop.sends()).toEqual({
      v4: 'eth0',
      v6: 'eth0',
      'v4 pinned': 'ENETUNREACH',
      'v6 pinned': 'ENETUNREACH',
    });
    expect(laptop.binds(...EVERY)).toEqual(['bound', 'EADDRNOTAVAIL', 'bound', 'EADDRNOTAVAIL']);
  });

  it('hears nothing there; its IPv4 address is still the host’s on the other interface, its IPv6 one is not', () => {
    const laptop = new Laptop();
    laptop.host.setUp('wwan0', false);
    expect(laptop.hears(udp('192.0.2.1:3478', `${V4}:5000`), 'wwan0')).toBe(0);
    expect(laptop.hears(udp('192.0.2.1:3478', `${V4}:5000`), 'eth0')).toBe(1);
    expect(laptop.hears(udp('[2001:db8:ff::10]:3478', `[${V6}]:5000`), 'eth0')).toBe(0);
  });

  it('egress: without a device for pinned packets, by the other device for others', () => {
    const laptop = new Laptop();
    laptop.host.setUp('wwan0', false);
    const check = { interface: 'wwan0', from: V4, to: '192.0.2.1' };
    expect(laptop.host.checkEgress(check, true)).toMatchObject({ verdict: 'unknown', device: null, routed: false });
    expect(laptop.host.checkEgress(check, false)).toMatchObject({ verdict: 'mismatch', device: 'eth0' });
  });

  it('up again, with its routes and addresses as a network manager restores them, everything works as before', () => {
    const laptop = new Laptop();
    const before = laptop.sends();
    laptop.host.setUp('wwan0', false);
    laptop.host.setUp('wwan0', true);
    expect(laptop.sends()).toEqual(before);
    expect(before).toEqual({ v4: 'eth0', v6: 'eth0', 'v4 pinned': 'wwan0', 'v6 pinned': 'wwan0' });
    expect(laptop.binds(...EVERY)).toEqual(['bound', 'bound', 'bound', 'bound']);
  });

  it('the last one down: nobody can send', () => {
    const laptop = new Laptop();
    laptop.host.setUp('wwan0', false);
    laptop.host.setUp('eth0', false);
    expect(new Set(Object.values(laptop.sends()))).toEqual(new Set(['ENETUNREACH']));
  });
});

it('a cable that carries nothing: sends succeed as before, and nothing leaves', () => {
  const laptop = new Laptop();
  laptop.cables.wwan0.setUp(false);
  expect(laptop.sends()).toEqual({ v4: 'eth0', v6: 'eth0', 'v4 pinned': 'nowhere', 'v6 pinned': 'nowhere' });
  expect(laptop.binds(...EVERY)).toEqual(['bound', 'bound', 'bound', 'bound']);
});

describe('a modem that gets other addresses', () => {
  const renewed = (): Laptop => {
    const laptop = new Laptop();
    laptop.host.setAddresses('wwan0', addresses(9));
    return laptop;
  };

  it('sockets on the old ones: IPv4 gets ENETUNREACH, IPv6 still sends with an address that is nobody’s', () => {
    expect(renewed().sends()).toEqual({
      v4: 'ENETUNREACH',
      v6: 'eth0',
      'v4 pinned': 'ENETUNREACH',
      'v6 pinned': 'wwan0',
    });
  });

  it('the old ones cannot be bound, the new ones can; answers to the old ones are nobody’s', () => {
    const laptop = renewed();
    expect(laptop.binds(...EVERY)).toEqual(['EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'EADDRNOTAVAIL']);
    expect(laptop.binds(['10.9.0.2', 'wwan0'], ['2001:db8:9::2', null])).toEqual(['bound', 'bound']);
    expect(laptop.hears(udp('192.0.2.1:3478', `${V4}:6000`), 'wwan0')).toBe(0);
    expect(laptop.host.readCounters().host.IpInAddrErrors).toBe(1);
  });

  it('the connected route is that of the new network', () => {
    const laptop = renewed();
    const egress = (to: string, from: string) =>
      laptop.host.checkEgress({ interface: 'wwan0', from, to }, false).device;
    expect([egress('10.9.0.77', '10.9.0.2'), egress('10.2.0.77', '10.9.0.2')]).toEqual(['wwan0', 'eth0']);
    // `ip route get … from 10.2.0.2`: Network is unreachable.
    expect(laptop.host.checkEgress({ interface: 'wwan0', from: V4, to: '192.0.2.1' }, true)).toMatchObject({
      verdict: 'unknown',
      device: null,
    });
  });
});

it('without its default routes an interface sends into the void where it is pinned, by the other where not; they come back', () => {
  const laptop = new Laptop();
  const before = laptop.sends();
  laptop.host.setDefaultRoutes('wwan0', false);
  // IPv4 takes the far address for a neighbour, whom nobody answers for (facts.md); IPv6 has no route.
  expect(laptop.sends()).toEqual({ v4: 'eth0', v6: 'eth0', 'v4 pinned': 'nowhere', 'v6 pinned': 'ENETUNREACH' });
  laptop.host.setDefaultRoutes('wwan0', true);
  expect(laptop.sends()).toEqual(before);
});

it('an interface that the host does not have is a mistake of the caller’s', () => {
  expect(() => {
    new Laptop().host.setUp('usb7', false);
  }).toThrow(RangeError);
});
