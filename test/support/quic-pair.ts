import { sameAddress, transportAddress, type TransportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import { NEVER, type Ms } from '../../src/base/time.js';
import { Connection } from '../../src/quic/connection/connection.js';
import type {
  ClientConnectionOptions,
  EcnMark,
  FourTuple,
  ServerConnectionOptions,
  Transmit,
} from '../../src/quic/connection/types.js';
import { nodeCiphers } from '../../src/quic/crypto/node-ciphers.js';
import { type CertificateCheck, type Identity, pinned } from '../../src/quic/tls/certificates.js';
import { parsePacket } from '../../src/quic/wire/header.js';
import { EventQueue } from '../../src/world/event-queue.js';
import { Link, type LinkOptions } from '../../src/world/link.js';
import { udpPacket } from '../../src/world/packet.js';
import { certificate, identityOf } from './quic-certificates.js';
import { End, ID_BYTES, type Side } from './quic-end.js';

export type { Side };

/** Keys that both ends of all pairs of a file prove themselves with: making them takes time. */
export interface PairIdentities {
  readonly identity: Readonly<Record<Side, Identity>>;
  readonly check: Readonly<Record<Side, CertificateCheck>>;
}

export async function pairIdentities(): Promise<PairIdentities> {
  const own = { client: await certificate('client', 'ed25519'), server: await certificate('server', 'p256') };
  const print = async (der: Uint8Array) => new Uint8Array(await crypto.subtle.digest('SHA-256', Buffer.from(der)));
  const [client, server] = [await print(own.client.der), await print(own.server.der)];
  return {
    identity: { client: identityOf(own.client), server: identityOf(own.server) },
    // The client checks the server's certificate, and the reverse.
    check: { client: pinned([server]), server: pinned([client]) },
  };
}

/** A way between the two, each direction a link; the client may be behind a NAT. */
export interface Wire {
  readonly client: TransportAddress;
  readonly server: TransportAddress;
  readonly up: Link;
  readonly down: Link;
  /** What the server sees of the client: changes when a NAT forgets. */
  seenAs: TransportAddress;
}

export interface PairOptions {
  readonly seed?: string | number;
  readonly link?: LinkOptions;
  readonly client?: Partial<ClientConnectionOptions>;
  readonly server?: Partial<ServerConnectionOptions>;
  /** Further wires, for further paths. */
  readonly wires?: readonly LinkOptions[];
  /** What becomes of a datagram before it is on its way; an empty list loses it. */
  readonly tamper?: (datagram: Uint8Array, from: Side, index: number) => readonly Uint8Array[];
}

const SERVER = transportAddress('192.0.2.1', 443);
const SEGMENTS = 8;

/** Two connections that talk over links, on a virtual clock. */
export class Pair {
  readonly client: End;
  readonly server: End;
  readonly wires: Wire[] = [];
  readonly keylog: string[] = [];
  readonly sent: { readonly from: Side; readonly bytes: Uint8Array; readonly at: Ms }[] = [];
  /** What was sent to addresses where nobody is. */
  readonly toNobody: { readonly remote: TransportAddress; readonly bytes: number }[] = [];
  /** Datagrams that were sent with a mark and without; what the network makes of a mark. */
  readonly marked = { none: 0, ect0: 0 };
  marks: EcnMark = 'ect0';
  /** Addresses of the server's that nothing comes to. */
  readonly deaf: TransportAddress[] = [];
  now: Ms = 0;
  /** Loops of the driver without time passing. */
  steps = 0;
  readonly #queue = new EventQueue();
  readonly #options: PairOptions;
  readonly #seed: string;
  readonly #identities: PairIdentities;
  readonly #buffer = new Uint8Array(65_536);
  #index = 0;

  constructor(identities: PairIdentities, options: PairOptions = {}) {
    this.#options = options;
    this.#identities = identities;
    this.#seed = String(options.seed ?? 'pair');
    this.client = new End('client', this.#seed);
    this.server = new End('server', this.#seed);
    this.addWire(options.link ?? { delayMs: 10 });
    for (const link of options.wires ?? []) this.addWire(link);
    this.client.connection = Connection.client(
      {
        random: new SeededRandom(`${this.#seed} client`),
        ciphers: nodeCiphers,
        ids: this.client.ids,
        tuple: this.tuple(0),
        alpn: ['icepath'],
        check: identities.check.client,
        identity: identities.identity.client,
        keylog: (line) => this.keylog.push(line),
        ...options.client,
      },
      this.now,
    );
    this.flush();
  }

  end(side: Side): End {
    return side === 'client' ? this.client : this.server;
  }

  addWire(up: LinkOptions, down: LinkOptions = up): Wire {
    const index = this.wires.length;
    const client = transportAddress(`10.0.${String(index)}.2`, 5000 + index);
    const random = (way: string) => new SeededRandom(`${this.#seed} wire ${String(index)} ${way}`);
    const wire: Wire = {
      client,
      server: SERVER,
      up: new Link(up, random('up')),
      down: new Link(down, random('down')),
      seenAs: transportAddress('198.51.100.1', 20_000 + index),
    };
    this.wires.push(wire);
    return wire;
  }

  wire(index: number): Wire {
    const wire = this.wires[index];
    if (wire === undefined) throw new Error('no such wire');
    return wire;
  }

  /** The client's view of a wire. */
  tuple(index: number): FourTuple {
    const { client, server } = this.wire(index);
    return { local: client, remote: server };
  }

  setUp(index: number, up: boolean): void {
    this.wire(index).up.up = up;
    this.wire(index).down.up = up;
  }

  /** The NAT forgets the client: from now on he is seen as somebody else, and what goes to the old address is lost. */
  rebind(index: number): void {
    const wire = this.wire(index);
    wire.seenAs = transportAddress(wire.seenAs.address, wire.seenAs.port + 1000);
  }

  /** Runs until `until` says so, or the time is over; false where it is over. */
  run(untilMs: Ms, until: () => boolean = () => false): boolean {
    this.flush();
    for (let loops = 0; !until(); loops += 1) {
      if (loops > 5_000_000) throw new Error('no end');
      const next = Math.min(
        this.#queue.nextAt,
        this.client.connection?.deadline() ?? NEVER,
        this.server.connection?.deadline() ?? NEVER,
      );
      if (next > untilMs) {
        this.now = Math.max(this.now, untilMs);
        return until();
      }
      this.steps = next <= this.now ? this.steps + 1 : 0;
      if (this.steps > 10_000) throw new Error(`an endless loop at ${String(this.now)}`);
      this.now = Math.max(this.now, next);
      while (this.#queue.nextAt <= this.now) this.#queue.pop()?.run();
      for (const side of ['client', 'server'] as const) {
        const { connection } = this.end(side);
        if (connection !== null && connection.deadline() <= this.now) connection.timeout(this.now);
      }
      this.flush();
    }
    return true;
  }

  /** At a time, besides everything else. */
  at(time: Ms, run: () => void): void {
    this.#queue.push(time, run);
  }

  complete(untilMs: Ms = 30_000): this {
    const isDone = (end: End) => end.of('handshake-confirmed').length > 0;
    const isOk = this.run(untilMs, () => isDone(this.client) && isDone(this.server));
    if (!isOk) {
      const ends = JSON.stringify([this.client.closed, this.server.closed]);
      throw new Error(`no handshake by ${String(untilMs)}: ${ends}`);
    }
    return this;
  }

  /** Opens a path on a wire, and waits until both ends have validated it. */
  open(index: number, withinMs: Ms = 5000): number {
    const isReady = () => {
      const id = this.client.it.openPath(this.tuple(index), this.now);
      opened = id ?? -1;
      return id !== null;
    };
    let opened = -1;
    const end = this.now + withinMs;
    if (!this.run(end, isReady)) throw new Error('no path could be opened');
    const isOpen = (side: Side) =>
      this.end(side)
        .of('path-validated')
        .some(({ path }) => path === opened);
    if (!this.run(end, () => isOpen('client') && isOpen('server'))) throw new Error('a path was not validated');
    return opened;
  }

  flush(): void {
    for (let more = true; more;) {
      more = false;
      for (const side of ['client', 'server'] as const) {
        const end = this.end(side);
        const { connection } = end;
        if (connection === null) continue;
        for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
          more = true;
          end.onEvent(event, this.now);
        }
        for (;;) {
          const transmit = connection.send(this.now, this.#buffer, SEGMENTS);
          if (transmit === undefined) break;
          more = true;
          this.#transmit(side, transmit);
        }
      }
    }
  }

  #transmit(from: Side, { local, remote, bytes, segmentBytes, ecn }: Transmit): void {
    const size = segmentBytes === 0 ? bytes.length : segmentBytes;
    if (bytes.length === 0 || bytes.length > SEGMENTS * size) throw new Error('not what UDP_SEGMENT takes');
    for (let at = 0; at < bytes.length; at += size) {
      const datagram = bytes.slice(at, Math.min(at + size, bytes.length));
      const end = this.end(from);
      end.sentBytes += datagram.length;
      end.sentDatagrams += 1;
      this.marked[ecn] += 1;
      this.sent.push({ from, bytes: datagram, at: this.now });
      this.#index += 1;
      const copies = this.#options.tamper?.(datagram, from, this.#index - 1) ?? [datagram];
      for (const copy of copies) this.#carry(from, local, remote, copy, ecn);
    }
  }

  #carry(from: Side, local: TransportAddress, remote: TransportAddress, bytes: Uint8Array, ecn: Transmit['ecn']): void {
    const wire = this.wires.find(({ client, seenAs }) =>
      from === 'client'
        ? client.address === local.address
        : seenAs.address === remote.address && seenAs.port === remote.port,
    );
    const server = from === 'client' ? remote : local;
    if (wire === undefined || this.deaf.some((each) => sameAddress(each, server))) {
      this.toNobody.push({ remote, bytes: bytes.length });
      return;
    }
    const mark = ecn === 'none' ? 'none' : this.marks;
    const link = from === 'client' ? wire.up : wire.down;
    const { seenAs } = wire;
    link.transmit(udpPacket(local, remote, bytes), this.now, (at) => {
      const copy = bytes.slice();
      this.#queue.push(at, () => {
        if (from === 'client') this.#arrive('server', copy, { local: server, remote: seenAs }, mark);
        else this.#arrive('client', copy, { local: wire.client, remote: server }, mark);
      });
    });
  }

  #arrive(side: Side, bytes: Uint8Array, tuple: FourTuple, ecn: EcnMark): void {
    const end = this.end(side);
    end.receivedBytes += bytes.length;
    if (side === 'server' && end.connection === null) this.#accept(bytes, tuple);
    end.connection?.receive(bytes, tuple, ecn, this.now);
  }

  /** A server is there from the first Initial on. */
  #accept(bytes: Uint8Array, tuple: FourTuple): void {
    const packet = parsePacket(bytes, 0, ID_BYTES);
    if (packet?.type !== 'initial') return;
    const { identity, check } = this.#identities;
    this.server.connection = Connection.server(
      {
        random: new SeededRandom(`${this.#seed} server`),
        ciphers: nodeCiphers,
        ids: this.server.ids,
        tuple,
        alpn: ['icepath'],
        identity: identity.server,
        check: check.server,
        firstDestination: packet.destination.slice(),
        ...this.#options.server,
      },
      this.now,
    );
  }
}
