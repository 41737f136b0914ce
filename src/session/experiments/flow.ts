import { inPrefix, sameAddress, type TransportAddress } from '../../base/address.js';
import type { HostInterface } from '../../base/interface.js';
import { NEVER, type Ms } from '../../base/time.js';
import { CONTROL_ARM } from '../../mutation/names.js';
import type { ArmRegistry } from '../../mutation/registry.js';
import type { ByteRange } from '../../mutation/differences.js';
import { buildTrialPacket, type PacketSpec } from '../../mutation/trial-packet.js';
import { buildReferenceRequest, recogniseReferenceAnswer, REFERENCE_BYTES } from '../../mutation/reference.js';
import type { IcmpError } from '../io.js';
import type { Host, OpenSocket, QuotedPacket, SocketOwner } from '../host.js';
import { ReferenceLeg } from '../reference-leg.js';
import type { RecordEvent } from '../record.js';
import type { Budget } from './budget.js';
import { type ExpectedPacket, ExpectedPackets } from './expected.js';
import { findQuoted } from './quotation.js';

type TrialNote = NonNullable<Extract<RecordEvent, { type: 'sent' }>['trial']>;

/** How long a flow's socket may look for its reflexive address. */
const GATHER_MS: Ms = 1500;
/** An ICMP error that quotes no payload belongs to the packet sent last, and not much longer ago than this. */
const ICMP_MS: Ms = 2000;
/** Packets that an ICMP error may still answer, the latest. */
const REMEMBERED = 256;

export interface FlowOptions {
  readonly number: number;
  readonly on: HostInterface;
  readonly local: TransportAddress;
  readonly towards: string;
  readonly ports: TrialNote['ports'];
  readonly reference: TransportAddress | null;
  readonly sessionKey: Uint8Array;
  readonly arms: ArmRegistry;
  readonly pin: boolean;
  readonly budget: Budget;
  /** Interfaces on which the reference has told a flow where it seems to be. */
  readonly answered: Set<string>;
  /** Its addresses are known, none where it could not be opened. */
  readonly ready: (addresses: readonly TransportAddress[]) => void;
}

interface SentTrial {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly to: TransportAddress;
  readonly at: Ms;
  hasError: boolean;
}

/** A packet of an experiment as both ends know it. */
export interface PlannedPacket {
  readonly experiment: string;
  readonly batch: number;
  readonly counter: number;
  readonly to: 'peer' | 'reference';
  readonly packet: PacketSpec;
}

/** One host's half of a 5-tuple: a socket that knows byte for byte what is to come. */
export class FlowEnd implements SocketOwner {
  readonly #host: Host;
  readonly #options: FlowOptions;
  readonly #leg: ReferenceLeg | null;
  readonly #id: string;
  readonly #nonce: Uint8Array;
  readonly #expected = new ExpectedPackets();
  #sent: SentTrial[] = [];
  readonly #asked = new Map<string, string>();
  #socket: OpenSocket | null = null;
  #until: Ms;
  #remote: TransportAddress | null = null;
  #inside: string | null = null;
  /** The IP addresses that the far end named. */
  #named: ReadonlySet<string> = new Set();
  isReady = false;

  constructor(host: Host, options: FlowOptions) {
    this.#host = host;
    this.#options = options;
    this.#nonce = host.random.bytes(8);
    this.#leg = options.reference ? new ReferenceLeg(host, options.reference, CONTROL_ARM, options.arms) : null;
    this.#until = host.now + GATHER_MS;
    this.#id = host.open(this, options.on, options.local, options.pin);
  }

  get isOpen(): boolean {
    return this.#socket !== null;
  }

  /** The far half's address as its own host knows it, which need not be one that may be sent to. */
  named(first: TransportAddress | undefined): void {
    this.#inside = first?.address ?? null;
  }

  /** Where the far half is: of the addresses that it told the one on a link of ours, else the outermost. */
  remote(addresses: readonly TransportAddress[]): void {
    const own = addresses.filter(({ family }) => family === this.#options.local.family);
    const near = own.find(({ address }) =>
      this.#options.on.addresses.some(
        (local) => local.family === this.#options.local.family && inPrefix(address, local.address, local.prefixLength),
      ),
    );
    this.#remote = near ?? own.at(-1) ?? null;
    this.#named = new Set(own.map(({ address }) => address));
  }

  expect({ counter, packet }: PlannedPacket): void {
    const { id, bytes } = buildTrialPacket(packet, {
      key: this.#options.sessionKey,
      counter,
      arms: this.#options.arms,
      sender: this.#inside,
    });
    this.#expected.add({ id, bytes });
  }

