import { ALPHA, binomialTail } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';
import { addressAt, type HopReport, hopWords, isTimeExceeded, LOCATION_EXPERIMENT } from './location.js';

/** A router's memory or its link spoils what it quotes as seldom as a packet's payload, at most. */
const BY_ACCIDENT = 1e-3;

/** Between which hops, counted from the sender, packets become others. */
export interface RewritingPlace {
  /** The last hop that quotes what was sent; 0: the sender itself. */
  readonly after: HopReport;
  /** The first hop that quotes other bytes; `null`: none did, it is further on. */
  readonly before: HopReport | null;
}

/**
 * Where packets of one kind that arrive changed were changed, from what routers quote of those whose TTL ran out on the
 * way (RFC 792 promises 8 bytes behind the IP header, RFC 1812 §4.3.2.3 as many as fit). Address and port are not
 * compared: translating them is what a NAT is for, and on the way back it undoes them in the quotation, too (RFC 5508
 * §4.1). `null`: nobody quotes enough, or the hops contradict each other, as where one router spoils what it quotes.
 */
export function placeOfRewriting(kind: readonly Trial[]): RewritingPlace | null {
  const hops = new Map<number, { n: number; k: number }>();
  for (const trial of kind) {
    const { ttl } = trial.packet;
    const changed = trial.icmp?.changed ?? null;
    if (ttl === null || changed === null || !isTimeExceeded(trial)) continue;
    const tally = hops.get(ttl) ?? { n: 0, k: 0 };
    hops.set(ttl, tally);
    tally.n += 1;
    if (changed.length > 0) tally.k += 1;
  }
  const isWhole = ({ k, n }: { n: number; k: number }): boolean => 2 * k < n;
  const isChanged = ({ k, n }: { n: number; k: number }): boolean =>
    2 * k >= n && hops.size * binomialTail(k, n, BY_ACCIDENT) <= ALPHA;
  const whole = [...hops].filter(([, tally]) => isWhole(tally)).map(([hop]) => hop);
  const changed = [...hops].filter(([, tally]) => isChanged(tally)).map(([hop]) => hop);
  if (whole.length + changed.length === 0) return null;
  const after = Math.max(0, ...whole);
  const before = changed.length > 0 ? Math.min(...changed) : null;
  if (before !== null && before <= after) return null;
  const hop = (number: number): HopReport => ({ hop: number, address: addressAt(kind, number) });
  return { after: hop(after), before: before === null ? null : hop(before) };
}

/** A part of the sentence on what is rewritten. */
export function placeWords(place: RewritingPlace, sender: string): string {
  const { after, before } = place;
  const whole = after.hop === 0 ? '' : `${hopWords(after)} quotes what was sent`;
  const changed = before === null ? '' : `${hopWords(before)} quotes other bytes`;
  return `counted from the ${sender}, ${[whole, changed].filter((words) => words !== '').join(' and ')}`;
}

/** What routers quote of packets that a path drops: of what does not arrive nothing else tells whether it is rewritten. */
export interface QuotedFinding {
  readonly direction: Direction;
  readonly arm: string;
  /** `before: null`: no router quoted other bytes than were sent, up to hop `after`. */
  readonly place: RewritingPlace;
}

/** Of the packets that were to tell where something is dropped, an entry a direction and arm of which anything is quoted. */
export function quotedFindings(trials: readonly Trial[]): QuotedFinding[] {
  const own = trials.filter(({ experiment, to }) => experiment === LOCATION_EXPERIMENT && to === 'peer');
  const arms = [...new Set(own.map(({ packet }) => packet.arm))];
  return DIRECTIONS.flatMap((direction) =>
    arms.flatMap((arm): QuotedFinding[] => {
      const place = placeOfRewriting(own.filter((one) => one.direction === direction && one.packet.arm === arm));
      return place ? [{ direction, arm, place }] : [];
    }),
  );
}

/** A part of the sentence, where something is rewritten; `null` where nothing is, as far as anybody quotes. */
export function quotedWords({ direction, arm, place }: QuotedFinding): string | null {
  if (place.before === null) return null;
  return `${arm} packets ${direction} are rewritten on the way: ${placeWords(place, direction === 'up' ? 'client' : 'server')}`;
}
