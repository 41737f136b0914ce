import type { TransportAddress } from '../base/address.js';
import type { Random } from '../base/random.js';
import type { ArmName } from '../mutation/names.js';
import type { Policy } from './policy.js';
import type { IceTiming } from './timing.js';
import type { Candidate, Credentials, LocalCandidate } from './types.js';

export interface IceAgentOptions {
  readonly controlling: boolean;
  /** 64 random bits (RFC 8445 §7.3.1.1). */
  readonly tieBreaker: bigint;
  readonly credentials: Credentials;
  readonly random: Random;
  readonly policy: Policy;
  /** `all`: every pair gets its checks and every valid one is kept; `first-only`: plain ICE, one pair is wanted. */
  readonly mode: 'all' | 'first-only';
  /** STUN servers. */
  readonly servers: readonly TransportAddress[];
  /** The arm of checks, until `pair-arm` says otherwise. */
  readonly arm: ArmName;
  /** Checks on a pair before it is given up; in mode `all` also those of a pair that is valid. Default 7. */
  readonly checksPerPair?: number;
  /** RFC 8445 §6.1.2.5. Default 100. */
  readonly mostPairs?: number;
  readonly timing?: Partial<IceTiming>;
  /** Whether a pair of these may be formed at all, families aside. Default: yes. */
  readonly admits?: (local: LocalCandidate, remote: Candidate) => boolean;
}
