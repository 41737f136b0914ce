import { PLAIN_ARM } from '../mutation/names.js';
import type { PathVerdict } from './path.js';
import { type Role, ROLES } from './words.js';

/** Whether the leg between an end and the reference lets through what the path does not; `unknown`: not decided. */
type Leg = 'passes' | 'fails' | 'unknown';

/**
 * What the other two legs of the triangle client–reference–server tell of where a filter is; empty where they tell
 * nothing. They never say more than what both ways have in common: the ways to the reference and to the peer part somewhere.
 */
export function triangleWords({ state, cause, evidence }: Pick<PathVerdict, 'state' | 'cause' | 'evidence'>): string {
  const what = cause === 'stun-filtered' ? 'STUN' : 'UDP';
  const isClosed = state === 'blocked' || state === 'one-way';
  if (cause !== 'stun-filtered' && !(isClosed && cause === 'peer-udp-blocked')) return '';
  const leg = (role: Role): Leg => {
    const { arms, answers, own } = evidence.reference[role];
    // Another family that fares better says nothing of this one.
    if (what === 'UDP') return answers && own.some(({ received }) => received) ? 'passes' : 'unknown';
    const outcome = arms.find(({ arm }) => arm === PLAIN_ARM)?.outcome ?? 'undecided';
    return outcome === 'undecided' ? 'unknown' : outcome;
  };
  return legsWords(what, { client: leg('client'), server: leg('server') });
}

export function legsWords(what: string, legs: Readonly<Record<Role, Leg>>): string {
  const dead = ROLES.filter((role) => legs[role] === 'fails');
  const alive = ROLES.filter((role) => legs[role] === 'passes');
  if (alive.length === 2) {
    return `${what} passes between either end and the reference: what drops it is on the part of the way that only the two ends share, or treats peers differently`;
  }
  const [one] = dead;
  if (dead.length === 2) {
    return `${what} dies between either end and the reference as well, so either end's way out may drop it`;
  }
  const [other] = alive;
  if (!one || !other) return '';
  return `${what} dies between the ${one} and the reference as well and passes between the ${other} and the reference: one filter where the ${one}'s packets to both go together would explain it`;
}
