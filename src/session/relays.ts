import { formatTransportAddress, sameAddress, type TransportAddress } from '../base/address.js';
import { drain } from '../base/machine.js';
import { earliest, type Ms } from '../base/time.js';
import type { Base, BaseId, Candidate, PairView } from '../ice/types.js';
import { PLAIN_ARM } from '../mutation/names.js';
import type { TransactionTimers } from '../stun/transaction.js';
import { TurnRace, type TurnRaceInput, type TurnRaceOutput } from '../turn/race.js';
import type { TurnServer } from '../turn/types.js';
import type { Host, OpenSocket, SentNote } from './host.js';
import type { SocketId } from './io.js';

export interface RelaysOwner {
  /** A relay to send from. */
  base(base: Base, socket: OpenSocket): void;
  /** It is no longer in use: another one is, or none. */
  lost(base: BaseId): void;
  /** What a peer sent to it. */
  datagram(base: BaseId, socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void;
  /** No socket waits for its first relay any more. */
  settled(): void;
}

/** As patient as with a STUN server (`ice/gathering.ts`): a silent one is given up after 2.4 s. */
const TIMERS: TransactionTimers = { rtoMs: 200, requests: 4, lastWaitMs: 1000 };

/** Far more than a far end has. */
const MOST_FAR = 256;

interface Entry {
  readonly socket: OpenSocket;
  readonly race: TurnRace;
  /** The base of the relay in use, and its server. */
  base: BaseId | null;
  server: TransportAddress | null;
  relayed: TransportAddress | null;
  /** Relays that it had so far: each is a base of its own. */
  relays: number;
  pending: boolean;
}

/** The relays of a host: on each socket all TURN servers of its family are raced, and the one in use is a base of the agent. */
export class Relays {
  readonly #host: Host;
  readonly #servers: readonly TurnServer[];
  readonly #owner: RelaysOwner;
  readonly #entries = new Map<SocketId, Entry>();
  readonly #bases = new Map<BaseId, Entry>();

  /** What is sent now is the transfer's. */
  #isData = false;
  /** Relays of the far end, by the order in which they were heard of. */
  readonly #far = new Map<string, number>();

  constructor(host: Host, servers: readonly TurnServer[], owner: RelaysOwner) {
    this.#host = host;
    this.#servers = servers;
    this.#owner = owner;
  }

