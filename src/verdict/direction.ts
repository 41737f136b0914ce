import { CONTROL_ARM } from '../mutation/names.js';
import type { DirectionObservation, RoundObservation } from './observation.js';
import { binomialTail, boundary, holm, mcnemar } from './statistics.js';
import type { Direction, Role } from './words.js';

/** A packet that arrives this rarely beside the control is filtered (verdicts.md, "Arm against control"). */
export const FILTERED_SHARE = 0.2;
/** How sure one must be that something passes oftener than that. Nobody is accused by it, so it need not be α. */
const PASSES_P = 1e-3;

export interface Count {
  readonly sent: number;
  readonly received: number;
}

export interface ArmEvidence extends Count {
  readonly arm: string;
  /** Arrived, but with other bytes than they were sent with. */
  readonly altered: number;
  /** The exact paired test against the control in the same rounds, uncorrected; `null` where the control does not pass. */
  readonly p: number | null;
  readonly outcome: 'passes' | 'fails' | 'undecided';
}

/** What one direction of a path let through. */
export interface DirectionEvidence {
  readonly direction: Direction;
  readonly from: Role;
  readonly to: Role;
  readonly observed: DirectionObservation;
  /** The control arm, only rounds in which the kernel took it. */
  readonly controlRounds: readonly RoundObservation[];
  readonly control: Count;
  /** The control arrives at a decided rate. */
  readonly controlPasses: boolean;
  readonly arms: readonly ArmEvidence[];
  /** Packets of every kind. */
  readonly packets: Count;
  /** Sends that the kernel refused. */
  readonly refused: number;
}

export function directionEvidence(direction: Direction, observed: DirectionObservation): DirectionEvidence {
  const controlRounds = roundsOf(observed, CONTROL_ARM).filter(({ sent }) => sent);
  const control = count(controlRounds);
  const controlPasses = passesOften(control);
  const counts = observed.arms.map(({ rounds }) => count(rounds));
  return {
    direction,
    from: direction === 'up' ? 'client' : 'server',
    to: direction === 'up' ? 'server' : 'client',
    observed,
    controlRounds,
    control,
    controlPasses,
    arms: compareArms(observed, controlRounds, controlPasses),
    packets: {
      sent: counts.reduce((sum, { sent }) => sum + sent, observed.checksSent),
      received: counts.reduce(
        (sum, { received }) => sum + received,
        observed.checksReceived + (observed.checksAltered ?? 0),
      ),
    },
    refused: Object.values(observed.sendErrors).reduce((sum, errors) => sum + errors, 0),
  };
}

export function armOf(evidence: DirectionEvidence, arm: string): ArmEvidence | undefined {
  return evidence.arms.find((candidate) => candidate.arm === arm);
}

/** Rounds in which the kernel took the packet, and those of them in which it arrived. */
export function count(rounds: readonly RoundObservation[]): Count {
  const sent = rounds.filter((round) => round.sent);
  return { sent: sent.length, received: sent.filter(({ received }) => received).length };
}

/** Whether so many arrivals rule out a rate of one in five or less. */
export function passesOften({ sent, received }: Count): boolean {
  return sent > 0 && binomialTail(received, sent, FILTERED_SHARE) <= PASSES_P;
}

/** Two lists of rounds joined by round number, where the kernel took both packets. */
export function pairedRounds(
  left: readonly RoundObservation[],
  right: readonly RoundObservation[],
): (readonly [RoundObservation, RoundObservation])[] {
  const byRound = new Map<number, RoundObservation>();
  for (const round of right) if (round.sent) byRound.set(round.round, round);
  return left.flatMap((round) => {
    const other = byRound.get(round.round);
    return round.sent && other ? [[round, other] as const] : [];
  });
}

interface Comparison extends Count {
  readonly arm: string;
  readonly altered: number;
  readonly rounds: number;
  /** Arrivals of the control in those rounds. */
  readonly control: number;
  /** Rounds in which the control arrived and the arm as well. */
  readonly both: number;
  readonly p: number;
}

/** Every arm against the control of the same rounds: exact McNemar, Holm over the arms, at most 20 % of the control. */
export function compareArms(
  { arms }: Pick<DirectionObservation, 'arms'>,
  controlRounds: readonly RoundObservation[],
  controlPasses: boolean,
): ArmEvidence[] {
  const comparisons = arms
    .filter(({ arm }) => arm !== CONTROL_ARM)
    .map(({ arm, rounds }): Comparison => {
      const pairs = pairedRounds(controlRounds, rounds);
      const arrivals = (test: (control: boolean, arm: boolean) => boolean): number =>
        pairs.filter(([left, right]) => test(left.received, right.received)).length;
      return {
        arm,
        ...count(rounds),
        altered: rounds.filter(({ altered }) => altered !== undefined).length,
        rounds: pairs.length,
        control: arrivals((control) => control),
        both: arrivals((control, own) => control && own),
        p: mcnemar(
          arrivals((control, own) => control && !own),
          arrivals((control, own) => !control && own),
        ),
      };
    });
  const adjusted = holm(comparisons.map(({ p }) => p));
  return comparisons.map((comparison, index) => ({
    arm: comparison.arm,
    sent: comparison.sent,
    received: comparison.received,
    altered: comparison.altered,
    p: controlPasses && comparison.rounds > 0 ? comparison.p : null,
    outcome: controlPasses ? outcomeOf(comparison, adjusted[index] ?? 1) : 'undecided',
  }));
}

function outcomeOf(comparison: Comparison, p: number): ArmEvidence['outcome'] {
  const { received, control, both, rounds } = comparison;
  if (p <= boundary(rounds) && received <= FILTERED_SHARE * control) return 'fails';
  return passesOften({ sent: control, received: both }) ? 'passes' : 'undecided';
}

export function roundsOf({ arms }: Pick<DirectionObservation, 'arms'>, arm: string): readonly RoundObservation[] {
  return arms.find((candidate) => candidate.arm === arm)?.rounds ?? [];
}
