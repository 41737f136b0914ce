import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { CarrierVerdict, Cause, DirectionState, EgressVerdict, NatModel, PathState, Role } from './words.js';

/** `icepath.report/1` (design.md, Report): a contract. Objects may gain fields; named ones never change meaning. */
export interface Report {
  readonly schema: 'icepath.report/1';
  readonly run: RunSummary;
  readonly paths: readonly PathReport[];
  readonly carriers: readonly CarrierReport[];
  /** The triangle's legs client↔reference and server↔reference, an entry an end. */
  readonly reference: readonly ReferenceLegReport[];
  /** `null` where no data phase ran. */
  readonly transfer: null;
  readonly webrtc: readonly YardstickReport[] | null;
  readonly advice: readonly string[];
  readonly exit: { readonly code: number; readonly reason: string };
}

export interface RunSummary {
  readonly id: string;
  /** ISO 8601, the client's wall clock. */
  readonly started: string;
  readonly durationMs: number;
  readonly label: string | null;
  readonly version: string;
  /** `real`, `loopback`, `virtual`, `kernel`. */
  readonly backend: string;
  readonly seed: string | number | null;
  readonly policy: string;
  readonly arms: readonly string[];
  readonly hosts: readonly HostReport[];
  /** Set when the run did not come to its end: interrupted, control channel lost; a sentence. */
  readonly incomplete: string | null;
}

export interface HostReport {
  readonly role: Role;
  readonly name: string;
  readonly pinning: 'device' | 'address' | 'off';
  readonly interfaces: readonly (HostInterface & { readonly nat: Readonly<Partial<Record<Family, NatModel>>> })[];
}

/** A tally with its exact (Clopper–Pearson) 95 % interval: `k` of `n`; `p` of the test that used it, if any. */
export interface Tally {
  readonly n: number;
  readonly k: number;
  readonly low: number;
  readonly high: number;
  readonly p: number | null;
}

export interface ArmDirectionReport {
  readonly sent: number;
  readonly received: number;
  /** Of the exact paired test against the control in the same rounds; `null` where it says nothing. */
  readonly p: number | null;
}

export interface ArmReport {
  readonly arm: string;
  readonly up: ArmDirectionReport;
  readonly down: ArmDirectionReport;
}

export interface PathEndReport {
  readonly interface: string;
  readonly kind: string;
  readonly label: string;
  readonly candidate: { readonly type: string; readonly address: string; readonly port: number } | null;
}

export interface DirectionReport {
  readonly state: DirectionState;
  readonly sent: number;
  readonly received: number;
}

export interface PathReport {
  readonly id: string;
  readonly family: Family;
  readonly wanted: boolean;
  readonly state: PathState;
  readonly cause: Cause | null;
  readonly arm: string | null;
  readonly fields: readonly (readonly string[])[];
  readonly summary: string;
  readonly client: PathEndReport;
  readonly server: PathEndReport;
  readonly egress: { readonly client: EgressVerdict; readonly server: EgressVerdict };
  readonly up: DirectionReport;
  readonly down: DirectionReport;
  readonly arms: readonly ArmReport[];
  readonly rttMs: { readonly min: number; readonly median: number } | null;
  readonly icmp: readonly { readonly type: number; readonly code: number; readonly from: string }[];
  readonly priority: number;
  readonly selected: boolean;
  /** What the measured NATs of both ends predict. */
  readonly predicted: 'success' | 'failure' | 'uncertain' | 'unknown';
  /** For every condition of "blocked" (verdicts.md): whether it was met. Empty where the question did not arise. */
  readonly conditions: readonly { readonly condition: string; readonly met: boolean; readonly detail: string }[];
}

export interface CarrierReport {
  readonly host: Role;
  readonly interface: string;
  readonly label: string;
  readonly family: Family;
  readonly verdict: CarrierVerdict;
  readonly because: readonly string[];
  readonly remaining: readonly string[];
  readonly runs: number;
}

export interface ReferenceLegReport {
  readonly host: Role;
  readonly interface: string;
  readonly family: Family;
  readonly udp: Tally;
  readonly tcp: Tally;
  readonly arms: readonly { readonly arm: string; readonly sent: number; readonly answered: number }[];
}

export interface YardstickReport {
  readonly stack: 'libjuice' | 'libwebrtc';
  readonly connected: boolean;
  readonly afterMs: number | null;
  /** The pair as the stack names it: `udp 10.0.0.1:5000 (host) ↔ …`. */
  readonly pair: string | null;
  readonly note: string | null;
}
