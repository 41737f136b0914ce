import { CHECK_BYTES } from '../../mutation/check.js';
import { CONTROL_ARM, PLAIN_ARM } from '../../mutation/names.js';
import type { ByteRange } from '../../mutation/differences.js';
import { buildTrialPacket, type PacketSpec } from '../../mutation/trial-packet.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';
import { combinationsOf, combined } from '../fields.js';
import { type Behind, behindControls, type Compared, compareBehind } from './behind-control.js';

/** Of plain STUN as it is sent in trials. */
export const WHOLE: ByteRange = { at: 0, end: CHECK_BYTES };

/** What a filter looks for, found by putting random bytes in the place of STUN's. */
export interface TriggerFinding {
  readonly direction: Direction;
  /** Each is enough by itself, and no smaller part of it that was tried is. */
  readonly sets: readonly TriggerSet[];
  /** STUN with random bytes in all their places. */
  readonly without: Compared | null;
  /** Both ways: a random packet with a set's bytes dies, STUN without all of them passes. */
  readonly confirmed: boolean;
  /** Every direction in which plain STUN dies behind controls. */
  readonly failing: readonly Direction[];
  /**
   * The smallest sets of ranges of theirs with whose bytes random STUN passes in all of `failing`: each was tried, and
   * dies with less of it changed.
   */
  readonly changes: readonly (readonly ByteRange[])[];
}

export interface TriggerSet {
  readonly bytes: readonly ByteRange[];
  /** Random bytes but for these. */
  readonly alone: Compared;
  /** Every part of it that was left out let the packet pass. */
  readonly smallest: boolean;
}

/** Of the trials of `probes/trigger-bytes.ts`; `null` where plain STUN does not die behind controls. */
export function triggerOf(trials: readonly Trial[]): TriggerFinding | null {
  // The one that was searched has the most kinds of packets.
  const asked = DIRECTIONS.map((direction) => ({ direction, compared: compareKinds(trials, direction) }))
    .filter(({ compared }) => compared.some(({ kept, outcome }) => isWhole(kept) && outcome === 'fails'))
    .sort((left, right) => right.compared.length - left.compared.length);
  const [first] = asked;
  if (!first) return null;
  const { direction, compared } = first;
  const dying = compared.filter(({ kept, outcome }) => outcome === 'fails' && !isWhole(kept));
  const sets = dying
    .filter(({ kept }) => !dying.some((other) => other.kept !== kept && isPart(other.kept, kept)))
    .sort((left, right) => sizeOf(left.kept) - sizeOf(right.kept))
    .map(({ kept, ...alone }): TriggerSet => ({ bytes: kept, alone, smallest: isSmallest(kept, compared) }));
  const rest = sets.reduce<readonly ByteRange[]>((left, { bytes }) => without(left, bytes), [WHOLE]);
  const others = compared.find(({ kept }) => !isWhole(kept) && nameOf(kept) === nameOf(rest)) ?? null;
  return {
    direction,
    sets,
    without: others,
    confirmed: sets.length > 0 && others?.outcome === 'passes',
    failing: asked.map((one) => one.direction),
    changes: changesOf(
      sets.map(({ bytes }) => bytes),
      asked.map((one) => one.compared),
    ),
  };
}

/** More than this many ranges cannot be tried in every combination. */
const MOST_RANGES = 6;

/**
 * Where each of these sets is enough to set a filter off: the smallest sets of ranges to change so that none is whole
 * any longer. Ranges are cut where sets overlap. Of no sets: to change nothing; of sets of too many ranges: none.
 */
export function smallestChanges(sets: readonly (readonly ByteRange[])[]): ByteRange[][] {
  const ranges = cutRanges(sets);
  if (ranges.length > MOST_RANGES) return [];
  const hits = combinationsOf(ranges).filter((gone) => sets.every((set) => gone.some((range) => isPart([range], set))));
  return hits.filter((gone) => !hits.some((other) => other !== gone && isPart(other, gone)));
}

/** The ranges of all sets, cut so that each lies in a set or beside it. */
function cutRanges(sets: readonly (readonly ByteRange[])[]): ByteRange[] {
  return sets.reduce<ByteRange[]>(
    (ranges, set) => [
      ...ranges.flatMap((range) => [...without([range], set), ...without([range], without([range], set))]),
      ...without(set, ranges),
    ],
    [],
  );
}

/** `directions`: what was tried in each. */
function changesOf(
  sets: readonly (readonly ByteRange[])[],
  directions: readonly (readonly Asked[])[],
): readonly (readonly ByteRange[])[] {
  const outcomeOf = (gone: readonly ByteRange[]): Compared['outcome'] => {
    const kept = nameOf(without([WHOLE], gone));
    return combined(directions.map((all) => all.find((one) => nameOf(one.kept) === kept)?.outcome ?? 'undecided'));
  };
  return smallestChanges(sets)
    .filter((gone) => gone.length > 0 && outcomeOf(gone) === 'passes')
    .filter((gone) =>
      combinationsOf(gone).every(
        (part) => part.length === 0 || part.length === gone.length || outcomeOf(part) === 'fails',
      ),
    );
}

export type Asked = Compared & { readonly kept: readonly ByteRange[] };

