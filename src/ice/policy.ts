import type { Family } from '../base/address.js';
import { IcepathError } from '../base/errors.js';
import { INTERFACE_KINDS, type InterfaceKind } from '../base/interface.js';

/** What a policy looks at: one end of a pair. A far end that is not icepath has neither kind nor label. */
export interface PolicyEnd {
  readonly family: Family;
  readonly kind: InterfaceKind | null;
  readonly label: string | null;
}

/**
 * An order of preference above ICE's formula, in which the candidate type outranks the interface and "cellular before
 * Ethernet" cannot be said. Words, best first; each divides what the words before it left equal.
 */
export interface Policy {
  readonly words: readonly PolicyWord[];
}

export type PolicyWord =
  | { readonly type: 'family'; readonly family: Family }
  | { readonly type: 'kind'; readonly kind: InterfaceKind; readonly label: string | null };

/** The policy that leaves every order to RFC 8445. */
export const EQUAL_POLICY: Policy = { words: [] };
const EQUAL = 'equal';

/** So that the scores of two ends fit a safe integer. */
const MOST_WORDS = 16;
const ALLOWED = `${INTERFACE_KINDS.join(', ')}, KIND:LABEL (cellular:o2), ipv4, ipv6; or \`${EQUAL}\` alone`;

/**
 * Reads `cellular:o2,cellular,wifi,ipv6`; `equal` or nothing is RFC 8445's own order.
 * Throws `IcepathError` `policy-word` for a word that is none, `policy-repeated`, `policy-too-long`.
 */
export function parsePolicy(text: string): Policy {
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
  if (words.length === 0 || (words.length === 1 && words[0] === EQUAL)) return EQUAL_POLICY;
  const repeated = words.find((word, index) => words.indexOf(word) !== index);
  if (repeated !== undefined) {
    throw new IcepathError('policy-repeated', `The policy names "${repeated}" twice.`, 'Name each word once.');
  }
  if (words.length > MOST_WORDS) {
    const message = `The policy has ${words.length} words; ${MOST_WORDS} are the most.`;
    throw new IcepathError('policy-too-long', message, 'Leave out words: what is not named comes last.');
  }
  return { words: words.map(parseWord) };
}

function parseWord(word: string): PolicyWord {
  if (word === 'ipv4' || word === 'ipv6') return { type: 'family', family: word };
  const colon = word.indexOf(':');
  const name = colon < 0 ? word : word.slice(0, colon);
  const label = colon < 0 ? null : word.slice(colon + 1).trim();
  const kind = INTERFACE_KINDS.find((known) => known === name);
  if (kind === undefined || label === '') {
    throw new IcepathError('policy-word', `The policy word "${word}" is unknown.`, `Use ${ALLOWED}.`);
  }
  return { type: 'kind', kind, label };
}

/** The policy as `parsePolicy` reads it. */
export function describePolicy({ words }: Policy): string {
  if (words.length === 0) return EQUAL;
  return words
    .map((word) => {
      if (word.type === 'family') return word.family;
      return word.label === null ? word.kind : `${word.kind}:${word.label}`;
    })
    .join(',');
}

/**
 * A higher score is preferred. As in ICE's pair formula (RFC 8445 §6.1.2.3) the worse end counts first, then the
 * better: with `cellular,wifi`, cellular–cellular comes before cellular–WiFi before WiFi–WiFi. Symmetric in its ends,
 * so both agents put their pairs into one order.
 */
export function pairScore(policy: Policy, left: PolicyEnd, right: PolicyEnd): number {
  const scores = [endScore(policy, left), endScore(policy, right)];
  return Math.min(...scores) * 2 ** policy.words.length + Math.max(...scores);
}

/** One bit a word, the first word's the highest: the order of words is the order of the numbers. */
function endScore(policy: Policy, end: PolicyEnd): number {
  return policy.words.reduce((score, word) => score * 2 + (matches(policy, word, end) ? 1 : 0), 0);
}

function matches(policy: Policy, word: PolicyWord, end: PolicyEnd): boolean {
  if (word.type === 'family') return word.family === end.family;
  if (word.label !== null && word.label !== end.label) return false;
  if (word.kind === end.kind) return true;
  // A tethered phone is a way into a cellular network, unless the policy tells the two apart.
  return word.kind === 'cellular' && end.kind === 'tethered' && !namesTethered(policy);
}

function namesTethered({ words }: Policy): boolean {
  return words.some((word) => word.type === 'kind' && word.kind === 'tethered');
}

/**
 * The local preference (RFC 8445 §5.1.2.1) of base number `index`, 0–255: the policy in the high byte, for far ends that
 * know nothing of it, and a low byte that no other base has. The first base of an equal policy gets 65535.
 */
export function localPreference(policy: Policy, end: PolicyEnd, index: number): number {
  const { length } = policy.words;
  const missing = 2 ** length - 1 - endScore(policy, end);
  const coarse = Math.floor(missing / 2 ** Math.max(0, length - 8));
  return (255 - coarse) * 256 + (255 - index);
}
