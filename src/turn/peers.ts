import { formatTransportAddress, type Family, type TransportAddress } from '../base/address.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { xorAddressAttribute } from '../stun/attributes.js';
import { encodeChannelData, FIRST_CHANNEL, LAST_CHANNEL } from '../stun/channel-data.js';
import { encodeMessage } from '../stun/message.js';
import { ATTRIBUTES, ERROR_CODES, METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { channelNumber, data as dataAttribute } from '../stun/turn-attributes.js';
import { failureCodeOf, reasonText, type TurnFailureCode } from './failure.js';
import type { Outcome, TurnRequest } from './requests.js';

/** RFC 8656 §9: a permission lives five minutes, a channel ten (§12). Renewed while there is time to ask again. */
const PERMISSION_MS: Ms = 300_000;
const CHANNEL_MS: Ms = 600_000;
const RENEW_BEFORE_MS: Ms = 60_000;
/** A peer that was refused is not asked for again before that. */
const REFUSED_MS: Ms = 60_000;

const MOST_PEERS = 256;
/** Datagrams that wait for one permission; the newest are kept. */
const MOST_WAITING = 16;

/** What the allocation does for its peers. */
export interface PeersOwner {
  ask(request: TurnRequest, now: Ms, then: (outcome: Outcome, now: Ms) => void): void;
  /** To the server, and without an answer. */
  sendData(bytes: Uint8Array): void;
  randomBytes(length: number): Uint8Array;
  permitted(address: string): void;
  bound(peer: TransportAddress, channel: number): void;
  refused(address: string, code: TurnFailureCode, what: string): void;
  /** The server does not know the allocation any more (437). */
  allocationLost(what: string): void;
}

interface Permission {
  readonly address: string;
  state: 'asked' | 'given' | 'refused';
  /** When to renew it, or to forget that it was refused. */
  dueAt: Ms;
  expiresAt: Ms;
  waiting: { readonly peer: TransportAddress; readonly data: Uint8Array }[];
}

interface Channel {
  readonly peer: TransportAddress;
  readonly number: number;
  state: 'asked' | 'bound' | 'refused';
  dueAt: Ms;
  expiresAt: Ms;
}

/** Permissions and channels of one allocation (RFC 8656 §9–§12): asked for, renewed, and used to frame what is sent. */
export class Peers {
  readonly #owner: PeersOwner;
  readonly #family: Family;
  readonly #permissions = new Map<string, Permission>();
  readonly #channels = new Map<string, Channel>();
  #nextChannel = FIRST_CHANNEL;

  constructor(owner: PeersOwner, family: Family) {
    this.#owner = owner;
    this.#family = family;
  }

  permit(peer: TransportAddress, now: Ms): void {
    this.#permission(peer, now);
  }

  /** A number is never used for a second peer: RFC 8656 §12 wants five minutes between them. */
  bind(peer: TransportAddress, now: Ms): void {
    const key = formatTransportAddress(peer);
    const permission = this.#permission(peer, now);
    if (!permission || this.#channels.has(key) || this.#nextChannel > LAST_CHANNEL) return;
    const channel: Channel = { peer, number: this.#nextChannel, state: 'asked', dueAt: NEVER, expiresAt: now };
    this.#nextChannel += 1;
    this.#channels.set(key, channel);
    this.#askChannel(channel, now);
  }

  forget(peer: TransportAddress): void {
    const key = formatTransportAddress(peer);
    this.#channels.delete(key);
    const others = [...this.#channels.values()].some((channel) => channel.peer.address === peer.address);
    if (!others) this.#permissions.delete(peer.address);
  }

  send(peer: TransportAddress, data: Uint8Array, now: Ms): void {
    const channel = this.#channels.get(formatTransportAddress(peer));
    if (channel?.state === 'bound' && now < channel.expiresAt) {
      this.#owner.sendData(encodeChannelData({ channel: channel.number, data }));
      return;
    }
    const permission = this.#permission(peer, now);
    if (permission?.state === 'given') this.#indicate(peer, data);
    if (permission?.state !== 'asked') return;
    if (permission.waiting.length >= MOST_WAITING) permission.waiting.shift();
    permission.waiting.push({ peer, data: data.slice() });
  }

  /** Whether this client let the address through: what else comes is not its peer's (RFC 8656 §11.4). */
  admits({ address }: TransportAddress): boolean {
    return this.#permissions.get(address)?.state === 'given';
  }

  /** The peer of a channel, even before the answer that it is bound came. */
  peerOf(number: number): TransportAddress | null {
    for (const channel of this.#channels.values()) {
      if (channel.number === number && channel.state !== 'refused') return channel.peer;
    }
    return null;
  }

  deadline(): Ms {
    const due = [...this.#permissions.values(), ...this.#channels.values()].map(({ dueAt }) => dueAt);
    return earliest(...due);
  }

  timeout(now: Ms): void {
    for (const permission of [...this.#permissions.values()]) {
      if (permission.dueAt > now) continue;
      if (permission.state === 'refused') this.#permissions.delete(permission.address);
      else this.#askPermission(permission, now);
    }
    for (const channel of [...this.#channels.values()]) if (channel.dueAt <= now) this.#askChannel(channel, now);
  }

  /** The one there is, or a new one that is asked for; `null` where there can be none. */
  #permission({ family, address }: TransportAddress, now: Ms): Permission | null {
    const known = this.#permissions.get(address);
    if (known) return known;
    if (this.#permissions.size >= MOST_PEERS) {
      this.#owner.refused(address, 'turn-capacity', `more than ${MOST_PEERS} peers`);
      return null;
    }
    const permission: Permission = { address, state: 'asked', dueAt: NEVER, expiresAt: now, waiting: [] };
    this.#permissions.set(address, permission);
    if (family === this.#family) this.#askPermission(permission, now);
    else this.#refuse(permission, 'turn-peer-family', `the relay is of ${this.#family}, the peer of ${family}`, now);
    return permission;
  }

  #askPermission(permission: Permission, now: Ms): void {
    permission.dueAt = NEVER;
    const peer = { family: this.#family, address: permission.address, port: 0 };
    const request: TurnRequest = {
      method: METHODS.CreatePermission,
      attributes: (id) => [xorAddressAttribute(ATTRIBUTES['XOR-PEER-ADDRESS'], peer, id)],
    };
    this.#owner.ask(request, now, (outcome, then) => {
      if (this.#permissions.get(permission.address) === permission)
        this.#permissionAnswered(permission, outcome, now, then);
    });
  }

  #permissionAnswered(permission: Permission, outcome: Outcome, askedAt: Ms, now: Ms): void {
    if (outcome.type === 'success') this.#give(permission, askedAt);
    else if (outcome.type === 'silent' && permission.state === 'given' && now < permission.expiresAt) {
      this.#askPermission(permission, now);
    } else if (outcome.type === 'silent') this.#refuse(permission, 'turn-silent', 'no answer to CreatePermission', now);
    else if (outcome.type === 'unmeetable') {
      this.#refuse(permission, 'turn-answer-invalid', 'it asks for credentials in a way that cannot be met', now);
    } else {
      const { code, reason } = outcome.error;
      const what = reasonText(code, reason);
      if (code === ERROR_CODES['Allocation Mismatch']) this.#owner.allocationLost(what);
      else {
        const forbidden = code === ERROR_CODES.Forbidden;
        this.#refuse(permission, forbidden ? 'turn-peer-forbidden' : failureCodeOf(code), what, now);
      }
    }
  }

  /** Counted from when it was asked for: the server's clock cannot have begun before. */
  #give(permission: Permission, askedAt: Ms): void {
    const isNew = permission.state !== 'given';
    permission.state = 'given';
    permission.dueAt = askedAt + PERMISSION_MS - RENEW_BEFORE_MS;
    permission.expiresAt = askedAt + PERMISSION_MS;
    const { waiting } = permission;
    permission.waiting = [];
    if (isNew) this.#owner.permitted(permission.address);
    for (const { peer, data } of waiting) this.#indicate(peer, data);
  }

  #refuse(permission: Permission, code: TurnFailureCode, what: string, now: Ms): void {
    Object.assign(permission, { state: 'refused', dueAt: now + REFUSED_MS, waiting: [] } satisfies Partial<Permission>);
    for (const [key, channel] of this.#channels) {
      if (channel.peer.address === permission.address) this.#channels.delete(key);
    }
    this.#owner.refused(permission.address, code, what);
  }

  #askChannel(channel: Channel, now: Ms): void {
    channel.dueAt = NEVER;
    const request: TurnRequest = {
      method: METHODS.ChannelBind,
      attributes: (id) => [
        channelNumber(channel.number),
        xorAddressAttribute(ATTRIBUTES['XOR-PEER-ADDRESS'], channel.peer, id),
      ],
    };
    this.#owner.ask(request, now, (outcome, then) => {
      if (this.#channels.get(formatTransportAddress(channel.peer)) === channel) {
        this.#channelAnswered(channel, outcome, now, then);
      }
    });
  }

  /** Whatever is wrong with a channel, indications do without: only the loss of everything is told. */
  #channelAnswered(channel: Channel, outcome: Outcome, askedAt: Ms, now: Ms): void {
    if (outcome.type === 'success') {
      const isNew = channel.state !== 'bound';
      channel.state = 'bound';
      channel.dueAt = askedAt + CHANNEL_MS - RENEW_BEFORE_MS;
      channel.expiresAt = askedAt + CHANNEL_MS;
      if (isNew) this.#owner.bound(channel.peer, channel.number);
      // RFC 8656 §12: a channel is a permission, too.
      const permission = this.#permissions.get(channel.peer.address);
      if (permission?.state === 'asked') this.#give(permission, askedAt);
    } else if (outcome.type === 'silent' && channel.state === 'bound' && now < channel.expiresAt) {
      this.#askChannel(channel, now);
    } else if (outcome.type === 'error' && outcome.error.code === ERROR_CODES['Allocation Mismatch']) {
      this.#owner.allocationLost(reasonText(outcome.error.code, outcome.error.reason));
    } else channel.state = 'refused';
  }

  #indicate(peer: TransportAddress, data: Uint8Array): void {
    const transactionId = this.#owner.randomBytes(TRANSACTION_ID_BYTES);
    const attributes = [xorAddressAttribute(ATTRIBUTES['XOR-PEER-ADDRESS'], peer, transactionId), dataAttribute(data)];
    this.#owner.sendData(encodeMessage({ method: METHODS.Send, class: 'indication', transactionId, attributes }));
  }
}
