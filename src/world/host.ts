import { type Family, formatTransportAddress, type TransportAddress } from '../base/address.js';
import type { HostInterface, InterfaceAddress } from '../base/interface.js';
import { integerBetween, type Random } from '../base/random.js';
import type { CounterSnapshot, EgressCheck, EgressResult, IcmpError } from '../session/io.js';
import { IcmpBudget } from './box.js';
import type { Network, NetworkNode, Plug } from './network.js';
import {
  destinationOf,
  echoReply,
  EPHEMERAL_PORTS,
  icmpError,
  type IcmpErrorPacket,
  isEchoRequest,
  isIcmpError,
  type Packet,
  sourceOf,
  udpPacket,
} from './packet.js';
import { type PolicyRule, type Route, RoutingTable } from './routing-table.js';
import { TcpStack, type TcpTarget, type TcpWay } from './tcp.js';

export interface WorldInterface extends HostInterface {
  readonly mtuBytes?: number;
  /** 0 off, 1 strict, 2 loose (RFC 3704). */
  readonly rpFilter?: 0 | 1 | 2;
  /** Addresses of others on the same wire, beside gateways: who answers when they are asked for. */
  readonly neighbours?: readonly string[];
  /** Resolvers that the network gives its customers. */
  readonly nameservers?: readonly string[];
  /** When its host starts: down, and without addresses to its programs; or not there, and to be plugged in. */
  readonly starts?: 'down' | 'absent';
  /** No neighbours to ask for: a modem's raw IP, TUN. */
  readonly pointToPoint?: boolean;
}

export interface HostOptions {
  readonly name: string;
  readonly interfaces: readonly WorldInterface[];
  readonly routes: readonly Route[];
  readonly rules?: readonly PolicyRule[];
  /** RFC 1122 §3.3.4.2: a weak host takes packets to any of its addresses on any interface, as Linux does. */
  readonly model?: 'weak' | 'strong';
  readonly random: Random;
}

/** A UDP socket as a kernel has it. */
export interface UdpSocket {
  readonly local: TransportAddress;
  /** The device it is pinned to. */
  readonly device: string | null;
  readonly onDatagram: (from: TransportAddress, bytes: Uint8Array) => void;
  readonly onIcmp: (to: TransportAddress, error: IcmpError, quoted: Uint8Array) => void;
}

interface Port {
  readonly on: WorldInterface;
  addresses: readonly InterfaceAddress[];
  plug: Plug | null;
  /** Administratively. */
  up: boolean;
  /** Whether it has been plugged in. */
  there: boolean;
  readonly counters: { rxPackets: number; txPackets: number; rxDropped: number; txDropped: number };
}

const DEFAULT_MTU_BYTES = 1500;
const LOOPBACK_MTU_BYTES = 65_536;
const UNSPECIFIED: Readonly<Record<Family, string>> = { ipv4: '0.0.0.0', ipv6: '::' };

