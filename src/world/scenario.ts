import type { Family } from '../base/address.js';
import type { Ms } from '../base/time.js';
import type { ArmDefinition } from '../mutation/definition.js';
import type { ArmName } from '../mutation/names.js';
import type { NamedProfile } from '../profile/file.js';
import type { RecordEvent } from '../session/record.js';
import type { Report } from '../verdict/report.js';
import type { CarrierVerdict, Cause, DirectionState, PathState } from '../verdict/words.js';
import type { HostName, Internet, InternetOptions } from './internet.js';
import type { LinkOptions } from './link.js';
import type { NetworkNode } from './network.js';
import type { TransferPlan } from '../session/transfer/types.js';

/** How a scenario is run (design.md, The world). */
export const BACKENDS = ['virtual', 'kernel'] as const;
export type Backend = (typeof BACKENDS)[number];

/** A world, what is run in it, and what the report must then say. */
export interface Scenario {
  readonly name: string;
  /** One line. */
  readonly title: string;
  /** Where it was seen to be so: the row of the notes, an RFC, a measurement. */
  readonly observed: string | null;
  /** What is in the way, in sentences; `icepath demo` tells it before the run. */
  readonly story: readonly string[];
  /** What the outcome would mean on real modems. */
  readonly meaning: readonly string[];
  /** Those that can express it. */
  readonly backends: readonly Backend[];
  /** It takes minutes where time is real. */
  readonly slow: boolean;
  /** What people call the two hosts. */
  readonly hostNames: Readonly<Record<HostName, string>>;
  readonly internet: Omit<InternetOptions, 'seed'>;
  readonly run: ScenarioRun;
  /** In order of time. */
  readonly events: readonly ScenarioEvent[];
  readonly expect: Expectation;
}

export interface HostInterfaceName {
  readonly host: HostName;
  readonly interface: string;
}

export function interfacesOf(host: string, all: readonly HostInterfaceName[]): string[] {
  return all.filter((one) => one.host === host).map((one) => one.interface);
}

/** What is asked of client and server. */
export interface ScenarioRun {
  /** As `--prefer` says it. */
  readonly prefer: string;
  /** The control included. */
  readonly arms: readonly ArmName[];
  /** Those of them that are the file's own. */
  readonly ownArms: readonly ArmDefinition[];
  readonly firstOnly: boolean;
  /** `--deep`: more rounds, and how long NATs keep their mappings. */
  readonly deep: boolean;
  readonly wanted: readonly { readonly client: string; readonly server: string }[];
  readonly pin: Readonly<Record<HostName, boolean>>;
  /** How far each host's wall clock is ahead; behind where negative. */
  readonly clockAheadMs: Readonly<Record<HostName, Ms>>;
  /** Whether anybody listens on the reference host, and on which ports beside its own. */
  readonly reflector: boolean;
  /** Whether it has a TURN server too, which both ends are given. */
  readonly relay: boolean;
  readonly referencePorts: readonly number[];
  /** Ports that the user of each host lets its sockets have. */
  readonly ports: Readonly<Record<HostName, readonly number[]>>;
  /** `--guess-ports` of each host. */
  readonly guessPorts: Readonly<Record<HostName, boolean>>;
  /** `--duration` and what goes with it; `null`: no data. */
  readonly transfer: TransferPlan | null;
  /** Interfaces whose sockets open, but neither send nor hear: a hung driver. */
  readonly hung: readonly HostInterfaceName[];
  /** Interfaces whose sockets hear, but do not send: what is asked there is logged and never answered. */
  readonly mute: readonly HostInterfaceName[];
}

/** Something that happens so long after the client has started to check. */
export interface ScenarioEvent {
  readonly atMs: Ms;
  readonly action:
    | { readonly type: 'kill'; readonly host: HostName }
    /** `ip link set … up|down`. */
    | { readonly type: 'interface'; readonly host: HostName; readonly interface: string; readonly up: boolean }
    /** The interface gets another address of its network, as from a DHCP server that forgot it. */
    | { readonly type: 'address'; readonly host: HostName; readonly interface: string }
    /** `ip route add|del default dev …`. */
    | { readonly type: 'route'; readonly host: HostName; readonly interface: string; readonly there: boolean }
    /** The boxes of its carrier have lost what they knew: NATs their mappings, firewalls their flows. */
    | { readonly type: 'restart'; readonly host: HostName; readonly interface: string }
    /** The cable or the radio, not the host: a name of `Internet.cables`. */
    | { readonly type: 'cable'; readonly cable: string; readonly up: boolean }
    | { readonly type: 'link'; readonly cable: string; readonly there: LinkOptions; readonly back: LinkOptions };
}

/** What became of the data: `complete` as the report says it, every byte compared. */
export const TRANSFER_ENDS = ['complete', 'incomplete'] as const;

/** What verdicts.md gives for a row; what is left out is not looked at. */
export interface Expectation {
  /** Of the wanted paths; any one of these. */
  readonly outcomes: readonly Outcome[];
  /** By path id, besides the wanted ones. */
  readonly paths: Readonly<Record<string, { readonly state: readonly PathState[]; readonly cause?: Cause | null }>>;
  /** By label and family. Whoever is not named must not be accused. */
  readonly carriers: readonly {
    readonly label: string;
    readonly family: Family | null;
    readonly verdict: CarrierVerdict;
  }[];
  /** Labels of which at least one blocks, where nobody can tell which. */
  readonly suspects: readonly string[];
  readonly transfer?: (typeof TRANSFER_ENDS)[number];
  /** How long the NATs of a label keep a mapping in silence: the measured interval must hold it. */
  readonly lifetimes?: readonly { readonly label: string; readonly ms: Ms }[];
}

export interface Outcome {
  readonly state: PathState;
  readonly cause?: Cause | null;
  readonly exit: number;
  readonly arm?: string;
  readonly fields?: readonly (readonly string[])[];
  readonly directions?: Readonly<Partial<Record<'up' | 'down', DirectionState>>>;
  /** Text that the summary of the wanted path must hold. */
  readonly says?: readonly string[];
  /** Text that the report's advice must hold. */
  readonly advises?: readonly string[];
  /** Numbers of the wanted path's `findings`, by the way to each: `size.up.passesBytes`. */
  readonly measures?: readonly { readonly what: string; readonly about: number; readonly within: number }[];
  /** An ICMP error that was told about the wanted path; without `from` from anybody. */
  readonly icmp?: { readonly type: number; readonly code: number; readonly from?: string };
}

export interface LabOptions {
  readonly seed: string | number;
  /** Of the program. */
  readonly version: string;
  /** Told of what happens while it happens: the record's events, in order. */
  readonly onEvent?: (event: RecordEvent) => void;
  /** Called when everything is wired and nothing has been sent: where taps are put. */
  readonly onWired?: (internet: Internet<NetworkNode>) => void;
  /** A behaviour profile that is played beside the run. */
  readonly profile?: NamedProfile | null;
  /** Ctrl-C: the run ends with what is known. */
  readonly signal?: AbortSignal;
}

/** What came of one run of a scenario on one back end. */
export interface LabRun {
  readonly report: Report;
  /** The client's record, from which the report can be computed again. */
  readonly events: readonly RecordEvent[];
}

/** One line of `lab run --json` (design.md, Report). */
export interface LabResult {
  readonly scenario: string;
  readonly backend: Backend;
  readonly passed: boolean;
  readonly expected: Expectation;
  readonly report: Report;
  /** Sentences: where report and expectation differ. Empty when it passed. */
  readonly differences: readonly string[];
}
