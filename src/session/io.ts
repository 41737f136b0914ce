import type { Family, TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import type { EgressVerdict } from '../verdict/words.js';
import type { RecordEvent } from './record.js';

/**
 * What a session machine (client, server, reflector) and the driver that pumps it say to each other. The same on real
 * networks (`net/`) and on a virtual clock: a driver does what it is told, and tells what came of it, nothing more.
 */

/** Chosen by the machine; names a UDP socket from `open` to `close`. */
export type SocketId = string;

/** ICMP as the error queue or a simulated network tells it; v4 and v6 numbers are those of the family. */
export interface IcmpError {
  readonly family: Family;
  readonly type: number;
  readonly code: number;
  /** Who sent the ICMP message. */
  readonly from: string;
}

export interface EgressCheck {
  readonly interface: string;
  readonly from: string;
  readonly to: string;
}

/** What the routing table and the neighbour table say of one (interface, source, destination). */
export interface EgressResult extends EgressCheck {
  readonly verdict: EgressVerdict;
  /** Whether the interface has any route that covers the destination; `null` where it could not be told. */
  readonly routed: boolean | null;
  /** The device that the packet would leave by. */
  readonly device: string | null;
  readonly gateway: string | null;
  /** `reachable`, `stale`, `failed`, `incomplete` … of the gateway's or the destination's neighbour entry. */
  readonly neighbour: string | null;
  /** One sentence for people. */
  readonly reason: string;
}

/** Counters of this host; absent ones could not be read. Monotonic: a machine takes differences. */
export interface CounterSnapshot {
  /** By interface name. */
  readonly interfaces: Readonly<
    Record<
      string,
      { readonly rxPackets: number; readonly txPackets: number; readonly rxDropped: number; readonly txDropped: number }
    >
  >;
  /** By the kernel's name: `TcpExtIPReversePathFilter`, `UdpRcvbufErrors`, `IpInAddrErrors` … and firewall rules as `nft FAMILY TABLE CHAIN: RULE`. */
  readonly host: Readonly<Record<string, number>>;
  /** The effective rp_filter by interface (the larger of `all` and its own): 0 off, 1 strict, 2 loose. */
  readonly rpFilter: Readonly<Record<string, number>>;
}

export type SessionInput =
  /**
   * The first input. `startedAt` is the wall clock now, ISO 8601: for people, and to tell them how far apart the clocks
   * of the two hosts are. No verdict depends on it.
   */
  | {
      readonly type: 'start';
      readonly startedAt: string;
      readonly interfaces: readonly HostInterface[];
      readonly counters: CounterSnapshot | null;
    }
  /** The interfaces of the run as they are from now on: addresses came or went, or one is there that was not. */
  | { readonly type: 'interfaces'; readonly interfaces: readonly HostInterface[] }
  | { readonly type: 'opened'; readonly socket: SocketId; readonly local: TransportAddress; readonly pinned: boolean }
  /** A socket could not be opened, or died: `code` as the kernel names it. */
  | { readonly type: 'socket-failed'; readonly socket: SocketId; readonly code: string; readonly message: string }
  | {
      readonly type: 'datagram';
      readonly socket: SocketId;
      readonly from: TransportAddress;
      readonly bytes: Uint8Array;
    }
  /** What became of a `send`: taken by the kernel (`code` null) or refused. */
  | { readonly type: 'sent'; readonly token: number; readonly code: string | null }
  /** An ICMP error for something that `socket` sent to `to`; `quoted` is what it quotes of the UDP payload. */
  | {
      readonly type: 'icmp';
      readonly socket: SocketId;
      readonly to: TransportAddress;
      readonly error: IcmpError;
      readonly quoted: Uint8Array;
    }
  | { readonly type: 'egress'; readonly token: number; readonly results: readonly EgressResult[] }
  | { readonly type: 'counters'; readonly token: number; readonly counters: CounterSnapshot | null }
  /** What became of a `connect-tcp`: a STUN answer over it (`code` null), or why not (`ETIMEDOUT`, `ECONNREFUSED` …). */
  | { readonly type: 'tcp'; readonly token: number; readonly code: string | null; readonly afterMs: Ms }
  /** A message of the authenticated far end, already decoded from JSON, not yet validated. */
  | { readonly type: 'message'; readonly message: unknown }
  | { readonly type: 'peer-connected'; readonly address: string }
  | { readonly type: 'peer-lost'; readonly reason: string }
  /** The answer to `yardstick`: any JSON; the machine passes it through into the record. */
  | { readonly type: 'yardstick'; readonly results: readonly unknown[] }
  /** Ctrl-C: finish now with what is known. */
  | { readonly type: 'interrupt' }
  | { readonly type: 'timeout' };

export type SessionOutput =
  /** Open a UDP socket on `interface` at `address` (port 0: any), pinned to the device when `pin`. Answered by `opened` or `socket-failed`. */
  | {
      readonly type: 'open';
      readonly socket: SocketId;
      readonly interface: string;
      readonly address: TransportAddress;
      readonly pin: boolean;
    }
  | { readonly type: 'close'; readonly socket: SocketId }
  /** Answered by `sent` with the same token, in order. `ttl` is set for this datagram alone. */
  | {
      readonly type: 'send';
      readonly socket: SocketId;
      readonly to: TransportAddress;
      readonly bytes: Uint8Array;
      readonly token: number;
      readonly ttl?: number;
    }
  | {
      readonly type: 'check-egress';
      readonly token: number;
      readonly pin: boolean;
      readonly checks: readonly EgressCheck[];
    }
  | { readonly type: 'read-counters'; readonly token: number }
  /** A TCP connection from `interface`, pinned like the sockets: send a STUN Binding request, wait for its answer, close. */
  | {
      readonly type: 'connect-tcp';
      readonly token: number;
      readonly interface: string;
      readonly from: string;
      readonly to: TransportAddress;
      readonly pin: boolean;
      readonly timeoutMs: Ms;
    }
  | { readonly type: 'message'; readonly message: Readonly<Record<string, unknown>> }
  /** Close the control channel after what was already said has left. */
  | { readonly type: 'disconnect'; readonly reason: string }
  /** One line of the record. */
  | { readonly type: 'event'; readonly event: RecordEvent }
  /** For the log: a level, a sentence, and fields. `path.state` events come this way too. */
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly name: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** Let libjuice and libwebrtc try the same two hosts (signalling goes through `message`s of type `yardstick`). */
  | { readonly type: 'yardstick'; readonly role: 'client' | 'server'; readonly references: readonly TransportAddress[] }
  /** The run is over; the record holds everything. The driver ends when it has taken this. */
  | { readonly type: 'finished' };
