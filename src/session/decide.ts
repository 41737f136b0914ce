import { ARMS } from '../mutation/arm.js';
import { CONTROL_ARM } from '../mutation/names.js';
import type { Report } from '../verdict/report.js';
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

/**
 * Paths that did not come up although the control and a STUN arm pass: the arm to go on with, the least changed first,
 * or the same one again, where loss ate its checks. A guess for the agent, not a verdict: `verdict/` has the test.
 */
export function betterArms({ paths, arms }: RunObservation): Map<string, string> {
  const better = new Map<string, string>();
  const candidates = ARMS.filter(({ name, stun }) => stun && arms.includes(name)).map(({ name }) => name);
  const first = stunArms(arms)[0];
  if (first === undefined) return better;
  for (const path of paths) {
    if (path.valid) continue;
    const directions = [path.up, path.down];
    if (directions.some((direction) => received(direction, CONTROL_ARM) < LEAST_ROUNDS * ALIVE)) continue;
    const share = (direction: DirectionObservation, arm: string): number =>
      received(direction, arm) / received(direction, CONTROL_ARM);
    const passes = (arm: string): boolean => directions.every((direction) => share(direction, arm) >= ALIVE);
    const dead = directions.some((direction) => share(direction, first) <= DEAD);
    const arm = passes(first) ? first : dead ? candidates.find(passes) : undefined;
    if (arm !== undefined) better.set(path.id, arm);
  }
  return better;
}

function stunArms(arms: readonly string[]): string[] {
  return arms.filter((name) => ARMS.some((arm) => arm.stun && arm.name === name));
}

/**
 * Whether every wanted path has passed, its cause known where it took another arm than the first, and how much the
 * reference legs of the others lose.
 */
export function undecided(
  { paths, ends, arms }: RunObservation,
  report: Report,
): {
  readonly decided: boolean;
  readonly referenceLoss: number | null;
} {
  const explained = new Set(report.paths.flatMap(({ id, cause }) => (cause === null ? [] : [id])));
  const first = stunArms(arms)[0];
  const open = paths.filter(
    ({ id, wanted, valid }) => wanted && (valid === null || (valid.arm !== first && !explained.has(id))),
  );
  const losses = open.flatMap((path) =>
    [path.client.interface, path.server.interface].flatMap((name) => lossAt(ends, path, name)),
  );
  return { decided: open.length === 0, referenceLoss: losses.length > 0 ? Math.max(...losses) : null };
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

function received(direction: DirectionObservation, arm: string): number {
  const rounds: readonly RoundObservation[] = direction.arms.find((tally) => tally.arm === arm)?.rounds ?? [];
  return rounds.filter((round) => round.received).length;
}
