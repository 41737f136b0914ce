import { sameAddress, type TransportAddress } from '../src/base/address.js';
import type { ArmName } from '../src/mutation/names.js';
import { isSpoiled } from '../src/verdict/nat-prediction.js';
import type { NatModel } from '../src/verdict/words.js';
import { CONTACT_ARMS, type Contact, natContact } from './nat-contact.js';
import { type FilteringFinding, natFiltering } from './nat-filtering.js';
import { type MappingFinding, natMapping } from './nat-mapping.js';
import { natOpener, type OpenerFinding } from './nat-opener.js';
import { natSpoil, type SpoilFinding } from './nat-spoil.js';
import { type Bench, type Experiment, Probe, type Reference, together } from './probe.js';

/**
 * What NAT is there between this interface and the reference? Contact first, then filtering while nothing here has yet
 * sent to the reference's other address, then mapping and the spoil test side by side. About two seconds where nothing
 * is lost; what could not be measured stands in `missing`, and is never guessed.
 *
 * `more`: other ports of the reference's first address, which tell of the mapping where its own other port is filtered.
 *
 * A burst may last as long as a test is patient. What it ate is `pending`, and a new probe with the same notes tests
 * that again, and only that: what was found stands.
 */
export function natModelProbe(
  primary: TransportAddress,
  arms: readonly ArmName[] = CONTACT_ARMS,
  notes = new NatNotes(),
  more: readonly TransportAddress[] = [],
): Probe<NatModel> {
  return new Probe((bench) => natModel(bench, { primary, more }, arms, notes));
}

/** What the probes of one interface found so far. */
export class NatNotes {
  attempts = 0;
  contact: Contact | null = null;
  filtering: FilteringFinding | null = null;
  mapping: MappingFinding | null = null;
  spoil: SpoilFinding | null = null;
  opener: OpenerFinding | null = null;
  openerAttempts = 0;
}

const MOST_ATTEMPTS = 6;
const BETWEEN_ATTEMPTS_MS = 250;

function* natModel(
  bench: Bench,
  { primary, more }: Required<Pick<Reference, 'primary' | 'more'>>,
  arms: readonly ArmName[],
  notes: NatNotes,
): Experiment<NatModel> {
  if (notes.attempts > 0) yield bench.pause(BETWEEN_ATTEMPTS_MS);
  notes.attempts += 1;
  const pending = notes.attempts < MOST_ATTEMPTS ? ({ pending: true } as const) : {};

  const contact = notes.contact ?? (yield* natContact(bench, primary, arms));
  if (contact === 'no-socket') return unmeasured('no socket could be opened towards the reference');
  if (contact === 'silent')
    return { ...unmeasured(`the reference answered in none of the arms ${arms.join(', ')}`), ...pending };
  notes.contact = contact;

  const reference = { ...contact.reference, other: usableOther(contact.reference), more };
  if (!notes.filtering || notes.filtering.lost) notes.filtering = yield* natFiltering(bench, reference);
  const { filtering } = notes;
  // What follows sends to the other address: filtering could not be tested again after it.
  if (filtering.lost && pending.pending && filtering.missing !== null)
    return { ...unmeasured(filtering.missing), ...seenBy(contact), ...pending };

  const [mapping, tried] = yield* together(mappingOf(bench, reference, notes), spoilOf(bench, reference, notes));
  notes.mapping = mapping;
  notes.spoil = tried;
  const spoil = spoiledBy(tried, mapping);
  const confirmed = confirm(filtering, mapping, reference);
  return {
    mapping: mapping.mapping,
    filtering: confirmed.filtering,
    portPreservation: mapping.portPreservation ?? seenBy(contact).portPreservation,
    spoil: spoil.spoil,
    reflexive: seenBy(contact).reflexive,
    ...firewallOf(mapping, confirmed),
    missing: [confirmed.missing, mapping.missing, spoil.missing].filter((sentence) => sentence !== null),
    ...(confirmed.lost || mapping.lost || spoil.lost ? pending : {}),
  };
}

function* mappingOf(bench: Bench, reference: Reference, { filtering, mapping }: NatNotes): Experiment<MappingFinding> {
  const unconfirmed = mapping !== null && filtering !== null && confirm(filtering, mapping, reference).lost;
  return mapping && !mapping.lost && !unconfirmed ? mapping : yield* natMapping(bench, reference, mapping);
}

function* spoilOf(bench: Bench, reference: Reference, { spoil }: NatNotes): Experiment<SpoilFinding> {
  return spoil && !spoil.lost ? spoil : yield* natSpoil(bench, reference, spoil?.ended);
}

/**
 * Where the mapping depends on the destination nothing is there to be spoiled. A socket of the spoil test may look
 * otherwise there: ports drawn at random are the same once in 64,512 times, and the next one "moves" it.
 */
function spoiledBy(tried: SpoilFinding, { mapping }: MappingFinding): SpoilFinding {
  return mapping === 'adm' || mapping === 'apdm' ? { ...tried, spoil: null, missing: null, lost: false } : tried;
}

/** Where nothing is translated, filtering is a firewall's (RFC 6092). */
function firewallOf({ mapping }: MappingFinding, { filtering }: FilteringFinding): Pick<NatModel, 'firewall'> {
  if (mapping !== 'none' || filtering === 'unknown') return {};
  return { firewall: filtering === 'eif' ? 'open' : 'stateful' };
}

/**
 * The model once more, with the TTL of an opener: for whoever is behind NATs whose mappings an early packet moves. No
 * verdict waits for it. `pending`: loss is why it is not known, and a new probe may tell.
 */
export function natOpenerProbe(model: NatModel, notes: NatNotes, contact: Contact): Probe<NatModel> {
  return new Probe((bench) => withOpener(bench, model, notes, contact));
}

/** Whether {@link natOpenerProbe} has something to find out. */
export function wantsOpener(model: NatModel, { opener, openerAttempts }: NatNotes): boolean {
  return isSpoiled(model) && (opener === null || (opener.lost && openerAttempts < MOST_ATTEMPTS));
}

function* withOpener(bench: Bench, model: NatModel, notes: NatNotes, { reference }: Contact): Experiment<NatModel> {
  notes.openerAttempts += 1;
  notes.opener = yield* natOpener(bench, { ...reference, other: usableOther(reference) });
  const { opener, missing, lost } = notes.opener;
  return {
    ...model,
    ...(opener ? { opener } : {}),
    missing: missing === null ? model.missing : [...model.missing, missing],
    ...(lost && notes.openerAttempts < MOST_ATTEMPTS ? { pending: true as const } : {}),
  };
}

function seenBy({ local, mapped }: Contact): Pick<NatModel, 'portPreservation' | 'reflexive'> {
  return {
    portPreservation: mapped.port === local.port,
    reflexive: { address: mapped.address, port: mapped.port },
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
    lost: true,
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
