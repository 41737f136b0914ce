import type { TransportAddress } from '../src/base/address.js';
import type { Ms } from '../src/base/time.js';
import { canAnswerLate } from '../src/mutation/reference.js';
import type { NatModel } from '../src/verdict/words.js';
import {
  allSettled,
  type Asked,
  type Bench,
  Probe,
  type Experiment,
  type ProbeSocket,
  type Reference,
} from './probe.js';

/**
 * How long does a mapping live in silence (RFC 4787 REQ-5), so how often must a path that is kept open be used?
 *
 * RFC 5780 §4.6 asks from a second socket for an answer to the first; what then comes in may have come by a new mapping
 * of the same port. Here each socket asks once for a second answer after so many seconds, and is silent: the answer comes
 * in if mapping and permission still stand, and nothing has renewed them. Many sockets wait for different times at
 * once, so that the whole takes the longest of them that matters, not their sum.
 *
 * Each socket has exchanged a packet before, 2.5 s earlier: Linux gives flows that have talked for two seconds a longer
 * life, and such are those that anybody keeps open. Silence counts only where both sockets of a time stay silent while
 * plain questions are answered in the same second, and only when the next times agree; an answer that comes late
 * refutes all silence before it.
 */
export function mappingLifetimeProbe(reference: Reference): Probe<LifetimeFinding> {
  return new Probe((bench) => mappingLifetime(bench, reference));
}

export interface LifetimeFinding {
  readonly lifetime: NonNullable<NatModel['lifetime']> | null;
  /** Why there is none. */
  readonly missing: string | null;
}

/** Closer where keepalives are usual (15 s, RFC 8445 §11; 25 s of WebRTC; 30 s of Linux), coarser where nobody minds. */
export const SILENCES_S: readonly number[] = [
  ...[15, 20, 25, 30, 35, 40, 45, 50, 55, 60],
  ...[70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200],
  ...[220, 240, 260, 280, 300],
];
const SOCKETS_EACH = 2;
const APART_MS: Ms = 10;
const WARM_MS: Ms = 2500;
/** Between the two sockets of one time, so that a short burst does not eat both answers. */
const BETWEEN_MS: Ms = 1500;
/** After the last answer could have come. */
const GRACE_MS: Ms = 1200;
/** From the first of the two answers on: a share of them comes back even where a quarter is lost each way. */
const CONTROLS = 6;
const CONTROLS_EVERY_MS: Ms = 500;
const CONTROLS_NEEDED = 3;
/** So many silent times in a row, at least five seconds apart, end the wait. */
const SILENT_ENOUGH = 3;
/** That loss alone makes as many silent times as the upper bound leaves out. */
const CHANCE = 1e-3;
const ONCE: readonly Ms[] = [GRACE_MS];

interface Waiting {
  readonly seconds: number;
  readonly asked: readonly Asked[];
}

/** What came of one time; the plain questions that its silence leans on, and how many of them were answered. */
interface Outcome {
  readonly seconds: number;
  readonly outcome: 'heard' | 'silent' | 'unknown';
  readonly plain: number;
  readonly answered: number;
}

function* mappingLifetime(bench: Bench, { primary, arm }: Reference): Experiment<LifetimeFinding> {
  if (!canAnswerLate(arm)) return none(`the reference answers late only to STUN, and here it was reached by ${arm}`);
  const sockets = yield* bench.open(SILENCES_S.length * SOCKETS_EACH + 1);
  const [control, ...waiting] = sockets;
  if (!control || waiting.length < SILENCES_S.length) return none('too few sockets could be opened');
  yield* warm(bench, primary, arm, waiting);

  const begun = bench.now;
  const asked = yield* askLate(bench, primary, arm, waiting);
  yield allSettled(asked.flatMap((one) => one.asked));
  const promised = asked
    .map(({ seconds, asked: each }) => ({
      seconds,
      asked: each.filter(({ answer }) => answer?.afterSeconds === seconds),
    }))
    .filter(({ asked: each }) => each.length > 0);
  if (promised.length === 0) return none('the reference gives no late answers: only icepath’s own does');

  const outcomes: Outcome[] = [];
  for (const one of promised) {
    yield bench.pause(Math.max(0, begun + one.seconds * 1000 - bench.now));
    outcomes.push(yield* outcomeOf(bench, primary, arm, control, one));
    const enough = Math.max(SILENT_ENOUGH, silentByLoss(outcomes));
    const lately = outcomes.slice(-enough);
    if (lately.length === enough && lately.every(({ outcome }) => outcome === 'silent')) break;
  }
  return conclude(outcomes, promised);
}

