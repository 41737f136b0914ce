import { sameAddress } from '../../base/address.js';
import type { Ms } from '../../base/time.js';
import { AmplificationLimit, PathValidation } from '../paths/validation.js';
import { BASE_DATAGRAM_BYTES, ETHERNET_DATAGRAM_BYTES, MtuSearch } from '../recovery/mtu.js';
import { PathRecovery } from '../recovery/path-recovery.js';
import { ReceivedPackets } from '../recovery/received-packets.js';
import { TRANSPORT_ERRORS } from '../wire/errors.js';
import type { PathStatus } from '../wire/frames.js';
import { type Core, idKey } from './core.js';
import { requeue } from './loss.js';
import { type Candidate, type Content, Path, sameTuple, type Slot } from './path.js';
import { dropId, issueIds, sayRetirements, slotFor } from './path-ids.js';
import type { FourTuple } from './types.js';

/** IPv6 has 20 bytes more of header. */
const IPV6_EXTRA_BYTES = 20;
/** RFC 9000 §10.2 and the multipath draft: how long what is over is still known, in PTOs. */
const FORGET_PTOS = 3;
/** Paths over the whole life of a connection: each leaves a trace, as its id is never used again. */
const MOST_PATH_IDS = 10_000;

function mtuSearch(core: Core, tuple: FourTuple): MtuSearch {
  const usual = ETHERNET_DATAGRAM_BYTES - (tuple.remote.family === 'ipv6' ? IPV6_EXTRA_BYTES : 0);
  const most = core.options.mostDatagramBytes?.(tuple.local) ?? usual;
  return new MtuSearch(Math.min(most, core.remote.maxUdpPayloadBytes), usual);
}

/** `isProven`: the far end's address needs no proof before it is sent to, as this end has chosen it. */
export function createPath(core: Core, slot: Slot, tuple: FourTuple, isProven: boolean, now: Ms): Path {
  const mtu = mtuSearch(core, tuple);
  const path = new Path(
    {
      id: slot.id,
      tuple,
      slot,
      recovery: new PathRecovery<Content>({
        controller: core.controller(BASE_DATAGRAM_BYTES),
        mtu,
        isServer: core.isServer || slot.id !== 0,
      }),
      received: new ReceivedPackets(core.parameters.maxAckDelayMs),
      validation: new PathValidation(core.options.random),
      limit: new AmplificationLimit(isProven),
    },
    now,
  );
  slot.path = path;
  core.paths.push(path);
  core.paths.sort((left, right) => left.id - right.id);
  core.handshake.tellRecovery(core);
  return path;
}

/** A client opens a path (multipath draft -21, "Path Initiation and Validation"). */
export function openPath(core: Core, tuple: FourTuple, now: Ms): number | null {
  const { pathIds } = core;
  if (!core.isOpen || pathIds === null || !core.handshake.isConfirmed || core.isServer) return null;
  const id = pathIds.next((path) => {
    const slot = core.slots.get(path);
    return slot !== undefined && slot.remote.current !== null && slot.local.active.length > 0;
  });
  if (id === null || !pathIds.use(id)) {
    core.wantsPaths = true;
    return null;
  }
  const path = createPath(core, slotFor(core, id), tuple, true, now);
  path.validation.start(core.pto, now);
  issueIds(core);
  return id;
}

/** The first packet on a path id that the client has taken into use; `null` where it must not. */
export function acceptPath(core: Core, slot: Slot, tuple: FourTuple, now: Ms): Path | null {
  const { pathIds } = core;
  if (pathIds?.use(slot.id) !== true || slot.remote.current === null) return null;
  const path = createPath(core, slot, tuple, false, now);
  path.validation.start(core.pto, now);
  core.emit({ type: 'path-opened', path: slot.id, tuple }, now);
  issueIds(core);
  return path;
}

/** Something came for a path from other addresses: they are asked for proof, and the path moves only then. */
export function onMoved(core: Core, path: Path, tuple: FourTuple, destination: Uint8Array, now: Ms): void {
  const { candidate } = path;
  if (candidate !== null && sameTuple(candidate.tuple, tuple)) return;
  // It was left for good: what was under way from there is late, and no reason to go back.
  if (core.leftServer !== null && sameAddress(core.leftServer, tuple.remote)) return;
  // What this end is about to do itself goes first.
  if (candidate?.isTheirs === false) return;
  startCandidate(core, path, tuple, true, now);
  // RFC 9000 §9.5: who changes his id does not want to be followed; a NAT changes none.
  if (idKey(destination) !== idKey(path.lastDestination) && path.slot.remote.rotate()) sayRetirements(core, path.slot);
}

/** This end moves a path of its own accord. */
export function migrate(core: Core, path: Path, tuple: FourTuple, now: Ms): boolean {
  if (core.isServer || !core.handshake.isConfirmed || core.remote.disableActiveMigration) return false;
  return migrateTo(core, path, tuple, now);
}

