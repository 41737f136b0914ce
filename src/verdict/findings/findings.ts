import type { Family } from '../../base/address.js';
import { type AlteredStun, alteredWords } from '../altered.js';
import type { OwnExperiment } from '../own-experiment.js';
import type { Trial } from '../trial.js';
import type { Cause } from '../words.js';
import { firstPacket, type FirstPacketFinding } from './first-packet.js';
import { flowDependent, type FlowsFinding, flowsWords } from './flow-dependent.js';
import { fieldsFindings, type FieldsFinding } from './header-fields.js';
import { type OwnFinding, ownFinding } from './own.js';
import { findLocations, type LocationFinding } from './location.js';
import { quotedFindings, type QuotedFinding } from './quoted.js';
import { findRates, isLimited, type RateFinding, rateWords } from './rate.js';
import { residualBlock, type ResidualFinding } from './residual.js';
import { type Rewriting, rewritingFinding, rewritingPlaceWords, rewritingWords } from './rewriting.js';
import { filteredSize, type SizeFinding, sizeFinding, sizeWords } from './size.js';
import { triggerOf, type TriggerFinding } from './trigger.js';

/** What experiments found on one path; `null` where the question was not put. */
export interface Findings {
  readonly size: SizeFinding | null;
  readonly rewriting: readonly Rewriting[] | null;
  /** Whether plain STUN is filtered behind a control, or by what a flow begins with. */
  readonly firstPacket: FirstPacketFinding | null;
  /** The bytes that set a filter off. */
  readonly trigger: TriggerFinding | null;
  /** STUN with several header fields changed at once, which is no arm of the matrix. */
  readonly headerFields: readonly FieldsFinding[];
  /** Whether they take their 5-tuple with them. */
  readonly residual: ResidualFinding | null;
  /** Whether some 5-tuples are dead. */
  readonly flows: FlowsFinding | null;
  /** Where on the way something is dropped, an entry a direction. */
  readonly location: readonly LocationFinding[];
  /** What routers quote of packets whose place of death was looked for. */
  readonly quoted: readonly QuotedFinding[];
  /** Limits on how much passes in a second, an entry a direction. */
  readonly rate: readonly RateFinding[];
  /** The user's own experiments, those that were put. */
  readonly user: readonly OwnFinding[];
}

export function findingsOf(trials: readonly Trial[], family: Family, own: readonly OwnExperiment[] = []): Findings {
  const of = (experiment: string): Trial[] => trials.filter((trial) => trial.experiment === experiment);
  return {
    size: sizeFinding(trials, family),
    rewriting: rewritingFinding(trials),
    firstPacket: firstPacket(of('first-packet')),
    trigger: triggerOf(of('trigger-bytes')),
    headerFields: fieldsFindings(of('header-fields')),
    residual: residualBlock(of('residual')),
    flows: flowDependent(of('flows')),
    location: findLocations(trials),
    quoted: quotedFindings(trials),
    rate: findRates(trials),
    user: own.flatMap((experiment) => ownFinding(experiment, trials) ?? []),
  };
}

/** A cause that a path which works has nonetheless, and why. */
export interface FoundCause {
  readonly cause: Cause;
  readonly why: string;
}

/** `altered`: what the arm matrix and the checks say of rewriting. */
export function causesOf(
  { size, rewriting, flows, rate }: Findings,
  altered: readonly AlteredStun[] = [],
): FoundCause[] {
  // What the matrix says of an arm need not be said once more.
  const isSaid = ({ direction, arm, hasAddress }: Rewriting): boolean =>
    !hasAddress && altered.some((one) => one.direction === direction && one.arm === arm);
  const others = (rewriting ?? []).filter((found) => !isSaid(found));
  const places = (rewriting ?? []).filter(isSaid).map(rewritingPlaceWords);
  return [
    ...(flows ? [{ cause: 'flow-dependent', why: flowsWords(flows) } as const] : []),
    ...(altered.length > 0
      ? [{ cause: 'payload-rewritten', why: `${alteredWords(altered)}${places.join('')}` } as const]
      : []),
    ...(others.length > 0 ? [{ cause: 'payload-rewritten', why: rewritingWords(others) } as const] : []),
    ...(size && filteredSize(size) ? [{ cause: 'size-filtered', why: sizeWords(size) ?? '' } as const] : []),
    ...(rate.some(isLimited) ? [{ cause: 'rate-limited', why: rateWords(rate.filter(isLimited)) } as const] : []),
  ];
}

/** verdicts.md, "Causes": where several are proven these go before all others, in this order. */
const PRECEDENCE: readonly Cause[] = ['residual-block', 'stun-filtered', 'flow-dependent'];

/** The cause that a path is given; `null` where there is none. */
export function firstCause(causes: readonly Cause[]): Cause | null {
  return PRECEDENCE.find((cause) => causes.includes(cause)) ?? causes[0] ?? null;
}

/** What else was found, in words: parts of the path's sentence. */
export function remarksOf({ size, rate }: Findings): string[] {
  const links = rate.filter((found) => !isLimited(found));
  return [size && !filteredSize(size) ? (sizeWords(size) ?? '') : '', links.length > 0 ? rateWords(links) : ''].filter(
    (words) => words !== '',
  );
}
