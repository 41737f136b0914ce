import { sameAddress, type TransportAddress } from '../base/address.js';
import type { Ms } from '../base/time.js';
import { readMappedAddress } from '../stun/attributes.js';
import { encodeType, type StunMessage, transactionKey } from '../stun/message.js';
import type { Context } from './context.js';
import { buildBare, buildRelayRequest } from './messages.js';
import type { Profile } from './schema.js';
import type { ProfileBase } from './types.js';

/** A relay as one socket sees it. */
export interface Leg {
  readonly base: ProfileBase;
  readonly relay: TransportAddress;
  rttMs: Ms | null;
}

interface Asked {
  readonly leg: Leg;
  readonly at: Ms;
  readonly reply: number;
  readonly what: 'relay' | 'gather' | 'idle' | 'train';
}

export interface RelayHooks {
  /** The first answer of a relay. */
  answered(leg: Leg): void;
  /** What a server saw of a socket. */
  mapped(base: ProfileBase, address: TransportAddress): void;
}

const BINDING = 0x0001;
const BINDING_SUCCESS = 0x0101;
/** When a STUN server is asked, as long as it has not answered (RFC 8489 §6.2.1, its first three). */
const GATHER_AT_MS: readonly Ms[] = [0, 500, 1500];

/** The relays of a call: reference hosts stand in for them, which answer and relay nothing. */
export class ProfileRelays {
  readonly #context: Context;
  readonly #servers: readonly TransportAddress[];
  readonly #hooks: RelayHooks;
  #legs: Leg[] = [];
  readonly #asked = new Map<string, Asked>();

  constructor(context: Context, servers: readonly TransportAddress[], hooks: RelayHooks) {
    this.#context = context;
    this.#servers = servers;
    this.#hooks = hooks;
  }

  /** The fastest that has answered one of these sockets. */
  best(bases: readonly ProfileBase[]): Leg | null {
    const answered = this.#legs.filter((leg) => leg.rttMs !== null && bases.some(({ id }) => id === leg.base.id));
    return answered.sort((left, right) => (left.rttMs ?? 0) - (right.rttMs ?? 0))[0] ?? null;
  }

  /** Asks as many as the profile does, all within its burst, each several times. */
  ask(bases: readonly ProfileBase[]): void {
    const { relay } = this.#context.profile;
    if (!relay) return;
    for (const base of bases) {
      if (!relay.families.includes(base.address.family)) continue;
      const servers = this.#of(base).slice(0, relay.count);
      for (const [index, server] of servers.entries()) {
        const leg: Leg = { base, relay: server, rttMs: null };
        this.#legs.push(leg);
        const { id, key } = this.#context.transaction();
        const bytes = buildRelayRequest(relay.request, id, this.#context.keys, relay.attributes ?? []);
        const after = servers.length < 2 ? 0 : (relay.burst * index) / (servers.length - 1);
        this.#context.at(this.#context.now + after, () => {
          if (!this.#legs.includes(leg)) return;
          this.#asked.set(key, { leg, at: this.#context.now, reply: relay.reply, what: 'relay' });
          for (let copy = 0; copy < relay.copies; copy += 1) {
            this.#context.send(base, server, bytes);
            this.#context.tell('relay-asked', base);
          }
        });
      }
    }
  }

  /** Asks a STUN server for the reflexive addresses of these sockets. */
  gather(bases: readonly ProfileBase[]): void {
    for (const base of bases) {
      const [server] = this.#of(base);
      if (!server) continue;
      const leg: Leg = { base, relay: server, rttMs: null };
      const { id, key } = this.#context.transaction();
      const bytes = buildBare(BINDING, id);
      for (const after of GATHER_AT_MS) {
        this.#context.at(this.#context.now + after, () => {
          if (leg.rttMs !== null) return;
          this.#asked.set(key, { leg, at: this.#context.now, reply: BINDING_SUCCESS, what: 'gather' });
          this.#context.send(base, server, bytes);
        });
      }
    }
  }

  /** One more packet, so that the relay that is not used stays open. */
  keepIdle(leg: Leg, { request, reply }: { readonly request: number; readonly reply: number }): void {
    const { id, key } = this.#context.transaction();
    this.#asked.set(key, { leg, at: this.#context.now, reply, what: 'idle' });
    this.#context.send(leg.base, leg.relay, buildBare(request, id));
    this.#context.tell('idle', leg.base);
  }

  /** A train to the relay of a socket: all of it under one transaction id, as captures have it. */
  train(base: ProfileBase, { count, gap, request, reply, length }: Profile['trains'][number]): void {
    const relay = this.best([base])?.relay ?? this.#of(base)[0];
    if (!relay) return;
    const { id, key } = this.#context.transaction();
    const bytes = buildBare(request, id, length);
    const began = this.#context.now;
    for (let index = 0; index < count; index += 1) {
      this.#context.at(began + gap * index, () => {
        this.#asked.set(key, { leg: { base, relay, rttMs: 0 }, at: this.#context.now, reply, what: 'train' });
        this.#context.send(base, relay, bytes);
        this.#context.tell('train', base);
      });
    }
  }

  /** Whether a message answers one of these requests. */
  take(base: ProfileBase, from: TransportAddress, message: StunMessage): boolean {
    const asked = this.#asked.get(transactionKey(message.transactionId));
    if (asked?.leg.base.id !== base.id || !sameAddress(asked.leg.relay, from)) return false;
    if (encodeType(message.method, message.class) !== asked.reply) return true;
    const { leg, what, at } = asked;
    const ms = this.#context.now - at;
    if (what === 'idle') this.#context.tell('idle-answered', base, null, { ms });
    else if (what === 'train') this.#context.tell('train-answered', base, null, { ms });
    else if (leg.rttMs === null) {
      leg.rttMs = ms;
      if (what === 'relay') this.#context.tell('relay-answered', base, null, { ms });
      const mapped = readMappedAddress(message);
      if (mapped) this.#hooks.mapped(base, mapped);
      if (what === 'relay') this.#hooks.answered(leg);
    }
    return true;
  }

  /** A socket is gone. */
  forget(base: string): void {
    this.#legs = this.#legs.filter((leg) => leg.base.id !== base);
  }

  /** The call is over: every relay that answered hears of it. */
  end(type: number): void {
    const { keys } = this.#context;
    for (const { base, relay, rttMs } of this.#legs) {
      if (rttMs === null) continue;
      this.#context.send(base, relay, buildRelayRequest(type, this.#context.transaction().id, keys, []));
      this.#context.tell('ended', base);
    }
  }

  #of(base: ProfileBase): TransportAddress[] {
    return this.#servers.filter(({ family }) => family === base.address.family);
  }
}
