import { formatTransportAddress, sameAddress, scopeOf, type TransportAddress } from '../base/address.js';
import { IcepathError } from '../base/errors.js';
import type { HostInterface } from '../base/interface.js';
import { type Machine, Queue } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { buildReferenceAnswer, recogniseReferenceRequest, type ReferenceRequest } from '../mutation/reference.js';
import { standInAnswer } from '../profile/messages.js';
import type { SessionInput, SessionOutput, SocketId } from './io.js';
import { LateAnswers } from './reflector-late.js';
import { PrefixBuckets, type Rate, TokenBucket } from './reflector-limits.js';

export interface ReflectorOptions {
  readonly listen: TransportAddress;
  /** Another address *and* another port of this host (RFC 5780 §6); null: this host has one address only. */
  readonly alternate: TransportAddress | null;
  /** More ports of the first address to answer on. */
  readonly ports: readonly number[];
  readonly random: Random;
}

/** Limits, in answers; docs/decisions/reflector.md says why these. */
export const REFLECTOR_LIMITS = {
  /** All answers together. */
  total: { perSecond: 5000, burst: 10_000 } satisfies Rate,
  /** Answers larger than their request, all together, and to one source prefix. */
  larger: { perSecond: 500, burst: 1000 } satisfies Rate,
  largerPerPrefix: { perSecond: 10, burst: 50 } satisfies Rate,
  prefixes: 4096,
} as const;

const REPORT_MS: Ms = 60_000;
/** Below it no NAT maps a client's port. */
const LEAST_CLIENT_PORT = 1024;

interface Counts {
  datagrams: number;
  bytesIn: number;
  answers: number;
  bytesOut: number;
  /** Nothing that a reflector answers. */
  foreign: number;
  /** Requests left unanswered for a limit. */
  limited: number;
  /** Answers that the kernel refused. */
  refused: number;
}

/** A socket: on the first or the other address, on the first, the other or an extra port. */
interface Place {
  readonly host: 'first' | 'other';
  readonly port: 'first' | 'other' | 'extra';
  readonly address: TransportAddress;
}

/**
 * The public reference host: tells everybody the address that their packets come from, in any arm (RFC 8489), and
 * answers from its other address or port when asked to (RFC 5780 §6.1). Never an amplifier (docs/decisions/reflector.md).
 */
export class Reflector implements Machine<SessionInput, SessionOutput> {
  readonly #random: Random;
  readonly #outputs = new Queue<SessionOutput>();
  readonly #places: ReadonlyMap<SocketId, Place>;
  /** Where the opened sockets really are (an asked port of 0 is any). */
  readonly #local = new Map<SocketId, TransportAddress>();
  readonly #late = new LateAnswers();
  readonly #prefixes = new PrefixBuckets(REFLECTOR_LIMITS.largerPerPrefix, REFLECTOR_LIMITS.prefixes);
  #total = new TokenBucket(REFLECTOR_LIMITS.total, 0);
  #larger = new TokenBucket(REFLECTOR_LIMITS.larger, 0);
  #counts = noCounts();
  #reportAt: Ms = NEVER;
  #nextToken = 0;
  #finished = false;
  #failure: IcepathError | null = null;

  /** Throws `IcepathError` when listen, alternate and ports do not fit together. */
  constructor(options: ReflectorOptions) {
    this.#random = options.random;
    this.#places = new Map(placesOf(options).map((place, index) => [`r${index}`, place]));
  }

  /** Why it could not run; null while it does, and after an orderly end. */
  get failure(): IcepathError | null {
    return this.#failure;
  }

