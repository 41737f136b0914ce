import { shuffled } from '../src/base/random.js';
import type { Ms } from '../src/base/time.js';
import { CONTROL_ARM, PLAIN_ARM } from '../src/mutation/names.js';
import {
  CONTROL_AFTER_MS,
  distanceOf,
  findLocations,
  isTimeExceeded,
  type LocationFinding,
  tupleEvidence,
  undecidedHops,
} from '../src/verdict/findings/location.js';
import type { Trial } from '../src/verdict/trial.js';
import type { PathReport } from '../src/verdict/report.js';
import { DIRECTIONS, type Role } from '../src/verdict/words.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import { type Experiment, together } from './probe.js';

/**
 * Where on the way is it dropped? Asked from the sender's side, in hops.
 *
 * A filter that remembers (it judges a flow, or blocks the tuple for a while) is found by tuples: the trigger leaves
 * first, with a TTL that dies at hop n, and then the control with its whole TTL. Where the control dies as well the
 * trigger got as far as the filter. Beside each such flow runs one that begins with a whole trigger and one that begins
 * with a control, in the same tenth of a second, so that loss falls on all alike.
 *
 * One that does not is found by answers: the trigger and the control with the same TTL, one after the other in drawn
 * order on one 5-tuple, and which routers say "time exceeded" to which.
 *
 * Where not even the control passes, packets to the reference are the control of those to the peer.
 */
export const FILTER_LOCATION = {
  /** A greater distance than the Internet's; nearly all ways are shorter than 24 hops. */
  mostHops: 24,
  /** Routers send few ICMP errors: Linux six at once to one address, then one a second (`icmp_ratelimit`). */
  everyMs: 700,
  mostRounds: 40,
  /** Flows that begin together; three or four kinds of each. */
  unitsAtOnce: 6,
  mostUnits: 72,
} as const;

/** What of a path is dropped, as far as it is known by now: plain STUN where the control passes, or all that goes to the peer. */
export function* locate(bench: PeerBench, path: PathReport): Experiment<readonly (LocationFinding | null)[]> {
  const stun = path.arms.find(({ arm }) => arm === PLAIN_ARM);
  const control = path.arms.find(({ arm }) => arm === CONTROL_ARM);
  const asked: Experiment<LocationFinding | null>[] = [];
  for (const direction of DIRECTIONS) {
    const from = direction === 'up' ? 'client' : 'server';
    const [dead, alive] = [stun?.[direction].received ?? 0, control?.[direction].received ?? 0];
    if (path.cause === 'stun-filtered' && dead * 2 < alive) asked.push(locateFilter(bench, from));
    else if (path[direction].state === 'closed') asked.push(locatePeerBlock(bench, from));
  }
  const [first, second] = asked;
  if (first && second) return yield* together(first, second);
  return first ? [yield* first] : [];
}

/** Whether something is dropped on the path of which it can be asked where. */
export function isSomewhere({ state, cause, up, down }: PathReport): boolean {
  if (cause === 'stun-filtered') return true;
  return (state === 'blocked' || state === 'one-way') && (up.state === 'closed' || down.state === 'closed');
}

/** The control passes from `from`, the trigger does not. */
export function* locateFilter(
  bench: PeerBench,
  from: Role,
  trigger: string = PLAIN_ARM,
): Experiment<LocationFinding | null> {
  const trials: Trial[] = [];
  const way: Way = { bench, from, trigger, trials };
  const flow = yield* openedFlow(way);
  if (!flow) return null;
  const distance = yield* measuredDistance(way, flow);
  if (distance === null) return null;
  if (yield* remembers(way)) yield* compareTuples(way, distance);
  else
    yield* compareAnswers(way, flow, distance, ({ ttl, afterMs }) => [
      { flow, from, afterMs, packet: { arm: trigger, ttl } },
      { flow, from, afterMs, packet: { ttl } },
    ]);
  bench.close(flow);
  return findingOf(way);
}

/** Nothing passes from `from` to the peer; the reference answers. */
export function* locatePeerBlock(bench: PeerBench, from: Role): Experiment<LocationFinding | null> {
  const trials: Trial[] = [];
  const way: Way = { bench, from, trigger: CONTROL_ARM, trials };
  const [flow] = yield* bench.open(1);
  if (!flow) return null;
  const last = yield* lastHop(way, flow);
  yield* compareAnswers(way, flow, last, ({ ttl, afterMs }) => [
    { flow, from, afterMs, packet: { ttl } },
    { flow, from, afterMs, to: 'reference', packet: { ttl } },
  ]);
  bench.close(flow);
  return findingOf(way);
}