/** The same where this end is known to be allowed to. */
export function migrateTo(core: Core, path: Path, tuple: FourTuple, now: Ms): boolean {
  if (!path.isOpen || path.candidate !== null || sameTuple(path.tuple, tuple)) return false;
  if (!path.slot.remote.rotate()) return false;
  sayRetirements(core, path.slot);
  startCandidate(core, path, tuple, false, now);
  return true;
}

function startCandidate(core: Core, path: Path, tuple: FourTuple, isTheirs: boolean, now: Ms): void {
  const validation = new PathValidation(core.options.random);
  validation.start(core.pto, now);
  const limit = new AmplificationLimit(!isTheirs);
  path.candidate = { tuple, validation, limit, isTheirs };
}

/** A PATH_RESPONSE; on whatever path it came, its data say which challenge it answers (RFC 9000 §8.2.3). */
export function onResponse(core: Core, data: Uint8Array, now: Ms): void {
  for (const path of core.paths) {
    if (path.validation.onResponse(data)) {
      validated(core, path, now);
      return;
    }
    const { candidate } = path;
    if (candidate?.validation.onResponse(data) === true) {
      moveTo(core, path, candidate, now);
      return;
    }
  }
}

function validated(core: Core, path: Path, now: Ms): void {
  path.limit.lift();
  path.recovery.isAmplificationLimited = false;
  if (path.state !== 'validating') return;
  path.state = 'open';
  core.emit({ type: 'path-validated', path: path.id, tuple: path.tuple }, now);
}

/** RFC 9000 §9.4: another network is another path to congestion control; another port of one NAT is not. */
function moveTo(core: Core, path: Path, { tuple, isTheirs }: Candidate, now: Ms): void {
  const isSameHost = path.tuple.remote.address === tuple.remote.address && sameAddress(path.tuple.local, tuple.local);
  path.candidate = null;
  path.tuple = tuple;
  path.limit.lift();
  path.recovery.isAmplificationLimited = false;
  if (!isSameHost) path.recovery.restart(core.controller(BASE_DATAGRAM_BYTES), mtuSearch(core, tuple));
  // A PING, so that the far end hears of it even where there is nothing to say.
  if (!isTheirs) path.probes = Math.max(path.probes, 1);
  core.emit({ type: 'path-migrated', path: path.id, tuple }, now);
  if (path.state === 'validating') validated(core, path, now);
}

export function setStatus(core: Core, id: number, status: PathStatus): void {
  const path = core.path(id);
  if (core.pathIds === null || path === null || path.state === 'abandoned') return;
  path.ours = status;
  core.pathIds.setStatus(id, status);
}

/** This end leaves a path; false for the last one that is open. */
export function abandon(
  core: Core,
  path: Path,
  errorCode: number,
  by: 'local' | 'remote' | 'validation' | 'idle',
  now: Ms,
): boolean {
  const { pathIds } = core;
  if (pathIds === null || path.state === 'abandoned') return false;
  if (!core.paths.some((other) => other !== path && (other.isOpen || !path.isOpen))) return false;
  pathIds.abandon(path.id, errorCode);
  path.state = 'abandoned';
  path.candidate = null;
  path.forgetAt = now + FORGET_PTOS * core.pto;
  core.paths = core.paths.filter((other) => other !== path);
  core.abandoned.push(path);
  path.slot.remote.abandon();
  path.slot.retired.clear();
  for (const packet of path.recovery.discard('application')) requeue(core, packet.content);
  core.emit({ type: 'path-abandoned', path: path.id, by, errorCode }, now);
  allowAnother(core);
  return true;
}

/** A PATH_ABANDON for what was never opened, or what is open (draft -21, "Path Close"). */
export function onAbandon(core: Core, id: number, errorCode: number, now: Ms): void {
  const path = core.path(id);
  if (path === null) {
    // The id is used up; what was issued for it goes.
    forgetSlot(core, id);
    allowAnother(core);
    return;
  }
  if (abandon(core, path, errorCode, 'remote', now) || path.state === 'abandoned') return;
  core.fail({ code: TRANSPORT_ERRORS.NO_VIABLE_PATH, frameType: 0, reason: 'the only path was abandoned' }, now);
}

/** As many paths as before can be open at once. */
function allowAnother(core: Core): void {
  if (core.allowedPaths >= MOST_PATH_IDS) return;
  core.allowedPaths += 1;
  core.pathIds?.allow(core.allowedPaths);
  issueIds(core);
}

export function forgetSlot(core: Core, id: number): void {
  const slot = core.slots.get(id);
  if (slot === undefined) return;
  for (const connectionId of slot.local.active) dropId(core, connectionId);
  core.slots.delete(id);
  core.abandoned = core.abandoned.filter((path) => path.id !== id);
}
