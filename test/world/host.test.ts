import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import { Host, type HostOptions, type UdpSocket, type WorldInterface } from '../../src/world/host.js';
import { Network, type NetworkNode, type Plug } from '../../src/world/network.js';
import { icmpError, isIcmpError, type Packet } from '../../src/world/packet.js';
import { source, udp } from './packets.js';

function on(name: string, address: string, more: Partial<WorldInterface> = {}): WorldInterface {
  return { name, kind: 'other', label: name, addresses: [{ family: 'ipv4', address, prefixLength: 24 }], ...more };
}

/** The far end of one of the host's cables. */
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

const ETH0 = '10.1.0.2';
const WWAN0 = '10.2.0.2';
const FAR = '192.0.2.1:3478';
const METRICS = [
  { to: '0.0.0.0/0', interface: 'eth0', gateway: '10.1.0.1', metric: 100 },
  { to: '0.0.0.0/0', interface: 'wwan0', gateway: '10.2.0.1', metric: 700 },
];

/** eth0 with metric 100, wwan0 with metric 700: facts.md's laptop. */
class Laptop {
  readonly network = new Network(new SeededRandom(1));
  readonly wires = { eth0: new Wire(), wwan0: new Wire() };
  readonly heard: string[] = [];
  readonly errors: string[] = [];
  readonly host: Host;

  constructor(options: Partial<HostOptions> = {}) {
    this.host = new Host({
      name: 'laptop',
      interfaces: [on('eth0', ETH0), on('wwan0', WWAN0)],
      routes: METRICS,
      random: new SeededRandom(1),
      ...options,
    });
    for (const port of ['eth0', 'wwan0'] as const) {
      this.network.connect({ node: this.host, port }, { node: this.wires[port], port: 'far' });
    }
  }

  bind(address: string, device: string | null): UdpSocket {
    const name = `${address} on ${device ?? 'any'}`;
    const socket = this.host.bind(parseTransportAddress(address), device, {
      onDatagram: () => this.heard.push(name),
      onIcmp: (to, { type, code, from }) => this.errors.push(`${type}/${code} from ${from} about ${to.address}`),
    });
    if (typeof socket === 'string') throw new Error(socket);
    return socket;
  }

  /** What left, by device. */
  send(socket: UdpSocket, to: string, bytes = 8): { code: string | null; eth0: string[]; wwan0: string[] } {
    const code = this.host.sendUdp(socket, parseTransportAddress(to), new Uint8Array(bytes));
    this.network.runUntil(this.network.now + 1);
    return { code, eth0: this.wires.eth0.seen.map(source), wwan0: this.wires.wwan0.seen.map(source) };
  }

  receive(packet: Packet, device: 'eth0' | 'wwan0'): void {
    this.wires[device].plug?.send(packet);
    this.network.runUntil(this.network.now + 1);
  }

  counter(name: string): number | undefined {
    return this.host.readCounters().host[name];
  }
}

