import type { Trial } from '../src/verdict/trial.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/**
 * How large may a packet be? On one flow that control packets have opened, every packet of a size follows a small
 * control, both ways at once: a ladder of coarse steps first, then every eighth byte between the largest that passed
 * and the smallest that did not, then often enough next to the limit that loss cannot be the reason.
 *
 * Beyond the host's own MTU the kernel refuses, and nothing is asked.
 */
const LADDER_BYTES = [200, 400, 576, 800, 1000, 1150, 1200, 1232, 1300, 1372, 1400, 1452, 1472];
const REPEATS = 3;
const FINE_BYTES = 8;
const CONFIRMATIONS = 20;
/** Between a control and its sized packet, and between pairs. */
const PAIR_MS = 12;
const APART_MS = 4;
/** When the flow is open both ways. */
const OPENED_MS = 400;

export function* packetSize(bench: PeerBench): Experiment<null> {
  const [flow] = yield* bench.open(1);
  if (!flow) return null;
  const begin = openers(flow);
  const coarse = yield* bench.fire([...begin, ...ladder(flow, LADDER_BYTES, REPEATS, OPENED_MS)]);
  const bounds = boundsOf(coarse);
  if (!bounds) return null;

  const between: number[] = [];
  for (let bytes = bounds.low + FINE_BYTES; bytes < bounds.high; bytes += FINE_BYTES) between.push(bytes);
  const fine = yield* bench.fire(ladder(flow, between, REPEATS, 0));
  const found = boundsOf([...coarse, ...fine]) ?? bounds;
  yield* bench.fire(ladder(flow, [found.low, found.high], CONFIRMATIONS, 0));
  return null;
}

/** Each size so often, both ways, in rounds: a burst of loss meets all sizes alike. */
function ladder(flow: Flow, sizes: readonly number[], repeats: number, fromMs: number): Shot[] {
  const rounds = Array.from({ length: repeats }, () => sizes).flat();
  return rounds.flatMap((lengthBytes, index) => {
    const at = fromMs + index * PAIR_MS;
    return (['client', 'server'] as const).flatMap((from): Shot[] => [
      { flow, from, afterMs: at },
      { flow, from, afterMs: at + APART_MS, packet: { lengthBytes } },
    ]);
  });
}

/** The largest size that passed and the smallest above it that did not, in the direction that lets less through. */
function boundsOf(trials: readonly Trial[]): { readonly low: number; readonly high: number } | null {
  const bounds = (['up', 'down'] as const).flatMap((direction) => {
    const sized = trials.filter((trial) => trial.direction === direction && trial.packet.lengthBytes !== null);
    const bytesOf = (some: readonly Trial[]): number[] => some.map(({ packet }) => packet.lengthBytes ?? 0);
    const low = Math.max(0, ...bytesOf(sized.filter(({ received }) => received)));
    const high = Math.min(...bytesOf(sized.filter(({ sent, packet }) => sent && (packet.lengthBytes ?? 0) > low)));
    return low > 0 && Number.isFinite(high) ? [{ low, high }] : [];
  });
  return bounds.sort((left, right) => left.high - right.high)[0] ?? null;
}
