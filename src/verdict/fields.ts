import { changedParts } from '../mutation/arm.js';
import { PLAIN_ARM } from '../mutation/names.js';
import { type ArmRegistry, BUILT_IN } from '../mutation/registry.js';
import { armOf, type ArmEvidence, type DirectionEvidence } from './direction.js';
import type { Direction } from './words.js';

/** The order in which fields are named: the header's, then the attributes. */
const ORDER = ['first-byte', 'cookie', 'length', 'type', 'attributes', 'fingerprint'];

/** What became of one kind of packet, known by the STUN header fields that it changes. */
export interface Tried {
  readonly fields: readonly string[];
  readonly outcome: ArmEvidence['outcome'];
}

/** The same in one direction. */
export interface TriedFields extends Tried {
  readonly direction: Direction;
}

/**
 * The smallest sets of fields whose change lets the packet pass, minimal by inclusion. A set counts only where every
 * smaller one is known to fail: one that may yet pass, or was never tried, would take its place.
 */
export function smallestSets(tried: readonly Tried[]): string[][] {
  const fails = (set: readonly string[]): boolean =>
    tried.some(({ fields, outcome }) => outcome === 'fails' && isSame(fields, set));
  return tried
    .filter(
      ({ fields, outcome }) =>
        outcome === 'passes' &&
        combinationsOf(fields).every((part) => part.length === 0 || part.length === fields.length || fails(part)),
    )
    .map(({ fields }) => [...fields].sort(byOrder))
    .sort((left, right) => left.length - right.length || byOrder(left[0] ?? '', right[0] ?? ''));
}

/**
 * {@link smallestSets} of what was tried in `failing`, the directions in which plain STUN dies; empty where there is none.
 * `more`: the same packets and others behind controls. What the two do not agree on is not decided.
 */
export function filteredFields(
  failing: readonly DirectionEvidence[],
  known: ArmRegistry = BUILT_IN,
  more: readonly TriedFields[] = [],
): string[][] {
  if (failing.length === 0) return [];
  const byDirection = failing.map((evidence) => [
    ...evidence.arms.flatMap(({ arm, outcome }): Tried[] => {
      const fields = stunFields(arm, known);
      return fields ? [{ fields, outcome }] : [];
    }),
    ...more.filter(({ direction }) => direction === evidence.direction),
  ]);
  const sets = byDirection
    .flat()
    .map(({ fields }) => fields)
    .filter((fields, index, all) => all.findIndex((other) => isSame(other, fields)) === index);
  return smallestSets(
    sets.map((fields) => ({ fields, outcome: combined(byDirection.map((tried) => agreed(tried, fields))) })),
  );
}

/** What was found of a set of fields in one direction, by all who tried it. */
function agreed(tried: readonly Tried[], set: readonly string[]): ArmEvidence['outcome'] {
  const found = tried.filter(({ fields, outcome }) => outcome !== 'undecided' && isSame(fields, set));
  const outcomes = new Set(found.map(({ outcome }) => outcome));
  const [only = 'undecided'] = outcomes;
  return outcomes.size > 1 ? 'undecided' : only;
}

/** All sets of some of these, none and all of them included. */
export function combinationsOf<Item>(items: readonly Item[]): Item[][] {
  return items.reduce<Item[][]>((sets, item) => [...sets, ...sets.map((set) => [...set, item])], [[]]);
}

/** The directions in which plain STUN fails against the control. */
export function stunFailsIn(directions: readonly DirectionEvidence[]): DirectionEvidence[] {
  return directions.filter((direction) => armOf(direction, PLAIN_ARM)?.outcome === 'fails');
}

/** Whether plain STUN fails and so does, one way or the other, every changed STUN packet that was tried. */
export function everyStunArmFails(directions: readonly DirectionEvidence[], known: ArmRegistry = BUILT_IN): boolean {
  const tried = directions.flatMap(({ arms }) => arms.map(({ arm }) => arm));
  const arms = new Set(tried.filter((arm) => stunFields(arm, known)));
  return (
    arms.has(PLAIN_ARM) &&
    [...arms].every((arm) => directions.some((direction) => armOf(direction, arm)?.outcome === 'fails'))
  );
}

/** What a STUN arm changes, nothing for plain STUN; `null` for what is not STUN. */
function stunFields(name: string, known: ArmRegistry): readonly string[] | null {
  const arm = known.find(name);
  return arm?.stun === true ? changedParts(arm) : null;
}

/** Of several directions: what passes must pass in all, what dies in one is dead. */
export function combined(outcomes: readonly ArmEvidence['outcome'][]): ArmEvidence['outcome'] {
  if (outcomes.includes('fails')) return 'fails';
  return outcomes.every((outcome) => outcome === 'passes') ? 'passes' : 'undecided';
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((field) => right.includes(field));
}

function byOrder(left: string, right: string): number {
  const rank = (field: string): number => (ORDER.includes(field) ? ORDER.indexOf(field) : ORDER.length);
  return rank(left) - rank(right) || left.localeCompare(right);
}
