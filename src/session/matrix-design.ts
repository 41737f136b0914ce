import { shuffled, type Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import { planRound } from '../../probes/header-mutations.js';

/**
 * How a block of rounds is laid out. Runs have {@link MATRIX_DESIGN}; the others are worse, and here for one purpose: the
 * campaign shows by how much (docs/campaign.md). No command line and no message of the far end reaches them.
 */
export interface MatrixDesign {
  /** `interleaved`: every arm once a round; `by-arm`: all rounds of one arm, then all of the next. */
  readonly order: 'interleaved' | 'by-arm';
  /** A 5-tuple for each arm, or one for all arms of an interface. */
  readonly sockets: 'per-arm' | 'shared';
}

export const MATRIX_DESIGN: MatrixDesign = { order: 'interleaved', sockets: 'per-arm' };

/** A packet of a block, told when it is to leave. */
export interface Planned {
  readonly arm: ArmName;
  readonly send: () => void;
}

export interface BlockPlan {
  readonly order: MatrixDesign['order'];
  readonly rounds: number;
  readonly intervalMs: Ms;
  /** The packets of a round of the block, from 0. */
  readonly sendsOf: (index: number) => readonly Planned[];
}

/** The packets of a block, soonest first; `at` is after its beginning. Both orders send as much in the same time. */
export function planBlock(
  random: Random,
  { order, rounds, intervalMs, sendsOf }: BlockPlan,
): { readonly at: Ms; readonly send: () => void }[] {
  const byRound = Array.from({ length: rounds }, (_, index) => sendsOf(index));
  if (order === 'interleaved') {
    return byRound.flatMap((sends, index) =>
      planRound(random, sends, intervalMs).map(({ packet, afterMs }) => ({
        at: index * intervalMs + afterMs,
        send: packet.send,
      })),
    );
  }
  // Each arm has its share of the block, and in it as many rounds as ever.
  const arms = [...new Set(byRound.flat().map(({ arm }) => arm))];
  const stepMs = intervalMs / arms.length;
  return arms.flatMap((own, place) =>
    byRound.flatMap((sends, index) => {
      const there = shuffled(
        random,
        sends.filter(({ arm }) => arm === own),
      );
      const begin = (place * rounds + index) * stepMs;
      return there.map(({ send }, nth) => ({ at: begin + (nth * stepMs) / there.length, send }));
    }),
  );
}