interface Way {
  readonly bench: PeerBench;
  readonly from: Role;
  readonly trigger: string;
  /** Everything that was tried so far. */
  readonly trials: Trial[];
}

function* fire({ bench, trials }: Way, shots: readonly Shot[], waitMs?: Ms): Experiment<readonly Trial[]> {
  const fired = yield* bench.fire(shots, waitMs);
  trials.push(...fired);
  return fired;
}

function findingOf({ trials, from }: Way): LocationFinding | null {
  return findLocations(trials).find(({ direction }) => direction === directionFrom(from)) ?? null;
}

function directionFrom(from: Role): 'up' | 'down' {
  return from === 'client' ? 'up' : 'down';
}

/** Bursts of loss last for seconds. */
const OPENINGS = 12;

/** Open in both directions, as packets that came through show; else another is. */
function* openedFlow(way: Way): Experiment<Flow | null> {
  for (let tries = 0; tries < OPENINGS; tries += 1) {
    const [flow] = yield* way.bench.open(1);
    if (!flow) return null;
    const opened = yield* fire(way, openers(flow, 6, 60));
    if (opened.some(({ direction, received }) => direction === directionFrom(way.from) && received)) return flow;
    way.bench.close(flow);
  }
  return null;
}

/** The control with every TTL, until one arrives: the least is the distance, or a little more where loss took that one. */
function* measuredDistance(way: Way, flow: Flow): Experiment<number | null> {
  const { bench, from } = way;
  for (let tries = 0; tries < 5; tries += 1) {
    const ttls = Array.from({ length: FILTER_LOCATION.mostHops }, (_, index) => index + 1);
    yield* fire(
      way,
      shuffled(bench.random, ttls).map((ttl, index) => ({ flow, from, afterMs: index * 15, packet: { ttl } })),
    );
    const distance = distanceOf(way.trials);
    if (distance !== null && tries > 0) return distance;
  }
  return distanceOf(way.trials);
}

/** The last hop that answers packets to the reference, and a few beyond: the way to the peer may be longer. */
function* lastHop(way: Way, flow: Flow): Experiment<number> {
  const { bench, from } = way;
  const ttls = Array.from({ length: FILTER_LOCATION.mostHops }, (_, index) => index + 1);
  let last = 0;
  for (let tries = 0; tries < 2; tries += 1) {
    const shots = ttls.flatMap((ttl): Shot[] => [
      { flow, from, afterMs: 0, packet: { ttl } },
      { flow, from, afterMs: 0, to: 'reference', packet: { ttl } },
    ]);
    const fired = yield* fire(
      way,
      shuffled(bench.random, shots).map((shot, index) => ({ ...shot, afterMs: index * 15 })),
    );
    last = fired.filter(isTimeExceeded).reduce((most, { packet }) => Math.max(most, packet.ttl ?? 0), last);
  }
  return Math.max(2, last);
}

// Stateless: which hops answer what --------------------------------------------------------------------------------

/** Rounds of pairs at every hop that can still be an end of the interval, until both ends are proven. */
function* compareAnswers(
  way: Way,
  flow: Flow,
  distance: number,
  pair: (at: { readonly ttl: number; readonly afterMs: Ms }) => readonly Shot[],
): Experiment<void> {
  const { bench, from, trials } = way;
  const to = way.trigger === CONTROL_ARM ? 'reference' : 'peer';
  for (let round = 0; round < FILTER_LOCATION.mostRounds; round += 1) {
    const isOpen = undecidedHops(trials, directionFrom(from), to);
    const ttls = Array.from({ length: distance }, (_, index) => index + 1).filter(isOpen);
    if (ttls.length === 0 || isNarrowest(findingOf(way))) return;
    const shots = shuffled(bench.random, ttls).flatMap((ttl, index) => {
      const afterMs = (index * FILTER_LOCATION.everyMs) / 2 / ttls.length;
      const [first, second] = shuffled(bench.random, pair({ ttl, afterMs }));
      return first && second ? [first, { ...second, afterMs: afterMs + 60 }] : [];
    });
    yield* fire(way, shots, FILTER_LOCATION.everyMs / 2);
    if (round % 8 === 7) yield* reopen(way, flow);
  }
}

function isNarrowest(finding: LocationFinding | null): boolean {
  return finding?.before?.hop === (finding?.after.hop ?? NaN) + 1;
}

