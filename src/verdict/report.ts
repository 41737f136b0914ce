import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { ArmDefinition } from '../mutation/definition.js';
import type { AlteredStun } from './altered.js';
import type { Findings } from './findings/findings.js';
import type { LocationFinding } from './findings/location.js';
import type { GuessPlan } from './port-guessing.js';
import type { ProfileReport } from './profile.js';
import type { PolicyReport } from './policies.js';
import type { TransferReport } from './transfer.js';
import type { CarrierVerdict, Cause, DirectionState, EgressVerdict, NatModel, PathState, Role, Way } from './words.js';

/** `icepath.report/1` (design.md, Report): a contract. Objects may gain fields; named ones never change meaning. */
export interface Report {
  readonly schema: 'icepath.report/1';
  readonly run: RunSummary;
  readonly paths: readonly PathReport[];
  readonly carriers: readonly CarrierReport[];
  /** The triangle's legs client↔reference and server↔reference, an entry an end. */
  readonly reference: readonly ReferenceLegReport[];
  /** `null` where no data phase ran. */
  readonly transfer: TransferReport | null;
  /** TURN servers that either end asked; not there where none was named. */
  readonly relays?: readonly RelayReport[];
  /** What the run's own policy and others make of it; empty while it goes on, and where nothing was checked. */
  readonly policies: readonly PolicyReport[];
  /** What `--profile` found; not there where none was asked for. */
  readonly profile?: ProfileReport;
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
  /** Arms of the user that are not built in. */
  readonly ownArms: readonly ArmDefinition[];
  readonly hosts: readonly HostReport[];
  /** `null` where an end did not tell its wall clock. */
  readonly clock: ClockDifference | null;
  /** Set when the run did not come to its end: interrupted, control channel lost; a sentence. */
  readonly incomplete: string | null;
}

/** How far the server's wall clock is ahead of the client's (behind: negative), give or take half a round trip. */
export interface ClockDifference {
  readonly serverAheadMs: number;
  readonly withinMs: number;
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
  /** Of a path through NAT64 alone: whose end translates, and the prefix. */
  readonly nat64?: { readonly host: Role; readonly prefix: string };
  readonly state: PathState;
  readonly cause: Cause | null;
  readonly arm: string | null;
  readonly fields: readonly (readonly string[])[];
  readonly summary: string;
  /** The same without what only a sceptic asks for, and that: each a sentence or a part of one. */
  readonly headline: string;
  readonly evidence: readonly string[];
  readonly client: PathEndReport;
  readonly server: PathEndReport;
  readonly egress: { readonly client: EgressVerdict; readonly server: EgressVerdict };
  readonly up: DirectionReport;
  readonly down: DirectionReport;
  readonly arms: readonly ArmReport[];
  readonly rttMs: { readonly min: number; readonly median: number } | null;
  /** When it was down after it had come up, since the run began; `untilMs` null: to its end; `gone`: whose address went away. */
  readonly lapses?: readonly {
    readonly fromMs: number;
    readonly untilMs: number | null;
    readonly gone: Role | null;
  }[];
  readonly icmp: readonly { readonly type: number; readonly code: number; readonly from: string }[];
  readonly priority: number;
  readonly selected: boolean;
  /** Tries on fresh sockets, and which of them helped. */
  readonly ways: readonly WayReport[];
  /**
   * By a relay the path is carried, whatever `state` says of the direct way; not there where no relay came up. Where
   * nothing direct did, the candidates of `client` and `server` are those of this pair.
   */
  readonly relay?: {
    readonly rttMs: number;
    readonly client: NonNullable<PathEndReport['candidate']>;
    readonly server: NonNullable<PathEndReport['candidate']>;
  };
  /** What the measured NATs of both ends predict. */
  readonly predicted: 'success' | 'failure' | 'uncertain' | 'unknown';
  /** STUN that arrived with other bytes than it was sent with, a kind of packet each. */
  readonly altered: readonly AlteredStun[];
  /** What experiments found; each `null` where the question was not put. */
  readonly findings: Findings;
  /** Between which hops what is dropped is dropped, seen from its sender, an entry a direction. */
  readonly location: readonly LocationFinding[];
  /**
   * For every condition of "blocked" (verdicts.md): whether it was met. Of a path that came up: what is lacking to call STUN
   * filtered that dies in the matrix. Empty where neither question arose.
   */
  readonly conditions: readonly {
    readonly condition: string;
    readonly met: boolean;
    readonly detail: string;
    readonly needsTime?: boolean;
  }[];
}

/** A path was tried again on fresh sockets; `ttl` of the openers that went out first, `null` at an end that sent none. */
export interface WayReport {
  readonly way: Way;
  readonly arm: string;
  readonly ttl: Readonly<Record<Role, number | null>>;
  readonly helped: boolean;
  /** Of `port-guess`: how many sockets and guesses, and the chance of a hit that was computed beforehand. */
  readonly guess?: GuessPlan;
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

/** What became of a TURN server on one interface: the relay that it gave, or the code of the error. */
export interface RelayReport {
  readonly host: Role;
  readonly interface: string;
  readonly family: Family;
  readonly server: string;
  readonly relayed: string | null;
  readonly rttMs: number | null;
  readonly error: string | null;
}

export interface ReferenceLegReport {
  readonly host: Role;
  readonly interface: string;
  readonly family: Family;
  readonly udp: Tally;
  readonly tcp: Tally;
  readonly arms: readonly { readonly arm: string; readonly sent: number; readonly answered: number }[];
  /** Arms that no reference can answer, and in which it was not asked. */
  readonly notAsked: readonly string[];
}

export interface YardstickReport {
  readonly stack: 'libjuice' | 'libwebrtc';
  readonly connected: boolean;
  readonly afterMs: number | null;
  /** The pair as the stack names it: `udp 10.0.0.1:5000 (host) ↔ …`. */
  readonly pair: string | null;
  readonly note: string | null;
}
