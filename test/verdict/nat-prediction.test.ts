import { describe, expect, it } from 'vitest';
import { type KnownNat, predict, predictKnown } from '../../src/verdict/nat-prediction.js';
import { GUARDED, SYMMETRIC, UNGUARDED, UNTRANSLATED } from '../support/observation.js';

const MAPPINGS = ['none', 'eim', 'adm', 'apdm'] as const;
const FILTERINGS = ['eif', 'adf', 'apdf'] as const;
const NATS: KnownNat[] = MAPPINGS.flatMap((mapping) => FILTERINGS.map((filtering) => ({ mapping, filtering })));

/**
 * The rules in words (RFC 4787 §4.1, §5; RFC 5128 §3.3), each side's port towards the peer being the advertised one only
 * where the mapping does not depend on the destination:
 * 1. Both keep their port: each has sent exactly where the other sends from. Any filter opens.
 * 2. One changes its port: its packets reach the other unless that one asks for the exact port (APDF), which it cannot know.
 *    Where they reach it, the answer goes back to a mapping that has sent right there.
 * 3. Both change: nobody sends to the port that the other really uses, so somebody must let in a stranger (EIF at its
 *    advertised port). The other side then hears the answer from a changed port of the first, of an address it has sent to.
 *    a. It must not ask for the port (else it is deaf). b. Where either keeps one port per address (ADM) the pair settles.
 *    c. Both APDM: every answer is from another port again, unless the reply reuses the mapping: uncertain.
 */
function byRule(a: KnownNat, b: KnownNat): 'success' | 'failure' | 'uncertain' {
  const keeps = ({ mapping }: KnownNat): boolean => mapping === 'none' || mapping === 'eim';
  if (keeps(a) && keeps(b)) return 'success';
  if (keeps(a) || keeps(b)) return (keeps(a) ? a : b).filtering === 'apdf' ? 'failure' : 'success';
  const strangers = [
    [a, b],
    [b, a],
  ].filter(([open]) => open?.filtering === 'eif') as [KnownNat, KnownNat][];
  const outcomes = strangers.map(([open, other]): 'success' | 'failure' | 'uncertain' => {
    if (open.mapping === 'adm') return other.filtering === 'apdf' ? 'failure' : 'success';
    // An APDM with EIF answers from a fresh port, or from the one that heard: then even APDF has sent there.
    if (other.filtering === 'apdf') return 'uncertain';
    return other.mapping === 'adm' ? 'success' : 'uncertain';
  });
  if (outcomes.includes('success')) return 'success';
  return outcomes.includes('uncertain') ? 'uncertain' : 'failure';
}

describe('predictKnown', () => {
  it.each(
    NATS.flatMap((a) => NATS.map((b) => [`${a.mapping}/${a.filtering} × ${b.mapping}/${b.filtering}`, a, b] as const)),
  )('%s follows the rules', (_, a, b) => {
    expect(predictKnown(a, b)).toBe(byRule(a, b));
    expect(predictKnown(b, a)).toBe(predictKnown(a, b));
  });

  it('knows the textbook cells', () => {
    const eimApdf = { mapping: 'eim', filtering: 'apdf' } as const;
    const symmetric = { mapping: 'apdm', filtering: 'apdf' } as const;
    expect(predictKnown(eimApdf, eimApdf)).toBe('success');
    expect(predictKnown(symmetric, symmetric)).toBe('failure');
    expect(predictKnown(symmetric, eimApdf)).toBe('failure');
    expect(predictKnown(symmetric, { mapping: 'eim', filtering: 'adf' })).toBe('success');
    expect(predictKnown(symmetric, { mapping: 'none', filtering: 'eif' })).toBe('success');
  });
});

describe('predict', () => {
  it('says nothing without both models, complete and with a spoil test', () => {
    expect(predict(null, GUARDED)).toBe('unknown');
    expect(predict(GUARDED, { ...GUARDED, filtering: 'unknown' })).toBe('unknown');
    expect(predict(GUARDED, { ...GUARDED, mapping: 'unknown' })).toBe('unknown');
    expect(predict(GUARDED, { ...GUARDED, spoil: null })).toBe('unknown');
    expect(predict(GUARDED, { ...GUARDED, spoil: { n: 0, k: 0 } })).toBe('unknown');
    expect(predict(GUARDED, GUARDED)).toBe('success');
  });

  it('needs no spoil test where nothing is translated', () => {
    expect(predict(UNTRANSLATED, GUARDED)).toBe('success');
  });

  it('promises nothing where an early packet moves a mapping, and does not make a failure better', () => {
    expect(predict(UNGUARDED, GUARDED)).toBe('uncertain');
    expect(predict(UNTRANSLATED, UNGUARDED)).toBe('uncertain');
    expect(predict({ ...SYMMETRIC, spoil: { n: 3, k: 1 } }, SYMMETRIC)).toBe('failure');
  });
});
