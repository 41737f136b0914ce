import { describe, expect, it } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import { describePolicy, pairScore, parsePolicy, type PolicyEnd } from '../../src/ice/policy.js';

const end = (
  kind: PolicyEnd['kind'],
  label: string | null = null,
  family: PolicyEnd['family'] = 'ipv4',
): PolicyEnd => ({
  family,
  kind,
  label,
});

/** Whether pairs, written best first, come out in this order, strictly. */
function isOrder(policy: string, pairs: readonly (readonly [PolicyEnd, PolicyEnd])[]): boolean {
  const scores = pairs.map(([left, right]) => pairScore(parsePolicy(policy), left, right));
  return scores.every((score, index) => index === 0 || score < (scores[index - 1] ?? 0));
}

describe('policy', () => {
  const [e, w, c] = [end('ethernet'), end('wifi'), end('cellular')];

  it('orders pairs by their worse end, then by their better one', () => {
    const order = [
      [c, c],
      [c, w],
      [w, w],
      [c, e],
      [w, e],
      [e, e],
    ] as const;
    expect(isOrder('cellular,wifi,ethernet', order)).toBe(true);
    expect(
      isOrder(
        'ethernet,wifi,cellular',
        [...order].reverse().map(([a, b]) => [b, a] as const),
      ),
    ).toBe(false);
    expect(
      isOrder('ethernet,wifi,cellular', [
        [e, e],
        [e, w],
        [w, w],
        [e, c],
        [w, c],
        [c, c],
      ]),
    ).toBe(true);
  });

  it('gives both ends of a pair the same say', () => {
    const policy = parsePolicy('cellular:o2,ipv6,wifi');
    for (const left of [e, w, c, end('cellular', 'o2', 'ipv6'), end(null)]) {
      for (const right of [e, w, c, end('wifi', 'hhg', 'ipv6'), end(null)]) {
        expect(pairScore(policy, left, right)).toBe(pairScore(policy, right, left));
      }
    }
  });

  it('takes labels and families, each word dividing what the ones before left equal', () => {
    const [o2, telekom] = [end('cellular', 'o2'), end('cellular', 'telekom')];
    expect(
      isOrder('cellular:o2,cellular', [
        [o2, o2],
        [o2, telekom],
        [telekom, telekom],
        [e, e],
      ]),
    ).toBe(true);
    const six = (kind: PolicyEnd['kind']) => end(kind, null, 'ipv6');
    expect(
      isOrder('ipv6,cellular', [
        [six('cellular'), six('cellular')],
        [six('wifi'), six('cellular')],
        [six('wifi'), six('wifi')],
        [c, c],
        [w, w],
      ]),
    ).toBe(true);
  });

  it('counts a tethered phone as cellular, unless it is named itself', () => {
    const tethered = end('tethered');
    const cellular = parsePolicy('cellular,wifi');
    expect(pairScore(cellular, tethered, tethered)).toBe(pairScore(cellular, c, c));
    expect(
      isOrder('cellular,tethered', [
        [c, c],
        [c, tethered],
        [tethered, tethered],
      ]),
    ).toBe(true);
  });

  it('puts what is not named last, and leaves all to RFC 8445 when equal', () => {
    expect(
      isOrder('wifi', [
        [w, w],
        [w, e],
        [e, e],
      ]),
    ).toBe(true);
    expect(pairScore(parsePolicy('equal'), c, e)).toBe(pairScore(parsePolicy(''), w, w));
  });

  it('is described as it is read', () => {
    for (const text of ['cellular,wifi,ethernet', 'cellular:o2,ipv6,tethered', 'equal']) {
      expect(describePolicy(parsePolicy(text))).toBe(text);
    }
    expect(describePolicy(parsePolicy(' wifi , ethernet ,'))).toBe('wifi,ethernet');
  });

  it.each([
    ['celular,wifi', 'celular'],
    ['wifi,5g', '5g'],
    ['cellular:', 'cellular:'],
    ['ipv6:o2', 'ipv6:o2'],
    ['equal,wifi', 'equal'],
  ])('refuses %s, names the word, and lists what is allowed', (text, word) => {
    const error = refusal(text);
    expect(error.code).toBe('policy-word');
    expect(error.message).toContain(`"${word}"`);
    for (const allowed of ['ethernet', 'wifi', 'cellular', 'tethered', 'ipv4', 'ipv6']) {
      expect(error.nextStep).toContain(allowed);
    }
  });

  it('refuses repetition and excess', () => {
    expect(refusal('wifi,wifi').code).toBe('policy-repeated');
    expect(refusal(Array.from({ length: 17 }, (_, index) => `wifi:${index}`).join()).code).toBe('policy-too-long');
  });
});

function refusal(text: string): IcepathError {
  try {
    parsePolicy(text);
  } catch (error) {
    if (error instanceof IcepathError) return error;
  }
  throw new Error(`${text} was taken`);
}
