import { utf8Text } from '../../base/bytes.js';
import type { Ms } from '../../base/time.js';
import type { Space } from '../recovery/path-recovery.js';
import { type QuicError, quicError } from '../wire/errors.js';
import { FRAME } from '../wire/frame-types.js';
import type { AckFrame, ConnectionCloseFrame, Frame } from '../wire/frames.js';
import type { Core } from './core.js';
import { onAcked, onLost } from './loss.js';
import type { Path } from './path.js';
import { onNewId, onRetireId } from './path-ids.js';
import { onAbandon, onResponse } from './paths.js';
import type { FourTuple } from './types.js';

/** Where the frames of a packet come from. */
export interface FrameContext {
  readonly path: Path;
  readonly space: Space;
  readonly tuple: FourTuple;
  readonly destination: Uint8Array;
  readonly keyPhase: 0 | 1;
  readonly datagramBytes: number;
}

/** Does what a frame says; the error that ends the connection. */
export function onFrame(core: Core, frame: Frame, context: FrameContext, now: Ms): QuicError | null {
  switch (frame.type) {
    case 'padding':
    case 'ping':
      return null;
    case 'ack':
      return onAck(core, frame, context, now);
    case 'crypto':
      return core.handshake.onCrypto(core, context.space, frame, now);
    case 'new-token':
      if (core.isServer) return quicError('PROTOCOL_VIOLATION', 'a token from a client', FRAME.NEW_TOKEN);
      core.emit({ type: 'new-token', token: frame.token.slice() }, now);
      return null;
    case 'handshake-done':
      if (core.isServer) return quicError('PROTOCOL_VIOLATION', 'HANDSHAKE_DONE from a client', FRAME.HANDSHAKE_DONE);
      core.handshake.confirm(core, now);
      return null;
    case 'new-connection-id':
      return onNewId(core, frame, now);
    case 'retire-connection-id':
      return onRetireId(core, frame, context.destination);
    case 'path-challenge': {
      // A copy: the datagram belongs to who handed it over.
      const { tuple, datagramBytes } = context;
      context.path.addResponse({ data: frame.data.slice(), tuple, challengeBytes: datagramBytes });
      return null;
    }
    case 'path-response':
      onResponse(core, frame.data, now);
      return null;
    case 'connection-close':
      onClose(core, frame, now);
      return null;
    case 'datagram':
      return onDatagram(core, frame.data, now);
    case 'path-abandon':
    case 'path-status':
    case 'max-path-id':
    case 'paths-blocked':
    case 'path-cids-blocked':
      return onPathFrame(core, frame, now);
    case 'stream':
    case 'reset-stream':
    case 'stop-sending':
    case 'max-data':
    case 'max-stream-data':
    case 'max-streams':
    case 'data-blocked':
    case 'stream-data-blocked':
    case 'streams-blocked':
      return core.streams.onFrame(frame);
  }
}

/** RFC 9000 §19.3; with a path id, the packets of that path (draft -21, "PATH_ACK Frame"). */
function onAck(core: Core, frame: AckFrame, context: FrameContext, now: Ms): QuicError | null {
  const { space, keyPhase } = context;
  const found = pathOfAck(core, frame, context);
  if (found === null || 'code' in found) return found;
  const exponent = space === 'application' ? core.remote.ackDelayExponent : 0;
  const result = found.recovery.onAck(space, frame, (frame.delay * 2 ** exponent) / 1000, now);
  if ('code' in result) return result;
  if (space === 'application') {
    const largest = frame.ranges[0]?.largest ?? -1;
    const error = core.handshake.keys?.onAcknowledged(found.id, largest, keyPhase, now) ?? null;
    if (error !== null) return error;
  }
  if (result.acked.length === 0) return null;
  found.isDoubted = false;
  onAcked(core, found, result.acked);
  if (result.lost.length > 0) onLost(core, found, result.lost, now);
  if (core.options.observe) core.observe({ type: 'metrics', path: found.statistics() }, now);
  return null;
}

/** The path whose packets are acknowledged; `null` where it is no more. */
function pathOfAck(core: Core, frame: AckFrame, { space, path }: FrameContext): Path | QuicError | null {
  if (space !== 'application') return path;
  const id = frame.path ?? 0;
  if (frame.path !== null) {
    const verdict = core.pathIds?.verdict(id, FRAME.PATH_ACK) ?? 'take';
    if (verdict !== 'take') return typeof verdict === 'object' ? verdict : null;
  }
  const found = core.path(id);
  if (found?.state === 'abandoned') return null;
  return (
    found ?? quicError('PROTOCOL_VIOLATION', 'packets of a path that is not open were acknowledged', FRAME.PATH_ACK)
  );
}

function onPathFrame(core: Core, frame: Frame, now: Ms): QuicError | null {
  const { pathIds } = core;
  if (pathIds === null) return null;
  if (frame.type === 'path-abandon') {
    const verdict = pathIds.verdict(frame.path, FRAME.PATH_ABANDON);
    if (verdict !== 'take') return typeof verdict === 'object' ? verdict : null;
    const isOpen = core.path(frame.path) !== null;
    // Where a path is open it is left in order; `abandon` answers. What was never open is answered by the ids.
    if (!isOpen) pathIds.onFrame(frame);
    onAbandon(core, frame.path, frame.errorCode, now);
    return null;
  }
  const before = pathIds.maximum;
  const error = pathIds.onFrame(frame);
  if (error !== null) return error;
  if (frame.type === 'path-cids-blocked' && frame.nextSequence > (core.slots.get(frame.path)?.local.next ?? 0)) {
    const isOver = pathIds.stateOf(frame.path) === 'abandoned';
    return isOver
      ? null
      : quicError('PROTOCOL_VIOLATION', 'it waits for an id beyond the next', FRAME.PATH_CIDS_BLOCKED);
  }
  if (frame.type === 'path-status') {
    const status = pathIds.wishOf(frame.path);
    const path = core.path(frame.path);
    if (path !== null && status !== null && path.theirs !== status) {
      path.theirs = status;
      core.emit({ type: 'path-status', path: frame.path, status }, now);
    }
  }
  if (pathIds.maximum > before) core.areIdsDue = true;
  return null;
}

function onDatagram(core: Core, data: Uint8Array, now: Ms): QuicError | null {
  // RFC 9221 §3: the limit covers the frame with its type and length.
  if (data.length + 1 > core.parameters.maxDatagramFrameBytes) {
    return quicError('PROTOCOL_VIOLATION', 'a datagram larger than allowed', FRAME.DATAGRAM);
  }
  core.emit({ type: 'datagram', data: data.slice() }, now);
  return null;
}

function onClose(core: Core, frame: ConnectionCloseFrame, now: Ms): void {
  const { by: layer, errorCode: code } = frame;
  core.drain({ by: 'remote', layer, code, reason: utf8Text(frame.reason) }, now);
}