  handle(input: SessionInput, now: Ms): void {
    if (this.#finished) return;
    switch (input.type) {
      case 'start':
        this.#start(input.interfaces, now);
        break;
      case 'opened':
        this.#opened(input.socket, input.local);
        break;
      case 'socket-failed':
        this.#failed(input.socket, input.code, input.message);
        break;
      case 'datagram':
        this.#datagram(input.socket, input.from, input.bytes, now);
        break;
      case 'sent':
        if (input.code !== null) this.#counts.refused += 1;
        break;
      case 'interrupt':
        this.#report();
        this.#finish();
        break;
      default:
    }
    this.#answerLate(now);
    if (now >= this.#reportAt) {
      this.#report();
      this.#reportAt = now + REPORT_MS;
    }
  }

  poll(): SessionOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    return this.#finished ? NEVER : earliest(this.#reportAt, this.#late.deadline());
  }

  #start(interfaces: readonly HostInterface[], now: Ms): void {
    this.#total = new TokenBucket(REFLECTOR_LIMITS.total, now);
    this.#larger = new TokenBucket(REFLECTOR_LIMITS.larger, now);
    this.#reportAt = now + REPORT_MS;
    for (const [socket, { address }] of this.#places) {
      const on = interfaces.find(({ addresses }) => addresses.some((one) => one.address === address.address));
      // Not pinned: an answer takes whatever route leads to its asker.
      this.#outputs.push({ type: 'open', socket, interface: on?.name ?? '', address, pin: false });
    }
  }

  #opened(socket: SocketId, local: TransportAddress): void {
    if (!this.#places.has(socket)) return;
    this.#local.set(socket, local);
    if (this.#local.size < this.#places.size) return;
    const listening = [...this.#local.values()].map(formatTransportAddress);
    this.#outputs.push({ type: 'log', level: 'info', name: 'reflector.listening', fields: { listening } });
  }

  #failed(socket: SocketId, code: string, message: string): void {
    const place = this.#places.get(socket);
    if (!place) return;
    const address = formatTransportAddress(place.address);
    this.#failure = new IcepathError(
      'reflector-socket',
      `The reflector cannot listen on ${address}: ${message} (${code}).`,
      'Name an address of this host and a free port with --listen, --alternate and --ports.',
    );
    this.#finish();
  }

  #datagram(socket: SocketId, from: TransportAddress, bytes: Uint8Array, now: Ms): void {
    const at = this.#places.get(socket);
    if (!at || !this.#local.has(socket)) return;
    this.#counts.datagrams += 1;
    this.#counts.bytesIn += bytes.length;
    const request = this.#mayAsk(from) ? answerable(recogniseReferenceRequest(bytes), from) : null;
    const { host, port } = request?.change ? changed(at, request.change) : at;
    const [leaving, origin] =
      port === at.port && host === at.host ? [socket, this.#local.get(socket)] : this.#at(host, port);
    if (!request || !leaving || !origin) {
      if (!request && this.#standsIn(socket, from, bytes, now)) return;
      this.#counts.foreign += 1;
      return;
    }
    const after = this.#late.hasRoomFor(from) ? request.afterSeconds : null;
    const about = {
      mapped: from,
      origin: scopeOf(origin.address) === 'unspecified' ? null : origin,
      other: this.#at(at.host === 'first' ? 'other' : 'first', at.port === 'other' ? 'first' : 'other')[1],
      random: this.#random,
    };
    const answer = buildReferenceAnswer(request, { ...about, afterSeconds: after });
    if (!this.#allowed(answer.length > bytes.length, from, now)) {
      this.#counts.limited += 1;
      return;
    }
    this.#send(leaving, from, answer);
    if (after === null) return;
    const late = buildReferenceAnswer(request, { ...about, afterSeconds: 0 });
    this.#late.add({ at: now + after * 1000, socket: leaving, to: from, bytes: late });
  }

  /** In place of a relay of a behaviour profile: it says what a relay would say, never more than it was asked, and relays nothing. */
  #standsIn(socket: SocketId, from: TransportAddress, bytes: Uint8Array, now: Ms): boolean {
    const answer = this.#mayAsk(from) ? standInAnswer(bytes, from) : null;
    if (!answer) return false;
    if (this.#allowed(false, from, now)) this.#send(socket, from, answer);
    else this.#counts.limited += 1;
    return true;
  }

  #answerLate(now: Ms): void {
    for (const { socket, to, bytes } of this.#late.due(now)) {
      if (this.#allowed(false, to, now)) this.#send(socket, to, bytes);
      else this.#counts.limited += 1;
    }
  }

  #send(socket: SocketId, to: TransportAddress, bytes: Uint8Array): void {
    this.#counts.answers += 1;
    this.#counts.bytesOut += bytes.length;
    this.#nextToken += 1;
    this.#outputs.push({ type: 'send', socket, to, bytes, token: this.#nextToken });
  }

  /** Not those that no answer can reach, and not ourselves: two reflectors must not entertain each other. */
  #mayAsk(from: TransportAddress): boolean {
    const scope = scopeOf(from.address);
    if (from.port === 0 || scope === 'multicast' || scope === 'unspecified') return false;
    return ![...this.#local.values()].some((own) => sameAddress(own, from));
  }

  #allowed(larger: boolean, from: TransportAddress, now: Ms): boolean {
    if (larger && !(this.#prefixes.take(from.address, now) && this.#larger.take(1, now))) return false;
    return this.#total.take(1, now);
  }

  #at(host: Place['host'], port: Place['port']): readonly [SocketId, TransportAddress] | readonly [null, null] {
    for (const [socket, place] of this.#places) {
      const local = this.#local.get(socket);
      if (local && place.host === host && place.port === port) return [socket, local];
    }
    return [null, null];
  }

  #report(): void {
    this.#outputs.push({ type: 'log', level: 'info', name: 'reflector.minute', fields: { ...this.#counts } });
    this.#counts = noCounts();
  }

  #finish(): void {
    this.#finished = true;
    for (const socket of this.#local.keys()) this.#outputs.push({ type: 'close', socket });
    this.#outputs.push({ type: 'finished' });
  }
}

