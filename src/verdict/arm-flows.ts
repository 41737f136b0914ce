import { CONTROL_ARM, PLAIN_ARM } from '../mutation/names.js';
import { pairedRounds, roundsOf } from './direction.js';
import type { DirectionObservation, RoundObservation } from './observation.js';
import { ALPHA, binomialTail, boundary, ROUNDS_PER_LOOK } from './statistics.js';

/** So many arrivals of the control in a block, before the silence of another flow in it counts as the flow's death. */
const CONTROL_MIN = 4;
/** The share of dead flows is not known: the bound is the worst of so many slices of [0, 1]; an even number, see below. */
const SHARES = 1000;

/**
 * The fates of the flows of one direction. A flow is one arm in one block of rounds, with a 5-tuple of its own: where one
 * of several parallel ways is dead, or a NAT's mapping was moved, all its packets die, whatever they are made of, so the
 * eight rounds of a block are one observation and not eight.
 */
export interface ArmFlows {
  /** Blocks in which the control was sent, and in which it arrived often enough. */
  readonly blocks: number;
  readonly alive: number;
  /** Flows of the accused arm in those blocks: got nothing through; got something through. */
  readonly dead: number;
  readonly lived: number;
  /** Of every other arm, its flows whose fate is known; how many are dead. */
  readonly others: readonly { readonly flows: number; readonly dead: number }[];
}

export function armFlows(
  observed: Pick<DirectionObservation, 'arms'>,
  accused: string = PLAIN_ARM,
  control: readonly RoundObservation[] = roundsOf(observed, CONTROL_ARM),
): ArmFlows {
  const blocks = byBlock(control.filter(({ sent }) => sent).map((round) => [round, round]));
  const fates = (arm: string): Fate[] =>
    [...byBlock(pairedRounds(control, roundsOf(observed, arm))).values()].flatMap((pairs) => fateOf(pairs) ?? []);
  const own = fates(accused);
  return {
    blocks: blocks.size,
    alive: [...blocks.values()].filter((pairs) => fateOf(pairs) === 'alive').length,
    dead: own.filter((fate) => fate === 'dead').length,
    lived: own.filter((fate) => fate !== 'dead').length,
    others: observed.arms
      .filter(({ arm }) => arm !== accused && arm !== CONTROL_ARM)
      .map(({ arm }) => fates(arm).filter((fate) => fate !== 'partly'))
      .map((known) => ({ flows: known.length, dead: known.filter((fate) => fate === 'dead').length })),
  };
}

type Fate = 'alive' | 'dead' | 'partly';
type Pair = readonly [control: RoundObservation, arm: RoundObservation];

function byBlock(pairs: readonly Pair[]): Map<number, Pair[]> {
  const blocks = new Map<number, Pair[]>();
  for (const pair of pairs) {
    const block = Math.floor(pair[0].round / ROUNDS_PER_LOOK);
    const own = blocks.get(block);
    if (own) own.push(pair);
    else blocks.set(block, [pair]);
  }
  return blocks;
}

/** `null` where the control itself arrived too rarely to tell. */
function fateOf(pairs: readonly Pair[]): Fate | null {
  const control = pairs.filter(([{ received }]) => received).length;
  if (control < CONTROL_MIN) return null;
  const arrived = pairs.filter(([, { received }]) => received).length;
  return arrived === 0 ? 'dead' : 2 * arrived >= control ? 'alive' : 'partly';
}

/** Flows of other arms whose fate is not that of most flows of their arm: a filter on kinds of packets has none, loss few. */
function deviantsOf({ others }: ArmFlows): number {
  return others.reduce((sum, { flows, dead }) => sum + Math.min(dead, flows - dead), 0);
}

/**
 * How likely flows die like this, where each dies with the same chance q whatever it is made of: every flow of the accused
 * arm is dead, the control lives in so many blocks, and in the other arms so few flows fare otherwise than most of their
 * arm do. Largest over q, so no share of dead ways makes it likelier:
 *
 *     max over q of  q^dead · P(X ≥ alive) · P(deviants ≤ seen),   X ~ Bin(blocks, 1 − q)
 *
 * Where no flow deviates the last factor is Π (q^n + (1 − q)^n). 1 where a flow of the arm let anything through.
 */
export function deadAlikeByChance(flows: ArmFlows): number {
  const { blocks, alive, dead, lived, others } = flows;
  if (lived > 0 || dead === 0) return 1;
  const most = deviantsOf(flows);
  // Fewer flows deviate the farther q is from ½: in a slice that ½ does not cut, the edges are likeliest.
  const rest = Array.from({ length: SHARES + 1 }, (_, step) => fewDeviants(others, most, step / SHARES));
  return rest.slice(1).reduce((worst, atHigh, step) => {
    const [low, high] = [step / SHARES, (step + 1) / SHARES];
    const few = Math.max(rest[step] ?? 1, atHigh);
    return Math.max(worst, high ** dead * binomialTail(alive, blocks, 1 - low) * few);
  }, 0);
}

/** P(no more than `most` flows fare otherwise than most of their arm), at a share q of dead flows. */
function fewDeviants(others: ArmFlows['others'], most: number, q: number): number {
  // Chances of 0, 1, … deviants in the arms so far.
  let chances = [1];
  for (const { flows } of others) {
    const next = new Array<number>(most + 1).fill(0);
    for (let dead = 0; dead <= flows; dead += 1) {
      const own = choose(flows, dead) * q ** dead * (1 - q) ** (flows - dead);
      const deviants = Math.min(dead, flows - dead);
      chances.forEach((chance, before) => {
        if (before + deviants <= most) next[before + deviants] = (next[before + deviants] ?? 0) + chance * own;
      });
    }
    chances = next;
  }
  return chances.reduce((sum, chance) => sum + chance, 0);
}

function choose(n: number, k: number): number {
  let ways = 1;
  for (let next = 1; next <= k; next += 1) ways = (ways * (n - k + next)) / next;
  return ways;
}

/** What the flows of plain STUN in one direction, or to the reference, tell of a filter. */
export interface FlowTest {
  readonly p: number;
  readonly limit: number;
  /** Dead flows of plain STUN. */
  readonly dead: number;
  /** So many flows do not die alike by chance: the kind of packet is why. */
  readonly proves: boolean;
  /** Not so yet, and nothing that they did speaks against it: more blocks can prove it. */
  readonly needsTime: boolean;
}

/**
 * The limit is α at every look where no flow deviates: there "all of the arm's flows are dead, none deviates" of a later
 * look contains that of an earlier one, so all looks together are no likelier than the first that may decide. Where some
 * deviate it is the sequential boundary.
 */
export function flowTest(
  observed: Pick<DirectionObservation, 'arms'>,
  control?: readonly RoundObservation[],
): FlowTest {
  const known = tests.get(observed);
  if (known) return known;
  const flows = armFlows(observed, PLAIN_ARM, control);
  const p = deadAlikeByChance(flows);
  const limit = deviantsOf(flows) === 0 ? ALPHA : boundary(flows.blocks * ROUNDS_PER_LOOK);
  const test = { p, limit, dead: flows.dead, proves: p <= limit, needsTime: p > limit && flows.lived === 0 };
  tests.set(observed, test);
  return test;
}

/** A judgement asks for the same several times. Observations never change: a later look has one of its own. */
const tests = new WeakMap<object, FlowTest>();