/** NATs forget: both ends send a little, so that the way stays open. */
function* reopen(way: Way, flow: Flow): Experiment<void> {
  if (way.trigger !== CONTROL_ARM) yield* fire(way, openers(flow, 1), 50);
}

// Stateful: what a trigger does to its tuple -----------------------------------------------------------------------

/** How a flow of a unit begins: with the trigger or a control, and with which TTL. */
interface Beginning {
  readonly arm: string;
  readonly ttl: number | null;
}

const WHOLE_CONTROL: Beginning = { arm: CONTROL_ARM, ttl: null };
/** First packets are repeated, since one may be lost; what judges a flow by its first packet sees the first that came. */
const FIRST_AT_MS: readonly Ms[] = [0, 50, 100];
/** Then the far end opens its NAT, and the control follows. */
const FAR_OPENS_AT_MS: readonly Ms[] = [300, 360, 420];
const CONTROLS_AT_MS: readonly Ms[] = [40, 100, 160, 220].map((after) => CONTROL_AFTER_MS + after);
const BETWEEN_UNITS_MS: Ms = 40;

function* fireUnits(way: Way, units: readonly (readonly Beginning[])[]): Experiment<void> {
  const { bench, from } = way;
  const flows = yield* bench.open(units.reduce((sum, unit) => sum + unit.length, 0));
  const far = from === 'client' ? 'server' : 'client';
  let next = 0;
  const shots = units.flatMap((unit, number) =>
    shuffled(bench.random, unit).flatMap((packet, place): Shot[] => {
      const flow = flows[next];
      next += 1;
      if (!flow) return [];
      const begin = number * BETWEEN_UNITS_MS + place * 3;
      return [
        ...FIRST_AT_MS.map((at) => ({ flow, from, afterMs: begin + at, packet })),
        ...FAR_OPENS_AT_MS.map((at) => ({ flow, from: far, afterMs: begin + at }) as const),
        ...CONTROLS_AT_MS.map((at) => ({ flow, from, afterMs: begin + at })),
      ];
    }),
  );
  yield* fire(way, shots);
  for (const flow of flows) bench.close(flow);
}

/**
 * Whether a whole trigger takes its flow along: a look that only chooses the method, over at least two tries, since a
 * burst that ate the triggers of one looks like a filter that forgets.
 */
function* remembers(way: Way): Experiment<boolean> {
  const whole: Beginning = { arm: way.trigger, ttl: null };
  for (let tries = 0; tries < OPENINGS; tries += 1) {
    yield* fireUnits(
      way,
      [1, 2, 3, 4].map(() => [whole, WHOLE_CONTROL]),
    );
    const { living, dying } = evidenceOf(way).whole;
    if (Math.abs(living - dying) >= 6) return dying > living;
  }
  return false;
}

function evidenceOf({ trials, from }: Way): ReturnType<typeof tupleEvidence> {
  return tupleEvidence(trials.filter(({ direction }) => direction === directionFrom(from)));
}

/** Halves the way until one place fits best, then proves both of its ends; it moves where the evidence goes. */
function* compareTuples(way: Way, distance: number): Experiment<void> {
  const { trigger } = way;
  const { unitsAtOnce, mostUnits } = FILTER_LOCATION;
  const whole: Beginning = { arm: trigger, ttl: null };
  for (let units = 0; units < mostUnits;) {
    const { first, last } = likeliest(way, distance);
    const ttls = first < last ? [Math.ceil((first + last) / 2)] : [first, first + 1].filter((ttl) => ttl > 0);
    const count = first < last ? 3 : unitsAtOnce;
    const unit = [whole, WHOLE_CONTROL, ...ttls.map((ttl) => ({ arm: trigger, ttl }))];
    yield* fireUnits(
      way,
      Array.from({ length: count }, () => unit),
    );
    units += count;
    const { kills, spares, reaches } = evidenceOf(way);
    const place = likeliest(way, distance);
    if (place.first < place.last || !kills.proven) continue;
    const [after, before] = [place.first, place.first + 1];
    if ((after === 0 || spares(after).proven) && (before === distance || reaches(before).proven)) return;
  }
}

/** The places (behind which hop) that fit most flows: triggers with smaller TTLs spare theirs, greater ones kill. */
function likeliest(way: Way, distance: number): { readonly first: number; readonly last: number } {
  const { limited } = evidenceOf(way);
  const fits = Array.from(
    { length: distance },
    (_, hop) => limited.filter(({ ttl, lives }) => lives === ttl <= hop).length,
  );
  const most = Math.max(...fits);
  return { first: fits.indexOf(most), last: fits.lastIndexOf(most) };
}