  send(planned: PlannedPacket): void {
    const socket = this.#socket;
    const { packet, experiment, batch, counter } = planned;
    const to = planned.to === 'peer' ? this.#remote : this.#options.reference;
    if (!socket || !to) return;
    // Asked before it is made, which is most of the work; 160 bytes are the least that a reference is asked with.
    const lengthBytes = packet.lengthBytes ?? this.#options.arms.find(packet.arm)?.lengthBytes ?? REFERENCE_BYTES;
    if (!this.#options.budget.take(to.address, lengthBytes, this.#host.now)) {
      this.#host.complain('shot.refused', { flow: this.#options.number, to: to.address });
      return;
    }
    const { id, bytes } = planned.to === 'peer' ? this.#forPeer(planned) : this.#forReference(packet, counter);
    this.#sent.push({ id, bytes, to, at: this.#host.now, hasError: false });
    if (this.#sent.length > 2 * REMEMBERED) this.#sent = this.#sent.slice(-REMEMBERED);
    const { number: flow, ports, towards } = this.#options;
    this.#host.send(
      socket,
      to,
      bytes,
      {
        leg: planned.to,
        purpose: 'trial',
        id,
        arm: packet.arm,
        towards,
        round: null,
        trial: { experiment, batch, counter, flow, ports, packet },
      },
      packet.ttl === null ? {} : { ttl: packet.ttl },
    );
  }

  deadline(): Ms {
    if (this.isReady) return NEVER;
    return Math.min(this.#until, this.#leg?.deadline() ?? NEVER);
  }

  timeout(): void {
    if (this.isReady) return;
    if (this.#socket) this.#leg?.gather(this.#socket);
    this.#settle();
  }

  close(): void {
    this.#host.close(this.#id);
    this.#socket = null;
  }

  opened(socket: OpenSocket): void {
    this.#socket = socket;
    this.#leg?.begin(this.#host.now);
    this.timeout();
  }

  failed(_: string, code: string, message: string): void {
    const { number, on } = this.#options;
    this.#host.log('warn', 'flow.socket-failed', { flow: number, interface: on.name, code, message });
    this.#socket = null;
    this.#ready([]);
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    if (this.#leg && sameAddress(from, this.#leg.reference) && this.#answered(socket, from, bytes)) return;
    const arrived = this.#expected.take(bytes);
    if (!arrived) return;
    // A NAT that maps by destination shows itself here: another port of an address that was named.
    if (this.#named.has(from.address) && from.port >= 1024) this.#remote = from;
    this.#arrived('peer', arrived.id, from, arrived.changed);
  }

  icmp(to: TransportAddress, _: IcmpError, quoted: Uint8Array): QuotedPacket {
    const open = this.#sent.filter((one) => !one.hasError && sameAddress(one.to, to));
    const found = findQuoted(open, quoted);
    const sent = found === 'short' ? open.findLast(({ at }) => this.#host.now - at <= ICMP_MS) : found?.sent;
    if (!sent) return { id: '', changed: null };
    sent.hasError = true;
    return { id: sent.id, changed: found === 'short' ? null : (found?.changed ?? null) };
  }

  #forPeer({ packet, counter }: PlannedPacket): ExpectedPacket {
    const { sessionKey: key, arms } = this.#options;
    return buildTrialPacket(packet, { key, counter, arms, sender: this.#socket?.local.address ?? null });
  }

  #forReference({ arm, lengthBytes }: PacketSpec, counter: number): ExpectedPacket {
    const request = buildReferenceRequest(arm, {
      counter,
      nonce: this.#nonce,
      random: this.#host.random,
      arms: this.#options.arms,
      ...(lengthBytes === null ? {} : { lengthBytes }),
    });
    this.#asked.set(request.id, arm);
    return request;
  }

  #answered(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    const answer = recogniseReferenceAnswer(bytes, (id) => this.#asked.get(id), this.#options.arms);
    if (!answer) {
      const known = this.#leg?.datagram(socket, from, bytes) === true;
      if (known) this.#settle();
      return known;
    }
    this.#arrived('reference', answer.id, from, []);
    return true;
  }

  #settle(): void {
    const socket = this.#socket;
    const mapped = this.#leg?.mapped ?? null;
    const { answered, on, local } = this.#options;
    const place = `${on.name} ${local.family}`;
    if (mapped) answered.add(place);
    if (this.isReady || !socket || (this.#leg && !mapped && this.#host.now < this.#until)) return;
    // Where the reference answers others, this one would look dead to the far end for its own ignorance.
    if (this.#leg && !mapped && answered.has(place)) {
      this.#ready([]);
      return;
    }
    const addresses = mapped && !sameAddress(mapped, socket.local) ? [socket.local, mapped] : [socket.local];
    this.#ready(addresses);
  }

  #ready(addresses: readonly TransportAddress[]): void {
    if (this.isReady) return;
    this.isReady = true;
    this.#options.ready(addresses);
  }

  #arrived(leg: 'peer' | 'reference', id: string, from: TransportAddress, changed: readonly ByteRange[]): void {
    const { on, local } = this.#options;
    this.#host.record({
      type: 'received',
      leg,
      purpose: 'trial',
      id,
      arm: '',
      interface: on.name,
      family: local.family,
      from: { ...from },
      ...(changed.length > 0 ? { changed: [...changed] } : {}),
    });
  }
}
