import type { Ms } from '../../base/time.js';
import { CONTROL_ARM } from '../../mutation/names.js';
import { ALPHA, boundary, mcnemar } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';

export const LOCATION_EXPERIMENT = 'filter-location';

/** A router that answered, as far as it has an address; hop 0 is the sender itself. */
export interface HopReport {
  readonly hop: number;
  readonly address: string | null;
}

/**
 * Where on the way packets of one direction are dropped, counted in hops from their sender. Always an interval: the
 * packets get past hop `after`, and are gone before hop `before` could answer them; silent hops between stay unknown.
 */
export interface LocationFinding {
  readonly direction: Direction;
  /**
   * How it was found. `tuple`: a trigger with so small a TTL spoils its 5-tuple for the control, or does not.
   * `answers`: which hops answer the control (ICMP time exceeded) and not the trigger on the same 5-tuple.
   * `reference`: which hops answer packets to the reference and not those to the peer; the two ways may part before
   * `before`, which then is not proven.
   */
  readonly method: 'tuple' | 'answers' | 'reference';
  /** The kind of packet that is dropped. */
  readonly arm: string;
  readonly after: HopReport;
  /** `null`: not known how far. */
  readonly before: HopReport | null;
  /** Hops to the far end, itself included, at most; `null` where nothing arrived. */
  readonly distance: number | null;
  /** Of the weaker of the two bounds' exact tests; 0 where an answer proves it. */
  readonly p: number;
}

/** What trials on hops tell, one finding a direction at most. Nothing follows from silence without answers beside it. */
export function findLocations(trials: readonly Trial[]): LocationFinding[] {
  const own = trials.filter(({ experiment, sent }) => experiment === LOCATION_EXPERIMENT && sent);
  return DIRECTIONS.flatMap((direction) => {
    const there = own.filter((trial) => trial.direction === direction);
    const found = byTuple(there, direction) ?? byAnswers(there, direction) ?? byReference(there, direction);
    return found ? [found] : [];
  });
}

/** The fewest hops that took a packet to the far end: no TTL less arrived. `null` where none arrived. */
export function distanceOf(trials: readonly Trial[]): number | null {
  const arrived = trials.flatMap(({ packet: { ttl }, to, received }) =>
    ttl !== null && to === 'peer' && received ? [ttl] : [],
  );
  return arrived.length === 0 ? null : Math.min(...arrived);
}

/**
 * A router says that nothing was left of the TTL: RFC 792 type 11 code 0, RFC 4443 §3.3 type 3 code 0. Before a NAT64 it has
 * an IPv6 address, and what it says was put into IPv4's words, as all that its host then knows.
 */
export function isTimeExceeded({ icmp }: Trial): boolean {
  return icmp?.code === 0 && (icmp.type === 11 || (icmp.type === 3 && icmp.from.includes(':')));
}

/** Against the reference a bound is never proven, whatever the test says: it need not be as sure, and takes less time. */
const ALPHA_BESIDE_REFERENCE = 1e-2;

// Pairs of one flow and TTL: what is asked about, and its control ------------------------------------------------------

interface Pair {
  readonly ttl: number;
  readonly asked: Trial;
  readonly control: Trial;
}

/** Neighbours of one flow with one TTL, one of which `isAsked`: each packet is in one pair at most. */
function pairsOf(trials: readonly Trial[], isAsked: (trial: Trial) => boolean): Pair[] {
  const pairs: Pair[] = [];
  for (const flow of flowsOf(trials)) {
    const open = new Map<number, Trial>();
    for (const trial of flow) {
      const { ttl } = trial.packet;
      if (ttl === null) continue;
      const before = open.get(ttl);
      if (before && isAsked(before) !== isAsked(trial)) {
        open.delete(ttl);
        pairs.push(isAsked(trial) ? { ttl, asked: trial, control: before } : { ttl, asked: before, control: trial });
      } else open.set(ttl, trial);
    }
  }
  return pairs;
}

function flowsOf(trials: readonly Trial[]): Trial[][] {
  const flows = new Map<number, Trial[]>();
  for (const trial of trials) {
    const flow = flows.get(trial.flow);
    if (flow) flow.push(trial);
    else flows.set(trial.flow, [trial]);
  }
  return [...flows.values()].map((flow) => flow.sort((left, right) => left.at - right.at));
}

/**
 * `after`: the last hop that answered a packet of the kind, which proves that it got there. `before`: the first hop
 * beyond that answers the control and not the packet (McNemar: had the packet got there, either were as likely to be
 * answered alone; routers that answer only so often are no less just, since the order within a pair is drawn).
 */
function interval(
  pairs: readonly Pair[],
  isAnswered: (trial: Trial) => boolean,
  alpha = ALPHA,
): Pick<Found, 'after' | 'before' | 'p'> {
  const after = pairs.reduce((last, { ttl, asked }) => (isAnswered(asked) ? Math.max(last, ttl) : last), 0);
  const beyond = [...new Set(pairs.map(({ ttl }) => ttl))].filter((ttl) => ttl > after).sort((a, b) => a - b);
  for (const ttl of beyond) {
    const there = pairs.filter((pair) => pair.ttl === ttl);
    const answered = there.filter(({ control }) => isAnswered(control)).length;
    const p = mcnemar(answered, 0);
    if (p <= boundary(there.length, alpha)) return { after, before: ttl, p };
  }
  return { after, before: null, p: 0 };
}

