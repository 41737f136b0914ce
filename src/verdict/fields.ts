import { findArm } from '../mutation/arm.js';
import { PLAIN_ARM } from '../mutation/names.js';
import { armOf, type ArmEvidence, type DirectionEvidence } from './direction.js';

/** The order in which fields are named: the header's, then the attributes. */
const ORDER = ['first-byte', 'cookie', 'length', 'type', 'attributes', 'fingerprint'];

/** What became of one kind of packet, known by the STUN header fields that it changes. */
export interface Tried {
  readonly fields: readonly string[];
  readonly outcome: ArmEvidence['outcome'];
}

/**
 * The smallest sets of fields whose change lets the packet pass, minimal by inclusion. A set counts only where every
 * smaller set that was tried is decided: one that may yet pass would take its place.
 */
export function smallestSets(tried: readonly Tried[]): string[][] {
  return tried
    .filter(
      ({ fields, outcome }) =>
        outcome === 'passes' &&
        tried.every((other) => !isProperSubset(other.fields, fields) || other.outcome === 'fails'),
    )
    .map(({ fields }) => [...fields].sort(byOrder))
    .sort((left, right) => left.length - right.length || byOrder(left[0] ?? '', right[0] ?? ''));
}

/** {@link smallestSets} of what was tried in those directions in which plain STUN fails; empty where it fails in none. */
export function filteredFields(directions: readonly DirectionEvidence[]): string[][] {
  const failing = stunFailsIn(directions);
  const [first] = failing;
  if (!first) return [];
  return smallestSets(
    first.arms.flatMap(({ arm }) => {
      const fields = stunFields(arm);
      if (!fields) return [];
      const outcomes = failing.map((direction) => armOf(direction, arm)?.outcome ?? 'undecided');
      return [{ fields, outcome: combined(outcomes) }];
    }),
  );
}

/** The directions in which plain STUN fails against the control. */
export function stunFailsIn(directions: readonly DirectionEvidence[]): DirectionEvidence[] {
  return directions.filter((direction) => armOf(direction, PLAIN_ARM)?.outcome === 'fails');
}

/** Whether plain STUN fails and so does, one way or the other, every changed STUN packet that was tried. */
export function everyStunArmFails(directions: readonly DirectionEvidence[]): boolean {
  const arms = new Set(directions.flatMap(({ arms }) => arms.map(({ arm }) => arm).filter((arm) => stunFields(arm))));
  return (
    arms.has(PLAIN_ARM) &&
    [...arms].every((arm) => directions.some((direction) => armOf(direction, arm)?.outcome === 'fails'))
  );
}

/** The fields that a STUN arm changes, none for plain STUN; `null` for what is not STUN. */
function stunFields(arm: string): readonly string[] | null {
  const known = findArm(arm);
  return known?.stun === true ? known.fields : null;
}

function combined(outcomes: readonly ArmEvidence['outcome'][]): ArmEvidence['outcome'] {
  if (outcomes.includes('fails')) return 'fails';
  return outcomes.every((outcome) => outcome === 'passes') ? 'passes' : 'undecided';
}

function isProperSubset(small: readonly string[], large: readonly string[]): boolean {
  return small.length < large.length && small.every((field) => large.includes(field));
}

function byOrder(left: string, right: string): number {
  const rank = (field: string): number => (ORDER.includes(field) ? ORDER.indexOf(field) : ORDER.length);
  return rank(left) - rank(right) || left.localeCompare(right);
}
