import type { Random } from '../src/base/random.js';
import { shuffled } from '../src/base/random.js';
import type { Ms } from '../src/base/time.js';
import { ARM_NAMES, type ArmName } from '../src/mutation/names.js';

/**
 * Which packets does a path let through? Every arm once a round in random order, the random control among them, so
 * that bursty loss falls on all alike; one 5-tuple an arm, drawn anew for each block, because a box that judges flows
 * carries its judgement to whatever follows on the tuple. Each arm is compared with the control of its own rounds
 * (exact McNemar, Holm over arms: `verdict/`).
 */
export const HEADER_MUTATIONS = {
  arms: ARM_NAMES satisfies readonly ArmName[],
  roundsPerBlock: 8,
  /** 24 rounds: the 20 successes of the control that `blocked` needs, with room for loss. */
  leastBlocks: 3,
  /** With fewer arms: so many flows, an arm in a block each, as `blocked` needs (`verdict/blocked.ts`). */
  leastFlows: 14,
  /** 96 rounds: intervals half as wide. */
  leastBlocksDeep: 12,
  intervalMs: 250,
  /** While data flow, of later blocks: a round is up to 20 kB on one interface, and a modem may have 60 a second. */
  intervalBesideDataMs: 3000,
  /** Late packets still count towards their round. */
  lateMs: 800,
  /** Where the reference leg loses more than this, silence is believed only after {@link longestMs}. */
  lossThatNeedsTime: 0.02,
  longestMs: 30_000,
  /** Where loss made evidence scarce, and nothing speaks against what it begins to show. */
  mostMs: 85_000,
} as const;

/** One packet of a round, and when it leaves. */
export interface Sending<Packet> {
  readonly packet: Packet;
  /** After the beginning of the round. */
  readonly afterMs: Ms;
}

/** Every packet of a round once, in an order drawn for this round, spread evenly over it. */
export function planRound<Packet>(
  random: Random,
  packets: readonly Packet[],
  intervalMs: Ms = HEADER_MUTATIONS.intervalMs,
): readonly Sending<Packet>[] {
  return shuffled(random, packets).map((packet, index) => ({
    packet,
    afterMs: (index * intervalMs) / packets.length,
  }));
}

/**
 * Of the rounds of a block. The first is at full speed, for an early word. Later ones leave the paths to the data as long as
 * these flow, but where loss is in the way of a verdict: that is worth more than they are.
 */
export function intervalOf({
  block,
  dataLeftMs,
  needsTime,
}: {
  readonly block: number;
  /** For how long data will still flow; 0 where none do. */
  readonly dataLeftMs: Ms;
  readonly needsTime: boolean;
}): Ms {
  const { intervalMs, intervalBesideDataMs, roundsPerBlock } = HEADER_MUTATIONS;
  if (block === 0 || needsTime) return intervalMs;
  return Math.min(Math.max(intervalMs, Math.round(dataLeftMs / roundsPerBlock)), intervalBesideDataMs);
}

export interface Progress {
  readonly blocks: number;
  readonly elapsedMs: Ms;
  /** Every path has passed both ways, or what it lacks is proven. */
  readonly decided: boolean;
  /** Lost share of the control on the worst reference leg of an undecided path; null where nothing was sent. */
  readonly referenceLoss: number | null;
  /** Of an undecided path, loss is why: more rounds can still decide it. */
  readonly needsTime: boolean;
  /** The user asked for more rounds than a verdict needs. */
  readonly deep?: boolean;
}

export function leastBlocks(deep: boolean): number {
  return deep ? HEADER_MUTATIONS.leastBlocksDeep : HEADER_MUTATIONS.leastBlocks;
}

/** Whether most runs end with so many blocks: what is decided needs no more, and what is not needs many more. */
export function oftenEndsAfter(
  blocks: number,
  { deep, arms }: { readonly deep: boolean; readonly arms: number },
): boolean {
  return blocks === leastBlocks(deep) && blocks * arms >= HEADER_MUTATIONS.leastFlows;
}

/** Whether the arm matrix has seen enough after a block, or needs another. */
export function enough({ blocks, elapsedMs, decided, referenceLoss, needsTime, deep = false }: Progress): boolean {
  if (blocks < leastBlocks(deep)) return false;
  if (decided || elapsedMs >= HEADER_MUTATIONS.mostMs) return true;
  if (needsTime) return false;
  if (elapsedMs >= HEADER_MUTATIONS.longestMs) return true;
  return referenceLoss === null || referenceLoss <= HEADER_MUTATIONS.lossThatNeedsTime;
}
