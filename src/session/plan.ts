import type { TransportAddress } from '../base/address.js';
import type { ArmDefinition } from '../mutation/definition.js';
import type { ArmName } from '../mutation/names.js';
import type { ProfilePlan } from './profile-play.js';
import type { TransferPlan } from './transfer/types.js';
import type { OwnExperiment } from '../verdict/own-experiment.js';

/** What the client decides for both ends (design.md, Command line). */
export interface Plan {
  readonly runId: string;
  /** ISO 8601, the client's wall clock. */
  readonly started: string;
  /** As `--prefer` says it; `ice/policy` reads it. */
  readonly policy: string;
  readonly arms: readonly ArmName[];
  /** Arms that the client's user added: the far end learns from the plan how to undo them. */
  readonly ownArms: readonly ArmDefinition[];
  readonly firstOnly: boolean;
  /** Experiments of the client's user; it alone runs them, the far end sends what it is told to. */
  readonly ownExperiments?: readonly OwnExperiment[];
  /** More rounds than a verdict needs, for narrower intervals. */
  readonly deep: boolean;
  readonly wanted: readonly { readonly client: string; readonly server: string }[] | null;
  readonly pin: boolean;
  readonly references: readonly TransportAddress[];
  /** 32 bytes: signs the probes of this run. */
  readonly sessionKey: Uint8Array;
  readonly checksPerPair: number;
  /** Let libjuice and libwebrtc try the same two hosts afterwards. */
  readonly webrtc: boolean;
  /** Data over the paths that work; none without it. */
  readonly transfer?: TransferPlan;
  /** Somebody else's schedule, played beside the run. */
  readonly profile?: ProfilePlan;
}
