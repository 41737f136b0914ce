import type { Ms } from '../base/time.js';

/** The agent's clocks. The defaults are for a verdict within seconds, not for the RFC's 39.5 s (docs/ice.md). */
export interface IceTiming {
  /** Ta, RFC 8445 §14.2: between two checks or queries of this agent. Shrinks where pairs are many. */
  readonly paceMs: Ms;
  /** Ta where a pair or a server waits for its first, and below which `paceMs` never shrinks; the RFC allows 5 ms. */
  readonly leastPaceMs: Ms;
  /** The wait for more candidates before the first ordinary check, as long as either end may still name some. */
  readonly settleMs: Ms;
  /** The wait for the answer of a pair's first check; doubles with each further check of the pair. */
  readonly rtoMs: Ms;
  /** The longest wait for an answer. */
  readonly rtoMaxMs: Ms;
  /** Between the checks of a pair that is already valid: they sample its round trip. */
  readonly sampleMs: Ms;
  /** The wait for the answer of a STUN server; doubles. */
  readonly gatherRtoMs: Ms;
  /** The controlling agent nominates this long after the first valid pair even while better pairs are undecided. */
  readonly nominateMs: Ms;
  /** Between consent checks that are answered, before randomisation by 0.8–1.2 (RFC 7675 §5.1); a fifth of it after a lost one. */
  readonly consentMs: Ms;
  /** Consent expires this long after the last answer (RFC 7675 §5.1). */
  readonly consentLifetimeMs: Ms;
}

export const DEFAULT_TIMING: IceTiming = {
  paceMs: 20,
  leastPaceMs: 5,
  settleMs: 5,
  rtoMs: 100,
  rtoMaxMs: 1000,
  sampleMs: 100,
  gatherRtoMs: 200,
  nominateMs: 3000,
  consentMs: 5000,
  consentLifetimeMs: 30_000,
};

/** The RFC's own Ta: whoever stops at the first pair gives each one the time to be it, as plain ICE does. */
export const UNHURRIED: Partial<IceTiming> = { paceMs: 50, leastPaceMs: 50 };

/** All checks of all pairs are to fit into about this. */
const CHECKS_WITHIN_MS: Ms = 4000;

/** Ta when `checks` are still to be sent. */
export function pace(timing: IceTiming, checks: number): Ms {
  return Math.max(timing.leastPaceMs, Math.min(timing.paceMs, CHECKS_WITHIN_MS / checks));
}

/** The wait for the answer of try `attempt` (from 1): doubling from `first` to `longest`. */
export function backoff(first: Ms, longest: Ms, attempt: number): Ms {
  return Math.min(longest, first * 2 ** Math.min(attempt - 1, 16));
}
