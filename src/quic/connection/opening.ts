import { sameAddress } from '../../base/address.js';
import { equalBytes } from '../../base/bytes.js';
import type { Ms } from '../../base/time.js';
import { openHeader, type OpenHeader, openPayload } from '../crypto/protection.js';
import { verifyRetry } from '../crypto/retry.js';
import type { EcnMark, ReceivedPackets } from '../recovery/received-packets.js';
import { quicError } from '../wire/errors.js';
import { isAckEliciting, isProbing } from '../wire/frames.js';
import {
  MIN_INITIAL_DATAGRAM_BYTES,
  parsePacket,
  type ProtectedPacket,
  type RetryPacket,
  VERSION_1,
} from '../wire/header.js';
import { parseFrames } from '../wire/parse-frames.js';
import { possibleResetToken } from '../wire/stateless.js';
import { type Core, idKey } from './core.js';
import { type FrameContext, onFrame } from './frames.js';
import type { LongSpace } from './crypto-space.js';
import { type Path, sameTuple, type Slot } from './path.js';
import { acceptPath, onMoved } from './paths.js';
import type { DropReason, FourTuple } from './types.js';

/** Datagrams so short may have their reset token where a header would be uncovered. */
const SHORT_DATAGRAM_BYTES = 64;
/** Packets that come before their keys, and are kept: a flight of a handshake has no more. */
const MOST_HELD = 8;

/** A datagram with all that is known of it. */
interface Arrival {
  readonly bytes: Uint8Array;
  readonly tuple: FourTuple;
  readonly ecn: EcnMark;
  readonly now: Ms;
  /** Where a packet of it was good. */
  path: Path | null;
}

/** Opens the packets of a datagram, one after the other (RFC 9000 §12.2). True where one of them was good. */
export function receiveDatagram(core: Core, bytes: Uint8Array, tuple: FourTuple, ecn: EcnMark, now: Ms): boolean {
  const first = core.firstPath;
  // RFC 9000 §9: nobody moves before the handshake is confirmed.
  if (!core.handshake.isConfirmed && first !== null && !sameTuple(first.tuple, tuple)) {
    drop(core, bytes.length, 'unexpected-address', now);
    return false;
  }
  const arrival: Arrival = { bytes, tuple, ecn, now, path: null };
  const token = bytes.length < SHORT_DATAGRAM_BYTES ? (possibleResetToken(bytes)?.slice() ?? null) : null;
  const isGood = openPackets(core, arrival);
  if (arrival.path !== null) count(arrival.path, arrival);
  if (!isGood && core.isOpen && isReset(core, token ?? possibleResetToken(bytes))) {
    core.drain({ by: 'reset', layer: 'transport', code: 0, reason: 'the far end has forgotten the connection' }, now);
  }
  return isGood;
}

/** Bytes that came from an address allow bytes to it (RFC 9000 §8.1): a datagram counts once, and only if it is good. */
function count(path: Path, { bytes, tuple }: Arrival): void {
  path.receivedBytes += bytes.length;
  path.receivedDatagrams += 1;
  if (path.tuple === tuple || sameTuple(path.tuple, tuple)) {
    path.limit.onReceived(bytes.length);
    path.recovery.isAmplificationLimited = false;
  } else if (path.candidate !== null && sameTuple(path.candidate.tuple, tuple)) {
    path.candidate.limit.onReceived(bytes.length);
  }
}

function openPackets(core: Core, arrival: Arrival): boolean {
  const { bytes, now } = arrival;
  let isGood = false;
  let destination: Uint8Array | null = null;
  for (let at = 0; at < bytes.length && core.isOpen;) {
    const packet = parsePacket(bytes, at, core.options.ids.lengthBytes);
    if (packet === null) {
      // What stands behind the packets of a datagram may be anything.
      if (at === 0) drop(core, bytes.length, 'malformed', now);
      return isGood;
    }
    at = packet.end;
    switch (packet.type) {
      case 'version-negotiation':
        if (equalBytes(packet.destination, core.handshake.source)) onVersions(core, packet.versions, now);
        return isGood;
      case 'other-version':
        drop(core, bytes.length, 'other-version', now);
        return isGood;
      case 'retry':
        onRetry(core, packet);
        return isGood;
      default:
        // RFC 9000 §12.2: all packets of a datagram are for one connection.
        destination ??= packet.destination;
        if (equalBytes(destination, packet.destination) && openPacket(core, packet, arrival)) isGood = true;
    }
  }
  return isGood;
}

function openPacket(core: Core, packet: ProtectedPacket, arrival: Arrival): boolean {
  switch (packet.type) {
    case 'initial':
    case 'handshake':
      return openLong(core, packet, core.handshake.long(packet.type), arrival);
    case '0-rtt':
      return false;
    case '1-rtt':
      return openShort(core, packet, arrival);
  }
}

function drop(core: Core, bytes: number, why: DropReason, now: Ms): false {
  core.options.observe?.({ type: 'packet-dropped', bytes, why }, now);
  return false;
}

