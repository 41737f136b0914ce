import { describe, expect, it } from 'vitest';
import { CONTACT_ARMS } from '../../probes/nat-contact.js';
import { natModelProbe, NatNotes, natOpenerProbe, wantsOpener } from '../../probes/nat-model.js';
import type { Probe } from '../../probes/probe.js';
import type { NatModel } from '../../src/verdict/words.js';
import { type NetworkOptions, REFERENCE, runProbe } from '../support/reference-network.js';

/** The model, then its opener, each as often as the session asks: as long as loss keeps something open. */
function measure(options: Partial<NetworkOptions>, seed: string): NatModel {
  const notes = new NatNotes();
  const nat = { kind: 'linux', guarded: false } as const;
  const once = (probe: Probe<NatModel>): NatModel =>
    runProbe(probe, { nat, seed: `${seed} ${notes.attempts} ${notes.openerAttempts}`, ...options }).result;
  let model = once(natModelProbe(REFERENCE, CONTACT_ARMS, notes));
  while (model.pending) model = once(natModelProbe(REFERENCE, CONTACT_ARMS, notes));
  const known = model;
  while (notes.contact && wantsOpener(model, notes)) model = once(natOpenerProbe(known, notes, notes.contact));
  return model;
}

/** The NAT is the router number `natHop`: a packet has to get to the one behind it. */
const HOPS = [1, 2, 3, 5, 6, 7, 11] as const;

describe('the TTL of an opener', () => {
  it.each(HOPS)('behind a NAT that is router %i it is one more', (natHop) => {
    expect(measure({ natHop }, 'lossless')).toMatchObject({ opener: { ttl: natHop + 1 }, missing: [] });
  });

  it('further away than it looks for, it is not known, and the model says so', () => {
    const model = measure({ natHop: 12 }, 'far');
    expect(model.opener).toBeUndefined();
    expect(model.missing).toEqual(['opener: no TTL up to 12 opens the own NATs']);
  });

  it('costs a second where nothing is lost, and leaves no socket behind', () => {
    const notes = new NatNotes();
    const network = { seed: 1, nat: { kind: 'linux', guarded: false }, natHop: 2 } as const;
    const { result: model } = runProbe(natModelProbe(REFERENCE, CONTACT_ARMS, notes), network);
    if (!notes.contact) throw new Error('no contact');
    const { result, elapsedMs, stillOpen } = runProbe(natOpenerProbe(model, notes, notes.contact), network);
    expect(result).toEqual({ ...model, opener: { ttl: 3, hops: [null, null, null] } });
    expect(elapsedMs).toBeLessThan(1200);
    expect(stillOpen).toBe(0);
    expect(wantsOpener(result, notes)).toBe(false);
  });

  it('is not looked for where no early packet moves a mapping', () => {
    for (const nat of [{ kind: 'linux', guarded: true }, { kind: 'none' }] as const) {
      const notes = new NatNotes();
      const { result } = runProbe(natModelProbe(REFERENCE, CONTACT_ARMS, notes), { seed: 1, nat });
      expect(wantsOpener(result, notes)).toBe(false);
    }
  });

  it.each<[string, Partial<NetworkOptions>, number]>([
    ['12 % loss', { loss: 0.12 }, 38],
    ['25 % loss', { loss: 0.25 }, 36],
    ['a quarter of the time lost in bursts of 300 ms', { burstMs: 300 }, 38],
    ['a quarter of the time lost in bursts of 2 s', { burstMs: 2000 }, 36],
  ])('at %s it is right or not known, never wrong', (name, loss, least) => {
    const found = Array.from({ length: 40 }, (_, seed) => {
      const natHop = 1 + (seed % 4);
      return { natHop, ttl: measure({ ...loss, natHop }, `${name} ${seed}`).opener?.ttl };
    });
    expect(found.filter(({ natHop, ttl }) => ttl !== undefined && ttl !== natHop + 1)).toEqual([]);
    expect(found.filter(({ ttl }) => ttl !== undefined).length).toBeGreaterThanOrEqual(least);
  });
});