  /** Whether a socket waits for its first relay. */
  get pending(): boolean {
    return [...this.#entries.values()].some(({ pending }) => pending);
  }

  owns(base: BaseId): boolean {
    return this.#bases.has(base);
  }

  heardOf(candidate: Candidate): void {
    if (candidate.type !== 'relay' || this.#far.size >= MOST_FAR) return;
    const name = formatTransportAddress(candidate.address);
    if (!this.#far.has(name)) this.#far.set(name, this.#far.size);
  }

  /**
   * Whether a far relay took the place of another: an end has one on each interface, and takes nothing more from the one
   * before. False where one of the two is no relay of the far end.
   */
  isNewer(far: TransportAddress, before: TransportAddress): boolean {
    const [heard, heardBefore] = [far, before].map((one) => this.#far.get(formatTransportAddress(one)));
    return heard !== undefined && heardBefore !== undefined && heard > heardBefore;
  }

  /** Whether a relay of either end is on this pair. What it carries says nothing of the direct way. */
  carries({ base, remote }: PairView): boolean {
    return this.owns(base) || remote.type === 'relay';
  }

  legOf(base: BaseId, far: TransportAddress): 'peer' | 'relay' {
    return this.owns(base) || this.#far.has(formatTransportAddress(far)) ? 'relay' : 'peer';
  }

  open(socket: OpenSocket): void {
    const { family } = socket.local;
    const servers = this.#servers.filter(({ address }) => address.family === family);
    if (servers.length === 0) return;
    const race = new TurnRace({ servers, family, random: this.#host.random, timers: TIMERS });
    this.#entries.set(socket.id, { socket, race, base: null, server: null, relayed: null, relays: 0, pending: true });
    this.#feed(socket.id, { type: 'start' });
  }

  close(socket: SocketId): void {
    const entry = this.#entries.get(socket);
    if (!entry) return;
    this.#entries.delete(socket);
    this.#leave(entry);
  }

  /** Whether a relay on this socket had it sent. */
  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    const entry = this.#entries.get(socket.id);
    if (!entry?.race.takes(from, bytes)) return false;
    this.#feed(socket.id, { type: 'datagram', from, bytes });
    return true;
  }

  /** From the relay that is this base; its peer is let through first (RFC 8656 §9). */
  send(base: BaseId, peer: TransportAddress, data: Uint8Array): void {
    const entry = this.#bases.get(base);
    if (entry) this.#feed(entry.socket.id, { type: 'data', peer, data });
  }

  /** The same with data, of which nothing stands in the record. */
  sendData(base: BaseId, peer: TransportAddress, data: Uint8Array): void {
    this.#isData = true;
    this.send(base, peer, data);
    this.#isData = false;
  }

  /** Where the relay is that is this base; `null` where it is not in use. */
  addressOf(base: BaseId): TransportAddress | null {
    return this.#bases.get(base)?.relayed ?? null;
  }

  /** A peer that answers gets a channel: less to carry. */
  bind(base: BaseId, peer: TransportAddress): void {
    const entry = this.#bases.get(base);
    if (entry) this.#feed(entry.socket.id, { type: 'bind', peer });
  }

  /** Gives every allocation back: said once, as the sockets are closed after it. */
  stop(): void {
    for (const id of [...this.#entries.keys()]) this.#feed(id, { type: 'close' });
  }

  deadline(): Ms {
    return earliest(...[...this.#entries.values()].map(({ race }) => race.deadline()));
  }

  timeout(): void {
    for (const [id, { race }] of [...this.#entries]) {
      if (race.deadline() <= this.#host.now) this.#feed(id, { type: 'timeout' });
    }
  }

  #feed(id: SocketId, input: TurnRaceInput): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    entry.race.handle(input, this.#host.now);
    for (const output of drain(entry.race)) this.#output(entry, output);
  }

  #output(entry: Entry, output: TurnRaceOutput): void {
    const { socket } = entry;
    switch (output.type) {
      case 'send': {
        if (this.#isData && output.transaction === null) {
          this.#host.sendData(socket, output.to, output.bytes);
          break;
        }
        const note: SentNote = {
          ...{ leg: 'relay', purpose: output.transaction === null ? 'check' : 'gather', id: output.transaction ?? '' },
          ...{ arm: PLAIN_ARM, towards: null, round: null },
        };
        this.#host.send(socket, output.to, output.bytes, note);
        break;
      }
      case 'chosen':
        this.#chosen(entry, output);
        break;
      case 'relay':
        this.#told(entry, output);
        break;
      case 'without':
        this.#leave(entry);
        this.#settle(entry);
        break;
      case 'released':
      case 'closed':
        break;
    }
  }

  #chosen(entry: Entry, { server, relayed, mapped, rttMs }: Extract<TurnRaceOutput, { type: 'chosen' }>): void {
    const { socket } = entry;
    this.#leave(entry);
    entry.relays += 1;
    const id = `${socket.id}/relay/${entry.relays}`;
    Object.assign(entry, { base: id, server, relayed } satisfies Partial<Entry>);
    this.#bases.set(id, entry);
    this.#record(entry, { server, what: 'chosen', code: null, relayed, rttMs });
    const { name, kind, label } = socket.interface;
    this.#owner.base(
      {
        ...{ id, address: relayed, interface: name, kind, label },
        ...{ arm: PLAIN_ARM, gathered: true, relay: { server, mapped } },
      },
      socket,
    );
    this.#settle(entry);
  }

  #told(entry: Entry, { server, output }: Extract<TurnRaceOutput, { type: 'relay' }>): void {
    if (output.type === 'data') {
      // What comes by a spare was sent to an address that is no candidate (any more).
      const isUsed = entry.server !== null && sameAddress(entry.server, server);
      if (entry.base !== null && isUsed) this.#owner.datagram(entry.base, entry.socket, output.peer, output.data);
    } else if (output.type === 'failed' || output.type === 'lost') {
      const { code, message } = output.error;
      this.#host.log('warn', `turn.${output.type}`, { interface: entry.socket.interface.name, code, message });
      this.#record(entry, { server, what: output.type, code, relayed: null, rttMs: null });
    } else if (output.type === 'unanswered') {
      this.#record(entry, { server, what: 'unanswered', code: null, relayed: null, rttMs: null });
    } else if (output.type === 'peer-refused') {
      const { code, message } = output.error;
      this.#host.complain('turn.peer-refused', { server: formatTransportAddress(server), code, message });
    }
  }

  #record(
    { socket }: Entry,
    told: {
      readonly server: TransportAddress;
      readonly what: 'chosen' | 'failed' | 'lost' | 'unanswered';
      readonly code: string | null;
      readonly relayed: TransportAddress | null;
      readonly rttMs: Ms | null;
    },
  ): void {
    const { server, relayed } = told;
    this.#host.record({
      ...{ type: 'turn', interface: socket.interface.name, family: socket.local.family },
      ...{ ...told, server: { ...server }, relayed: relayed && { ...relayed } },
    });
  }

  #leave(entry: Entry): void {
    const { base } = entry;
    if (base === null) return;
    this.#owner.lost(base);
    Object.assign(entry, { base: null, server: null, relayed: null } satisfies Partial<Entry>);
    this.#bases.delete(base);
  }

  #settle(entry: Entry): void {
    if (!entry.pending) return;
    entry.pending = false;
    if (!this.pending) this.#owner.settled();
  }
}
