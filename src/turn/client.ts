import { formatTransportAddress, sameAddress, scopeOf, type TransportAddress } from '../base/address.js';
import { Queue, type Machine } from '../base/machine.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { readAddress, readXorAddress } from '../stun/attributes.js';
import { decodeChannelData } from '../stun/channel-data.js';
import { parseStrict, type StunMessage } from '../stun/message.js';
import { ATTRIBUTES, ERROR_CODES, METHODS } from '../stun/registry.js';
import type { TransactionTimers } from '../stun/transaction.js';
import {
  lifetime,
  readData,
  readIcmp,
  readLifetime,
  requestedAddressFamily,
  requestedTransport,
  TRANSPORT_UDP,
} from '../stun/turn-attributes.js';
import { failureCodeOf, reasonText, turnFailure, type TurnFailureCode } from './failure.js';
import { Peers } from './peers.js';
import { Requests, type Outcome } from './requests.js';
import type { TurnClientOptions, TurnInput, TurnOutput } from './types.js';

const MEASURE_EVERY_MS: Ms = 15_000;
/** Sent at 0, 0.5, 1.5 and 3.5 s; unanswered after 5.5 s. */
const MEASURE_TIMERS = { rtoMs: 500, requests: 4, lastWaitMs: 2000 };
/** Whoever leaves does not wait for long: the allocation runs out anyhow. */
const CLOSE_TIMERS: TransactionTimers = { rtoMs: 200, requests: 3, lastWaitMs: 600 };
const CLOSE_WITHIN_MS: Ms = 2000;
/** RFC 8656 §8: a client refreshes about a minute before the end. */
const REFRESH_BEFORE_MS: Ms = 60_000;
/** Longer than this no answer is believed. */
const LONGEST_LIFETIME_S = 86_400;
/** An IPv4 datagram's most, less a Send indication's own bytes. */
const MOST_DATA_BYTES = 65_000;

type State = 'idle' | 'allocating' | 'allocated' | 'closing' | 'ended';

/**
 * One allocation on one TURN server over UDP (RFC 8656), without sockets or clocks: asked for, kept, used, given back.
 * It needs a socket whose datagrams from the server all come here.
 */
export class TurnClient implements Machine<TurnInput, TurnOutput> {
  readonly #options: TurnClientOptions;
  readonly #outputs = new Queue<TurnOutput>();
  readonly #requests: Requests;
  readonly #peers: Peers;
  readonly #asked: TransportAddress[] = [];
  #server: TransportAddress;
  #state: State = 'idle';
  #measureAt: Ms = NEVER;
  #expiresAt: Ms = NEVER;
  #closeBy: Ms = NEVER;

