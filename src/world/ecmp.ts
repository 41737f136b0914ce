import type { Ms } from '../base/time.js';
import { across, type Box, type Emit, type Side } from './box.js';
import type { Packet } from './packet.js';
import { flowHash } from './router.js';

/**
 * Parallel ways that share the flows between them (RFC 2992): a flow stays on its member, in both directions on the
 * same one. Each member is boxes in a row; an empty one is a plain wire.
 */
export class Ecmp implements Box {
  readonly #members: readonly (readonly Box[])[];

  /** Throws `RangeError` without a member. */
  constructor(members: readonly (readonly Box[])[]) {
    if (members.length === 0) throw new RangeError('ECMP needs a member');
    this.#members = members;
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    const outward = from === 'inside' ? packet : reversed(packet);
    const member = this.#members[flowHash(outward) % this.#members.length] ?? [];
    pass(member, from === 'inside' ? 0 : member.length - 1, packet, from, now, emit);
  }
}

function pass(boxes: readonly Box[], index: number, packet: Packet, from: Side, now: Ms, emit: Emit): void {
  const box = boxes[index];
  if (!box) emit(packet, across(from));
  else
    box.handle(packet, from, now, (emitted, to) => {
      pass(boxes, to === 'outside' ? index + 1 : index - 1, emitted, across(to), now, emit);
    });
}

function reversed(packet: Packet): Packet {
  const { source, sourcePort, destination, destinationPort } = packet;
  return {
    ...packet,
    source: destination,
    sourcePort: destinationPort,
    destination: source,
    destinationPort: sourcePort,
  };
}
