import { sameAddress, type TransportAddress } from '../src/base/address.js';
import type { ArmName } from '../src/mutation/names.js';
import type { NatModel } from '../src/verdict/words.js';
import { CONTACT_ARMS, natContact } from './nat-contact.js';
import { type FilteringFinding, natFiltering } from './nat-filtering.js';
import { type MappingFinding, natMapping } from './nat-mapping.js';
import { natSpoil } from './nat-spoil.js';
import { type Bench, type Experiment, Probe, type Reference, together } from './probe.js';

/**
 * What NAT is there between this interface and the reference? Contact first, then filtering while nothing here has yet
 * sent to the reference's other address, then mapping and the spoil test side by side. About two seconds where nothing
 * is lost; what could not be measured stands in `missing`, and is never guessed.
 */
export function natModelProbe(primary: TransportAddress, arms: readonly ArmName[] = CONTACT_ARMS): Probe<NatModel> {
  return new Probe((bench) => natModel(bench, primary, arms));
}

function* natModel(bench: Bench, primary: TransportAddress, arms: readonly ArmName[]): Experiment<NatModel> {
  const contact = yield* natContact(bench, primary, arms);
  if (contact === 'no-socket') return unmeasured('no socket could be opened towards the reference');
  if (contact === 'silent') return unmeasured(`the reference answered in none of the arms ${arms.join(', ')}`);

  const reference = { ...contact.reference, other: usableOther(contact.reference) };
  const filtering = yield* natFiltering(bench, reference);
  const [mapping, spoil] = yield* together(natMapping(bench, reference), natSpoil(bench, reference));
  const confirmed = confirm(filtering, mapping, reference);
  return {
    mapping: mapping.mapping,
    filtering: confirmed.filtering,
    portPreservation: mapping.portPreservation ?? contact.mapped.port === contact.local.port,
    spoil: spoil.spoil,
    reflexive: { address: contact.mapped.address, port: contact.mapped.port },
    missing: [confirmed.missing, mapping.missing, spoil.missing].filter((sentence) => sentence !== null),
  };
}

/** Silence from an address that does not answer when asked directly, either, is not the NAT's. */
function confirm(found: FilteringFinding, mapping: MappingFinding, { primary, other }: Reference): FilteringFinding {
  if (!other || found.filtering === 'unknown' || found.filtering === 'eif') return found;
  const silent = found.filtering === 'adf' ? [other] : [other, { ...primary, port: other.port }];
  const unreached = silent.find((address) => !mapping.reached.some((reached) => sameAddress(reached, address)));
  if (!unreached) return found;
  return {
    filtering: 'unknown',
    missing: `filtering: the reference's ${unreached.address}:${unreached.port} does not answer here at all`,
  };
}

/** OTHER-ADDRESS comes from outside: what is no other address and port of the same family is none. */
function usableOther({ primary, other }: Reference): TransportAddress | null {
  if (other?.family !== primary.family) return null;
  return other.address !== primary.address && other.port !== primary.port && other.port !== 0 ? other : null;
}

function unmeasured(missing: string): NatModel {
  return {
    mapping: 'unknown',
    filtering: 'unknown',
    portPreservation: null,
    spoil: null,
    reflexive: null,
    missing: [missing],
  };
}
