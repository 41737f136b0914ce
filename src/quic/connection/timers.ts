import { NEVER, type Ms } from '../../base/time.js';
import { TRANSPORT_ERRORS } from '../wire/errors.js';
import type { Core } from './core.js';
import { onLost, requeue } from './loss.js';
import { idleTimeoutMs, LIMITS } from './parameters.js';
import type { Path } from './path.js';
import { abandon, forgetSlot } from './paths.js';
import { canAck } from './sending.js';
import { hasShared } from './shared.js';

/** RFC 9002 §6.2.4: one or two. */
const PROBES = 2;

/** When something has to be done although nothing comes. */
export function nextDeadline(core: Core, now: Ms): Ms {
  if (core.phase === 'closing' || core.phase === 'draining') return core.drainedAt;
  if (core.phase === 'drained') return NEVER;
  const { handshake } = core;
  let first = Math.min(idleAt(core), handshakeAt(core), handshake.retireFirstAt, handshake.keys?.deadline() ?? NEVER);
  const canPace = handshake.isComplete && hasShared(core);
  for (const path of core.paths) {
    const { recovery, validation, candidate } = path;
    first = Math.min(first, recovery.deadline(), validation.deadline(), candidate?.validation.deadline() ?? NEVER);
    first = Math.min(first, recovery.mtu.deadline(), pathIdleAt(core, path), keepAliveAt(core, path));
    first = Math.min(first, rescueAt(core, path));
    if (canPace && path.isOpen && recovery.hasRoom(path.datagramBytes)) {
      const at = recovery.releaseAt(path.datagramBytes, now);
      // One that may send now was passed over by the scheduler: he will ask again when something has changed.
      if (at > now) first = Math.min(first, at);
    }
  }
  if (handshake.isComplete) {
    for (const path of core.paths) if (canAck(core, path)) first = Math.min(first, path.received.deadline());
    for (const path of core.abandoned) {
      first = Math.min(first, path.forgetAt, canAck(core, path) ? path.received.deadline() : NEVER);
    }
  }
  return first;
}

/** RFC 9000 §10.1: not less than three probe timeouts. */
function idleAt(core: Core): Ms {
  const timeout = idleTimeoutMs(core.parameters.maxIdleTimeoutMs, core.remote.maxIdleTimeoutMs);
  if (timeout === 0) return NEVER;
  return Math.max(core.lastReceivedAt, core.elicitedAt) + Math.max(timeout, 3 * core.pto);
}

function handshakeAt(core: Core): Ms {
  if (core.handshake.isComplete) return NEVER;
  return core.startedAt + (core.options.handshakeTimeoutMs ?? LIMITS.handshakeTimeoutMs);
}

function pathIdleAt(core: Core, path: Path): Ms {
  const { pathIdleTimeoutMs = LIMITS.pathIdleTimeoutMs } = core.options;
  if (pathIdleTimeoutMs === null || core.paths.length < 2 || !path.isOpen) return NEVER;
  return path.lastReceivedAt + Math.max(pathIdleTimeoutMs, 3 * path.recovery.pto());
}

function keepAliveAt(core: Core, path: Path): Ms {
  const { keepAliveMs = null } = core.options;
  if (keepAliveMs === null || !path.isOpen || !core.handshake.isConfirmed) return NEVER;
  return Math.max(path.lastReceivedAt, path.lastElicitingAt) + keepAliveMs;
}

/**
 * When what a path has on its way is sent on another one, too: at a probe timeout without the delay of ACKs, which there
 * is none of where several packets wait for one. It counts from the second of those, or from what came last, and not from
 * the last one sent: who sends a little all the time would send into a dead path until its window is full. The path
 * itself is not judged by that.
 */
function rescueAt(core: Core, path: Path): Ms {
  const { recovery } = path;
  if (core.paths.length < 2 || recovery.rtt.firstSampleAt === null || !path.isWell) return NEVER;
  const since = recovery.secondElicitingAt('application');
  if (since === null || !core.paths.some((other) => other !== path && other.isWell)) return NEVER;
  return Math.max(since, path.lastReceivedAt) + recovery.rtt.pto(0);
}

/** Whatever has become due by `now`. */
export function onTimeout(core: Core, now: Ms): void {
  if (core.phase === 'closing' || core.phase === 'draining') {
    if (now >= core.drainedAt) core.forget(now);
    return;
  }
  if (core.phase === 'drained') return;
  if (now >= idleAt(core) || now >= handshakeAt(core)) {
    const reason = core.handshake.isComplete ? 'nothing came for too long' : 'the handshake took too long';
    core.end({ by: 'timeout', layer: 'transport', code: TRANSPORT_ERRORS.NO_ERROR, reason }, now);
    // RFC 9000 §10.1: silently.
    core.forget(now);
    return;
  }
  core.handshake.keys?.onTimeout(now);
  if (now >= core.handshake.retireFirstAt) core.handshake.retireFirst(core);
  for (const path of [...core.paths]) onPathTimeout(core, path, now);
  for (const path of [...core.abandoned]) if (now >= path.forgetAt) forgetSlot(core, path.id);
}

function onPathTimeout(core: Core, path: Path, now: Ms): void {
  const { recovery, validation } = path;
  if (rescueAt(core, path) <= now) {
    requeueOutstanding(core, path);
    path.isDoubted = true;
  }
  if (recovery.deadline() <= now) onRecoveryTimeout(core, path, now);
  recovery.mtu.onTimeout(now);
  validation.onTimeout(now);
  const { candidate } = path;
  candidate?.validation.onTimeout(now);
  if (candidate?.validation.state === 'failed') {
    path.candidate = null;
    if (!candidate.isTheirs) core.emit({ type: 'path-migration-failed', path: path.id, tuple: candidate.tuple }, now);
  }
  if (path.state === 'validating' && validation.state === 'failed') {
    abandon(core, path, TRANSPORT_ERRORS.PATH_UNSTABLE_OR_POOR, 'validation', now);
    return;
  }
  if (now >= pathIdleAt(core, path)) {
    if (abandon(core, path, TRANSPORT_ERRORS.PATH_UNSTABLE_OR_POOR, 'idle', now)) return;
    path.lastReceivedAt = now;
  }
  if (now >= keepAliveAt(core, path)) path.probes = Math.max(path.probes, 1);
}

function onRecoveryTimeout(core: Core, path: Path, now: Ms): void {
  const { lost, probe } = path.recovery.onTimeout(now);
  onLost(core, path, lost, now);
  if (probe === null) return;
  if (probe !== 'application') {
    const long = core.handshake.long(probe);
    if (long.write === null) return;
    long.probes = PROBES;
    return;
  }
  path.probes = PROBES;
  requeueOutstanding(core, path);
}

/**
 * A probe timeout: what is on its way may be lost. Where another path works all of it goes there, now, rather than when
 * this path has had its say (multipath draft -21, "PTO Expiration"); else the oldest is sent again as the probe.
 */
function requeueOutstanding(core: Core, path: Path): void {
  const isOther = core.paths.some((other) => other !== path && other.isWell);
  for (const { content } of path.recovery.outstanding('application')) {
    if (content.isRequeued || content.frames.length === 0) continue;
    requeue(core, content);
    if (!isOther) return;
  }
  if (isOther) path.isDoubted = true;
}
