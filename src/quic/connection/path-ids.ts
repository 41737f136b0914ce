import { LocalIds } from '../paths/local-ids.js';
import { PathIds } from '../paths/path-ids.js';
import { RemoteIds } from '../paths/remote-ids.js';
import type { QuicError } from '../wire/errors.js';
import { FRAME } from '../wire/frame-types.js';
import type { Frame, NewConnectionIdFrame } from '../wire/frames.js';
import { type Core, idKey } from './core.js';
import type { Slot } from './path.js';

/** Unused path ids, from the lowest on, that the far end has connection ids for beforehand. */
const READY_PATHS = 16;
/** Ids for a path that is not in use, and for one that is: one in use and one to move with. */
const IDS_OF_UNUSED = 1;
const IDS_OF_OPEN = 3;

/** The slot of the handshake's path: its ids have sequence number 0, without a frame. */
export function firstSlot(core: Core, path: number | null): Slot {
  const { source, destination } = core.handshake;
  const slot = newSlot(core, 0, path);
  slot.local.setFirst(source);
  slot.remote.setFirst(destination, core.isServer ? null : core.remote.statelessResetToken);
  core.slotOfId.set(idKey(source), slot);
  return slot;
}

/** The id of the preferred address has sequence number 1, without a frame (RFC 9000 §5.1.1). */
function takePreferredId(core: Core, slot: Slot): void {
  const { preferredAddress } = core.isServer ? core.parameters : core.remote;
  if (preferredAddress === null) return;
  const { connectionId, statelessResetToken } = preferredAddress;
  if (core.isServer) {
    slot.local.issue(connectionId, statelessResetToken);
    core.slotOfId.set(idKey(connectionId), slot);
  } else slot.remote.setPreferred(connectionId, statelessResetToken);
}

function newSlot(core: Core, id: number, path: number | null): Slot {
  const slot: Slot = {
    id,
    local: new LocalIds(path),
    remote: new RemoteIds(path, core.parameters.activeConnectionIdLimit),
    retired: new Set(),
    path: core.slots.get(id)?.path ?? null,
  };
  core.slots.set(id, slot);
  return slot;
}

export function slotFor(core: Core, id: number): Slot {
  return core.slots.get(id) ?? newSlot(core, id, core.isMultipath ? id : null);
}

/** Both ends' parameters are known: whether there are more paths than one, and how connection ids are named. */
export function startPaths(core: Core): void {
  const ours = core.parameters.initialMaxPathId;
  const theirs = core.remote.initialMaxPathId;
  if (ours !== null && theirs !== null) core.pathIds = new PathIds(core.isServer, ours, theirs);
  const path = core.firstPath;
  const slot = firstSlot(core, core.isMultipath ? 0 : null);
  takePreferredId(core, slot);
  if (path === null) return;
  path.slot = slot;
  path.recovery.mtu.limit(core.remote.maxUdpPayloadBytes);
}

/** Gives the far end the connection ids that it should have: for paths in use, and for those that may be opened. */
export function issueIds(core: Core): void {
  if (!core.handshake.isComplete || !core.isOpen) return;
  const limit = core.remote.activeConnectionIdLimit;
  issueFor(core, 0, Math.min(IDS_OF_OPEN, limit));
  const { pathIds } = core;
  if (pathIds === null) return;
  let unused = 0;
  for (let id = 1; id <= pathIds.maximum && unused < READY_PATHS; id += 1) {
    const state = pathIds.stateOf(id);
    if (state === 'abandoned') continue;
    if (state === 'unused') unused += 1;
    issueFor(core, id, Math.min(state === 'open' ? IDS_OF_OPEN : IDS_OF_UNUSED, limit));
  }
}

function issueFor(core: Core, id: number, wanted: number): void {
  if (core.pathIds?.stateOf(id) === 'abandoned') return;
  const slot = slotFor(core, id);
  const { local } = slot;
  for (let missing = local.missing(wanted); missing > 0; missing -= 1) {
    const { id: connectionId, resetToken } = core.options.ids.issue();
    core.slotOfId.set(idKey(connectionId), slot);
    core.outbox.push(local.issue(connectionId, resetToken));
  }
}

/** A NEW_CONNECTION_ID, or PATH_NEW_CONNECTION_ID. */
export function onNewId(core: Core, frame: NewConnectionIdFrame, now: number): QuicError | null {
  const id = frame.path ?? 0;
  const verdict = core.pathIds?.verdict(id, FRAME.PATH_NEW_CONNECTION_ID) ?? 'take';
  if (verdict !== 'take') return typeof verdict === 'object' ? verdict : null;
  const slot = slotFor(core, id);
  const hadNone = slot.remote.current === null;
  const error = slot.remote.onNew(frame);
  if (error !== null) return error;
  sayRetirements(core, slot);
  if (hadNone && slot.path === null) core.wantsPaths = core.wantsPaths && !tellAvailable(core, now);
  return null;
}

function tellAvailable(core: Core, now: number): boolean {
  core.emit({ type: 'paths-available' }, now);
  return true;
}

/** A RETIRE_CONNECTION_ID, or PATH_RETIRE_CONNECTION_ID; `destination`: of the packet in which it was. */
export function onRetireId(
  core: Core,
  frame: Extract<Frame, { type: 'retire-connection-id' }>,
  destination: Uint8Array,
): QuicError | null {
  const id = frame.path ?? 0;
  const verdict = core.pathIds?.verdict(id, FRAME.PATH_RETIRE_CONNECTION_ID) ?? 'take';
  if (verdict !== 'take') return typeof verdict === 'object' ? verdict : null;
  const retired = slotFor(core, id).local.onRetire(frame.sequence, destination);
  if (retired === null) return null;
  if ('code' in retired) return retired;
  dropId(core, retired);
  issueIds(core);
  return null;
}

export function dropId(core: Core, id: Uint8Array): void {
  core.slotOfId.delete(idKey(id));
  core.options.ids.retire(id);
}

/** Tells the far end which of its ids are retired, each once; a loss is another matter. */
export function sayRetirements(core: Core, slot: Slot): void {
  for (const frame of slot.remote.retirements()) {
    if (frame.type !== 'retire-connection-id' || slot.retired.has(frame.sequence)) continue;
    slot.retired.add(frame.sequence);
    core.outbox.push(frame);
  }
}
