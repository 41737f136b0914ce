import { formatTransportAddress, type Family, type TransportAddress } from '../base/address.js';
import { Queue, type Machine } from '../base/machine.js';
import { integerBetween, type Random } from '../base/random.js';
import { earliest, type Ms } from '../base/time.js';
import {
  addressAttribute,
  errorCode,
  readXorAddress,
  unknownAttributes,
  unknownAttributesAttribute,
  xorAddressAttribute,
  xorMappedAddress,
} from '../stun/attributes.js';
import { decodeChannelData, encodeChannelData, FIRST_CHANNEL, LAST_CHANNEL } from '../stun/channel-data.js';
import { fingerprinted, signed } from '../stun/integrity.js';
import { encodeMessage, parseStrict, transactionKey, type NewAttribute, type StunMessage } from '../stun/message.js';
import { ATTRIBUTES, ERROR_CODES, METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import {
  data as dataAttribute,
  lifetime,
  readChannelNumber,
  readData,
  readLifetime,
  readRequestedAddressFamily,
  readRequestedTransport,
  TRANSPORT_UDP,
} from '../stun/turn-attributes.js';
import { TurnCredentials, type Signer, type TurnUsers } from './turn-credentials.js';

export interface TurnServerOptions extends Partial<Omit<TurnUsers, 'users'>>, Pick<TurnUsers, 'users'> {
  readonly random: Random;
  /** Where relays are, by family; a family that is left out is refused (440). */
  readonly relays: Partial<Record<Family, string>>;
  /** Allocations a user may have at once. */
  readonly quota?: number;
  /** Allocations at once. */
  readonly mostAllocations?: number;
  /** The lifetime of an allocation where nothing longer is asked for; RFC 8656 §3.2 says 600. */
  readonly lifetimeS?: number;
  /** Whether a peer may be reached. */
  readonly admits?: (peer: TransportAddress) => boolean;
  /** Everybody is sent there. */
  readonly alternate?: TransportAddress;
}

export type TurnServerInput =
  /** `at`: the address that it came to, the server's own or a relay. */
  | {
      readonly type: 'datagram';
      readonly at: TransportAddress;
      readonly from: TransportAddress;
      readonly bytes: Uint8Array;
    }
  | { readonly type: 'timeout' };

export type TurnServerOutput =
  | {
      readonly type: 'send';
      readonly from: TransportAddress;
      readonly to: TransportAddress;
      readonly bytes: Uint8Array;
    }
  /** Datagrams to this address are the server's from now on, or no longer. */
  | { readonly type: 'open' | 'close'; readonly address: TransportAddress };

const LIFETIME_S = 600;
const LONGEST_LIFETIME_S = 3600;
const PERMISSION_MS: Ms = 300_000;
const CHANNEL_MS: Ms = 600_000;
const NONCE_MS: Ms = 600_000;
const MOST_ALLOCATIONS = 1000;
const MOST_PERMISSIONS = 64;
/** RFC 8656 §7.2: relays are in the dynamic range. */
const RELAY_PORTS = [49_152, 65_535] as const;

const KNOWN: ReadonlySet<number> = new Set(
  (
    [
      ...['USERNAME', 'MESSAGE-INTEGRITY', 'MESSAGE-INTEGRITY-SHA256', 'REALM', 'NONCE', 'USERHASH'],
      ...['PASSWORD-ALGORITHM', 'CHANNEL-NUMBER', 'LIFETIME', 'XOR-PEER-ADDRESS', 'DATA'],
      ...['REQUESTED-ADDRESS-FAMILY', 'REQUESTED-TRANSPORT'],
    ] as (keyof typeof ATTRIBUTES)[]
  ).map((name) => ATTRIBUTES[name]),
);

interface Allocation {
  readonly key: string;
  readonly server: TransportAddress;
  readonly client: TransportAddress;
  readonly user: string;
  readonly relayed: TransportAddress;
  readonly transaction: string;
  expiresAt: Ms;
  readonly permissions: Map<string, Ms>;
  readonly channels: Map<number, { readonly peer: TransportAddress; until: Ms }>;
}

interface Request {
  readonly message: StunMessage;
  readonly at: TransportAddress;
  readonly from: TransportAddress;
  readonly signer: Signer;
  readonly now: Ms;
}

/** An error's code, or what stands in the success. */
type Answer = number | readonly NewAttribute[];

/** A TURN server (RFC 8656) over UDP for simulated worlds: one allocation a 5-tuple, long-term credentials, no sockets. */
export class TurnServer implements Machine<TurnServerInput, TurnServerOutput> {
  readonly credentials: TurnCredentials;
  readonly #options: TurnServerOptions;
  readonly #outputs = new Queue<TurnServerOutput>();
  readonly #allocations = new Map<string, Allocation>();
  readonly #relays = new Map<string, Allocation>();

  constructor(options: TurnServerOptions) {
    this.#options = options;
    const { users, random, realm = 'example.org', nonceMs = NONCE_MS, modern = false } = options;
    this.credentials = new TurnCredentials({ users, realm, nonceMs, modern }, random);
  }

  /** How many allocations there are. */
  get size(): number {
    return this.#allocations.size;
  }

  handle(input: TurnServerInput, now: Ms): void {
    for (const allocation of [...this.#allocations.values()]) if (allocation.expiresAt <= now) this.#remove(allocation);
    if (input.type === 'timeout') return;
    const { at, from, bytes } = input;
    const relay = this.#relays.get(formatTransportAddress(at));
    if (relay) {
      this.#toClient(relay, from, bytes, now);
      return;
    }
    const framed = decodeChannelData(bytes);
    const parsed = parseStrict(bytes);
    const allocation = this.#allocations.get(tuple(at, from));
    if (framed && allocation) this.#fromChannel(allocation, framed.channel, framed.data, now);
    if (!parsed.ok) return;
    const { message } = parsed;
    if (message.class === 'request') this.#request(message, at, from, now);
    if (message.class === 'indication' && message.method === METHODS.Send && allocation) {
      const peer = readXorAddress(message, ATTRIBUTES['XOR-PEER-ADDRESS']);
      const data = readData(message);
      if (peer && data) this.#toPeer(allocation, peer, data, now);
    }
  }

  poll(): TurnServerOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    return earliest(...[...this.#allocations.values()].map(({ expiresAt }) => expiresAt));
  }

  /** As after a restart: nobody knows of any allocation. */
  forgetAll(): void {
    for (const allocation of [...this.#allocations.values()]) this.#remove(allocation);
  }

  #request(message: StunMessage, at: TransportAddress, from: TransportAddress, now: Ms): void {
    if (message.method === METHODS.Binding) {
      this.#answer(message, at, from, null, [xorMappedAddress(from, message.transactionId)]);
      return;
    }
    const signer = this.credentials.inspect(message, now);
    if (typeof signer === 'number') {
      const more = signer === 400 ? [] : this.credentials.challenge(now);
      this.#answer(message, at, from, null, signer, more);
      return;
    }
    const unknown = unknownAttributes(message, KNOWN);
    if (unknown.length > 0) {
      const code = ERROR_CODES['Unknown Attribute'];
      this.#answer(message, at, from, signer, code, [unknownAttributesAttribute(unknown)]);
      return;
    }
    const { alternate } = this.#options;
    if (alternate && message.method === METHODS.Allocate) {
      const more = [addressAttribute(ATTRIBUTES['ALTERNATE-SERVER'], alternate)];
      this.#answer(message, at, from, signer, ERROR_CODES['Try Alternate'], more);
      return;
    }
    this.#answer(message, at, from, signer, this.#serve({ message, at, from, signer, now }));
  }

  #serve(request: Request): Answer {
    const { message, at, from, signer } = request;
    const allocation = this.#allocations.get(tuple(at, from));
    if (message.method === METHODS.Allocate) return this.#allocate(request, allocation);
    if (!allocation) return ERROR_CODES['Allocation Mismatch'];
    if (allocation.user !== signer.user) return ERROR_CODES['Wrong Credentials'];
    switch (message.method) {
      case METHODS.Refresh:
        return this.#refresh(request, allocation);
      case METHODS.CreatePermission:
        return this.#permit(request, allocation);
      case METHODS.ChannelBind:
        return this.#bind(request, allocation);
      default:
        return ERROR_CODES['Bad Request'];
    }
  }

  /** RFC 8656 §7.2, in its order. */
  #allocate({ message, at, from, signer, now }: Request, known: Allocation | undefined): Answer {
    const transaction = transactionKey(message.transactionId);
    if (known)
      return known.transaction === transaction ? allocated(known, message, now) : ERROR_CODES['Allocation Mismatch'];
    const transport = readRequestedTransport(message);
    if (transport === undefined) return ERROR_CODES['Bad Request'];
    if (transport !== TRANSPORT_UDP) return ERROR_CODES['Unsupported Transport Protocol'];
    const asked = readRequestedAddressFamily(message);
    const family = asked === undefined ? 'ipv4' : asked;
    const address = family === null ? undefined : this.#options.relays[family];
    if (address === undefined || family === null) return ERROR_CODES['Address Family not Supported'];
    const { quota = Infinity, mostAllocations = MOST_ALLOCATIONS } = this.#options;
    const own = [...this.#allocations.values()].filter(({ user }) => user === signer.user);
    if (own.length >= quota) return ERROR_CODES['Allocation Quota Reached'];
    if (this.#allocations.size >= mostAllocations) return ERROR_CODES['Insufficient Capacity'];
    const allocation: Allocation = {
      ...{ key: tuple(at, from), server: at, client: from, user: signer.user, transaction },
      relayed: this.#freeRelay(family, address),
      expiresAt: now + this.#lifetime(message) * 1000,
      permissions: new Map(),
      channels: new Map(),
    };
    this.#allocations.set(allocation.key, allocation);
    this.#relays.set(formatTransportAddress(allocation.relayed), allocation);
    this.#outputs.push({ type: 'open', address: allocation.relayed });
    return allocated(allocation, message, now);
  }

  #freeRelay(family: Family, address: string): TransportAddress {
    for (;;) {
      const relayed = { family, address, port: integerBetween(this.#options.random, ...RELAY_PORTS) };
      if (!this.#relays.has(formatTransportAddress(relayed))) return relayed;
    }
  }

  #lifetime(message: StunMessage): number {
    const least = this.#options.lifetimeS ?? LIFETIME_S;
    return Math.min(Math.max(readLifetime(message) ?? least, least), LONGEST_LIFETIME_S);
  }

  #refresh({ message, now }: Request, allocation: Allocation): Answer {
    if (readLifetime(message) === 0) {
      this.#remove(allocation);
      return [lifetime(0)];
    }
    const seconds = this.#lifetime(message);
    allocation.expiresAt = now + seconds * 1000;
    return [lifetime(seconds)];
  }

  #permit({ message, now }: Request, allocation: Allocation): Answer {
    const peer = readXorAddress(message, ATTRIBUTES['XOR-PEER-ADDRESS']);
    const refusal = this.#refusal(peer, allocation);
    if (!peer || refusal !== null) return refusal ?? ERROR_CODES['Bad Request'];
    allocation.permissions.set(peer.address, now + PERMISSION_MS);
    return [];
  }

  #bind({ message, now }: Request, allocation: Allocation): Answer {
    const peer = readXorAddress(message, ATTRIBUTES['XOR-PEER-ADDRESS']);
    const number = readChannelNumber(message) ?? 0;
    const refusal = this.#refusal(peer, allocation);
    if (!peer || refusal !== null) return refusal ?? ERROR_CODES['Bad Request'];
    const name = formatTransportAddress(peer);
    const bound = [...allocation.channels].find(([, each]) => formatTransportAddress(each.peer) === name);
    const taken = allocation.channels.get(number);
    const isTaken = taken !== undefined && formatTransportAddress(taken.peer) !== name;
    const isOther = bound !== undefined && bound[0] !== number;
    if (number < FIRST_CHANNEL || number > LAST_CHANNEL || isTaken || isOther) return ERROR_CODES['Bad Request'];
    allocation.channels.set(number, { peer, until: now + CHANNEL_MS });
    allocation.permissions.set(peer.address, now + PERMISSION_MS);
    return [];
  }

  #refusal(peer: TransportAddress | undefined, { relayed, permissions }: Allocation): number | null {
    if (!peer) return ERROR_CODES['Bad Request'];
    if (peer.family !== relayed.family) return ERROR_CODES['Peer Address Family Mismatch'];
    if (this.#options.admits?.(peer) === false) return ERROR_CODES.Forbidden;
    const isNew = !permissions.has(peer.address);
    return isNew && permissions.size >= MOST_PERMISSIONS ? ERROR_CODES['Insufficient Capacity'] : null;
  }

  #fromChannel(allocation: Allocation, number: number, data: Uint8Array, now: Ms): void {
    const channel = allocation.channels.get(number);
    if (channel && channel.until > now) this.#toPeer(allocation, channel.peer, data, now);
  }

  #toPeer(allocation: Allocation, peer: TransportAddress, bytes: Uint8Array, now: Ms): void {
    if ((allocation.permissions.get(peer.address) ?? 0) <= now) return;
    // From one relay here to another no packet need leave.
    const other = this.#relays.get(formatTransportAddress(peer));
    if (other) this.#toClient(other, allocation.relayed, bytes, now);
    else this.#outputs.push({ type: 'send', from: allocation.relayed, to: peer, bytes });
  }

  #toClient(allocation: Allocation, peer: TransportAddress, bytes: Uint8Array, now: Ms): void {
    if ((allocation.permissions.get(peer.address) ?? 0) <= now) return;
    const { server: from, client: to } = allocation;
    const name = formatTransportAddress(peer);
    for (const [channel, each] of allocation.channels) {
      if (each.until <= now || formatTransportAddress(each.peer) !== name) continue;
      this.#outputs.push({ type: 'send', from, to, bytes: encodeChannelData({ channel, data: bytes }) });
      return;
    }
    const transactionId = this.#options.random.bytes(TRANSACTION_ID_BYTES);
    const attributes = [xorAddressAttribute(ATTRIBUTES['XOR-PEER-ADDRESS'], peer, transactionId), dataAttribute(bytes)];
    const indication = { method: METHODS.Data, class: 'indication', transactionId, attributes } as const;
    this.#outputs.push({ type: 'send', from, to, bytes: encodeMessage(indication) });
  }

  #remove(allocation: Allocation): void {
    this.#allocations.delete(allocation.key);
    this.#relays.delete(formatTransportAddress(allocation.relayed));
    this.#outputs.push({ type: 'close', address: allocation.relayed });
  }

  #answer(
    { method, transactionId }: StunMessage,
    from: TransportAddress,
    to: TransportAddress,
    signer: Signer | null,
    answer: Answer,
    more: readonly NewAttribute[] = [],
  ): void {
    const isError = typeof answer === 'number';
    const attributes = isError ? [errorCode({ code: answer, reason: reasonOf(answer) }), ...more] : answer;
    const message = { method, class: isError ? 'error' : 'success', transactionId, attributes } as const;
    const bytes = signer ? signed(message, { ...signer, fingerprint: true }) : fingerprinted(message);
    this.#outputs.push({ type: 'send', from, to, bytes });
  }
}

function allocated(
  { relayed, client, expiresAt }: Allocation,
  { transactionId }: StunMessage,
  now: Ms,
): NewAttribute[] {
  return [
    xorAddressAttribute(ATTRIBUTES['XOR-RELAYED-ADDRESS'], relayed, transactionId),
    xorMappedAddress(client, transactionId),
    lifetime(Math.ceil((expiresAt - now) / 1000)),
  ];
}

function reasonOf(code: number): string {
  return Object.entries(ERROR_CODES).find(([, number]) => number === code)?.[0] ?? '';
}

function tuple(server: TransportAddress, client: TransportAddress): string {
  return `${formatTransportAddress(server)} ${formatTransportAddress(client)}`;
}
