import { HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { CONTROL_ARM } from '../mutation/names.js';
import { alteredStun } from '../verdict/altered.js';
import { armsWith } from '../mutation/registry.js';
import type { PathReport, Report } from '../verdict/report.js';
import type {
  DirectionObservation,
  EndObservation,
  PathObservation,
  RoundObservation,
  RunObservation,
} from '../verdict/observation.js';

/** Fewer rounds than this say nothing yet. */
const LEAST_ROUNDS = 6;
/** An arm that gets less than this share of the control through is taken for dead, while the run goes on. */
const DEAD = 0.2;
const ALIVE = 0.5;
/** Before an arm that changes more is taken, the less changed are seen dead on two flows (a block each) … */
const TWO_FLOWS = 2 * HEADER_MUTATIONS.roundsPerBlock;
/** … or neither dead nor alive for so long. */
const PATIENT_ROUNDS = 3 * HEADER_MUTATIONS.roundsPerBlock;

/**
 * Paths that did not come up although the control and a STUN arm pass: the arm to go on with, the least changed first,
 * or the same one again, where loss ate its checks. A guess for the agent, not a verdict: `verdict/` has the test.
 */
export function betterArms({ paths, arms, ownArms }: RunObservation): Map<string, string> {
  const better = new Map<string, string>();
  const registry = armsWith(ownArms);
  const candidates = registry.stunArms.map(({ name }) => name).filter((name) => arms.includes(name));
  const first = firstStunArm({ arms, ownArms });
  if (first === undefined) return better;
  for (const path of paths) {
    const directions = [path.up, path.down];
    // Somebody writes into what the agent sends: at one end it may have come up nonetheless.
    const rewritten = alteredStun(path).some(({ what, arm }) => what !== 'arm' || arm === first);
    if (path.valid && !(rewritten && path.valid.arm === first)) continue;
    if (directions.some((direction) => receivedOf(direction, CONTROL_ARM) < LEAST_ROUNDS * ALIVE)) continue;
    const share = (direction: DirectionObservation, arm: string): number =>
      receivedOf(direction, arm) / receivedOf(direction, CONTROL_ARM);
    const passes = (arm: string): boolean =>
      !(rewritten && arm === first) && directions.every((direction) => share(direction, arm) >= ALIVE);
    const dies = (arm: string): boolean =>
      (rewritten && arm === first) || directions.some((direction) => share(direction, arm) <= DEAD);
    const isOut = (arm: string): boolean => {
      const rounds = Math.min(...directions.map((direction) => roundsOf(direction, arm).length));
      return dies(arm) ? arm === first || rounds >= TWO_FLOWS : !passes(arm) && rounds >= PATIENT_ROUNDS;
    };
    const arm = passes(first) || !dies(first) ? first : candidates.find((one) => !isOut(one));
    if (arm !== undefined && passes(arm)) better.set(path.id, arm);
  }
  return better;
}

/** The arm that ICE begins with. */
export function firstStunArm({ arms, ownArms }: Pick<RunObservation, 'arms' | 'ownArms'>): string | undefined {
  const registry = armsWith(ownArms);
  return arms.find((name) => registry.find(name)?.stun);
}

/**
 * Whether every wanted path has passed, its cause known where it took another arm than the first; how much the
 * reference legs of the others lose; and whether loss alone is in the way of one of them.
 */
export function undecided(
  { paths, ends, arms, ownArms }: RunObservation,
  report: Report,
): {
  readonly decided: boolean;
  readonly referenceLoss: number | null;
  readonly needsTime: boolean;
} {
  const explained = new Set(report.paths.flatMap(({ id, cause }) => (cause === null ? [] : [id])));
  const first = firstStunArm({ arms, ownArms });
  const open = paths.filter(
    ({ id, wanted, valid }) => wanted && (valid === null || (valid.arm !== first && !explained.has(id))),
  );
  const lossOf = (path: PathObservation): number[] =>
    [path.client.interface, path.server.interface].flatMap((name) => lossAt(ends, path, name));
  const losses = open.flatMap(lossOf);
  const scarce = new Set(report.paths.filter(lacksOnlyTime).map(({ id }) => id));
  const unsure = new Set(report.paths.filter(isHeardTooSeldom).map(({ id }) => id));
  const fewFlows = new Set(report.paths.filter(needsFlows).map(({ id }) => id));
  const isLossy = (path: PathObservation): boolean =>
    Math.max(0, ...lossOf(path), controlLoss(path.up), controlLoss(path.down)) > HEADER_MUTATIONS.lossThatNeedsTime;
  return {
    decided: open.length === 0,
    referenceLoss: losses.length > 0 ? Math.max(...losses) : null,
    needsTime: open.some(
      (path) =>
        fewFlows.has(path.id) || (path.valid === null && !unsure.has(path.id) ? scarce.has(path.id) : isLossy(path)),
    ),
  };
}

/** Of the conditions of a block, those that are not met yet are those that loss holds up. */
function lacksOnlyTime({ state, conditions }: PathReport): boolean {
  const missing = conditions.filter(({ met }) => !met);
  return state === 'inconclusive' && missing.length > 0 && missing.every(({ needsTime }) => needsTime === true);
}

/** It came up, so no block is in question: plain STUN dies, on too few flows to call that a filter. */
function needsFlows({ state, conditions }: PathReport): boolean {
  return state === 'established' && conditions.some(({ met, needsTime }) => !met && needsTime === true);
}

/**
 * Something arrived both ways, so that nothing is blocked, but so little that nobody can say which packets pass; or it is
 * known that STUN is filtered, and loss ate the checks in the arm that passes.
 */
function isHeardTooSeldom({ state, cause, conditions, up, down }: PathReport): boolean {
  const isOpen = up.received > 0 && down.received > 0;
  return state === 'inconclusive' && isOpen && conditions.length === 0 && (cause === null || cause === 'stun-filtered');
}

function lossAt(ends: readonly EndObservation[], path: PathObservation, name: string): number[] {
  return ends
    .filter((end) => end.interface === name && end.family === path.family)
    .flatMap(({ reference }) => {
      const sent = reference.control.filter(({ sent }) => sent);
      const lost = sent.filter(({ received }) => !received).length;
      // A leg that lets nothing through at all is not lossy; waiting will not mend it.
      return sent.length > 0 && lost < sent.length ? [lost / sent.length] : [];
    });
}

function controlLoss(direction: DirectionObservation): number {
  const rounds = direction.arms.find(({ arm }) => arm === CONTROL_ARM)?.rounds ?? [];
  return rounds.length === 0 ? 0 : 1 - receivedOf(direction, CONTROL_ARM) / rounds.length;
}

function roundsOf(direction: DirectionObservation, arm: string): readonly RoundObservation[] {
  return direction.arms.find((tally) => tally.arm === arm)?.rounds ?? [];
}

export function receivedOf(direction: DirectionObservation, arm: string): number {
  return roundsOf(direction, arm).filter((round) => round.received && round.altered === undefined).length;
}
