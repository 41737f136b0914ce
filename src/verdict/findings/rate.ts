import type { Ms } from '../../base/time.js';
import { ALPHA, fisher } from '../statistics.js';
import type { Trial } from '../trial.js';
import { type Direction, DIRECTIONS } from '../words.js';

export const RATE_EXPERIMENT = 'rate';

/** Trains are told apart by the pause between them, slow ones from fast ones by their pace. */
const PAUSE_MS: Ms = 250;
const SLOW_PER_SECOND = 25;
/** Of a fast train this much is left out: what a policer lets through at once (its burst) says nothing of its rate. */
const SETTLED_SHARE = 0.5;
/** A train that gets more than this through is not limited. */
const LIMITED_SHARE = 0.8;
/**
 * A limit lets as many through in one window as in the next. Of independent loss the variance of these numbers is near
 * their mean (Poisson), of bursts it is far beyond.
 */
const WINDOW_MS: Ms = 100;
const DISPERSION_MOST = 0.5;
/** Trains of different pace through one limit arrive at one rate: the largest at most so much above the smallest. */
const AGREEMENT = 1.3;
/** A queue that fills delays what waits in it; a policer delays nothing. */
const QUEUED_MS: Ms = 40;

/** A path that lets so much through a second, and what is more it drops. */
export interface RateFinding {
  readonly direction: Direction;
  /** What is counted: packets (a policer), or bytes of the whole packet (a link, a shaper). */
  readonly unit: 'packets' | 'bytes';
  /** Packets or bytes a second that arrived, however many more were sent. */
  readonly perSecond: number;
  /** Fast packets, slow ones of the same seconds, and how many arrived. */
  readonly fast: { readonly sent: number; readonly received: number };
  readonly slow: { readonly sent: number; readonly received: number };
  /** Fisher's exact test of the one against the other. */
  readonly p: number;
  /** How much later the last packets of a train arrived than its first: a queue. */
  readonly queuedMs: Ms;
}

/** IP and UDP, where the payload's size is what is known (IPv4, without options). */
const HEADERS_BYTES = 28;

/**
 * Whether a path drops what is sent too fast. All of this must hold, so that loss, bursty or not, is never called a
 * limit: slow packets in the same seconds fare better than chance allows (Fisher); whatever the pace of the trains, they
 * arrive at one rate; no train that is faster gets through; and they arrive more evenly than chance would have it.
 */
export function findRates(trials: readonly Trial[]): RateFinding[] {
  const own = trials.filter(({ experiment, sent, to }) => experiment === RATE_EXPERIMENT && sent && to === 'peer');
  return DIRECTIONS.flatMap((direction) => {
    const found = rateOf(own.filter((trial) => trial.direction === direction));
    return found ? [{ direction, ...found }] : [];
  });
}

export interface Train {
  readonly trials: readonly Trial[];
  /** The mean of the distances between its packets: packets a second. */
  readonly pace: number;
  readonly bytes: number;
  readonly share: number;
}

/** Packets that follow each other without a pause, of one size. */
export function trainsOf(trials: readonly Trial[]): Train[] {
  const trains: Trial[][] = [];
  for (const trial of [...trials].sort((left, right) => left.at - right.at)) {
    const train = trains.at(-1);
    const last = train?.at(-1);
    const follows = last && trial.at - last.at < PAUSE_MS && sizeOf(trial) === sizeOf(last) && trial.flow === last.flow;
    if (train && follows) train.push(trial);
    else trains.push([trial]);
  }
  return trains
    .filter(({ length }) => length > 1)
    .map((train) => {
      const span = (train.at(-1)?.at ?? 0) - (train[0]?.at ?? 0);
      return {
        trials: train,
        pace: span > 0 ? ((train.length - 1) * 1000) / span : Infinity,
        bytes: train[0] ? sizeOf(train[0]) : 0,
        share: shareOf(train),
      };
    });
}

function sizeOf({ packet }: Trial): number {
  return packet.lengthBytes ?? 0;
}

export function isSlow({ pace }: Train): boolean {
  return pace < SLOW_PER_SECOND;
}

function shareOf(trials: readonly Trial[]): number {
  return trials.length === 0 ? 0 : trials.filter(({ received }) => received).length / trials.length;
}