describe('where packets leave (facts.md)', () => {
  it('a socket that is bound to the second interface’s address leaves by the route of lowest metric', () => {
    const laptop = new Laptop();
    const sent = laptop.send(laptop.bind(`${WWAN0}:5000`, null), FAR);
    expect(sent).toEqual({ code: null, eth0: [`${WWAN0}:5000`], wwan0: [] });
    const egress = laptop.host.checkEgress({ interface: 'wwan0', from: WWAN0, to: '192.0.2.1' }, false);
    expect(egress).toMatchObject({ verdict: 'mismatch', device: 'eth0', gateway: '10.1.0.1' });
  });

  it('pinned to the device it leaves there', () => {
    const laptop = new Laptop();
    const sent = laptop.send(laptop.bind(`${WWAN0}:5000`, 'wwan0'), FAR);
    expect(sent).toEqual({ code: null, eth0: [], wwan0: [`${WWAN0}:5000`] });
    const egress = laptop.host.checkEgress({ interface: 'wwan0', from: WWAN0, to: '192.0.2.1' }, true);
    expect(egress).toMatchObject({ verdict: 'verified', device: 'wwan0', gateway: '10.2.0.1', routed: true });
  });

  it('a policy rule for its address mends it too', () => {
    const laptop = new Laptop({
      rules: [{ priority: 100, from: WWAN0, table: 'modem' }],
      routes: [...METRICS, { to: '0.0.0.0/0', interface: 'wwan0', table: 'modem' }],
    });
    expect(laptop.send(laptop.bind(`${WWAN0}:5000`, null), FAR)).toMatchObject({ eth0: [], wwan0: [`${WWAN0}:5000`] });
  });

  it('the longer prefix beats the lower metric', () => {
    const laptop = new Laptop({ routes: [...METRICS, { to: '192.0.2.0/24', interface: 'wwan0', metric: 900 }] });
    expect(laptop.send(laptop.bind(`${WWAN0}:5000`, null), FAR)).toMatchObject({ eth0: [], wwan0: [`${WWAN0}:5000`] });
  });

  it('pinned where no route leads: the send succeeds and nothing leaves', () => {
    const laptop = new Laptop({ routes: METRICS.slice(0, 1) });
    expect(laptop.send(laptop.bind(`${WWAN0}:5000`, 'wwan0'), FAR)).toEqual({ code: null, eth0: [], wwan0: [] });
    expect(laptop.host.checkEgress({ interface: 'wwan0', from: WWAN0, to: '192.0.2.1' }, true)).toMatchObject({
      verdict: 'unknown',
      routed: false,
    });
  });

  it('without any route the kernel refuses, and counts', () => {
    const laptop = new Laptop({ routes: [] });
    expect(laptop.send(laptop.bind(`${WWAN0}:5000`, null), FAR).code).toBe('ENETUNREACH');
    expect(laptop.counter('IpOutNoRoutes')).toBe(1);
  });

  it('an interface that went down takes its routes along, and brings them back', () => {
    const laptop = new Laptop();
    laptop.host.setUp('eth0', false);
    const socket = laptop.bind(`${WWAN0}:5000`, null);
    expect(laptop.send(socket, FAR)).toMatchObject({ eth0: [], wwan0: [`${WWAN0}:5000`] });
    laptop.host.setUp('eth0', true);
    expect(laptop.send(socket, FAR).eth0).toHaveLength(1);
    laptop.host.setUp('wwan0', false);
    expect(laptop.send(laptop.bind(`${WWAN0}:5001`, 'wwan0'), FAR).code).toBe('ENETUNREACH');
  });

  it('what is larger than the interface’s MTU is refused: 1472 bytes fit into 1500', () => {
    const laptop = new Laptop();
    const socket = laptop.bind(`${ETH0}:5000`, 'eth0');
    expect(laptop.send(socket, FAR, 1472).code).toBeNull();
    expect(laptop.send(socket, FAR, 1473).code).toBe('EMSGSIZE');
  });

  it('an own address is reached without leaving', () => {
    const laptop = new Laptop();
    laptop.bind(`${WWAN0}:6000`, null);
    expect(laptop.send(laptop.bind(`${ETH0}:5000`, null), `${WWAN0}:6000`)).toEqual({
      code: null,
      eth0: [],
      wwan0: [],
    });
    expect(laptop.heard).toEqual([`${WWAN0}:6000 on any`]);
  });
});