interface Found {
  readonly after: number;
  readonly before: number | null;
  readonly p: number;
}

/** Hops that can still become the end of the interval: those beyond the last that was passed, up to the proven one. */
export function undecidedHops(
  trials: readonly Trial[],
  direction: Direction,
  to: Trial['to'],
): (ttl: number) => boolean {
  const own = trials.filter((trial) => trial.direction === direction);
  const { after, before } =
    to === 'peer'
      ? interval(
          pairsOf(own, ({ packet }) => packet.arm !== CONTROL_ARM),
          arrivesOrAnswered,
        )
      : interval(
          pairsOf(own, (trial) => trial.to === 'peer'),
          isTimeExceeded,
          ALPHA_BESIDE_REFERENCE,
        );
  return (ttl) => ttl > after && (before === null || ttl < before);
}

function arrivesOrAnswered(trial: Trial): boolean {
  return trial.received || isTimeExceeded(trial);
}

function byAnswers(trials: readonly Trial[], direction: Direction): LocationFinding | null {
  const pairs = pairsOf(
    trials.filter(({ to }) => to === 'peer'),
    ({ packet }) => packet.arm !== CONTROL_ARM,
  );
  const arm = pairs[0]?.asked.packet.arm;
  const found = interval(pairs, arrivesOrAnswered);
  if (arm === undefined || found.before === null) return null;
  // The trigger arrives: nothing is dropped.
  if (pairs.some(({ asked }) => asked.received)) return null;
  return report(trials, direction, 'answers', arm, found);
}

function byReference(trials: readonly Trial[], direction: Direction): LocationFinding | null {
  const pairs = pairsOf(trials, ({ to }) => to === 'peer');
  const found = interval(pairs, isTimeExceeded, ALPHA_BESIDE_REFERENCE);
  if (pairs.length === 0 || pairs.some(({ asked }) => asked.received)) return null;
  if (found.before === null && found.after === 0) return null;
  return report(trials, direction, 'reference', CONTROL_ARM, found);
}

// Flows whose first packet had a small TTL, and what became of the control on them -------------------------------------

interface Tuple {
  /** `trigger`, or its control: the flow's first packets. */
  readonly first: 'trigger' | 'control';
  readonly arm: string;
  /** Of the first packets; `null`: they went all the way. */
  readonly ttl: number | null;
  readonly at: number;
  /** The control came through afterwards. */
  readonly lives: boolean;
}

/**
 * When the control follows, at the earliest. What came before it is the flow's beginning, whichever packet that is, so
 * that no kind of flow has a head start.
 */
export const CONTROL_AFTER_MS: Ms = 400;

/** Flows with a beginning and a control after it; one that was merely opened, for other questions, is none. */
function tuplesOf(trials: readonly Trial[]): Tuple[] {
  return flowsOf(trials.filter(({ to }) => to === 'peer')).flatMap((flow) => {
    const [first] = flow;
    if (!first) return [];
    const { arm, ttl } = first.packet;
    const later = flow.filter(({ at }) => at - first.at >= CONTROL_AFTER_MS);
    const isControl = later.every(({ packet }) => packet.arm === CONTROL_ARM && packet.ttl === null);
    if (later.length === 0 || !isControl) return [];
    return [
      {
        first: arm === CONTROL_ARM ? ('control' as const) : ('trigger' as const),
        arm,
        ttl,
        at: first.at,
        lives: later.some(({ received }) => received),
      },
    ];
  });
}

/** Each of `left` with the one of `right` nearest in time, none twice: the pairing knows no outcome. */
function nearest(left: readonly Tuple[], right: readonly Tuple[]): (readonly [Tuple, Tuple])[] {
  const free = [...right].sort((a, b) => a.at - b.at);
  return [...left]
    .sort((a, b) => a.at - b.at)
    .flatMap((one) => {
      let best = -1;
      for (const [index, other] of free.entries()) {
        const nearer = best < 0 || Math.abs(other.at - one.at) < Math.abs((free[best]?.at ?? 0) - one.at);
        if (Math.abs(other.at - one.at) <= TOGETHER_MS && nearer) best = index;
      }
      const [other] = best < 0 ? [] : free.splice(best, 1);
      return other ? [[one, other] as const] : [];
    });
}

/** Flows that began so close to each other met the same network. */
const TOGETHER_MS = 500;

interface Sureness {
  readonly p: number;
  /** At the sequential boundary. */
  readonly proven: boolean;
}

/** How likely it is by chance that `dying` flows die beside `living` ones so often (McNemar). */
function diesBeside(dying: readonly Tuple[], living: readonly Tuple[]): Sureness {
  const pairs = nearest(dying, living);
  const p = mcnemar(
    pairs.filter(([one, other]) => !one.lives && other.lives).length,
    pairs.filter(([one, other]) => one.lives && !other.lives).length,
  );
  return { p, proven: p <= boundary(pairs.length) };
}

