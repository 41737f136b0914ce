import { type ByteRange, oftenDifferent, rangesText } from '../mutation/differences.js';
import type { EndObservation, PathObservation, RoundObservation } from './observation.js';
import { ALPHA, binomialTail } from './statistics.js';
import { type Direction, DIRECTIONS, type Role, ROLES } from './words.js';

/**
 * STUN that gets through and arrives with other bytes than it was sent with: somebody on the way writes into it, and what
 * breaks its integrity is no use to ICE. Whoever does that filters nothing.
 */
export interface AlteredStun {
  /** `reference`: its answers in an arm, to the end that this direction leads to. */
  readonly what: 'arm' | 'check' | 'answer' | 'reference';
  /** In which the altered packets went. */
  readonly direction: Direction;
  readonly arm: string;
  /** Arrived, and arrived altered. */
  readonly n: number;
  readonly k: number;
  /** Of the UDP payload, others in at least half of them; `null` where only the broken integrity tells. */
  readonly bytes: readonly ByteRange[] | null;
  readonly p: number;
}

/** How often a packet may arrive with other bytes by accident: what spoils UDP's checksum nearly always catches. */
export const BY_ACCIDENT = 1e-3;
/** Where fewer come altered than this share of those that arrive, ICE gets through and nobody rewrites for good. */
const SHARE = 0.5;

/**
 * Of one path, from both ends' records; with each kind of packet for itself. `ends`: its ends, whose reference may have
 * been answered by STUN that came altered.
 */
export function alteredStun(
  { up, down }: Pick<PathObservation, 'up' | 'down'>,
  ends: Partial<Readonly<Record<Role, EndObservation | null>>> = {},
): AlteredStun[] {
  const kinds = DIRECTIONS.flatMap((direction): Kind[] => {
    const own = direction === 'up' ? up : down;
    const back = direction === 'up' ? down : up;
    return [
      ...own.arms.map(({ arm, rounds }) => ofArm('arm', direction, arm, rounds)),
      tallied('check', direction, own.checksReceived, own.checksAltered ?? 0),
      tallied('answer', direction, back.answersReceived, back.answersAltered ?? 0),
    ];
  });
  for (const host of ROLES) {
    const direction = host === 'client' ? 'down' : 'up';
    for (const { arm, rounds } of ends[host]?.reference.arms ?? [])
      kinds.push(ofArm('reference', direction, arm, rounds));
  }
  const asked = kinds.filter(({ n }) => n > 0).length;
  return kinds.flatMap(({ bytes: ranges, ...kind }) => {
    const { n, k } = kind;
    const p = Math.min(1, asked * binomialTail(k, n, BY_ACCIDENT));
    if (n === 0 || p > ALPHA || k < SHARE * n) return [];
    const known = ranges.flatMap((range) => (range ? [range] : []));
    return [{ ...kind, bytes: known.length > 0 ? oftenDifferent(known) : null, p }];
  });
}

interface Kind {
  readonly what: AlteredStun['what'];
  readonly direction: Direction;
  readonly arm: string;
  readonly n: number;
  readonly k: number;
  readonly bytes: readonly (readonly ByteRange[] | null)[];
}

function ofArm(
  what: 'arm' | 'reference',
  direction: Direction,
  arm: string,
  rounds: readonly RoundObservation[],
): Kind {
  const arrived = rounds.filter(({ sent, received }) => sent && received);
  const bytes = arrived.flatMap((round) => (round.altered === undefined ? [] : [round.altered]));
  return { what, direction, arm, n: arrived.length, k: bytes.length, bytes };
}

function tallied(what: 'check' | 'answer', direction: Direction, whole: number, altered: number): Kind {
  return { what, direction, arm: 'stun', n: whole + altered, k: altered, bytes: [] };
}

/** Whether STUN comes altered on a path that has this end: then its silence elsewhere may be rewriting, too. */
export function isRewrittenAt(
  { host, interface: name, family }: EndObservation,
  paths: readonly PathObservation[],
): boolean {
  return paths.some((path) => path[host].interface === name && path.family === family && alteredStun(path).length > 0);
}

/** A part of the path's sentence. */
export function alteredWords(found: readonly AlteredStun[]): string {
  const packets = found.filter(({ what }) => what === 'arm');
  // The matrix says it with the bytes; checks only where it does not.
  const told = packets.length > 0 ? packets : found;
  const groups = new Map<string, AlteredStun[]>();
  for (const one of told) {
    const key = [one.direction, one.what, one.bytes ? rangesText(one.bytes) : ''].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const words = [...groups.values()].map((group) => {
    const [{ what, direction, bytes }] = group as [AlteredStun, ...AlteredStun[]];
    const kind = {
      arm: `${group.map(({ arm }) => arm).join(', ')} packets`,
      check: 'checks',
      answer: 'answers to checks',
      reference: `the reference's answers in ${group.map(({ arm }) => arm).join(', ')}`,
    }[what];
    const sum = (of: (one: AlteredStun) => number): string => String(group.reduce((total, one) => total + of(one), 0));
    const counts = `${sum(({ k }) => k)} of ${sum(({ n }) => n)} that arrived`;
    return bytes
      ? `${direction} bytes ${rangesText(bytes)} of ${kind} are rewritten on the way (${counts})`
      : `${direction} the integrity of ${kind} no longer fits (${counts})`;
  });
  return `STUN arrives altered: ${words.join('; ')}`;
}
