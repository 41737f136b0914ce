import type { TransportAddress } from '../../base/address.js';
import { utf8Bytes } from '../../base/bytes.js';
import { Queue } from '../../base/machine.js';
import { NEVER, type Ms } from '../../base/time.js';
import type { PathIds } from '../paths/path-ids.js';
import type { CongestionController } from '../recovery/congestion.js';
import { Cubic } from '../recovery/cubic.js';
import { EarliestFirst } from '../schedulers/earliest-first.js';
import type { Scheduler } from '../schedulers/scheduler.js';
import { Streams } from '../streams/streams.js';
import type { QuicError } from '../wire/errors.js';
import type { Frame } from '../wire/frames.js';
import { DEFAULT_PARAMETERS, type TransportParameters } from '../wire/transport-parameters.js';
import type { HandshakeDriver } from './handshake.js';
import { LIMITS, OWN_PARAMETERS } from './parameters.js';
import type { Path, Slot } from './path.js';
import type { CloseReason, ConnectionEvent, ConnectionOptions, FourTuple, Observed } from './types.js';

/** Where a connection is (RFC 9000 §10.2). */
export type Phase = 'open' | 'closing' | 'draining' | 'drained';

/** A packet that came before its keys. */
export interface HeldPacket {
  readonly bytes: Uint8Array;
  readonly tuple: FourTuple;
}

/** So many datagrams wait to be sent, and so many that came wait for somebody to take them. */
const MAX_DATAGRAMS = 256;

/**
 * What all parts of a connection share. Each part is a file of functions over it: opening packets, what frames do,
 * building packets, paths, the end.
 */
export class Core {
  readonly isServer: boolean;
  readonly options: ConnectionOptions;
  /** This end's, with its connection ids. */
  readonly parameters: TransportParameters;
  /** The far end's; the defaults until the handshake is complete. */
  remote: TransportParameters = DEFAULT_PARAMETERS;
  readonly scheduler: Scheduler;
  readonly streams: Streams;
  readonly events = new Queue<ConnectionEvent>();
  /** Set by who makes the connection, before anything else happens. */
  handshake!: HandshakeDriver;
  /** Path ids in use, or of which connection ids are known. */
  readonly slots = new Map<number, Slot>();
  /** By connection id, as text. */
  readonly slotOfId = new Map<string, Slot>();
  /** `null` without multipath, and before that is known. */
  pathIds: PathIds | null = null;
  /** Paths that are not abandoned, in the order of their ids. */
  paths: Path[] = [];
  /** Paths that are, as long as packets may still come on them. */
  abandoned: Path[] = [];
  /** The largest path id that this end allows. */
  allowedPaths: number;
  /** Frames that go on any path, in order. */
  outbox: Frame[] = [];
  readonly datagrams: Uint8Array[] = [];
  /** Paths that are to carry the next packet, too. */
  copyTo: Path[] = [];
  /** Bytes that the next packet leaves to faster paths (`Scheduler.ahead`). */
  ahead = 0;
  /** Of {@link events}. */
  receivedDatagrams = 0;
  phase: Phase = 'open';
  closeReason: CloseReason | null = null;
  /** What is said in the closing phase, and where it is to be said now. */
  closeError: { readonly error: QuicError; readonly by: 'application' | 'transport' } | null = null;
  closeOn: Path[] = [];
  /** Datagrams that came since the connection began to close. */
  closingDatagrams = 0;
  drainedAt: Ms = NEVER;
  lastReceivedAt: Ms;
  /** When something was sent that asks for an answer, for the first time since something came; -1: not yet. */
  elicitedAt: Ms = -1;
  readonly startedAt: Ms;
  /** Packets that could not be opened (RFC 9001 §6.6). */
  failedPackets = 0;
  held: HeldPacket[] = [];
  /** Where a server was that has asked its client to go to another address: what still comes from there is its own. */
  leftServer: TransportAddress | null = null;
  /** Somebody wanted to open a path and could not. */
  wantsPaths = false;
  /** Connection ids may be missing at the far end. */
  areIdsDue = false;

