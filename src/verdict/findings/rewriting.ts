import { type ByteRange, oftenDifferent, rangesText } from '../../mutation/differences.js';
import { ADDRESS_AT } from '../../mutation/trial-packet.js';
import { ALPHA, binomialTail } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';
import { placeOfRewriting, placeWords, type RewritingPlace } from './quoted.js';

export const REWRITING = 'rewriting';

/**
 * How often a packet may arrive with other bytes by accident: what a link spoils UDP's checksum (16 bits) nearly always
 * catches.
 */
const BY_ACCIDENT = 1e-3;

/** Packets of one kind that arrive in one direction with other bytes than they were sent with. */
export interface Rewriting {
  readonly direction: Direction;
  readonly arm: string;
  /** They held the address of their sender. */
  readonly hasAddress: boolean;
  /** Bytes of the UDP payload that were others in at least half of them. */
  readonly bytes: readonly ByteRange[];
  /** Arrived, and arrived changed. */
  readonly n: number;
  readonly k: number;
  readonly p: number;
  /** Where, as routers quote such packets; `null` where that is not known. */
  readonly place: RewritingPlace | null;
}

/**
 * What is rewritten on the way (an application-layer gateway that puts other addresses into payloads, say): of the
 * packets of all experiments, whose bytes both ends know. Nothing follows from what did not arrive. `null`: nothing was
 * asked.
 */
export function rewritingFinding(trials: readonly Trial[]): readonly Rewriting[] | null {
  if (!trials.some(({ experiment }) => experiment === REWRITING)) return null;
  const kinds = new Map<string, Trial[]>();
  for (const trial of trials) {
    // A graft is a kind of its own, and there are many; the control and the whole arms tell enough.
    if (trial.to !== 'peer' || trial.packet.graft) continue;
    const key = `${trial.direction} ${trial.packet.arm} ${trial.packet.carries ?? ''}`;
    const kind = kinds.get(key);
    if (kind) kind.push(trial);
    else kinds.set(key, [trial]);
  }
  return DIRECTIONS.flatMap((direction) =>
    [...kinds.values()].flatMap((kind) => (kind[0]?.direction === direction ? rewritten(kind, kinds.size) : [])),
  );
}

function rewritten(sent: readonly Trial[], kinds: number): Rewriting[] {
  // Packets that were to die on the way tell where, not how often.
  const kind = sent.filter(({ received, packet: { ttl } }) => received && ttl === null);
  const [first] = kind;
  const changed = kind.filter((trial) => trial.changed.length > 0);
  const [n, k] = [kind.length, changed.length];
  const p = Math.min(1, kinds * binomialTail(k, n, BY_ACCIDENT));
  const bytes = oftenDifferent(changed.map((trial) => trial.changed));
  if (!first || p > ALPHA || 2 * k < n || bytes.length === 0) return [];
  const { direction, packet } = first;
  return [
    {
      direction,
      arm: packet.arm,
      hasAddress: packet.carries === 'address',
      bytes,
      n,
      k,
      p,
      place: placeOfRewriting(sent),
    },
  ];
}

/** A part of the path's sentence. */
export function rewritingWords(found: readonly Rewriting[]): string {
  return found
    .map((one) => {
      const { direction, arm, hasAddress, bytes, n, k } = one;
      const isAddress = hasAddress && bytes.every(({ at }) => at >= ADDRESS_AT && at < ADDRESS_AT + 16);
      const what = isAddress ? ', which hold the address of their sender,' : '';
      return `${direction} bytes ${rangesText(bytes)} of ${arm} packets${what} are rewritten on the way (${String(k)} of ${String(n)} that arrived)${rewritingPlaceWords(one)}`;
    })
    .join('; ');
}

/** Between which routers, to go behind a sentence that says what; empty where that is not known. */
export function rewritingPlaceWords({ direction, arm, place }: Rewriting): string {
  return place
    ? `; of ${arm} packets ${direction}, ${placeWords(place, direction === 'up' ? 'client' : 'server')}`
    : '';
}
