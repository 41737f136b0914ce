import { fraction, shuffled } from '../src/base/random.js';
import type { Ms } from '../src/base/time.js';
import type { PacketSpec } from '../src/mutation/trial-packet.js';
import type { Trial } from '../src/verdict/trial.js';
import type { Direction, Role } from '../src/verdict/words.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/** Openers cross in flight until then. */
const OPENED_MS: Ms = 240;
/** Between the control and the packet beside it. */
const GAP_MS: Ms = 30;
/**
 * From one flow's beginning to the next: more than the gap, so that the edge of a burst falls between control and
 * packet of one flow and not of all.
 */
const SPACING_MS: Ms = 40;

export function senderOf(direction: Direction): Role {
  return direction === 'up' ? 'client' : 'server';
}

/** When the packet of {@link behindControls} leaves, and when the controls that {@link thenControls} sends after it. */
export const TRIED_MS: Ms = OPENED_MS + GAP_MS;

/** A packet behind controls that opened its flow, the last of them right before it. */
export function behindControls(flow: Flow, direction: Direction, packet: Partial<PacketSpec>): Shot[] {
  const from = senderOf(direction);
  return [...openers(flow, 2), { flow, from, afterMs: OPENED_MS }, { flow, from, afterMs: TRIED_MS, packet }];
}

/**
 * Gives each kind of flow a fresh 5-tuple and fires all of them, one flow after the other in random order: nothing that
 * lasts falls on one kind alone. The flows are closed unless `keep` takes them.
 */
export function* inTurn(
  bench: PeerBench,
  kinds: readonly ((flow: Flow) => readonly Shot[])[],
  keep?: (flows: readonly Flow[]) => void,
): Experiment<readonly Trial[]> {
  const flows = yield* bench.open(kinds.length);
  const shots = shuffled(bench.random, kinds).flatMap((shotsOf, index) => {
    const flow = flows[index];
    return flow ? later((index + fraction(bench.random)) * SPACING_MS, shotsOf(flow)) : [];
  });
  const trials = yield* bench.fire(shots);
  if (keep) keep(flows);
  else closeAll(bench, flows);
  return trials;
}

export function later(byMs: Ms, shots: readonly Shot[]): Shot[] {
  return shots.map((shot) => ({ ...shot, afterMs: shot.afterMs + byMs }));
}

export function closeAll(bench: PeerBench, flows: readonly Flow[]): void {
  for (const flow of flows) bench.close(flow);
}
