import type { PathEvidence } from './evidence.js';
import { filteredFields } from './fields.js';
import { nameOf } from './findings/trigger.js';
import { stunFilteredIn } from './stun-filter.js';

/**
 * The smallest sets of what must change for STUN to pass, by header fields as the matrix and the rest of the factorial
 * have them; where none of these passes, by the bytes that were found, as `bytes:4-7`. Right, or left out.
 */
export function fieldsOf(evidence: PathEvidence): string[][] {
  const filtered = stunFilteredIn(evidence);
  const { trigger, headerFields } = evidence.findings;
  const fields = filteredFields(filtered, evidence.arms, headerFields);
  if (fields.length > 0 || filtered.length === 0 || !trigger) return fields;
  // They were tried in these directions, and not in another one where STUN seems to die as well.
  if (!filtered.every(({ direction }) => trigger.failing.includes(direction))) return [];
  return trigger.changes.map((set) =>
    [...set].sort((left, right) => left.at - right.at).map((range) => `bytes:${nameOf([range])}`),
  );
}
