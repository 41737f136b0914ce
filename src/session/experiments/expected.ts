import { equalBytes } from '../../base/bytes.js';
import { type ByteRange, differences } from '../../mutation/differences.js';

/** A packet that the far end was told to send. */
export interface ExpectedPacket {
  readonly id: string;
  readonly bytes: Uint8Array;
}

export interface Arrived {
  readonly id: string;
  /** Bytes that are others than it was sent with. */
  readonly changed: readonly ByteRange[];
}

/** Packets that an altered one is compared with, the latest; a flow has no more of one length under way. */
const COMPARED_MAX = 512;
/** Where more than this share of the bytes differ it is no packet of ours. */
const CHANGED_SHARE = 0.5;

/** What may arrive on one flow. Both ends make the same packets, so that every byte of them is known beforehand. */
export class ExpectedPackets {
  /** Those that have not arrived, and all by their first bytes, which tell apart what came as it was sent. */
  readonly #byLength = new Map<number, Set<ExpectedPacket>>();
  readonly #byBytes = new Map<string, ExpectedPacket>();

  add(packet: ExpectedPacket): void {
    this.#byBytes.set(keyOf(packet.bytes), packet);
    const list = this.#byLength.get(packet.bytes.length);
    if (list) list.add(packet);
    else this.#byLength.set(packet.bytes.length, new Set([packet]));
  }

  /** The packet that came, once; `null` for a duplicate and for everything else. */
  take(bytes: Uint8Array): Arrived | null {
    const same = this.#byBytes.get(keyOf(bytes));
    if (same && equalBytes(same.bytes, bytes)) return this.#remove(same) ? { id: same.id, changed: [] } : null;
    const nearest = this.#nearest(bytes);
    if (!nearest) return null;
    this.#remove(nearest);
    return { id: nearest.id, changed: differences(nearest.bytes, bytes) };
  }

  /** The one of the same length with the fewest other bytes. */
  #nearest(bytes: Uint8Array): ExpectedPacket | null {
    let nearest: ExpectedPacket | null = null;
    let fewest = Math.floor(bytes.length * CHANGED_SHARE) + 1;
    for (const packet of [...(this.#byLength.get(bytes.length) ?? [])].slice(-COMPARED_MAX)) {
      let others = 0;
      for (let at = 0; at < bytes.length && others < fewest; at += 1) if (packet.bytes[at] !== bytes[at]) others += 1;
      if (others >= fewest) continue;
      fewest = others;
      nearest = packet;
    }
    return nearest;
  }

  #remove(packet: ExpectedPacket): boolean {
    return this.#byLength.get(packet.bytes.length)?.delete(packet) === true;
  }
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 40)).toString('latin1') + String(bytes.length);
}