describe('what comes in', () => {
  it.each([
    [0, true],
    [2, true],
    [1, false],
  ] as const)('rp_filter=%i on the interface that is not the default route: heard %s', (rpFilter, heard) => {
    const laptop = new Laptop({ interfaces: [on('eth0', ETH0), on('wwan0', WWAN0, { rpFilter })] });
    laptop.bind(`${WWAN0}:5000`, 'wwan0');
    for (let reply = 0; reply < 5; reply += 1) laptop.receive(udp(FAR, `${WWAN0}:5000`), 'wwan0');
    // facts.md: 0 of 5 replies, TcpExtIPReversePathFilter +5.
    expect(laptop.heard).toHaveLength(heard ? 5 : 0);
    expect(laptop.counter('TcpExtIPReversePathFilter')).toBe(heard ? 0 : 5);
    expect(laptop.host.readCounters().interfaces.wwan0?.rxPackets).toBe(5);
    expect(laptop.host.readCounters().rpFilter).toEqual({ eth0: 0, wwan0: rpFilter });
  });

  it('rp_filter=2 wants a route at least', () => {
    const interfaces = [on('eth0', ETH0), on('wwan0', WWAN0, { rpFilter: 2 })];
    const laptop = new Laptop({ interfaces, routes: [] });
    laptop.bind(`${WWAN0}:5000`, 'wwan0');
    laptop.receive(udp(FAR, `${WWAN0}:5000`), 'wwan0');
    expect(laptop.heard).toEqual([]);
  });

  it('a pinned socket hears only its device; an unpinned one the others', () => {
    const laptop = new Laptop();
    laptop.bind(`${WWAN0}:5000`, 'wwan0');
    laptop.receive(udp(FAR, `${WWAN0}:5000`), 'eth0');
    expect(laptop.heard).toEqual([]);
    laptop.receive(udp(FAR, `${WWAN0}:5000`), 'wwan0');
    expect(laptop.heard).toEqual([`${WWAN0}:5000 on wwan0`]);
  });

  it.each([
    ['weak', 1],
    ['strong', 0],
  ] as const)('RFC 1122 §3.3.4.2, %s host: an address of the other interface is heard %i times', (model, times) => {
    const laptop = new Laptop({ model });
    laptop.bind(`${WWAN0}:5000`, null);
    laptop.receive(udp(FAR, `${WWAN0}:5000`), 'eth0');
    expect(laptop.heard).toHaveLength(times);
    expect(laptop.counter('IpInAddrErrors')).toBe(1 - times);
  });

  it('a closed port is answered with 3/3, quoting the packet, and counted', () => {
    const laptop = new Laptop();
    laptop.receive(udp(FAR, `${ETH0}:5000`), 'eth0');
    const [answer] = laptop.wires.eth0.seen;
    expect(answer).toMatchObject({ source: ETH0, destination: '192.0.2.1', icmp: { type: 3, code: 3 } });
    expect(answer && isIcmpError(answer) && source(answer.icmp.quoted)).toBe(FAR);
    expect(laptop.counter('UdpNoPorts')).toBe(1);
  });

  it('an ICMP error reaches the socket that sent what it quotes', () => {
    const laptop = new Laptop();
    laptop.bind(`${ETH0}:5000`, 'eth0');
    laptop.bind(`${ETH0}:5001`, 'eth0');
    const error = icmpError(udp(`${ETH0}:5000`, FAR), '203.0.113.9', 'admin-prohibited');
    if (error) laptop.receive(error, 'eth0');
    expect(laptop.errors).toEqual(['3/13 from 203.0.113.9 about 192.0.2.1']);
  });
});

describe('binding', () => {
  it('refuses as the kernel does', () => {
    const laptop = new Laptop();
    const bind = (address: string, device: string | null) => {
      const socket = laptop.host.bind(parseTransportAddress(address), device, {
        onDatagram: () => undefined,
        onIcmp: () => undefined,
      });
      return typeof socket === 'string' ? socket : 'bound';
    };
    expect(bind(`${ETH0}:5000`, 'eth0')).toBe('bound');
    expect(bind(`${ETH0}:5000`, 'eth0')).toBe('EADDRINUSE');
    expect(bind(`${ETH0}:5000`, null)).toBe('EADDRINUSE');
    expect(bind('10.9.9.9:5000', null)).toBe('EADDRNOTAVAIL');
    expect(bind(`${ETH0}:5001`, 'usb7')).toBe('ENODEV');
  });

  it('port 0 is any ephemeral one, and a closed socket hears nothing', () => {
    const laptop = new Laptop();
    const socket = laptop.bind(`${ETH0}:0`, null);
    expect(socket.local.port).toBeGreaterThanOrEqual(32_768);
    expect(socket.local.port).toBeLessThanOrEqual(60_999);
    laptop.host.close(socket);
    laptop.receive(udp(FAR, `${ETH0}:${socket.local.port}`), 'eth0');
    expect(laptop.heard).toEqual([]);
  });
});
