import type { Ms } from '../../base/time.js';
import { TAG_BYTES } from '../crypto/suites.js';
import { BASE_DATAGRAM_BYTES } from '../recovery/mtu.js';
import type { Backlog } from '../schedulers/scheduler.js';
import type { Frame } from '../wire/frames.js';
import { varintLength } from '../wire/varint.js';
import type { PacketBuilder } from './builder.js';
import type { Core } from './core.js';
import type { Path } from './path.js';

/** Of a short header with the longest ids and numbers, and the tag. */
const OVERHEAD_BYTES = 1 + 20 + 4 + TAG_BYTES;
/** Of a DATAGRAM frame with its length. */
const DATAGRAM_OVERHEAD_BYTES = 3;
/** Of a frame about the connection, roughly. */
const FRAME_BYTES = 16;
/** A STREAM frame of a few bytes is not worth its header. */
const LEAST_STREAM_ROOM = 32;

/** Whether something waits that any path may carry. */
export function hasShared(core: Core): boolean {
  return core.outbox.length > 0 || core.datagrams.length > 0 || core.streams.hasData;
}

/** The same, after everybody was asked what he has to say. */
export function takeShared(core: Core, now: Ms): boolean {
  let rtt = 0;
  for (const path of core.paths) if (path.isOpen) rtt = Math.max(rtt, path.smoothedRttMs);
  for (const frame of core.streams.takeFrames(rtt, now)) core.outbox.push(frame);
  if (core.pathIds !== null) for (const frame of core.pathIds.takeFrames()) core.outbox.push(frame);
  return hasShared(core);
}

/** How much waits, for a scheduler. */
export function backlogOf(core: Core): Backlog {
  const { lostBytes, freshBytes } = core.streams.waiting;
  let datagramBytes = 0;
  for (const { length } of core.datagrams) datagramBytes += length;
  return {
    creditBytes: core.streams.creditBytes,
    urgentBytes: lostBytes + core.outbox.length * FRAME_BYTES,
    freshBytes: freshBytes + datagramBytes,
  };
}

/** What a datagram may hold on any path (RFC 9221 §5): whatever a path's MTU turns out to be. */
export function mostDatagramPayload(core: Core): number {
  const { maxDatagramFrameBytes } = core.remote;
  if (maxDatagramFrameBytes <= DATAGRAM_OVERHEAD_BYTES) return 0;
  let least = Infinity;
  for (const path of core.paths) if (path.isOpen) least = Math.min(least, path.datagramBytes);
  const size = least === Infinity ? BASE_DATAGRAM_BYTES : least;
  return Math.min(size - OVERHEAD_BYTES, maxDatagramFrameBytes) - DATAGRAM_OVERHEAD_BYTES;
}

/** Fills a packet with what waits: what is to be said first, then datagrams, then streams. */
export function fill(core: Core, path: Path, builder: PacketBuilder): void {
  if (path.copies.length > 0) {
    for (const frame of path.copies) builder.add(frame);
    path.copies = [];
    return;
  }
  const shared: Frame[] = [];
  const keep = core.copyTo.length > 0;
  const { outbox } = core;
  let taken = 0;
  for (let frame = outbox[0]; frame !== undefined && builder.add(frame); frame = outbox[taken]) {
    taken += 1;
    if (keep) shared.push(frame);
  }
  if (taken > 0) core.outbox = outbox.slice(taken);
  if (core.datagrams.length > 0) fillDatagrams(core, builder, shared);
  fillStreams(core, builder, 0, keep ? shared : null);
  if (!keep) return;
  for (const other of core.copyTo) other.copies = shared;
  core.copyTo = [];
}

/** Fills a packet with what comes after the next `ahead` bytes of what waits. */
export function fillAhead(core: Core, builder: PacketBuilder): void {
  if (core.datagrams.length > 0) fillDatagrams(core, builder, []);
  fillStreams(core, builder, core.ahead, null);
}

function fillStreams(core: Core, builder: PacketBuilder, ahead: number, shared: Frame[] | null): void {
  while (builder.room >= LEAST_STREAM_ROOM) {
    const found = core.streams.nextFrame(builder.room, ahead);
    if (found === null) break;
    const { frame, bytes } = found;
    // It goes to the end of the packet: what is left over stands before it.
    if (!frame.hasLength) builder.pad(builder.room - bytes);
    builder.putStream(frame);
    shared?.push(frame);
  }
}

function fillDatagrams(core: Core, builder: PacketBuilder, shared: Frame[]): void {
  const { datagrams } = core;
  for (let data = datagrams.shift(); data !== undefined; data = datagrams.shift()) {
    const frame: Frame = { type: 'datagram', data, hasLength: true };
    const bytes = 1 + varintLength(data.length) + data.length;
    if (bytes <= builder.room) {
      builder.put(frame);
      shared.push(frame);
    } else if (builder.isEmpty) continue;
    else {
      datagrams.unshift(data);
      return;
    }
  }
}
