import type { Ms } from '../../base/time.js';
import { BASE_DATAGRAM_BYTES } from '../recovery/mtu.js';
import type { Frame } from '../wire/frames.js';
import { MIN_INITIAL_DATAGRAM_BYTES } from '../wire/header.js';
import { PacketBuilder } from './builder.js';
import { sendClose } from './closing.js';
import type { Core } from './core.js';
import { type Path, type PendingResponse, sameTuple, transmit } from './path.js';
import { issueIds } from './path-ids.js';
import { backlogOf, fill, fillAhead, hasShared, takeShared } from './shared.js';
import type { FourTuple, Transmit } from './types.js';

/** Less room than this is of no use to any packet. */
const LEAST_BYTES = 64;
/** Packets with nothing but an ACK are not acknowledged: now and then one asks to be (RFC 9000 §13.2.4). */
const LONE_ACKS = 32;

/** The next datagrams to be sent; see `QuicConnection.send`. */
export function sendNext(core: Core, into: Uint8Array, most: number, now: Ms): Transmit | undefined {
  if (core.phase === 'closing') return sendClose(core, into, now);
  if (!core.isOpen) return undefined;
  const handshake = sendHandshake(core, into, now);
  if (handshake !== undefined) return handshake;
  if (!core.handshake.isComplete) return undefined;
  if (core.areIdsDue) {
    core.areIdsDue = false;
    issueIds(core);
  }
  return (
    sendElsewhere(core, into, now) ??
    sendOwn(core, into, now) ??
    sendData(core, into, most, now) ??
    sendAcks(core, into, now)
  );
}

/** Initial and Handshake packets, together in a datagram. */
function sendHandshake(core: Core, into: Uint8Array, now: Ms): Transmit | undefined {
  const { handshake } = core;
  const path = core.firstPath;
  if (path === null || path.state === 'abandoned' || handshake.handshake.isDiscarded) return undefined;
  const spaces = [handshake.initial, handshake.handshake].filter(({ write }) => write !== null);
  const isDue = spaces.filter(
    ({ probes, crypto, received }) => probes > 0 || crypto.isDue || received.deadline() <= now,
  );
  if (isDue.length === 0) return undefined;
  const isProbe = isDue.some(({ probes }) => probes > 0);
  const size = BASE_DATAGRAM_BYTES;
  if (path.limit.leftBytes < size) {
    path.recovery.isAmplificationLimited = true;
    return undefined;
  }
  const mayGrow = isProbe || path.recovery.hasRoom(size);
  const builders: PacketBuilder[] = [];
  let at = 0;
  for (const space of spaces) {
    if (size - at < LEAST_BYTES) break;
    const { received, crypto, level } = space;
    const builder = new PacketBuilder(core, path, level, handshake.destination, into, at, size);
    if (received.isUseful || received.deadline() <= now) {
      const ack = received.takeAck(null, 0, now);
      if (ack !== null) builder.add(ack);
    }
    if (space.probes > 0)
      for (const { content } of path.recovery.outstanding(level)) requeueCrypto(core, level, content.frames);
    while (mayGrow && crypto.isDue && builder.room > LEAST_BYTES) {
      const frame = crypto.next(builder.room);
      if (frame === null) break;
      builder.put(frame);
    }
    if (space.probes > 0) {
      space.probes -= 1;
      if (!builder.isEliciting) builder.add({ type: 'ping' });
    }
    if (builder.isEmpty) continue;
    builders.push(builder);
    at = builder.end;
  }
  const last = builders.at(-1);
  if (last === undefined) return undefined;
  // RFC 9000 §14.1.
  const isFull = builders.some(({ space, isEliciting }) => space === 'initial' && (!core.isServer || isEliciting));
  if (isFull) last.padTo(0, MIN_INITIAL_DATAGRAM_BYTES);
  const isMarked = core.options.ecn === true && builders.every(({ space }) => path.recovery.marks(space));
  let end = 0;
  for (const builder of builders) end = builder.finish(now, isMarked);
  path.limit.onSent(end);
  // RFC 9001 §4.9.1.
  if (!core.isServer && builders.some(({ space }) => space === 'handshake')) handshake.discard(core, 'initial');
  return transmit(path, path.tuple, into.subarray(0, end), 0, isMarked);
}

function requeueCrypto(core: Core, space: 'initial' | 'handshake', frames: readonly Frame[]): void {
  for (const frame of frames) {
    if (frame.type !== 'crypto') continue;
    core.handshake.long(space).crypto.out.onLost(frame.offset, frame.data.length, false);
  }
}