  constructor(isServer: boolean, options: ConnectionOptions, parameters: TransportParameters, now: Ms) {
    this.isServer = isServer;
    this.options = options;
    this.parameters = parameters;
    this.scheduler = options.scheduler ?? new EarliestFirst();
    this.streams = new Streams(isServer, parameters, {
      mostStreamWindowBytes: options.mostStreamWindowBytes ?? LIMITS.mostStreamWindowBytes,
      mostConnectionWindowBytes: options.mostConnectionWindowBytes ?? LIMITS.mostConnectionWindowBytes,
    });
    this.allowedPaths = parameters.initialMaxPathId ?? 0;
    this.startedAt = now;
    this.lastReceivedAt = now;
  }

  get isOpen(): boolean {
    return this.phase === 'open';
  }

  get isMultipath(): boolean {
    return this.pathIds !== null;
  }

  /** The path that the handshake is on; packets of the handshake are its alone. */
  get firstPath(): Path | null {
    return this.slots.get(0)?.path ?? null;
  }

  /** A path with packet numbers, abandoned or not. */
  path(id: number): Path | null {
    return this.slots.get(id)?.path ?? null;
  }

  controller(datagramBytes: number): CongestionController {
    return this.options.controller?.(datagramBytes) ?? new Cubic(datagramBytes);
  }

  /** The longest probe timeout of all paths. */
  get pto(): Ms {
    let longest = 0;
    for (const path of this.paths) longest = Math.max(longest, path.recovery.pto());
    return longest === 0 ? 1000 : longest;
  }

  /** Paths in the order in which a last word is likely to arrive. */
  get bestPaths(): Path[] {
    return this.paths
      .filter(({ isOpen, id }) => isOpen || id === 0)
      .sort((left, right) => left.ptoCount - right.ptoCount || left.smoothedRttMs - right.smoothedRttMs);
  }

  emit(event: ConnectionEvent, now: Ms): void {
    if (event.type === 'datagram') {
      if (this.receivedDatagrams >= MAX_DATAGRAMS) return;
      this.receivedDatagrams += 1;
    }
    this.events.push(event);
    this.options.observe?.({ type: 'event', event }, now);
  }

  observe(observed: Observed, now: Ms): void {
    this.options.observe?.(observed, now);
  }

  /** This end found that the connection cannot go on. */
  fail(error: QuicError, now: Ms): void {
    this.close(error, 'transport', now);
  }

  close(error: QuicError, by: 'application' | 'transport', now: Ms): void {
    if (!this.isOpen) return;
    this.phase = 'closing';
    this.closeError = { error, by };
    this.closeOn = this.bestPaths;
    this.drainedAt = now + 3 * this.pto;
    this.end({ by: 'local', layer: by, code: error.code, reason: error.reason }, now);
  }

  /** Nothing is sent any more; for a while what comes is still known (RFC 9000 §10.2.2). */
  drain(reason: CloseReason, now: Ms): void {
    if (this.phase !== 'open' && this.phase !== 'closing') return;
    this.phase = 'draining';
    this.drainedAt = now + 3 * this.pto;
    this.end(reason, now);
  }

  /** The reason is told once: the first counts. */
  end(reason: CloseReason, now: Ms): void {
    if (this.closeReason !== null) return;
    this.closeReason = reason;
    this.emit({ type: 'closed', ...reason }, now);
  }

  /** Nobody needs it any more. */
  forget(now: Ms): void {
    if (this.phase === 'drained') return;
    this.phase = 'drained';
    this.drainedAt = NEVER;
    for (const slot of this.slots.values()) for (const id of slot.local.active) this.options.ids.retire(id);
    this.slots.clear();
    this.slotOfId.clear();
    this.handshake.retireFirst(this);
    this.emit({ type: 'drained' }, now);
  }

  queueDatagram(data: Uint8Array): boolean {
    if (this.datagrams.length >= MAX_DATAGRAMS) return false;
    this.datagrams.push(data);
    return true;
  }
}

/** Connection ids as keys of a map. */
export function idKey(id: Uint8Array): string {
  return String.fromCharCode(...id);
}

export function ownParameters(options: ConnectionOptions): TransportParameters {
  return { ...DEFAULT_PARAMETERS, ...OWN_PARAMETERS, ...options.parameters };
}

/** RFC 9000 §19.19: short, so that it fits beside everything. */
const MAX_REASON_BYTES = 200;

export function closeFrame(error: QuicError, by: 'application' | 'transport'): Frame {
  const reason = utf8Bytes(error.reason).subarray(0, MAX_REASON_BYTES);
  return { type: 'connection-close', by, errorCode: error.code, frameType: error.frameType, reason };
}