/** Every kind of packet that was tried this way, by the bytes of STUN that were left in it. */
export function compareKinds(trials: readonly Trial[], direction: Direction): Asked[] {
  const kinds = kindsOf(behindControls(trials).filter((sample) => sample.direction === direction));
  // Whether plain STUN dies was asked before any other.
  return kinds.map(({ kept, pairs }) => ({ kept, ...compareBehind(pairs, isWhole(kept) ? 1 : kinds.length) }));
}

function isWhole(kept: readonly ByteRange[]): boolean {
  return sizeOf(kept) === sizeOf([WHOLE]);
}

/** Enough to say of a packet that it usually passes, where nobody is accused by that. */
const TELLING = 5;

/** Each of its bytes was left out alone, and the packet then passed. */
function isSmallest(bytes: readonly ByteRange[], compared: readonly Asked[]): boolean {
  const passes = compared
    .filter(({ control, both }) => control >= TELLING && both * 2 > control)
    .map(({ kept }) => nameOf(kept));
  return sizeOf(bytes) === 1 || singles(bytes).every((one) => passes.includes(nameOf(without(bytes, [one]))));
}

interface Kind {
  readonly kept: readonly ByteRange[];
  readonly pairs: readonly Behind[];
}

/** What was tried, by the bytes of STUN that were left in it. */
function kindsOf(samples: readonly Behind[]): Kind[] {
  const kinds = new Map<string, { readonly kept: readonly ByteRange[]; readonly pairs: Behind[] }>();
  for (const sample of samples) {
    const kept = keptOf(sample.packet);
    if (!kept) continue;
    const kind = kinds.get(nameOf(kept)) ?? { kept, pairs: [] };
    kind.pairs.push(sample);
    kinds.set(nameOf(kept), kind);
  }
  return [...kinds.values()];
}

/** The bytes of STUN in a packet of STUN and random bytes; `null` for any other. */
export function keptOf({ arm, graft, lengthBytes, ttl, fields }: PacketSpec): readonly ByteRange[] | null {
  if (lengthBytes !== null || ttl !== null || fields !== undefined) return null;
  if (arm === PLAIN_ARM) {
    if (!graft) return [WHOLE];
    return graft.from === CONTROL_ARM ? without([WHOLE], graft.bytes) : null;
  }
  return arm === CONTROL_ARM && graft?.from === PLAIN_ARM ? joined(graft.bytes) : null;
}

/** `4-7`, `0,4-7`: a name for a set of bytes, the last one included as people count. */
export function nameOf(ranges: readonly ByteRange[]): string {
  return ranges.map(({ at, end }) => (end - at === 1 ? `${at}` : `${at}-${end - 1}`)).join(',');
}

export function sizeOf(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { at, end }) => sum + end - at, 0);
}

/** Sorted, and ranges that touch made one. */
export function joined(ranges: readonly ByteRange[]): ByteRange[] {
  const result: { at: number; end: number }[] = [];
  for (const { at, end } of [...ranges].sort((left, right) => left.at - right.at)) {
    const last = result.at(-1);
    if (last && at <= last.end) last.end = Math.max(last.end, end);
    else if (end > at) result.push({ at, end });
  }
  return result;
}

export function without(ranges: readonly ByteRange[], less: readonly ByteRange[]): ByteRange[] {
  return less.reduce<ByteRange[]>(
    (left, gone) =>
      left.flatMap(({ at, end }) =>
        [
          { at, end: Math.min(end, gone.at) },
          { at: Math.max(at, gone.end), end },
        ].filter((range) => range.end > range.at),
      ),
    joined(ranges),
  );
}

function isPart(small: readonly ByteRange[], large: readonly ByteRange[]): boolean {
  return sizeOf(without(small, large)) === 0;
}

function singles(ranges: readonly ByteRange[]): ByteRange[] {
  return ranges.flatMap(({ at, end }) =>
    Array.from({ length: end - at }, (_, index) => ({ at: at + index, end: at + index + 1 })),
  );
}

/** `; it drops what has bytes 4–7 21 12 a4 42`, where that was confirmed both ways. */
export function triggerInShort({ sets, confirmed }: TriggerFinding): string {
  if (!confirmed) return '';
  const words = sets.map(({ bytes }) =>
    bytes
      .map((range) => {
        const name = range.end - range.at === 1 ? `byte ${range.at}` : `bytes ${range.at}–${range.end - 1}`;
        return `${name} ${valuesOf(range) ?? 'as in STUN'}`;
      })
      .join(' and '),
  );
  return `; what sets it off: ${words.join(', or ')}`;
}

const SPECIMENS = 8;

/** The values of bytes that every STUN packet of ours has, in hexadecimal: `21 12 a4 42`; `null` where they differ. */
export function valuesOf({ at, end }: ByteRange): string | null {
  const packets = Array.from({ length: SPECIMENS }, (_, counter) =>
    buildTrialPacket(
      { arm: PLAIN_ARM, lengthBytes: null, graft: null, ttl: null },
      { key: new Uint8Array(32).fill(counter), counter },
    ).bytes.subarray(at, end),
  );
  const [first = new Uint8Array(0)] = packets;
  const isFixed = packets.every((bytes) => bytes.every((byte, index) => byte === first[index]));
  return isFixed ? [...first].map((byte) => byte.toString(16).padStart(2, '0')).join(' ') : null;
}
