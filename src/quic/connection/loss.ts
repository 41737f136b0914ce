import type { Ms } from '../../base/time.js';
import type { Space } from '../recovery/path-recovery.js';
import type { SentPacket } from '../recovery/sent-packets.js';
import type { Frame } from '../wire/frames.js';
import type { Core } from './core.js';
import type { Content, Path } from './path.js';

type Packet = SentPacket<Content>;

/** Packets have arrived: who put something into them hears of it. */
export function onAcked(core: Core, path: Path, packets: readonly Packet[]): void {
  for (const { content } of packets) for (const frame of content.frames) onFrameAcked(core, path, content.space, frame);
}

function onFrameAcked(core: Core, path: Path, space: Space, frame: Frame): void {
  // Nearly all are such.
  if (frame.type === 'stream') {
    core.streams.onAcked(frame);
    return;
  }
  switch (frame.type) {
    case 'crypto':
      core.handshake.crypto(space).out.onAcked(frame.offset, frame.data.length, false);
      return;
    case 'ack': {
      const largest = frame.ranges[0]?.largest ?? -1;
      if (space !== 'application') core.handshake.long(space).received.onAckAcknowledged(largest);
      else (frame.path === null ? path : core.path(frame.path))?.received.onAckAcknowledged(largest);
      return;
    }
    case 'retire-connection-id': {
      const slot = core.slots.get(frame.path ?? 0);
      slot?.remote.onRetireAcked(frame.sequence);
      slot?.retired.delete(frame.sequence);
      return;
    }
    default:
      core.streams.onAcked(frame);
  }
}

/** Packets are lost: what is still to be said is said again. */
export function onLost(core: Core, path: Path, packets: readonly Packet[], now: Ms): void {
  for (const packet of packets) {
    if (!packet.mtuProbe && packet.inFlight) path.lostPackets += 1;
    const { packetNumber, content } = packet;
    core.options.observe?.({ type: 'packet-lost', space: content.space, path: path.id, packetNumber }, now);
    requeue(core, content);
  }
}

/** What was on its way is given back to be sent again, by whatever path; it may yet arrive. */
export function requeue(core: Core, content: Content): void {
  if (content.isRequeued) return;
  content.isRequeued = true;
  for (const frame of content.frames) onFrameLost(core, content.space, frame);
}

function onFrameLost(core: Core, space: Space, frame: Frame): void {
  switch (frame.type) {
    case 'crypto':
      if (space === 'application' || !core.handshake.long(space).isDiscarded) {
        core.handshake.crypto(space).out.onLost(frame.offset, frame.data.length, false);
      }
      return;
    case 'new-connection-id':
      if (core.slots.get(frame.path ?? 0)?.local.isActive(frame.sequence) === true) core.outbox.push(frame);
      return;
    case 'retire-connection-id':
      if (core.slots.get(frame.path ?? 0)?.retired.has(frame.sequence) === true) core.outbox.push(frame);
      return;
    case 'handshake-done':
    case 'new-token':
      core.outbox.push(frame);
      return;
    case 'path-abandon':
    case 'path-status':
    case 'max-path-id':
      core.pathIds?.onLost(frame);
      return;
    case 'stream':
    case 'reset-stream':
    case 'stop-sending':
    case 'max-data':
    case 'max-stream-data':
    case 'max-streams':
    case 'data-blocked':
    case 'stream-data-blocked':
      core.streams.onLost(frame);
      return;
    default:
      // Challenges have a clock of their own; answers, datagrams and the rest are said once.
      return;
  }
}