/** A host: interfaces, a routing table, sockets. It forwards nothing. */
export class Host implements NetworkNode {
  readonly name: string;
  /** As a session is told of them. */
  readonly interfaces: readonly HostInterface[];
  readonly tcp: TcpStack;
  readonly #options: HostOptions;
  readonly #ports: ReadonlyMap<string, Port>;
  readonly #table: RoutingTable;
  /** By address and port, of both pinned and unpinned ones. */
  readonly #sockets = new Map<string, UdpSocket[]>();
  readonly #counters: Record<string, number> = {
    TcpExtIPReversePathFilter: 0,
    IpInAddrErrors: 0,
    IpOutNoRoutes: 0,
    UdpNoPorts: 0,
    Ip6InAddrErrors: 0,
    Ip6OutNoRoutes: 0,
    Udp6NoPorts: 0,
  };
  readonly #budget = new IcmpBudget();
  #network: Network | null = null;
  /** Told when addresses come or go: who reads `ip monitor`. */
  onInterfaces: ((interfaces: readonly HostInterface[]) => void) | null = null;

  constructor(options: HostOptions) {
    this.#options = options;
    this.name = options.name;
    this.interfaces = options.interfaces.map(({ name, kind, label, addresses }) => ({ name, kind, label, addresses }));
    this.#ports = new Map(
      options.interfaces.map((on) => [
        on.name,
        {
          on,
          addresses: on.addresses,
          plug: null,
          up: on.starts === undefined,
          there: on.starts !== 'absent',
          counters: { rxPackets: 0, txPackets: 0, rxDropped: 0, txDropped: 0 },
        },
      ]),
    );
    const routed = [...this.#ports.values()].map((port) => ({
      name: port.on.name,
      addresses: () => port.addresses,
      pointToPoint: port.on.pointToPoint ?? false,
      isUp: () => port.up,
    }));
    this.#table = new RoutingTable(routed, options.routes, options.rules ?? []);
    this.tcp = new TcpStack({
      random: options.random,
      wayTo: (target) => this.#wayTo(target),
      send: (packet, device) => this.#send(packet, device),
    });
  }

  plugIn(port: string, plug: Plug, network: Network): void {
    this.#port(port).plug = plug;
    this.#network = network;
    this.tcp.plugIn(network);
    this.#table.forget();
  }

  nameserversOf(name: string): readonly string[] {
    return this.#ports.get(name)?.on.nameservers ?? [];
  }

  /** `ip link set … up|down`. Its routes and IPv6 addresses come and go with it, as a network manager sees to it. */
  setUp(name: string, up: boolean): void {
    const port = this.#port(name);
    port.up = up;
    port.there ||= up;
    this.#changed();
  }

  /** Other addresses from now on, as a modem gets them: sockets on the old ones stay, and neither send nor hear. */
  setAddresses(name: string, addresses: readonly InterfaceAddress[]): void {
    this.#port(name).addresses = addresses;
    this.#changed();
  }

  /** Its default routes go, or are put back: addresses and sockets stay. */
  setDefaultRoutes(name: string, there: boolean): void {
    this.#table.setDefaultRoutes(this.#port(name).on.name, there);
  }

  #changed(): void {
    this.#table.forget();
    this.onInterfaces?.(this.present);
  }

  /** The interfaces that are there, with the addresses that they have now. */
  get present(): readonly HostInterface[] {
    return this.interfaces.flatMap((on) => {
      const { up, there, addresses } = this.#port(on.name);
      return there ? [{ ...on, addresses: up ? addresses : [] }] : [];
    });
  }

  /** Opens a socket and gives its address, or the kernel's error. Port 0: any. */
  bind(
    address: TransportAddress,
    device: string | null,
    handlers: Pick<UdpSocket, 'onDatagram' | 'onIcmp'>,
  ): UdpSocket | string {
    if (device !== null && !this.#ports.has(device)) return 'ENODEV';
    if (!this.#table.isOwn(address.address)) return 'EADDRNOTAVAIL';
    let local = address;
    if (address.port === 0) {
      do local = { ...address, port: integerBetween(this.#options.random, ...EPHEMERAL_PORTS) };
      while (this.#sockets.has(formatTransportAddress(local)));
    }
    const there = this.#sockets.get(formatTransportAddress(local)) ?? [];
    // Two sockets share a port only when they are pinned to different devices.
    if (there.some((socket) => socket.device === null || device === null || socket.device === device))
      return 'EADDRINUSE';
    const socket: UdpSocket = { local, device, ...handlers };
    this.#sockets.set(formatTransportAddress(local), [...there, socket]);
    return socket;
  }

  close(socket: UdpSocket): void {
    const key = formatTransportAddress(socket.local);
    const left = (this.#sockets.get(key) ?? []).filter((one) => one !== socket);
    if (left.length > 0) this.#sockets.set(key, left);
    else this.#sockets.delete(key);
  }

  /** The kernel's answer to a send: `null` when it took it, which does not say that it went where it should. */
  sendUdp(socket: UdpSocket, to: TransportAddress, bytes: Uint8Array, ttl?: number): string | null {
    return this.#send(udpPacket(socket.local, to, bytes, ttl), socket.device);
  }

  checkEgress(check: EgressCheck, pin: boolean): EgressResult {
    return this.#table.checkEgress(check, pin);
  }

  readCounters(): CounterSnapshot {
    const ports = [...this.#ports.values()];
    return {
      interfaces: Object.fromEntries(ports.map(({ on, counters }) => [on.name, { ...counters }])),
      host: { ...this.#counters },
      rpFilter: Object.fromEntries(ports.map(({ on }) => [on.name, on.rpFilter ?? 0])),
    };
  }

  receive(packet: Packet, name: string): void {
    const port = this.#ports.get(name);
    if (!port?.up) return;
    port.counters.rxPackets += 1;
    if (!this.#passesReversePath(packet, port.on)) {
      this.#count('TcpExtIPReversePathFilter');
      return;
    }
    const isOwn =
      this.#options.model === 'strong'
        ? port.addresses.some(({ address }) => address === packet.destination)
        : this.#table.isOwn(packet.destination);
    if (isOwn) this.#deliver(packet, name);
    else this.#count(packet.family === 'ipv4' ? 'IpInAddrErrors' : 'Ip6InAddrErrors');
  }

  #deliver(packet: Packet, device: string): void {
    if (isIcmpError(packet)) this.#deliverError(packet);
    else if (isEchoRequest(packet)) this.#send(echoReply(packet), null);
    else if (packet.protocol === 'tcp') this.tcp.receive(packet, device);
    else if (packet.protocol === 'udp') {
      const socket = this.#socketAt(destinationOf(packet), device);
      if (socket) socket.onDatagram(sourceOf(packet), packet.payload);
      else {
        this.#count(packet.family === 'ipv4' ? 'UdpNoPorts' : 'Udp6NoPorts');
        const error = icmpError(packet, packet.destination, 'port-unreachable');
        if (error && this.#budget.take(error.destination, this.#network?.now ?? 0)) this.#send(error, null);
      }
    }
  }

  #deliverError(error: IcmpErrorPacket): void {
    const { family, source, icmp } = error;
    const { quoted, type, code } = icmp;
    if (quoted.protocol === 'tcp') this.tcp.failed(error);
    const sockets = this.#sockets.get(formatTransportAddress(sourceOf(quoted))) ?? [];
    if (quoted.protocol !== 'udp') return;
    for (const socket of sockets)
      socket.onIcmp(destinationOf(quoted), { family, type, code, from: source }, quoted.payload);
  }

  /** One that is pinned to where the packet came in, else one that is not pinned. */
  #socketAt(local: TransportAddress, device: string): UdpSocket | undefined {
    const sockets = this.#sockets.get(formatTransportAddress(local));
    return sockets?.find((socket) => socket.device === device) ?? sockets?.find((socket) => socket.device === null);
  }

  #passesReversePath(packet: Packet, { name, rpFilter = 0 }: WorldInterface): boolean {
    if (rpFilter === 0 || packet.family !== 'ipv4') return true;
    const back = this.#table.lookup({ to: packet.source, from: packet.destination, oif: null });
    return back !== null && (rpFilter === 2 || back.interface === name);
  }

  #send(packet: Packet, pinnedTo: string | null): string | null {
    const { source: from, destination: to } = packet;
    const isSource = this.#table.isSource(from);
    if (isSource && this.#table.isOwn(to)) {
      this.#network?.after(0, () => {
        this.#deliver(packet, 'lo');
      });
      return null;
    }
    const route = isSource ? this.#table.lookup({ to, from, oif: pinnedTo }) : null;
    const device = this.#ports.get(route?.interface ?? pinnedTo ?? '');
    // A pinned socket needs no route for IPv4: the host takes the address for on-link.
    const onLink = route === null && isSource && packet.family === 'ipv4' && device?.up === true;
    if (!device || (route === null && !onLink)) {
      this.#count(packet.family === 'ipv4' ? 'IpOutNoRoutes' : 'Ip6OutNoRoutes');
      return 'ENETUNREACH';
    }
    if (packet.sizeBytes > (device.on.mtuBytes ?? DEFAULT_MTU_BYTES)) return 'EMSGSIZE';
    // It asks for the far address's neighbour, nobody answers, and nothing leaves; the send succeeds all the same.
    if (onLink && device.on.pointToPoint !== true) return null;
    device.counters.txPackets += 1;
    device.plug?.send(packet);
    return null;
  }

  /** Where a TCP connection would leave, and its source where the socket has none. */
  #wayTo({ from, device, to: { family, address: to } }: TcpTarget): TcpWay | string {
    if (device !== null && !this.#ports.has(device)) return 'ENODEV';
    if (from !== null && !this.#table.isOwn(from)) return 'EADDRNOTAVAIL';
    if (this.#table.isOwn(to)) return { from: from ?? to, mtuBytes: LOOPBACK_MTU_BYTES };
    const route = this.#table.lookup({ to, from: from ?? UNSPECIFIED[family], oif: device });
    const port = this.#ports.get(route?.interface ?? device ?? '');
    if (!port?.up) return 'ENETUNREACH';
    const source = from ?? port.addresses.find((own) => own.family === family)?.address;
    return source === undefined ? 'ENETUNREACH' : { from: source, mtuBytes: port.on.mtuBytes ?? DEFAULT_MTU_BYTES };
  }

  #port(name: string): Port {
    const port = this.#ports.get(name);
    if (!port) throw new RangeError(`${this.name} has no interface ${name}`);
    return port;
  }

  #count(counter: string): void {
    this.#counters[counter] = (this.#counters[counter] ?? 0) + 1;
  }
}

/** `::/0` and the like. */
export const DEFAULT_ROUTE: Readonly<Record<Family, string>> = { ipv4: '0.0.0.0/0', ipv6: '::/0' };
