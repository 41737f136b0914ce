import { nameOf } from './evidence.js';
import type { PathVerdict } from './path.js';

/** One sentence for people: what, and the evidence of both ends. */
export function summaryOf({ state, cause, arm, fields, why, evidence: { path } }: PathVerdict): string {
  const head = `${nameOf(path.client)} ↔ ${nameOf(path.server)} ${path.family}: ${state}`;
  const by = arm !== null && arm !== 'stun' ? ` with ${arm}` : '';
  const what = cause ? `, ${cause}` : '';
  const which =
    fields.length > 0 ? `; it passes once ${fieldsText(fields)} ${fields.length > 1 ? 'change' : 'changes'}` : '';
  return `${head}${by}${what}: ${why}${which}.`;
}

/** `[[length],[first-byte,cookie]]` → `length, or first-byte and cookie`. */
export function fieldsText(fields: readonly (readonly string[])[]): string {
  return fields.map((set) => set.join(' and ')).join(', or ');
}
