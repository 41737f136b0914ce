import { PLAIN_ARM } from '../../mutation/names.js';
import type { PacketSpec } from '../../mutation/trial-packet.js';
import type { TriedFields } from '../fields.js';
import type { Trial } from '../trial.js';
import { DIRECTIONS } from '../words.js';
import { behindControls, type Compared, compareBehind } from './behind-control.js';

/** STUN with these header fields changed, behind controls: `fields` in the header's order, none for plain STUN. */
export interface FieldsFinding extends TriedFields, Compared {}

/** Of the trials of `probes/header-fields.ts`, an entry a direction and set of fields that was tried. */
export function fieldsFindings(trials: readonly Trial[]): FieldsFinding[] {
  const samples = behindControls(trials);
  return DIRECTIONS.flatMap((direction) => {
    const kinds = new Map<string, { readonly fields: readonly string[]; readonly pairs: typeof samples }>();
    for (const sample of samples) {
      if (sample.direction !== direction) continue;
      const name = fieldsName(sample.packet);
      if (name === null) continue;
      const kind = kinds.get(name) ?? { fields: sample.packet.fields ?? [], pairs: [] };
      kind.pairs.push(sample);
      kinds.set(name, kind);
    }
    return [...kinds.values()].map(({ fields, pairs }) => ({
      direction,
      fields,
      ...compareBehind(pairs, kinds.size),
    }));
  });
}

/** `stun`, `stun cookie length`: a name for plain STUN with fields changed; `null` for any other packet. */
export function fieldsName({ arm, lengthBytes, graft, ttl, fields = [] }: PacketSpec): string | null {
  if (arm !== PLAIN_ARM || lengthBytes !== null || graft !== null || ttl !== null) return null;
  return ['stun', ...fields].join(' ');
}