/** An Initial or Handshake packet. */
function openLong(core: Core, packet: ProtectedPacket, space: LongSpace, arrival: Arrival): boolean {
  const { handshake } = core;
  const { bytes, now, ecn } = arrival;
  const size = packet.end - packet.start;
  const path = core.firstPath;
  if (space.isDiscarded || path === null) return drop(core, size, 'no-keys', now);
  // RFC 9000 §14.1.
  if (core.isServer && packet.type === 'initial' && bytes.length < MIN_INITIAL_DATAGRAM_BYTES) {
    return drop(core, size, 'malformed', now);
  }
  if (!isOurs(core, packet.destination)) return drop(core, size, 'unknown-id', now);
  if (space.read === null) return hold(core, packet, arrival);
  // RFC 9000 §7.2: the far end keeps the id of its first packet.
  if (handshake.isDestinationFinal && !equalBytes(packet.source, handshake.destination)) {
    return drop(core, size, 'unknown-id', now);
  }
  const header = openHeader(bytes, packet, space.read.mask, space.received.largest);
  if (header === null) return drop(core, size, 'malformed', now);
  const payload = openPayload(bytes, header, space.read, 0);
  if (payload === null) return failed(core, size, now);
  if (isDuplicate(core, space.received, header, size, now)) return true;
  if (!handshake.isDestinationFinal) {
    handshake.isDestinationFinal = true;
    handshake.destination = packet.source.slice();
  }
  arrival.path = path;
  const level = space.level;
  const context = contextOf(path, level, packet.destination.slice(), header, arrival);
  if (onPayload(core, payload, context, header, space.received, ecn, now) === null) return true;
  if (core.isServer && level === 'handshake') {
    // RFC 9000 §8.1: only who has our Initial can make this.
    path.limit.lift();
    path.recovery.isAmplificationLimited = false;
    handshake.discard(core, 'initial');
  }
  path.lastDestination = packet.destination.slice();
  return received(core, path, arrival);
}

/** A packet with a short header: its connection id says on which path it is. */
function openShort(core: Core, packet: ProtectedPacket, arrival: Arrival): boolean {
  const { bytes, tuple, now } = arrival;
  const size = packet.end - packet.start;
  const { keys } = core.handshake;
  const slot = slotOf(core, packet.destination);
  if (slot === undefined) return drop(core, size, 'unknown-id', now);
  // RFC 9001 §5.7: not before the far end has proved itself.
  if (keys === null || !core.handshake.isComplete) return hold(core, packet, arrival);
  const known = slot.path;
  if (known !== null && !isExpected(core, known, tuple)) return drop(core, size, 'unexpected-address', now);
  const header = openHeader(bytes, packet, keys.readMask, known?.received.largest ?? -1);
  if (header === null) return drop(core, size, 'malformed', now);
  const { updates } = keys;
  const payload = keys.open(bytes, header, slot.id, now, core);
  if (payload === null) return failed(core, size, now);
  if (keys.updates !== updates) core.observe({ type: 'key-update', by: 'remote', updates: keys.updates }, now);
  if (known !== null && isDuplicate(core, known.received, header, size, now)) return true;
  const path = known ?? acceptPath(core, slot, tuple, now);
  // A path that this end cannot take: there is nothing to answer with.
  if (path === null) return true;
  arrival.path = path;
  const isLast = header.packetNumber > path.received.largest;
  const context = contextOf(path, 'application', packet.destination, header, arrival);
  const isNonProbing = onPayload(core, payload, context, header, path.received, arrival.ecn, now);
  if (isNonProbing === null || path.state === 'abandoned') return true;
  if (isLast && isNonProbing && !sameTuple(path.tuple, tuple)) {
    onMoved(core, path, tuple, packet.destination, now);
  }
  if (isLast && !sameBytes(path.lastDestination, packet.destination)) path.lastDestination = packet.destination.slice();
  return received(core, path, arrival);
}

function slotOf(core: Core, destination: Uint8Array): Slot | undefined {
  // Nearly always it is the one that was used before.
  for (const path of core.paths) if (sameBytes(path.lastDestination, destination)) return path.slot;
  return core.slotOfId.get(idKey(destination));
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index += 1) if (left[index] !== right[index]) return false;
  return true;
}

/**
 * RFC 9000 §9: without multipath a server's address is what it is, or what it asked for (§9.6); a client's, and any path's,
 * may change.
 */
function isExpected(core: Core, path: Path, tuple: FourTuple): boolean {
  if (core.isServer || core.isMultipath || path.tuple === tuple) return true;
  const known = [path.tuple.remote, path.candidate?.tuple.remote, core.leftServer];
  return known.some((remote) => remote && sameAddress(remote, tuple.remote));
}

function isOurs(core: Core, destination: Uint8Array): boolean {
  const { source, firstDestination } = core.handshake;
  return equalBytes(destination, source) || (firstDestination !== null && equalBytes(destination, firstDestination));
}

