import { sameAddress } from '../../base/address.js';
import { NEVER, type Ms } from '../../base/time.js';
import type { LocalIds } from '../paths/local-ids.js';
import type { RemoteIds } from '../paths/remote-ids.js';
import type { AmplificationLimit } from '../paths/validation.js';
import { type PathValidation } from '../paths/validation.js';
import type { PathRecovery, Space } from '../recovery/path-recovery.js';
import type { ReceivedPackets } from '../recovery/received-packets.js';
import { type SchedulablePath, SUSPECT_PTOS } from '../schedulers/scheduler.js';
import type { Frame, PathStatus } from '../wire/frames.js';
import type { FourTuple, PathState, PathStatistics, Transmit } from './types.js';

/** What a packet had in it that somebody wants to hear of when it is acknowledged or lost. */
export interface Content {
  readonly space: Space;
  readonly frames: readonly Frame[];
  /** Its frames were given back to be sent again although it may still arrive. */
  isRequeued: boolean;
}

/** Addresses that a path may move to, once they have proved themselves (RFC 9000 §9). */
export interface Candidate {
  readonly tuple: FourTuple;
  readonly validation: PathValidation;
  readonly limit: AmplificationLimit;
  /** Whether the far end is the one that has moved. */
  readonly isTheirs: boolean;
}

/** A PATH_RESPONSE that waits, for where the challenge came from. */
export interface PendingResponse {
  readonly data: Uint8Array;
  readonly tuple: FourTuple;
  /** Of the datagram in which the challenge was. */
  readonly challengeBytes: number;
}

/** The connection ids of a path id, which both ends have before there is a path. */
export interface Slot {
  readonly id: number;
  readonly local: LocalIds;
  readonly remote: RemoteIds;
  /** Sequence numbers whose retirement was said. */
  readonly retired: Set<number>;
  path: Path | null;
}

export function sameTuple(left: FourTuple, right: FourTuple): boolean {
  return left === right || (sameAddress(left.remote, right.remote) && sameAddress(left.local, right.local));
}

/** RFC 9000 §8.2.2 puts no bound to what a far end may ask; this one answers so many at a time. */
const MAX_RESPONSES = 8;

export interface PathParts {
  readonly id: number;
  readonly tuple: FourTuple;
  readonly slot: Slot;
  readonly recovery: PathRecovery<Content>;
  readonly received: ReceivedPackets;
  readonly validation: PathValidation;
  readonly limit: AmplificationLimit;
}

/** One path: its addresses, its packet numbers, what it takes. */
export class Path implements SchedulablePath {
  readonly id: number;
  slot: Slot;
  readonly recovery: PathRecovery<Content>;
  readonly received: ReceivedPackets;
  readonly validation: PathValidation;
  tuple: FourTuple;
  limit: AmplificationLimit;
  state: PathState = 'validating';
  candidate: Candidate | null = null;
  nextPacketNumber = 0;
  /** Packets to be sent whatever the window says. */
  probes = 0;
  /** This end's own wish, and that of the far end. */
  ours: PathStatus | null = null;
  theirs: PathStatus | null = null;
  /** Set by the sender before it asks a scheduler. */
  canSend = false;
  waitMs: Ms = 0;
  /** Frames that the scheduler wants on this path, too. */
  copies: readonly Frame[] = [];
  /** When something came last, and when something was sent that asks for an answer. */
  lastReceivedAt: Ms;
  lastElicitingAt: Ms = -Infinity;
  /** What was on its way went to another path, and nothing was acknowledged since: it may be dead. */
  isDoubted = false;
  /** When what is kept of an abandoned path may go. */
  forgetAt: Ms = NEVER;
  /** The destination of the last packet that came: a change of it is the far end's own will. */
  lastDestination: Uint8Array = new Uint8Array();
  /** ACKs that were alone in their packets, in a row. */
  loneAcks = 0;
  sentBytes = 0;
  receivedBytes = 0;
  sentDatagrams = 0;
  receivedDatagrams = 0;
  lostPackets = 0;
  #responses: PendingResponse[] = [];

  constructor({ id, tuple, slot, recovery, received, validation, limit }: PathParts, now: Ms) {
    this.id = id;
    this.tuple = tuple;
    this.slot = slot;
    this.recovery = recovery;
    this.received = received;
    this.validation = validation;
    this.limit = limit;
    this.lastReceivedAt = now;
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  get smoothedRttMs(): Ms {
    return this.recovery.rtt.smoothed;
  }

  get congestionWindowBytes(): number {
    return this.recovery.controller.window;
  }

  get bytesInFlight(): number {
    return this.recovery.bytesInFlight;
  }

  get datagramBytes(): number {
    return this.recovery.mtu.datagramBytes;
  }

  get isBackup(): boolean {
    return this.theirs === 'backup' || this.ours === 'backup';
  }

  /** One that is doubted is left alone by schedulers while another works. */
  get ptoCount(): number {
    const { ptoCount } = this.recovery;
    return this.isDoubted ? Math.max(ptoCount, SUSPECT_PTOS) : ptoCount;
  }

  get isWell(): boolean {
    return this.state === 'open' && this.recovery.ptoCount === 0 && !this.isDoubted;
  }

  get responses(): readonly PendingResponse[] {
    return this.#responses;
  }

  addResponse(response: PendingResponse): void {
    if (this.#responses.length < MAX_RESPONSES) this.#responses.push(response);
  }

  takeResponse(response: PendingResponse): void {
    this.#responses = this.#responses.filter((other) => other !== response);
  }

  statistics(): PathStatistics {
    const { rtt, mtu } = this.recovery;
    return {
      path: this.id,
      tuple: this.tuple,
      state: this.state,
      smoothedRttMs: rtt.smoothed,
      latestRttMs: rtt.latest,
      minRttMs: rtt.min,
      rttVariationMs: rtt.variation,
      ptoMs: this.recovery.pto(),
      ptoCount: this.recovery.ptoCount,
      congestionWindowBytes: this.recovery.controller.window,
      bytesInFlight: this.recovery.bytesInFlight,
      datagramBytes: mtu.datagramBytes,
      sentBytes: this.sentBytes,
      receivedBytes: this.receivedBytes,
      sentDatagrams: this.sentDatagrams,
      receivedDatagrams: this.receivedDatagrams,
      lostPackets: this.lostPackets,
    };
  }
}

/** Datagrams of a path that leave now, to `tuple`. */
export function transmit(
  path: Path,
  tuple: FourTuple,
  bytes: Uint8Array,
  segmentBytes: number,
  isMarked: boolean,
): Transmit {
  path.sentBytes += bytes.length;
  path.sentDatagrams += segmentBytes === 0 ? 1 : Math.ceil(bytes.length / segmentBytes);
  return { local: tuple.local, remote: tuple.remote, bytes, segmentBytes, ecn: isMarked ? 'ect0' : 'none' };
}
