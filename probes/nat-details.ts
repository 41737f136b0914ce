import type { NatModel } from '../src/verdict/words.js';
import { natHairpin } from './nat-hairpin.js';
import { natPorts } from './nat-ports.js';
import { type Bench, type Experiment, Probe, type Reference } from './probe.js';

/**
 * What more there is to know of a NAT once its model stands: how it chooses ports and addresses, and whether it turns
 * packets back inside. No verdict waits for it; predictions for two ends behind one NAT lean on it.
 */
export function natDetailsProbe(reference: Reference, model: NatModel): Probe<NatDetails> {
  return new Probe((bench) => natDetails(bench, reference, model));
}

export type NatDetails = Partial<Pick<NatModel, 'ports' | 'pooling' | 'outside' | 'hairpin'>>;

/** Whether there is anything to find out: a NAT that is known to be one. */
export function hasDetails({ mapping }: NatModel): boolean {
  return mapping !== 'none' && mapping !== 'unknown';
}

function* natDetails(bench: Bench, reference: Reference, model: NatModel): Experiment<NatDetails> {
  const { ports, pooling, outside, mapped } = yield* natPorts(bench, reference);
  // A mapping that depends on the destination shows a peer another port than the reference: nothing to compare with.
  const hairpin = model.mapping === 'eim' ? yield* natHairpin(bench, reference, mapped) : null;
  return {
    ...(ports ? { ports } : {}),
    ...(pooling ? { pooling } : {}),
    ...(outside.length > 0 ? { outside: [...outside] } : {}),
    ...(hairpin ? { hairpin } : {}),
  };
}
