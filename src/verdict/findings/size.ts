import type { Family } from '../../base/address.js';
import { ALPHA, mcnemar } from '../statistics.js';
import type { Trial, TrialIcmp } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';

export const PACKET_SIZE = 'packet-size';

/** Below the IPv6 minimum (RFC 8200 §5) no honest link has its limit; above it a tunnel may have eaten the difference. */
const LEAST_MTU_BYTES = 1280;
const HEADERS_BYTES: Readonly<Record<Family, number>> = { ipv4: 20 + 8, ipv6: 40 + 8 };

export interface SizeLimit {
  /** The largest UDP payload that arrived, and the smallest above it of which none did. */
  readonly passesBytes: number;
  readonly failsBytes: number;
  /** Pairs of a packet above the limit and a control right before it: all, and those in which the control alone arrived. */
  readonly n: number;
  readonly k: number;
  readonly p: number;
  /**
   * `filter`: silent, and below any honest link's MTU; `black-hole`: silent, where a tunnel may begin that tells nobody;
   * `path-mtu`: a router said that it is too big.
   */
  readonly kind: 'filter' | 'black-hole' | 'path-mtu';
}

export type SizeFinding = Readonly<Record<Direction, SizeLimit | null>>;

/**
 * Above which size packets die that live below it: none of them arrived, and small ones beside them did (exact McNemar
 * over pairs). Sizes that this host's own kernel refused are no question. `null`: nothing was asked.
 */
export function sizeFinding(trials: readonly Trial[], family: Family): SizeFinding | null {
  const asked = trials.filter(({ experiment }) => experiment === PACKET_SIZE);
  if (asked.length === 0) return null;
  const [up, down] = DIRECTIONS.map((direction) =>
    limitOf(
      asked.filter((trial) => trial.direction === direction),
      family,
    ),
  );
  return { up: up ?? null, down: down ?? null };
}

/** A packet of a size and the control that left right before it. */
interface Pair {
  readonly bytes: number;
  readonly control: Trial;
  readonly sized: Trial;
}

function limitOf(trials: readonly Trial[], family: Family): SizeLimit | null {
  const pairs = pairsOf(trials);
  const passesBytes = pairs.reduce((most, { bytes, sized }) => (sized.received ? Math.max(most, bytes) : most), 0);
  const above = pairs.filter(({ bytes, sized }) => bytes > passesBytes && sized.sent);
  const k = above.filter(({ control }) => control.received).length;
  const p = mcnemar(k, 0);
  if (passesBytes === 0 || p > ALPHA) return null;
  // Of sizes that were asked once or twice loss may have eaten all: those next to the limit must have been asked oftener.
  const failing = [...new Set(above.map(({ bytes }) => bytes))].sort((left, right) => left - right);
  const failsBytes = failing.find((bytes) => mcnemar(deathsAt(above, bytes), 0) <= ALPHA);
  if (failsBytes === undefined) return null;
  const isTold = above.some(({ sized: { icmp } }) => icmp !== null && isTooBig(icmp));
  return {
    passesBytes,
    failsBytes,
    n: above.length,
    k,
    p,
    kind: isTold ? 'path-mtu' : failsBytes + HEADERS_BYTES[family] > LEAST_MTU_BYTES ? 'black-hole' : 'filter',
  };
}

function deathsAt(above: readonly Pair[], bytes: number): number {
  return above.filter((pair) => pair.bytes <= bytes && pair.control.received).length;
}

/** RFC 1191 §4, RFC 4443 §3.2; before a NAT64 routers with IPv6 addresses are told of in IPv4's words, too. */
function isTooBig({ type, code, from }: TrialIcmp): boolean {
  return (type === 3 && code === 4) || (type === 2 && from.includes(':'));
}

function pairsOf(trials: readonly Trial[]): Pair[] {
  const inOrder = [...trials].sort((left, right) => left.at - right.at);
  const pairs: Pair[] = [];
  const controls = new Map<number, Trial>();
  for (const trial of inOrder) {
    const { lengthBytes } = trial.packet;
    if (lengthBytes === null) {
      controls.set(trial.flow, trial);
      continue;
    }
    const control = controls.get(trial.flow);
    controls.delete(trial.flow);
    if (control?.sent === true) pairs.push({ bytes: lengthBytes, control, sized: trial });
  }
  return pairs;
}

/** The limit of the direction that has the lower one, as a part of the path's sentence. */
export function sizeWords(finding: SizeFinding): string | null {
  const words = DIRECTIONS.flatMap((direction) => {
    const limit = finding[direction];
    if (!limit) return [];
    const { passesBytes, failsBytes, k, n, kind } = limit;
    const what = {
      filter: 'dropped without a word',
      'black-hole': 'lost without a word, as in a tunnel that tells nobody its MTU',
      'path-mtu': 'refused as too big: the path MTU',
    }[kind];
    return [
      `${direction} UDP payloads of ${String(failsBytes)} bytes and more are ${what}, ${String(passesBytes)} pass (${String(k)} of ${String(n)} died beside a small one that passed)`,
    ];
  });
  return words.length > 0 ? words.join('; ') : null;
}

/** The limit in the lower direction, where it is a filter's. */
export function filteredSize(finding: SizeFinding | null): SizeLimit | null {
  const limits = DIRECTIONS.flatMap((direction) => finding?.[direction] ?? []).filter(({ kind }) => kind === 'filter');
  return limits.sort((left, right) => left.failsBytes - right.failsBytes)[0] ?? null;
}
