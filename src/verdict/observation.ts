import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import type { EgressVerdict, NatModel, Role } from './words.js';
import type { PathEndReport, YardstickReport } from './report.js';

/**
 * What one run observed, flat: both ends' records already joined by transaction. Everything in this folder is a pure
 * function of it, so old records can be judged again offline.
 */
export interface RunObservation {
  readonly id: string;
  readonly started: string;
  readonly durationMs: Ms;
  readonly label: string | null;
  readonly version: string;
  readonly backend: string;
  readonly seed: string | number | null;
  readonly policy: string;
  readonly arms: readonly string[];
  readonly firstOnly: boolean;
  readonly hosts: readonly {
    readonly role: Role;
    readonly name: string;
    readonly pinning: 'device' | 'address' | 'off';
    readonly interfaces: readonly HostInterface[];
  }[];
  /** How many reference addresses were given: with none, "blocked" cannot be said. */
  readonly references: number;
  /** The far end fell silent: when, and whether its record up to then is here. `null` while it lives. */
  readonly controlLost: { readonly at: Ms; readonly reason: string } | null;
  readonly interrupted: boolean;
  readonly ends: readonly EndObservation[];
  readonly paths: readonly PathObservation[];
  readonly yardsticks: readonly YardstickReport[] | null;
}

/** One end: (host, interface, family). */
export interface EndObservation {
  readonly host: Role;
  readonly interface: string;
  readonly kind: string;
  readonly label: string;
  readonly family: Family;
  /** Why there is no usable candidate here; `null` when there is one. */
  readonly notGathered: 'no-address' | 'no-route' | 'no-bearer' | 'socket-error' | null;
  readonly nat: NatModel | null;
  readonly reference: {
    /** Control arm: by round, in the same rounds as the peers' arms. */
    readonly control: readonly RoundObservation[];
    readonly arms: readonly { readonly arm: string; readonly rounds: readonly RoundObservation[] }[];
    readonly tcp: { readonly tried: number; readonly connected: number };
  };
  /** Counters on this host that moved during the run and explain a silence on this interface. */
  readonly faults: readonly FaultObservation[];
}

export interface FaultObservation {
  /** As the kernel names it: `TcpExtIPReversePathFilter`, `nft drop in inet filter input`, … */
  readonly counter: string;
  readonly delta: number;
  /** Which packets it ate, seen from this host. */
  readonly direction: 'in' | 'out';
  /** One sentence with the command that mends it. */
  readonly explanation: string;
}

/** One packet of one arm in one round: whether the kernel took it, and whether the far end logged it (or answered, for the reference). */
export interface RoundObservation {
  readonly round: number;
  /** When it was sent, ms since the run's start. */
  readonly at: Ms;
  readonly sent: boolean;
  readonly received: boolean;
}

export interface DirectionObservation {
  /** Connectivity checks (requests) that the kernel took, and that the far end logged. */
  readonly checksSent: number;
  readonly checksReceived: number;
  /** Requests of this direction that the far end answered (its kernel took the response), and answers that came back. */
  readonly answersSent: number;
  readonly answersReceived: number;
  /** Sends that the kernel refused, by code. */
  readonly sendErrors: Readonly<Record<string, number>>;
  readonly arms: readonly { readonly arm: string; readonly rounds: readonly RoundObservation[] }[];
}

/** One path: (client interface, server interface, family). */
export interface PathObservation {
  readonly id: string;
  readonly family: Family;
  readonly wanted: boolean;
  readonly client: PathEndReport;
  readonly server: PathEndReport;
  /** Neither end had a route from its interface towards any candidate of the other: which end; `null` when both have one. */
  readonly noRoute: Role | null;
  readonly egress: Readonly<Record<Role, { readonly verdict: EgressVerdict; readonly reason: string }>>;
  readonly up: DirectionObservation;
  readonly down: DirectionObservation;
  /** The pair that came up, and in which arm; `null` when none did. */
  readonly valid: { readonly at: Ms; readonly arm: string } | null;
  /** It was valid and stopped answering. */
  readonly lostAt: Ms | null;
  readonly superseded: boolean;
  readonly selected: boolean;
  readonly priority: number;
  readonly rttMs: { readonly min: Ms; readonly median: Ms } | null;
  /** ICMP errors that quote packets of this path. `from` is the sender; `quotedTo` the destination they quote. */
  readonly icmp: readonly {
    readonly host: Role;
    readonly family: Family;
    readonly type: number;
    readonly code: number;
    readonly from: string;
    readonly quotedTo: string;
    readonly count: number;
  }[];
}