export interface TupleEvidence {
  readonly ttls: readonly number[];
  readonly arm: string | null;
  /** A trigger that goes all the way kills its flow, where one that begins with a control lives. */
  readonly kills: Sureness;
  /** A trigger with this TTL gets as far as what kills the flow. */
  readonly reaches: (ttl: number) => Sureness;
  /** A trigger with this TTL does not: its flow lives beside those that a whole one killed. */
  readonly spares: (ttl: number) => Sureness;
  /** Flows that began with a whole trigger, beside living ones that began with a control. */
  readonly whole: { readonly living: number; readonly dying: number };
  /** Flows that began with a trigger of small TTL and died beside a living one, or lived beside one that was killed. */
  readonly limited: readonly { readonly ttl: number; readonly lives: boolean }[];
}

export function tupleEvidence(trials: readonly Trial[]): TupleEvidence {
  const tuples = tuplesOf(trials);
  const controls = tuples.filter(({ first }) => first === 'control');
  const triggers = tuples.filter(({ first }) => first === 'trigger');
  const whole = triggers.filter(({ ttl }) => ttl === null);
  const withTtl = (wanted: number): Tuple[] => triggers.filter(({ ttl }) => ttl === wanted);
  const ttls = [...new Set(triggers.flatMap(({ ttl }) => ttl ?? []))].sort((a, b) => a - b);
  const beside = nearest(whole, controls).filter(([, control]) => control.lives);
  return {
    ttls,
    arm: triggers[0]?.arm ?? null,
    kills: diesBeside(whole, controls),
    reaches: (ttl) => diesBeside(withTtl(ttl), controls),
    spares: (ttl) => diesBeside(whole, withTtl(ttl)),
    whole: {
      living: beside.filter(([{ lives }]) => lives).length,
      dying: beside.filter(([{ lives }]) => !lives).length,
    },
    limited: ttls.flatMap((ttl) => [
      ...nearest(withTtl(ttl), controls).flatMap(([{ lives }, control]) =>
        !lives && control.lives ? [{ ttl, lives }] : [],
      ),
      ...nearest(withTtl(ttl), whole).flatMap(([{ lives }, other]) => (lives && !other.lives ? [{ ttl, lives }] : [])),
    ]),
  };
}

function byTuple(trials: readonly Trial[], direction: Direction): LocationFinding | null {
  const { ttls, arm, kills, reaches, spares } = tupleEvidence(trials);
  if (arm === null || !kills.proven) return null;
  const spared = ttls.filter((ttl) => spares(ttl).proven);
  const reached = ttls.filter((ttl) => reaches(ttl).proven);
  const after = spared.at(-1) ?? 0;
  const before = reached.find((ttl) => ttl > after) ?? null;
  // A small TTL that reaches what a greater one does not: the routes differ, and hops mean nothing.
  if (reached.some((ttl) => ttl <= after)) return null;
  if (before === null && after === 0) return null;
  const p = Math.max(kills.p, after > 0 ? spares(after).p : 0, before === null ? 0 : reaches(before).p);
  return report(trials, direction, 'tuple', arm, { after, before, p });
}

function report(
  trials: readonly Trial[],
  direction: Direction,
  method: LocationFinding['method'],
  arm: string,
  { after, before, p }: Found,
): LocationFinding {
  const distance = distanceOf(trials);
  const hop = (number: number): HopReport => ({ hop: number, address: addressAt(trials, number) });
  // The way there ends at the far end: what was not passed by then is before it.
  const end = before ?? (method === 'reference' ? null : distance);
  return {
    direction,
    method,
    arm,
    after: hop(after),
    before: end === null ? null : hop(end),
    distance,
    p,
  };
}

/** For people: between which hops, counted from whom, and what that rests on. */
export function locationWords({ direction, method, arm, after, before }: LocationFinding): string {
  const sender = direction === 'up' ? 'client' : 'server';
  const what = method === 'reference' ? 'what goes to the peer' : arm;
  const from = `counted from the ${sender}, ${what} gets past ${hopWords(after)}`;
  if (before === null) return `${from}, and how far beyond is not known`;
  const until = `and is dropped before ${hopWords(before)}`;
  return method === 'reference'
    ? `${from} ${until}, if it takes the way of packets to the reference so far`
    : `${from} ${until}`;
}

export function hopWords({ hop, address }: HopReport): string {
  if (hop === 0) return 'its own interface';
  return `hop ${String(hop)} (${address ?? 'silent'})`;
}

/** The router that answered there most often. */
export function addressAt(trials: readonly Trial[], hop: number): string | null {
  const seen = new Map<string, number>();
  for (const trial of trials) {
    if (trial.packet.ttl !== hop || !trial.icmp || !isTimeExceeded(trial)) continue;
    seen.set(trial.icmp.from, (seen.get(trial.icmp.from) ?? 0) + 1);
  }
  return [...seen].sort(([, left], [, right]) => right - left)[0]?.[0] ?? null;
}