/** Challenges to addresses that a path may move to, and answers to challenges from others than it has. */
function sendElsewhere(core: Core, into: Uint8Array, now: Ms): Transmit | undefined {
  for (const path of core.paths) {
    const { candidate } = path;
    const isDue = candidate?.validation.isDue === true && candidate.limit.leftBytes >= LEAST_BYTES;
    const other = path.responses.find(({ tuple }) => !sameTuple(tuple, path.tuple));
    if (isDue) {
      const responses = path.responses.filter(({ tuple }) => sameTuple(tuple, candidate.tuple));
      const size = Math.min(BASE_DATAGRAM_BYTES, candidate.limit.leftBytes);
      const challenge = candidate.validation.takeChallenge(now);
      const sent = sendProbe(core, path, candidate.tuple, challenge, responses, size, into, now);
      if (sent !== undefined) {
        candidate.limit.onSent(sent.bytes.length);
        return sent;
      }
    } else if (other !== undefined) {
      const size = Math.min(BASE_DATAGRAM_BYTES, 3 * other.challengeBytes);
      const sent = sendProbe(core, path, other.tuple, null, [other], size, into, now);
      if (sent !== undefined) return sent;
    }
  }
  return undefined;
}

function sendProbe(
  core: Core,
  path: Path,
  tuple: FourTuple,
  challenge: Frame | null,
  responses: readonly PendingResponse[],
  size: number,
  into: Uint8Array,
  now: Ms,
): Transmit | undefined {
  const destination = path.slot.remote.current;
  for (const response of responses) path.takeResponse(response);
  if (destination === null || size < LEAST_BYTES) return undefined;
  const builder = new PacketBuilder(core, path, 'application', destination, into, 0, size);
  for (const { data } of responses) builder.add({ type: 'path-response', data });
  if (challenge !== null) builder.add(challenge);
  // Where the old address is dead, this is the only way for what is to be acknowledged.
  if (challenge !== null) addAck(core, path, builder, now);
  builder.padTo(0, size);
  return transmit(path, tuple, into.subarray(0, builder.finish(now, false)), 0, false);
}

/** What a path has to carry by itself: its validation, probes after a timeout, probes for its MTU. */
function sendOwn(core: Core, into: Uint8Array, now: Ms): Transmit | undefined {
  for (const path of core.paths) {
    const { validation, recovery } = path;
    if (path.slot.remote.current === null) continue;
    const isProving = validation.isDue || path.responses.length > 0;
    if (!isProving && path.probes === 0) {
      const probe = sendMtuProbe(core, path, into, now);
      if (probe !== undefined) return probe;
      continue;
    }
    const size = Math.min(isProving ? BASE_DATAGRAM_BYTES : path.datagramBytes, path.limit.leftBytes);
    if (size < LEAST_BYTES) {
      recovery.isAmplificationLimited = true;
      continue;
    }
    const builder = new PacketBuilder(core, path, 'application', path.slot.remote.current, into, 0, size);
    addAck(core, path, builder, now);
    for (const response of path.responses) {
      if (builder.add({ type: 'path-response', data: response.data })) path.takeResponse(response);
    }
    const challenge = validation.takeChallenge(now);
    if (challenge !== null) builder.add(challenge);
    if (path.probes > 0) {
      path.probes -= 1;
      // What waits is not entrusted to a path that may be dead or slow while another works: which one it goes by is the
      // scheduler's to say.
      const isOnly = !core.paths.some((other) => other !== path && other.isWell);
      if (path.isOpen && !path.isDoubted && isOnly) fill(core, path, builder);
      if (!builder.isEliciting) builder.add({ type: 'ping' });
    }
    // RFC 9000 §8.2.1: shows that the path carries as much, too.
    if (isProving) builder.padTo(0, size);
    return single(core, path, builder, into, now);
  }
  return undefined;
}

/** A single datagram to where the path leads. */
function single(core: Core, path: Path, builder: PacketBuilder, into: Uint8Array, now: Ms): Transmit {
  const isMarked = core.options.ecn === true && path.recovery.marks('application');
  const end = builder.finish(now, isMarked);
  path.limit.onSent(end);
  return transmit(path, path.tuple, into.subarray(0, end), 0, isMarked);
}

function sendMtuProbe(core: Core, path: Path, into: Uint8Array, now: Ms): Transmit | undefined {
  const { recovery } = path;
  const size = recovery.mtu.nextProbe;
  const destination = path.slot.remote.current;
  if (size === null || destination === null || size > into.length || !path.isOpen) return undefined;
  if (!core.handshake.isConfirmed || recovery.ptoCount > 0 || !recovery.hasRoom(size)) return undefined;
  if (recovery.rtt.firstSampleAt === null) return undefined;
  const builder = new PacketBuilder(core, path, 'application', destination, into, 0, size);
  builder.isMtuProbe = true;
  builder.add({ type: 'ping' });
  builder.padTo(0, size);
  return single(core, path, builder, into, now);
}

