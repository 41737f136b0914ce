import type { Family, TransportAddress } from '../base/address.js';
import type { IcepathError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import type { LongTermCredentials } from '../stun/long-term.js';
import type { TransactionTimers } from '../stun/transaction.js';
import type { RelayedIcmp } from '../stun/turn-attributes.js';

/** A server, and what a person was given for it. */
export interface TurnServer {
  readonly address: TransportAddress;
  readonly credentials: LongTermCredentials;
}

export interface TurnClientOptions {
  readonly server: TurnServer;
  /** Of the relayed address. */
  readonly family: Family;
  readonly random: Random;
  /** How often a server that names another (300) is followed. Default 0: the name is in the error. */
  readonly mostRedirects?: number;
  /** A Refresh at least that often: it tells the round trip, and keeps the NAT's mapping. Default 15 s. */
  readonly measureEveryMs?: Ms;
  /** Of that Refresh: a server is called unanswering after that, long before its allocation has run out. */
  readonly measureTimers?: Partial<TransactionTimers>;
  /** Of all other requests; RFC 8489 §6.2.1 where nothing is said. */
  readonly timers?: Partial<TransactionTimers>;
}

/** What concerns peers is heard while there is an allocation, and passed over else. */
export type TurnInput =
  | { readonly type: 'allocate' }
  /** What came on the socket of the allocation; what is not from the server is passed over. */
  | { readonly type: 'datagram'; readonly from: TransportAddress; readonly bytes: Uint8Array }
  /** Let this peer's address through, and keep it so. */
  | { readonly type: 'permit'; readonly peer: TransportAddress }
  /** A channel to this peer, and so a permission: four bytes on top of each datagram instead of 36 or more. */
  | { readonly type: 'bind'; readonly peer: TransportAddress }
  /** Data for a peer, up to 65 000 bytes. Its permission is asked for where there is none; a little waits for it. */
  | { readonly type: 'data'; readonly peer: TransportAddress; readonly data: Uint8Array }
  /** Permission and channel of this peer are no longer renewed; permissions are an address's, whatever its port. */
  | { readonly type: 'forget'; readonly peer: TransportAddress }
  /** The allocation is given back. */
  | { readonly type: 'close' }
  | { readonly type: 'timeout' };

export type TurnOutput =
  /** To the server. `transaction`: 24 hex digits, `null` for data. */
  | {
      readonly type: 'send';
      readonly to: TransportAddress;
      readonly bytes: Uint8Array;
      readonly transaction: string | null;
    }
  /** The relay is there. `rttMs` is that of its last request, `null` where that was sent more than once. */
  | {
      readonly type: 'allocated';
      readonly relayed: TransportAddress;
      readonly mapped: TransportAddress;
      readonly lifetimeMs: Ms;
      readonly rttMs: Ms | null;
    }
  /** The server named another one, which is asked now. */
  | { readonly type: 'redirected'; readonly to: TransportAddress }
  /** Datagrams from and to any port of this address pass. */
  | { readonly type: 'permitted'; readonly address: string }
  | { readonly type: 'bound'; readonly peer: TransportAddress; readonly channel: number }
  /** This address cannot be reached over this relay (any more); what waited for it is dropped. */
  | { readonly type: 'peer-refused'; readonly address: string; readonly error: IcepathError }
  | {
      readonly type: 'data';
      readonly peer: TransportAddress;
      readonly data: Uint8Array;
      /** The channel that it came by; `null`: a Data indication. */
      readonly channel: number | null;
    }
  /** What the relay heard by ICMP of something that it had sent to this peer (RFC 8656 §11.5). */
  | { readonly type: 'icmp'; readonly peer: TransportAddress; readonly icmp: RelayedIcmp }
  | { readonly type: 'measured'; readonly rttMs: Ms }
  /** The server is silent. The allocation may live on; it is asked again and again until it must have run out. */
  | { readonly type: 'unanswered' }
  /** There will be no relay. */
  | { readonly type: 'failed'; readonly error: IcepathError }
  /** There was one, and it is gone. */
  | { readonly type: 'lost'; readonly error: IcepathError }
  | { readonly type: 'closed' };
