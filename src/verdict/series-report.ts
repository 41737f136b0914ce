import type { Family } from '../base/address.js';
import type { RunObservation } from './observation.js';
import type { CarrierVerdict, Cause, PathState } from './words.js';

export interface SeriesRunInput {
  /** What people call it: its file's name. */
  readonly name: string;
  readonly observation: RunObservation;
}

/** (label, family): what makes two ends of a series the same (verdicts.md, "The clearing rule"). */
export interface SeriesEnd {
  readonly name: string;
  readonly label: string;
  readonly family: Family;
  readonly kind: string;
}

/** What several runs say together: `icepath series --json`. */
export interface SeriesReport {
  readonly schema: 'icepath.series/1';
  readonly runs: readonly SeriesRun[];
  /** Wanted pairs of carriers: the repeats that agree are the confidence. */
  readonly pairs: readonly SeriesPair[];
  /** Whether what was in the packets made a difference, by family; a family that was never closed is left out. */
  readonly content: readonly SeriesContent[];
  readonly carriers: readonly SeriesCarrier[];
  /** `at least two of {…}`: what cannot be separated with these runs. */
  readonly suspects: readonly string[];
  /** The runs that would separate them. */
  readonly next: readonly string[];
}

export interface SeriesRun {
  readonly name: string;
  readonly id: string;
  readonly started: string;
  readonly label: string | null;
  /** What was sent besides the control. */
  readonly arms: readonly string[];
  readonly wanted: readonly {
    readonly id: string;
    readonly pair: string;
    readonly family: Family;
    readonly state: PathState;
    readonly cause: Cause | null;
  }[];
  /** Why it proves nothing and is left out; `null`: it counts. */
  readonly excluded: string | null;
}

export interface SeriesPair {
  readonly pair: string;
  readonly family: Family;
  readonly runs: number;
  readonly valid: number;
  readonly outcomes: readonly { readonly state: PathState; readonly cause: Cause | null; readonly runs: number }[];
  readonly arms: readonly string[];
}

export interface SeriesContent {
  readonly family: Family;
  readonly verdict: 'independent' | 'dependent';
  readonly because: string;
}

export interface SeriesCarrier {
  readonly label: string;
  readonly family: Family;
  readonly verdict: CarrierVerdict;
  readonly because: readonly string[];
  /** Alternatives that are left, and the run that would separate them. */
  readonly remaining: readonly string[];
  /** Valid runs that went through it. */
  readonly runs: number;
}