function* warm(
  bench: Bench,
  primary: TransportAddress,
  arm: Reference['arm'],
  sockets: readonly ProbeSocket[],
): Experiment<void> {
  const until = bench.now + WARM_MS + sockets.length * APART_MS;
  const asked: Asked[] = [];
  for (const socket of sockets) {
    asked.push(bench.ask(socket, primary, arm));
    yield bench.pause(APART_MS);
  }
  yield allSettled(asked);
  yield bench.pause(Math.max(0, until - bench.now));
}

function* askLate(
  bench: Bench,
  primary: TransportAddress,
  arm: Reference['arm'],
  sockets: readonly ProbeSocket[],
): Experiment<Waiting[]> {
  const waiting = SILENCES_S.map((seconds) => ({ seconds, asked: [] as Asked[] }));
  for (const [place, socket] of sockets.entries()) {
    if (place === waiting.length) yield bench.pause(BETWEEN_MS - waiting.length * APART_MS);
    const one = waiting[place % waiting.length];
    one?.asked.push(bench.ask(socket, primary, arm, {}, undefined, { afterSeconds: one.seconds }));
    yield bench.pause(APART_MS);
  }
  return waiting;
}

/** Around the time at which the late answers are due, plain questions say whether anything would come in. */
function* outcomeOf(
  bench: Bench,
  primary: TransportAddress,
  arm: Reference['arm'],
  control: ProbeSocket,
  { seconds, asked }: Waiting,
): Experiment<Outcome> {
  const heard = (): boolean => asked.some(({ lateMs }) => lateMs !== null);
  const plain: Asked[] = [];
  for (let sent = 0; sent < CONTROLS && !heard(); sent += 1) {
    plain.push(bench.ask(control, primary, arm, {}, ONCE));
    const next = bench.pause(CONTROLS_EVERY_MS);
    yield () => heard() || next();
  }
  const over = bench.pause(GRACE_MS);
  yield () => heard() || over();
  // Those that were cut short by an answer say nothing of loss.
  if (heard()) return { seconds, outcome: 'heard', plain: 0, answered: 0 };
  const answered = plain.filter(({ answer }) => answer).length;
  const isSilent = asked.length === SOCKETS_EACH && answered >= CONTROLS_NEEDED;
  return { seconds, outcome: isSilent ? 'silent' : 'unknown', plain: plain.length, answered };
}

/** How many silent times in a row loss alone could make of times whose answers were sent: at least one is taken for real. */
function silentByLoss(outcomes: readonly Outcome[]): number {
  const [plain, answered] = (['plain', 'answered'] as const).map((key) =>
    outcomes.reduce((sum, outcome) => sum + outcome[key], 0),
  ) as [number, number];
  if (answered === plain) return 1;
  const lost = (plain - answered + 1) / (plain + 2);
  return Math.ceil(Math.log(CHANCE) / (SOCKETS_EACH * Math.log(lost)));
}

/** The longest silence that a mapping outlived, by what came whenever it came; and the first after it that ended one. */
function conclude(outcomes: readonly Outcome[], promised: readonly Waiting[]): LifetimeFinding {
  const heard = promised.filter(({ asked }) => asked.some(({ lateMs }) => lateMs !== null));
  const least = Math.max(0, ...heard.map(({ seconds }) => seconds));
  const silent = outcomes.filter(({ seconds, outcome }) => seconds > least && outcome === 'silent');
  const n = outcomes.filter(({ outcome }) => outcome !== 'unknown').length;
  // Where some was lost, the first silent time may be one whose answers were.
  const real = silent[silentByLoss(outcomes) - 1];
  const ended = real !== undefined && silent.length >= SILENT_ENOUGH;
  if (!ended && least === 0) return none('too much was lost to tell silence from the end of a mapping');
  return { lifetime: { leastMs: least * 1000, mostMs: ended ? real.seconds * 1000 : null, n }, missing: null };
}

function none(missing: string): LifetimeFinding {
  return { lifetime: null, missing: `lifetime: ${missing}` };
}