  constructor(options: TurnClientOptions) {
    this.#options = options;
    this.#server = options.server.address;
    const { random, server, timers = {} } = options;
    this.#requests = new Requests({ credentials: server.credentials, random, timers }, (bytes, transaction) => {
      this.#outputs.push({ type: 'send', to: this.#server, bytes, transaction });
    });
    this.#peers = new Peers(
      {
        ask: (request, now, then) => {
          this.#requests.ask(request, now, then);
        },
        sendData: (bytes) => {
          this.#outputs.push({ type: 'send', to: this.#server, bytes, transaction: null });
        },
        randomBytes: (length) => random.bytes(length),
        permitted: (address) => {
          this.#outputs.push({ type: 'permitted', address });
        },
        bound: (peer, channel) => {
          this.#outputs.push({ type: 'bound', peer, channel });
        },
        refused: (address, code, what) => {
          this.#outputs.push({ type: 'peer-refused', address, error: turnFailure(code, this.#server, what) });
        },
        allocationLost: (what) => {
          this.#end('turn-allocation-lost', what);
        },
      },
      options.family,
    );
  }

  /** Where it asks now: another server than it was given after a redirect. */
  get server(): TransportAddress {
    return this.#server;
  }

  get state(): State {
    return this.#state;
  }

  handle(input: TurnInput, now: Ms): void {
    switch (input.type) {
      case 'allocate':
        if (this.#state === 'idle') this.#allocate(now);
        break;
      case 'datagram':
        if (sameAddress(input.from, this.#server)) this.#datagram(input.bytes, now);
        break;
      case 'close':
        this.#close(now);
        break;
      case 'timeout':
        this.#timeout(now);
        break;
      default:
        if (this.#state === 'allocated') this.#peer(input, now);
    }
  }

  poll(): TurnOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    if (this.#state === 'ended') return NEVER;
    const asked = earliest(this.#requests.deadline(), this.#closeBy);
    if (this.#state !== 'allocated') return asked;
    return earliest(asked, this.#peers.deadline(), this.#measureAt, this.#expiresAt);
  }

  /** Whether a datagram on the socket is this client's: others may ask the same server something from there. */
  takes(from: TransportAddress, bytes: Uint8Array): boolean {
    if (!sameAddress(from, this.#server)) return false;
    if (decodeChannelData(bytes)) return true;
    const parsed = parseStrict(bytes);
    if (!parsed.ok) return false;
    return isDataIndication(parsed.message) || this.#requests.has(parsed.message);
  }

  #peer(input: Extract<TurnInput, { readonly peer: TransportAddress }>, now: Ms): void {
    if (input.type === 'permit') this.#peers.permit(input.peer, now);
    else if (input.type === 'bind') this.#peers.bind(input.peer, now);
    else if (input.type === 'forget') this.#peers.forget(input.peer);
    else if (input.data.length <= MOST_DATA_BYTES) this.#peers.send(input.peer, input.data, now);
  }

  #datagram(bytes: Uint8Array, now: Ms): void {
    const framed = decodeChannelData(bytes);
    if (framed) {
      const peer = this.#state === 'allocated' ? this.#peers.peerOf(framed.channel) : null;
      if (peer) this.#outputs.push({ type: 'data', peer, data: framed.data, channel: framed.channel });
      return;
    }
    const parsed = parseStrict(bytes);
    if (!parsed.ok) return;
    if (isDataIndication(parsed.message)) this.#indicated(parsed.message);
    else this.#requests.answer(parsed.message, now);
  }

  #indicated(message: StunMessage): void {
    const peer = readXorAddress(message, ATTRIBUTES['XOR-PEER-ADDRESS']);
    if (!peer || this.#state !== 'allocated' || !this.#peers.admits(peer)) return;
    const data = readData(message);
    const icmp = readIcmp(message);
    if (data) this.#outputs.push({ type: 'data', peer, data, channel: null });
    else if (icmp) this.#outputs.push({ type: 'icmp', peer, icmp });
  }

  #timeout(now: Ms): void {
    if (now >= this.#closeBy) {
      this.#closed();
      return;
    }
    this.#requests.timeout(now);
    if (this.#state !== 'allocated') return;
    if (now >= this.#expiresAt) {
      this.#end('turn-expired', 'no Refresh was answered before the allocation ran out');
      return;
    }
    this.#peers.timeout(now);
    if (now >= this.#measureAt) this.#refresh(now);
  }

  // The allocation (RFC 8656 §7)

  #allocate(now: Ms): void {
    this.#state = 'allocating';
    this.#asked.push(this.#server);
    const { family } = this.#options;
    // IPv4 is what a server gives unasked (§7.1), and old servers refuse the question.
    const asked = family === 'ipv6' ? [requestedAddressFamily(family)] : [];
    const request = {
      method: METHODS.Allocate,
      attributes: () => [requestedTransport(TRANSPORT_UDP), ...asked],
    };
    this.#requests.ask(request, now, (outcome, then) => {
      this.#allocateAnswered(outcome, now, then);
    });
  }

  #allocateAnswered(outcome: Outcome, askedAt: Ms, now: Ms): void {
    if (outcome.type === 'success') this.#allocated(outcome.message, outcome.rttMs, askedAt, now);
    else if (this.#state === 'closing') this.#closed();
    else if (outcome.type === 'silent') this.#end('turn-silent', 'no answer to Allocate');
    else if (outcome.type === 'unmeetable') this.#end(...UNMEETABLE);
    else if (outcome.error.code === ERROR_CODES['Try Alternate']) this.#redirected(outcome.message, now);
    else this.#refused(outcome.error.code, outcome.error.reason);
  }

  #allocated(message: StunMessage, rttMs: Ms | null, askedAt: Ms, now: Ms): void {
    if (this.#state === 'closing') {
      this.#giveBack(now);
      return;
    }
    const relayed = readXorAddress(message, ATTRIBUTES['XOR-RELAYED-ADDRESS']);
    const mapped = readXorAddress(message, ATTRIBUTES['XOR-MAPPED-ADDRESS']);
    const seconds = readLifetime(message) ?? 0;
    if (!relayed || !mapped || seconds === 0 || relayed.family !== this.#options.family || relayed.port === 0) {
      this.#end(
        'turn-answer-invalid',
        `its answer lacks a relay of ${this.#options.family}, or an address or a lifetime`,
      );
      return;
    }
    this.#state = 'allocated';
    const lifetimeMs = this.#renewed(seconds, askedAt, now);
    this.#outputs.push({ type: 'allocated', relayed, mapped, lifetimeMs, rttMs });
  }

  /** RFC 8489 §10. Never back to where it was, never to an address that only the server itself may reach. */
  #redirected(message: StunMessage, now: Ms): void {
    const to = readAddress(message, ATTRIBUTES['ALTERNATE-SERVER']);
    const name = to ? formatTransportAddress(to) : 'a server that it does not name';
    if (!to || this.#asked.length > (this.#options.mostRedirects ?? 0)) {
      this.#end('turn-redirected', `it sends us to ${name}`);
      return;
    }
    const again = this.#asked.some((each) => sameAddress(each, to));
    const scope = scopeOf(to.address);
    const enclosed = scope !== 'global' && scope !== scopeOf(this.#server.address);
    if (again || enclosed || to.family !== this.#server.family || to.port === 0) {
      this.#end(
        'turn-redirected',
        `it sends us to ${name}, ${again ? 'where we came from' : 'which no client can use'}`,
      );
      return;
    }
    this.#requests.reset();
    this.#server = to;
    this.#outputs.push({ type: 'redirected', to });
    this.#allocate(now);
  }

  // Refresh (RFC 8656 §8)

  #refresh(now: Ms): void {
    this.#measureAt = NEVER;
    const timers = { ...MEASURE_TIMERS, ...this.#options.measureTimers };
    const request = { method: METHODS.Refresh, attributes: () => [], timers };
    this.#requests.ask(request, now, (outcome, then) => {
      if (this.#state === 'allocated') this.#refreshAnswered(outcome, now, then);
    });
  }

  #refreshAnswered(outcome: Outcome, askedAt: Ms, now: Ms): void {
    if (outcome.type === 'silent') {
      this.#outputs.push({ type: 'unanswered' });
      this.#measureAt = now;
    } else if (outcome.type === 'unmeetable') this.#end(...UNMEETABLE);
    else if (outcome.type === 'success') {
      // A Refresh without LIFETIME was answered all the same: what was promised before holds.
      const seconds = readLifetime(outcome.message);
      if (seconds === 0) {
        this.#end('turn-allocation-lost', 'its answer to Refresh says that the allocation is over');
        return;
      }
      if (seconds === undefined) this.#measureAt = now + this.#every();
      else this.#renewed(seconds, askedAt, now);
      if (outcome.rttMs !== null) this.#outputs.push({ type: 'measured', rttMs: outcome.rttMs });
    } else {
      const { code, reason } = outcome.error;
      const what = reasonText(code, reason);
      if (code === ERROR_CODES['Allocation Mismatch']) this.#end('turn-allocation-lost', what);
      else if (code === ERROR_CODES.Unauthenticated || code === ERROR_CODES['Wrong Credentials']) {
        this.#end('turn-credentials', what);
      } else this.#measureAt = now + this.#every();
    }
  }

  /** Counted from when it was asked for. Returns the lifetime. */
  #renewed(seconds: number, askedAt: Ms, now: Ms): Ms {
    const lifetimeMs = Math.min(seconds, LONGEST_LIFETIME_S) * 1000;
    this.#expiresAt = askedAt + lifetimeMs;
    const early = lifetimeMs > 2 * REFRESH_BEFORE_MS ? REFRESH_BEFORE_MS : lifetimeMs / 2;
    this.#measureAt = Math.max(now + 1, Math.min(this.#expiresAt - early, now + this.#every()));
    return lifetimeMs;
  }

  #every(): Ms {
    return this.#options.measureEveryMs ?? MEASURE_EVERY_MS;
  }

  // Ends

  #close(now: Ms): void {
    if (this.#state === 'closing' || this.#state === 'ended') return;
    const was = this.#state;
    this.#state = 'closing';
    this.#closeBy = now + CLOSE_WITHIN_MS;
    if (was === 'idle') this.#closed();
    // An Allocate that is under way may still be answered: then there is something to give back.
    if (was !== 'allocated') return;
    this.#requests.cancel();
    this.#giveBack(now);
  }

  #giveBack(now: Ms): void {
    const request = { method: METHODS.Refresh, attributes: () => [lifetime(0)], timers: CLOSE_TIMERS };
    this.#requests.ask(request, now, () => {
      this.#closed();
    });
  }

  #closed(): void {
    if (this.#state === 'ended') return;
    this.#stop();
    this.#outputs.push({ type: 'closed' });
  }

  #refused(code: number, reason: string): void {
    this.#end(failureCodeOf(code), reasonText(code, reason));
  }

  /** Failed where there was no allocation yet, lost where there was one; closed where nobody wants it any more. */
  #end(code: TurnFailureCode, what: string): void {
    if (this.#state === 'closing') this.#closed();
    if (this.#state === 'ended') return;
    const type = this.#state === 'allocated' ? 'lost' : 'failed';
    this.#stop();
    this.#outputs.push({ type, error: turnFailure(code, this.#server, what) });
  }

  #stop(): void {
    this.#state = 'ended';
    this.#requests.reset();
    this.#closeBy = NEVER;
  }
}

const UNMEETABLE = ['turn-answer-invalid', 'it asks for credentials in a way that cannot be met'] as const;

function isDataIndication(message: StunMessage): boolean {
  return message.class === 'indication' && message.method === METHODS.Data;
}
