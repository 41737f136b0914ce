import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import type { ByteRange } from '../mutation/differences.js';
import type { ArmDefinition } from '../mutation/definition.js';
import type { Trial } from './trial.js';
import type { GuessPlan } from './port-guessing.js';
import type { OwnExperiment } from './own-experiment.js';
import type { EgressVerdict, NatModel, Role, Way } from './words.js';
import type { ClockDifference, PathEndReport, RelayReport, YardstickReport } from './report.js';
import type { ProfileReport } from './profile.js';
import type { PolicyReport } from './policies.js';
import type { TransferObservation } from './transfer.js';

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
  /** Arms of the user that are not built in. */
  readonly ownArms: readonly ArmDefinition[];
  readonly ownExperiments: readonly OwnExperiment[];
  readonly firstOnly: boolean;
  readonly hosts: readonly {
    readonly role: Role;
    readonly name: string;
    readonly pinning: 'device' | 'address' | 'off';
    readonly interfaces: readonly HostInterface[];
  }[];
  readonly clock: ClockDifference | null;
  /** How many reference addresses were given: with none, "blocked" cannot be said. */
  readonly references: number;
  /** The far end fell silent: when, and whether its record up to then is here. `null` while it lives. */
  readonly controlLost: { readonly at: Ms; readonly reason: string } | null;
  readonly interrupted: boolean;
  readonly ends: readonly EndObservation[];
  readonly paths: readonly PathObservation[];
  /** TURN servers that were asked; not there where none was named. */
  readonly relays?: readonly RelayReport[];
  readonly yardsticks: readonly YardstickReport[] | null;
  /** `null` where no data phase ran. */
  readonly transfer: TransferObservation | null;
  /** What a profile that was played beside it found; not there in what older versions observed. */
  readonly profile?: ProfileReport | null;
  /** What policies make of it: replays cost time, and only the report that is the last has them. */
  readonly policies?: readonly PolicyReport[];
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
    /** The control to other ports of the same host, in the same rounds. */
    readonly ports?: readonly { readonly port: number; readonly rounds: readonly RoundObservation[] }[];
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
  /** In whatever form. */
  readonly received: boolean;
  /** It came with other bytes than it was sent with, and not unaltered as well: those, `null` where nobody knows. */
  readonly altered?: readonly ByteRange[] | null;
  /** Of packets that leave by many sockets: which one, so that flows can be told apart. */
  readonly flow?: number;
}

export interface DirectionObservation {
  /** Connectivity checks (requests) that the kernel took, and that the far end logged. */
  readonly checksSent: number;
  readonly checksReceived: number;
  /** Requests of this direction that the far end answered (its kernel took the response), and answers that came back. */
  readonly answersSent: number;
  readonly answersReceived: number;
  /** Requests that came altered, and answers to this direction's requests that came back so: not among the above. */
  readonly checksAltered?: number;
  readonly answersAltered?: number;
  /** Sends that the kernel refused, by code. */
  readonly sendErrors: Readonly<Record<string, number>>;
  readonly arms: readonly { readonly arm: string; readonly rounds: readonly RoundObservation[] }[];
}

/** Of the ends of a path: through NAT64 an IPv6 path's have IPv4, the one by translation. */
export function endFamily({ family, nat64 }: Pick<PathObservation, 'family' | 'nat64'>): Family {
  return nat64 ? 'ipv4' : family;
}

/** A path was tried again on fresh sockets, its first ones having got nowhere. */
export interface WayObservation {
  readonly attempt: number;
  readonly way: Way;
  readonly arm: string;
  readonly at: Ms;
  /** Of the openers that went out first; `null` at an end that sent none. */
  readonly ttl: Readonly<Record<Role, number | null>>;
  /** Openers that did not die on the way: they were the early packets that they were to prevent. */
  readonly arrived: number;
  /** Whether a check of this try succeeded. */
  readonly helped: boolean;
  /** Where a port was guessed: how, and what that was worth. */
  readonly guess?: GuessPlan;
}

/** One path: (client interface, server interface, family). */
/** A path that was up was not: its far end stopped answering, or the address of an end went away (`gone`). */
export interface Lapse {
  readonly from: Ms;
  /** `null`: to the end of the run. */
  readonly until: Ms | null;
  readonly gone: Role | null;
  /**
   * Of one that lasts: the checks of the end whose address went, once it had one again, and those that the other end logged;
   * there where that answered none of them.
   */
  readonly unanswered?: { readonly sent: number; readonly received: number };
}

export interface PathObservation {
  readonly id: string;
  readonly family: Family;
  readonly wanted: boolean;
  /** The end that reaches the other through NAT64, and its prefix; `null`: nobody translates between families. */
  readonly nat64: { readonly host: Role; readonly prefix: string } | null;
  readonly client: PathEndReport;
  readonly server: PathEndReport;
  /** Neither end had a route from its interface towards any candidate of the other: which end; `null` when both have one. */
  readonly noRoute: Role | null;
  readonly egress: Readonly<Record<Role, { readonly verdict: EgressVerdict; readonly reason: string }>>;
  readonly up: DirectionObservation;
  readonly down: DirectionObservation;
  /** The pair that came up, and in which arm; `null` when none did. */
  readonly valid: { readonly at: Ms; readonly arm: string } | null;
  /** When it was down after it had come up, in order. */
  readonly lapses: readonly Lapse[];
  readonly superseded: boolean;
  readonly selected: boolean;
  /** The packets of experiments on this path, as they were sent. */
  readonly trials: readonly Trial[];
  readonly priority: number;
  readonly rttMs: { readonly min: Ms; readonly median: Ms } | null;
  /** Tries on fresh sockets, the first one first. */
  readonly ways: readonly WayObservation[];
  /** The shortest way by a relay that came up beside, or in place of, the direct one; older records have none. */
  readonly relay?: {
    readonly at: Ms;
    readonly rttMs: Ms;
    readonly client: NonNullable<PathEndReport['candidate']>;
    readonly server: NonNullable<PathEndReport['candidate']>;
  } | null;
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