function contextOf(
  path: Path,
  space: FrameContext['space'],
  destination: Uint8Array,
  { keyPhase }: OpenHeader,
  { tuple, bytes }: Arrival,
): FrameContext {
  return { path, space, tuple, destination, keyPhase, datagramBytes: bytes.length };
}

function failed(core: Core, size: number, now: Ms): false {
  core.failedPackets += 1;
  const limit = core.handshake.keys?.suite.integrityLimit ?? Infinity;
  if (core.failedPackets >= limit) core.fail(quicError('AEAD_LIMIT_REACHED', 'too many forged packets'), now);
  return drop(core, size, 'undecryptable', now);
}

function isDuplicate(core: Core, received: ReceivedPackets, header: OpenHeader, size: number, now: Ms): boolean {
  if (!received.isKnown(header.packetNumber)) return false;
  drop(core, size, 'duplicate', now);
  return true;
}

/** The frames of an opened packet; whether one of them is more than a probe, `null` where the connection ended. */
function onPayload(
  core: Core,
  payload: Uint8Array,
  context: FrameContext,
  header: OpenHeader,
  received: ReceivedPackets,
  ecn: EcnMark,
  now: Ms,
): boolean | null {
  const { space } = context;
  if (header.reservedBitsSet) {
    core.fail(quicError('PROTOCOL_VIOLATION', 'reserved bits are set'), now);
    return null;
  }
  const extensions = { multipath: core.isMultipath, datagram: core.parameters.maxDatagramFrameBytes > 0 };
  const parsed = parseFrames(payload, space === 'application' ? '1-rtt' : space, extensions);
  if (!parsed.ok) {
    core.fail(parsed.error, now);
    return null;
  }
  const frames = parsed.value;
  const { path } = context;
  const { packetNumber } = header;
  const bytes = header.end - header.start;
  core.options.observe?.({ type: 'packet-received', space, path: path.id, packetNumber, bytes, frames }, now);
  let isEliciting = false;
  let isNonProbing = false;
  for (const frame of frames) {
    if (isAckEliciting(frame)) isEliciting = true;
    if (!isProbing(frame)) isNonProbing = true;
    const error = onFrame(core, frame, context, now);
    if (error !== null) core.fail(error, now);
    if (!core.isOpen) return null;
  }
  received.onPacket(packetNumber, isEliciting, ecn, now);
  return isNonProbing;
}

/** A packet was good: the connection lives, and so does the path. */
function received(core: Core, path: Path, arrival: Arrival): true {
  const { tuple, now } = arrival;
  core.lastReceivedAt = now;
  core.elicitedAt = -1;
  if (path.tuple === tuple || sameTuple(path.tuple, tuple)) path.lastReceivedAt = now;
  return true;
}

/** Kept until its keys are there: packets overtake each other. */
function hold(core: Core, packet: ProtectedPacket, { bytes, tuple, now }: Arrival): false {
  if (core.held.length >= MOST_HELD) return drop(core, packet.end - packet.start, 'no-keys', now);
  core.held.push({ bytes: bytes.slice(packet.start, packet.end), tuple });
  return false;
}

/** Keys are there: what came too early is opened now. */
export function openHeld(core: Core, now: Ms): void {
  const { held } = core;
  if (held.length === 0) return;
  core.held = [];
  for (const { bytes, tuple } of held) {
    openPackets(core, { bytes, tuple, ecn: 'none', now, path: null });
  }
}

function isReset(core: Core, token: Uint8Array | null): boolean {
  if (token === null) return false;
  for (const { remote } of core.slots.values()) if (remote.isReset(token)) return true;
  return false;
}

/** RFC 9000 §6.2: whoever does not speak this version ends the attempt; who has answered already cannot. */
function onVersions(core: Core, versions: readonly number[], now: Ms): void {
  if (core.isServer || core.handshake.isDestinationFinal || core.handshake.retrySource !== null) return;
  if (versions.includes(VERSION_1)) return;
  const spoken = versions.map((version) => `0x${version.toString(16)}`).join(', ');
  core.drain({ by: 'version', layer: 'transport', code: 0, reason: `the server speaks ${spoken}` }, now);
}

/** RFC 9000 §17.2.5.2: once, before anything else, and made by somebody who has seen our Initial. */
function onRetry(core: Core, retry: RetryPacket): void {
  const { handshake } = core;
  if (core.isServer || handshake.isDestinationFinal || handshake.retrySource !== null) return;
  if (!equalBytes(retry.destination, handshake.source) || equalBytes(retry.source, handshake.destination)) return;
  if (!verifyRetry(retry, handshake.originalDestination, core.options.ciphers)) return;
  handshake.retrySource = retry.source.slice();
  handshake.destination = retry.source.slice();
  handshake.token = retry.token.slice();
  handshake.setInitialKeys(core, handshake.destination);
  for (const { content } of core.firstPath?.recovery.discard('initial') ?? []) {
    for (const frame of content.frames) {
      if (frame.type === 'crypto') handshake.initial.crypto.out.onLost(frame.offset, frame.data.length, false);
    }
  }
}
