import type { TransportAddress } from '../../base/address.js';
import type { EcnMark } from '../../quic/recovery/received-packets.js';

/** Where a QUIC socket is to be. */
export interface SocketRequest {
  /** Port 0: any. */
  readonly local: TransportAddress;
  /** The interface that every packet must leave by, where the kernel lets us say so; `null`: where the routes say. */
  readonly device: string | null;
}

/** What a socket tells; called from the event loop, never from within a call of the socket's own. */
export interface SocketHandler {
  /** `bytes` may be changed, and is the socket's again when this returns. The same sender is the same object. */
  datagram(bytes: Uint8Array, from: TransportAddress, ecn: EcnMark): void;
  /** For the moment these were all: time to answer. */
  batchEnd(): void;
  /** There is room again. */
  writable(): void;
  /** The socket is closed, and of no use any more. */
  failed(code: string): void;
  /** Something that a log should have: it works all the same. */
  noted?(what: 'segments-refused', code: string): void;
}

/** One UDP socket of a QUIC host. */
export interface QuicSocket {
  readonly local: TransportAddress;
  readonly pinned: boolean;
  /** Whether what is sent now would have to wait; what is sent all the same is kept within bounds, or lost. */
  readonly isFull: boolean;
  /** Datagrams that the kernel refused or that found no room: lost, as if a router had dropped them. */
  readonly refused: number;
  /**
   * `segmentBytes` 0: one datagram; else several of so many bytes, the last of which may be shorter. `bytes` is the
   * caller's again when this returns.
   */
  send(to: TransportAddress, bytes: Uint8Array, segmentBytes: number): void;
  close(): void;
}

/** How datagrams get in and out. */
export interface SocketBackEnd {
  readonly name: string;
  /** Into which datagrams are best built, at least 64 KiB. */
  readonly sendBuffer: Uint8Array;
  /** How many datagrams one `send` is worth. */
  readonly mostSegments: number;
  /** Rejects with the kernel's code where the socket cannot be had. */
  open(request: SocketRequest, handler: SocketHandler): Promise<QuicSocket>;
}