function noCounts(): Counts {
  return { datagrams: 0, bytesIn: 0, answers: 0, bytesOut: 0, foreign: 0, limited: 0, refused: 0 };
}

/** The first bytes of a user's arm are echoed: not to services, whose questions they might be (RFC 4787 REQ-3). */
function answerable(request: ReferenceRequest | null, from: TransportAddress): ReferenceRequest | null {
  return request?.own?.starts && from.port < LEAST_CLIENT_PORT ? null : request;
}

/** RFC 5780 §6.1, table 1; what comes in on an extra port has the other port as its change. */
function changed(
  at: Place,
  change: { readonly address: boolean; readonly port: boolean },
): Pick<Place, 'host' | 'port'> {
  return {
    host: change.address ? (at.host === 'first' ? 'other' : 'first') : at.host,
    port: change.port ? (at.port === 'other' ? 'first' : 'other') : at.port,
  };
}

function placesOf({ listen, alternate, ports }: ReflectorOptions): Place[] {
  const places: Place[] = [{ host: 'first', port: 'first', address: listen }];
  if (alternate) {
    const sound =
      alternate.family === listen.family &&
      alternate.address !== listen.address &&
      alternate.port !== listen.port &&
      [listen, alternate].every(({ address, port }) => scopeOf(address) !== 'unspecified' && port !== 0);
    if (!sound) {
      throw new IcepathError(
        'reflector-alternate',
        `${formatTransportAddress(alternate)} is no alternate of ${formatTransportAddress(listen)}.`,
        'Give --listen and --alternate two different addresses of this host, of one family, with two different ports.',
      );
    }
    places.push(
      { host: 'first', port: 'other', address: { ...listen, port: alternate.port } },
      { host: 'other', port: 'first', address: { ...alternate, port: listen.port } },
      { host: 'other', port: 'other', address: alternate },
    );
  }
  const taken = new Set([listen.port, ...(alternate ? [alternate.port] : [])]);
  for (const port of new Set(ports)) {
    if (!taken.has(port)) places.push({ host: 'first', port: 'extra', address: { ...listen, port } });
  }
  return places;
}