function rateOf(trials: readonly Trial[]): Omit<RateFinding, 'direction'> | null {
  const trains = trainsOf(trials);
  const slow = countOf(trains.filter(isSlow));
  const limited = trains.filter((train) => !isSlow(train) && shareOf(settled(train)) < LIMITED_SHARE);
  const fast = countOf(limited.map((train) => ({ ...train, trials: settled(train) })));
  if (slow.sent === 0 || limited.length === 0) return null;
  const p = fisher({ n: fast.sent, k: fast.received }, { n: slow.sent, k: slow.received });
  if (p > ALPHA) return null;

  const usual = Math.min(...limited.map(({ bytes }) => bytes));
  const small = limited.filter(({ bytes }) => bytes === usual);
  const large = limited.filter(({ bytes }) => bytes > usual);
  const rates = small.map(rateThrough);
  const perSecond = mean(rates);
  // A limit spares no train that is faster than it.
  const faster = trains.filter(({ pace, bytes }) => bytes === usual && pace >= AGREEMENT * perSecond);
  if (!agree(rates) || !isEven(small) || faster.length < 2 || !faster.every((train) => limited.includes(train)))
    return null;
  const queuedMs = mean(limited.map(queuedBy));
  const largeRate = large.length > 0 ? mean(large.map(rateThrough)) : null;
  // Several times the size: a limit on bytes lets so much fewer packets through, one on packets as many.
  const [largeBytes = 0] = large.map(({ bytes }) => bytes + HEADERS_BYTES);
  const smallBytes = usual + HEADERS_BYTES;
  const countsBytes = largeRate !== null && agree([largeRate * largeBytes, perSecond * smallBytes]);
  const countsPackets = largeRate === null || agree([largeRate, perSecond]);
  if (!countsBytes && !countsPackets) return null;
  return {
    unit: countsPackets ? 'packets' : 'bytes',
    perSecond: countsPackets ? perSecond : perSecond * smallBytes,
    fast,
    slow,
    p,
    queuedMs,
  };
}

/** The part of a fast train that came after what a limit lets through at once. */
function settled({ trials }: Train): readonly Trial[] {
  return trials.slice(Math.floor(trials.length * SETTLED_SHARE));
}

function countOf(trains: readonly Pick<Train, 'trials'>[]): { readonly sent: number; readonly received: number } {
  const trials = trains.flatMap((train) => train.trials);
  return { sent: trials.length, received: trials.filter(({ received }) => received).length };
}

/** Packets a second that arrived of those sent in the settled part. */
function rateThrough(train: Train): number {
  return shareOf(settled(train)) * train.pace;
}

/** Whether arrivals come evenly: variance over mean of how many there are in a window, of trains that agree in rate. */
function isEven(trains: readonly Train[]): boolean {
  const counts = trains.flatMap((train) => {
    const part = settled(train);
    const began = part[0]?.at ?? 0;
    const windows = Math.floor(((part.at(-1)?.at ?? 0) - began) / WINDOW_MS);
    return Array.from({ length: windows }, (_, window) => {
      const inWindow = part.filter(({ at }) => Math.floor((at - began) / WINDOW_MS) === window);
      return inWindow.filter(({ received }) => received).length;
    });
  });
  const average = mean(counts);
  const variance = mean(counts.map((count) => (count - average) ** 2));
  return average > 0 && variance <= DISPERSION_MOST * average;
}

function agree(rates: readonly number[]): boolean {
  return Math.max(...rates) <= AGREEMENT * Math.min(...rates);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** How much longer the last packets that arrived took than the first: differences of one clock each. */
function queuedBy({ trials }: Train): Ms {
  const took = trials.flatMap(({ at, receivedAt }) => (receivedAt === null ? [] : [receivedAt - at]));
  const [first = 0] = took;
  return Math.max(0, mean(took.slice(-5)) - first);
}

/** A limit on packets: somebody counts them. One on bytes is how fast the link is, and no fault of anybody. */
export function isLimited({ unit }: RateFinding): boolean {
  return unit === 'packets';
}

export function rateWords(found: readonly RateFinding[]): string {
  return found
    .map((finding) => {
      const { direction, unit, perSecond, fast, slow } = finding;
      const amount =
        unit === 'packets'
          ? `${String(Math.round(perSecond))} packets a second`
          : `${String(Math.round((perSecond * 8) / 1000))} kbit/s`;
      const queue = isQueued(finding) ? `, after a queue of ${String(Math.round(finding.queuedMs))} ms` : '';
      return (
        `${direction === 'up' ? 'client → server' : 'server → client'} ${amount} pass and no more${queue} ` +
        `(${String(fast.received)} of ${String(fast.sent)} fast packets arrived, ${String(slow.received)} of ${String(slow.sent)} slow ones)`
      );
    })
    .join('; ');
}

/** Whether what delayed the packets is a queue: a link or a shaper, and not a policer. */
export function isQueued({ queuedMs }: RateFinding): boolean {
  return queuedMs >= QUEUED_MS;
}
