import type { TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { Queue } from '../base/machine.js';
import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import type { ByteRange } from '../mutation/differences.js';
import type { Role } from '../verdict/words.js';
import type {
  EgressCheck,
  EgressResult,
  CounterSnapshot,
  IcmpError,
  SessionInput,
  SessionOutput,
  SocketId,
} from './io.js';
import { LIMITS } from './limits.js';
import { Translator } from './nat64.js';
import type { RecordEvent } from './record.js';

type WithoutCommon<Event> = Event extends RecordEvent ? Omit<Event, 't' | 'host'> : never;
/** A record event as the parts write it: `Host` adds whose clock and when. */
export type NewEvent = WithoutCommon<RecordEvent>;

/** A UDP socket that the driver has opened for us. */
export interface OpenSocket {
  readonly id: SocketId;
  readonly interface: HostInterface;
  readonly local: TransportAddress;
  readonly pinned: boolean;
}

/** Who a socket belongs to: told of everything that happens on it. */
export interface SocketOwner {
  opened(socket: OpenSocket): void;
  failed(socket: SocketId, code: string, message: string): void;
  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void;
  /** For an owner that knows its packets: what an ICMP error is about. */
  icmp?(to: TransportAddress, error: IcmpError, quoted: Uint8Array, socket: SocketId): QuotedPacket | null;
}

export interface QuotedPacket {
  /** Its transaction, `''` where it cannot be told. */
  readonly id: string;
  /** Bytes of it that are others in the quotation than they were sent; `null` where too little is quoted to say. */
  readonly changed: readonly ByteRange[] | null;
}

type SentEvent = Extract<NewEvent, { type: 'sent' }>;
/** What the record shall say of a send, but for what the host knows itself. */
export type SentNote = Omit<SentEvent, 'type' | 'interface' | 'family' | 'to' | 'error'>;

export interface SendOptions {
  /** Called with the kernel's code where it did not take the packet. */
  readonly refused?: (code: string) => void;
  /** Of this packet alone. */
  readonly ttl?: number;
}

interface SocketEntry {
  readonly interface: HostInterface;
  readonly owner: SocketOwner;
  /** Of a socket for IPv4 that is one for IPv6 (NAT64). */
  readonly translator: Translator | null;
  open: OpenSocket | null;
}

const COMPLAINTS_MAX = 10;

/**
 * The hands of a session: sockets, sends, and what else a driver does, each answer brought back to who asked.
 * Decides nothing about paths.
 */
export class Host {
  readonly role: Role;
  readonly random: Random;
  readonly outputs = new Queue<SessionOutput>();
  /** Asked with every event of this host whether the record takes it. */
  onEvent: (event: RecordEvent) => boolean = () => true;
  /** The interfaces as this run has them: with IPv4 by NAT64, where there is a prefix. */
  translated: readonly HostInterface[] = [];
  now: Ms = 0;
  #startedAt: Ms | null = null;
  #nextToken = 0;
  #nextSocket = 0;
  readonly #altered = new Set<string>();
  readonly #complaints = new Map<string, number>();
  readonly #sockets = new Map<SocketId, SocketEntry>();
  readonly #sends = new Map<
    number,
    { readonly event: SentEvent; readonly refused: ((code: string) => void) | undefined }
  >();
  readonly #egress = new Map<number, (results: readonly EgressResult[]) => void>();
  readonly #counters = new Map<number, (counters: CounterSnapshot | null) => void>();
  readonly #tcp = new Map<number, (code: string | null, afterMs: Ms) => void>();

  constructor(role: Role, random: Random) {
    this.role = role;
    this.random = random;
  }

  /** Milliseconds since the first input. */
  get elapsed(): Ms {
    return this.#startedAt === null ? 0 : this.now - this.#startedAt;
  }

  /** When the first input came. */
  get startedAt(): Ms {
    return this.#startedAt ?? this.now;
  }

  tick(now: Ms): void {
    this.now = now;
    this.#startedAt ??= now;
  }

  /** The event is the record's from now on: with whose clock and when it is whole, without a copy. */
  record(event: NewEvent): void {
    const whole: RecordEvent = Object.assign(event, { t: Math.round(this.elapsed * 10) / 10, host: this.role });
    if (this.onEvent(whole)) this.outputs.push({ type: 'event', event: whole });
  }

  /** Records that a packet came altered: each once, and not more than a record can hold of them. */
  altered(event: Omit<Extract<NewEvent, { type: 'altered' }>, 'type'>): void {
    const key = [event.leg, event.purpose, event.id].join(' ');
    if (this.#altered.has(key) || this.#altered.size >= LIMITS.altered) return;
    this.#altered.add(key);
    this.record({ type: 'altered', ...event });
  }

  log(level: 'debug' | 'info' | 'warn' | 'error', name: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.outputs.push({ type: 'log', level, name, fields });
  }

  /** Logs what a far end did wrong: the first few times, since it may never stop. */
  complain(name: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const times = (this.#complaints.get(name) ?? 0) + 1;
    this.#complaints.set(name, times);
    if (times <= COMPLAINTS_MAX)
      this.log('warn', name, times < COMPLAINTS_MAX ? fields : { ...fields, more: 'not logged' });
  }

  message(message: Readonly<Record<string, unknown>>): void {
    this.outputs.push({ type: 'message', message });
  }

  open(owner: SocketOwner, on: HostInterface, address: TransportAddress, pin: boolean): SocketId {
    this.#nextSocket += 1;
    const socket = `s${this.#nextSocket}`;
    const translator = address.family === 'ipv4' ? Translator.of(on) : null;
    this.#sockets.set(socket, { interface: on, owner, translator, open: null });
    const base = translator?.base(address.port) ?? address;
    this.outputs.push({ type: 'open', socket, interface: on.name, address: base, pin });
    return socket;
  }

  close(socket: SocketId): void {
    if (this.#sockets.delete(socket)) this.outputs.push({ type: 'close', socket });
  }

  closeAll(): void {
    for (const socket of [...this.#sockets.keys()]) this.close(socket);
  }

  socket(id: SocketId): OpenSocket | null {
    return this.#sockets.get(id)?.open ?? null;
  }

  /** Sends, and writes the record line once the kernel has said whether it took the packet (verdicts.md: `sent`). */
  send(
    socket: OpenSocket,
    to: TransportAddress,
    bytes: Uint8Array,
    note: SentNote,
    { refused, ttl }: SendOptions = {},
  ): void {
    const token = this.#token();
    const event: SentEvent = {
      type: 'sent',
      ...note,
      interface: socket.interface.name,
      family: to.family,
      to: { ...to },
      error: null,
    };
    this.#sends.set(token, { event, refused });
    const far = this.#sockets.get(socket.id)?.translator?.out(to) ?? to;
    const limit = ttl === undefined ? {} : { ttl };
    this.outputs.push({ type: 'send', socket: socket.id, to: far, bytes, token, ...limit });
  }

  /** Sends what no verdict asks about: nothing of it is recorded, and one that the kernel refuses is lost. */
  sendData(socket: OpenSocket, to: TransportAddress, bytes: Uint8Array): void {
    const far = this.#sockets.get(socket.id)?.translator?.out(to) ?? to;
    this.outputs.push({ type: 'send', socket: socket.id, to: far, bytes, token: this.#token() });
  }

  checkEgress(checks: readonly EgressCheck[], pin: boolean, then: (results: readonly EgressResult[]) => void): void {
    const token = this.#token();
    const translators = checks.map((check) => this.#translatorOf(check));
    this.#egress.set(token, (results) => {
      then(results.map((result, index) => translators[index]?.result(result) ?? result));
    });
    const asked = checks.map((check, index) => translators[index]?.check(check) ?? check);
    this.outputs.push({ type: 'check-egress', token, pin, checks: asked });
  }

  readCounters(then: (counters: CounterSnapshot | null) => void): void {
    const token = this.#token();
    this.#counters.set(token, then);
    this.outputs.push({ type: 'read-counters', token });
  }

  connectTcp(
    request: { interface: string; from: string; to: TransportAddress; pin: boolean; timeoutMs: Ms },
    then: (code: string | null, afterMs: Ms) => void,
  ): void {
    const token = this.#token();
    this.#tcp.set(token, then);
    const translator = this.#translatorOf(request);
    const ends = translator ? { from: translator.base(0).address, to: translator.out(request.to) } : {};
    this.outputs.push({ type: 'connect-tcp', token, ...request, ...ends });
  }

  /** Takes the inputs that answer something asked here; false for every other. */
  handle(input: SessionInput): boolean {
    switch (input.type) {
      case 'opened':
        this.#opened(input.socket, input.local, input.pinned);
        return true;
      case 'socket-failed': {
        const entry = this.#sockets.get(input.socket);
        this.#sockets.delete(input.socket);
        entry?.owner.failed(input.socket, input.code, input.message);
        return true;
      }
      case 'datagram': {
        const entry = this.#sockets.get(input.socket);
        const from = entry?.translator ? entry.translator.in(input.from) : input.from;
        if (entry?.open && from) entry.owner.datagram(entry.open, from, input.bytes);
        return true;
      }
      case 'sent':
        this.#sent(input.token, input.code);
        return true;
      case 'icmp':
        this.#icmp(input.socket, input.to, input.error, input.quoted);
        return true;
      case 'egress':
        take(this.#egress, input.token)?.(input.results);
        return true;
      case 'counters':
        take(this.#counters, input.token)?.(input.counters);
        return true;
      case 'tcp':
        take(this.#tcp, input.token)?.(input.code, input.afterMs);
        return true;
      default:
        return false;
    }
  }

  #translatorOf({ interface: on, from }: { readonly interface: string; readonly from: string }): Translator | null {
    const known = this.translated.find(({ name }) => name === on);
    const translator = known ? Translator.of(known) : null;
    return translator?.owns(from) === true ? translator : null;
  }

  #token(): number {
    this.#nextToken += 1;
    return this.#nextToken;
  }

  #opened(id: SocketId, local: TransportAddress, pinned: boolean): void {
    const entry = this.#sockets.get(id);
    if (!entry) return;
    const own = entry.translator?.local(local.port) ?? local;
    entry.open = { id, interface: entry.interface, local: own, pinned };
    entry.owner.opened(entry.open);
  }

  #sent(token: number, code: string | null): void {
    const send = take(this.#sends, token);
    if (!send) return;
    this.record(code === null ? send.event : { ...send.event, error: code });
    if (code !== null) send.refused?.(code);
  }

  #icmp(id: SocketId, quotedTo: TransportAddress, told: IcmpError, quoted: Uint8Array): void {
    const entry = this.#sockets.get(id);
    const to = entry?.translator ? entry.translator.in(quotedTo) : quotedTo;
    if (!entry || !to) return;
    const error = entry.translator?.icmp(told) ?? told;
    const about = entry.owner.icmp?.(to, error, quoted, id) ?? null;
    this.record({
      type: 'icmp',
      interface: entry.interface.name,
      family: error.family,
      to: { ...to },
      icmp: { type: error.type, code: error.code, from: error.from },
      id: about?.id ?? null,
      ...(about?.changed ? { changed: [...about.changed] } : {}),
    });
  }
}

function take<Key, Value>(map: Map<Key, Value>, key: Key): Value | undefined {
  const value = map.get(key);
  map.delete(key);
  return value;
}
