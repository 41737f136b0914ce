import type { TransportAddress } from '../base/address.js';
import type { ArmName } from '../mutation/names.js';

/** What the client decides for both ends (design.md, Command line). */
export interface Plan {
  readonly runId: string;
  /** ISO 8601, the client's wall clock. */
  readonly started: string;
  /** As `--prefer` says it; `ice/policy` reads it. */
  readonly policy: string;
  readonly arms: readonly ArmName[];
  readonly firstOnly: boolean;
  readonly wanted: readonly { readonly client: string; readonly server: string }[] | null;
  readonly pin: boolean;
  readonly references: readonly TransportAddress[];
  /** 32 bytes: signs the probes of this run. */
  readonly sessionKey: Uint8Array;
  readonly checksPerPair: number;
  /** Let libjuice and libwebrtc try the same two hosts afterwards. */
  readonly webrtc: boolean;
}
