import { describe, expect, it } from 'vitest';
import { type KnownNat, predict, predictKnown, sharedNat, sharedNatWords } from '../../src/verdict/nat-prediction.js';
import type { NatModel } from '../../src/verdict/words.js';
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

describe('two ends behind one NAT (RFC 4787 §6)', () => {
  const at = (address: string, more: Partial<NatModel> = {}): NatModel => ({
    ...GUARDED,
    reflexive: { address, port: 40_000 },
    ...more,
  });
  const [A, B, C] = ['198.51.100.7', '198.51.100.9', '203.0.113.7'];

  it('depends on hairpinning, and is promised or ruled out only where that was measured', () => {
    expect(predict(at(A), at(A))).toBe('uncertain');
    expect(predict(at(A, { hairpin: 'external' }), at(A))).toBe('uncertain');
    expect(predict(at(A, { hairpin: 'external' }), at(A, { hairpin: 'external' }))).toBe('success');
    expect(predict(at(A, { hairpin: 'internal' }), at(A, { hairpin: 'internal' }))).toBe('uncertain');
    expect(predict(at(A, { hairpin: 'none' }), at(A, { hairpin: 'none' }))).toBe('failure');
  });

  it('is known also where a pool shows other addresses first', () => {
    expect(predict(at(A, { outside: [A, B] }), at(B))).toBe('uncertain');
    expect(predict(at(A, { outside: [A, B] }), at(C))).toBe('success');
  });

  it('cannot be ruled out between customers of neighbouring carrier addresses', () => {
    const carrierGrade = ['a sign'];
    expect(predict(at(A, { carrierGrade }), at(B, { carrierGrade }))).toBe('uncertain');
    // It is not known to be one NAT, so it is not known to fail either.
    const deaf = { carrierGrade, hairpin: 'none' } as const;
    expect(predict(at(A, deaf), at(B, deaf))).toBe('uncertain');
    const loops = { carrierGrade, hairpin: 'external' } as const;
    expect(predict(at(A, loops), at(B, loops))).toBe('success');
    expect(predict(at(A, { carrierGrade }), at(C, { carrierGrade }))).toBe('success');
    expect(predict(at(A), at(B))).toBe('success');
  });

  it('hairpinning mends no NAT that cannot be punched', () => {
    const symmetric = { ...SYMMETRIC, reflexive: { address: A, port: 1 }, hairpin: 'external' } as const;
    expect(predict(symmetric, symmetric)).toBe('failure');
  });

  it('says what it knows', () => {
    const words = (left: NatModel, right: NatModel): string => {
      const shared = sharedNat(left, right);
      return shared ? sharedNatWords(shared) : '';
    };
    expect(words(at(A), at(A))).toMatch(/both are behind one NAT \(198\.51\.100\.7\).*not measured/);
    expect(words(at(A, { hairpin: 'none' }), at(A))).toContain('does not turn their packets back');
    const carrierGrade = ['a sign'];
    expect(words(at(A, { carrierGrade }), at(B, { carrierGrade }))).toContain('may be behind one');
    expect(words(at(A), at(C))).toBe('');
  });
});