/** Data and all else that goes on whatever path the scheduler likes best. */
function sendData(core: Core, into: Uint8Array, most: number, now: Ms): Transmit | undefined {
  const shared = takeShared(core, now);
  if (!shared) for (const { recovery } of core.paths) recovery.onAppLimited();
  const path = shared ? choose(core, now) : core.paths.find(({ copies }) => copies.length > 0);
  const destination = path?.slot.remote.current ?? null;
  if (path === undefined || destination === null) return undefined;
  const { recovery } = path;
  const size = Math.min(path.datagramBytes, into.length);
  const isMarked = core.options.ecn === true && recovery.marks('application');
  let end = 0;
  let segments = 0;
  while (segments < most && end + size <= into.length) {
    const builder = new PacketBuilder(core, path, 'application', destination, into, end, end + size);
    addAck(core, path, builder, now);
    if (core.ahead > 0) fillAhead(core, builder);
    else fill(core, path, builder);
    if (builder.isEmpty) break;
    const start = end;
    end = builder.finish(now, isMarked);
    segments += 1;
    if (end - start < size || !hasShared(core) || !canSend(core, path, now)) break;
    if (core.paths.length > 1 && core.scheduler.name === 'redundant') break;
    if (core.options.ecn === true && recovery.marks('application') !== isMarked) break;
  }
  if (end === 0) return undefined;
  path.limit.onSent(end);
  return transmit(path, path.tuple, into.subarray(0, end), segments > 1 ? size : 0, isMarked);
}

/** Window, pacer and socket let a full datagram go. */
function canSend(core: Core, path: Path, now: Ms): boolean {
  const { recovery, datagramBytes } = path;
  if (core.options.isSocketFull?.(path.tuple.local) === true) return false;
  return recovery.hasRoom(datagramBytes) && recovery.releaseAt(datagramBytes, now) <= now;
}

function choose(core: Core, now: Ms): Path | undefined {
  const { paths } = core;
  const [only] = paths;
  core.ahead = 0;
  if (paths.length === 1) return only?.isOpen === true && canSend(core, only, now) ? only : undefined;
  const open = paths.filter(({ isOpen }) => isOpen);
  for (const path of open) {
    path.canSend = canSend(core, path, now);
    path.waitMs = path.canSend ? 0 : path.recovery.waitMs(path.datagramBytes, now);
  }
  const chosen = core.scheduler.choose(open, backlogOf(core));
  const [first, ...others] = chosen.map((id) => open.find((path) => path.id === id));
  core.copyTo = others.filter((path) => path !== undefined);
  core.ahead = first === undefined ? 0 : Math.ceil(core.scheduler.ahead?.(first, open) ?? 0);
  return first;
}

function addAck(core: Core, path: Path, builder: PacketBuilder, now: Ms): void {
  const { received } = path;
  if (!received.isUseful) return;
  const ack = received.takeAck(core.isMultipath ? path.id : null, core.parameters.ackDelayExponent, now);
  if (ack !== null) builder.add(ack);
}

/** ACKs by themselves: on their own path, or on another where that is not to be relied on. */
function sendAcks(core: Core, into: Uint8Array, now: Ms): Transmit | undefined {
  for (const path of [...core.paths, ...core.abandoned]) {
    if (path.received.deadline() > now) continue;
    const carrier = carrierOf(core, path);
    const destination = carrier?.slot.remote.current ?? null;
    if (carrier === null || destination === null) continue;
    const size = Math.min(carrier.datagramBytes, carrier.limit.leftBytes);
    if (size < LEAST_BYTES) continue;
    const builder = new PacketBuilder(core, carrier, 'application', destination, into, 0, size);
    addAck(core, path, builder, now);
    if (builder.isEmpty) continue;
    carrier.loneAcks += 1;
    if (carrier.loneAcks >= LONE_ACKS) {
      carrier.loneAcks = 0;
      builder.add({ type: 'ping' });
    }
    return single(core, carrier, builder, into, now);
  }
  return undefined;
}

/** The path on which the ACKs of a path travel. */
export function carrierOf(core: Core, path: Path): Path | null {
  if (path.state !== 'abandoned' && (path.isWell || !core.isMultipath)) return path;
  const other = core.paths
    .filter(({ isWell }) => isWell)
    .sort((left, right) => left.smoothedRttMs - right.smoothedRttMs)[0];
  return other ?? (path.state === 'abandoned' ? (core.paths.find(({ isOpen }) => isOpen) ?? null) : path);
}

/** Whether an ACK of a path could be sent now: a deadline that nobody can keep is none. */
export function canAck(core: Core, path: Path): boolean {
  const carrier = carrierOf(core, path);
  return carrier !== null && carrier.slot.remote.current !== null && carrier.limit.leftBytes >= LEAST_BYTES;
}
