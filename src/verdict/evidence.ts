import { CONTROL_ARM } from '../mutation/names.js';
import { type ArmRegistry, armsWith } from '../mutation/registry.js';
import {
  type ArmEvidence,
  compareArms,
  count,
  directionEvidence,
  type DirectionEvidence,
  passesOften,
} from './direction.js';
import { alteredStun, type AlteredStun } from './altered.js';
import { flowDependent } from './findings/flow-dependent.js';
import { type Findings, findingsOf } from './findings/findings.js';
import { isSteady, predict, type Prediction, withoutOtherPorts } from './nat-prediction.js';
import {
  endFamily,
  type EndObservation,
  type PathObservation,
  type RoundObservation,
  type RunObservation,
} from './observation.js';
import { type PortFilter, portFilterOf } from './ports.js';
import { type NatModel, type Role, ROLES } from './words.js';

/** What one end's packets to the reference tell. */
export interface ReferenceEvidence {
  /** Control rounds of this end's own family. */
  readonly own: readonly RoundObservation[];
  /** Control rounds of the family that fared best on the same interface. */
  readonly best: readonly RoundObservation[];
  /** The reference answers here at a decided rate. */
  readonly answers: boolean;
  readonly arms: readonly ArmEvidence[];
  /** Ports that are filtered before this end. */
  readonly ports: PortFilter | null;
}

export type References = ReadonlyMap<EndObservation, ReferenceEvidence>;

/** Everything that the verdict on one path is drawn from. */
export interface PathEvidence {
  readonly run: RunObservation;
  readonly path: PathObservation;
  readonly ends: Readonly<Record<Role, EndObservation | null>>;
  readonly reference: Readonly<Record<Role, ReferenceEvidence>>;
  /** Of every end of the run. */
  readonly references: References;
  readonly up: DirectionEvidence;
  readonly down: DirectionEvidence;
  readonly predicted: Prediction;
  /** Every arm of the run. */
  readonly arms: ArmRegistry;
  /** STUN that arrives with other bytes than it was sent with. */
  readonly altered: readonly AlteredStun[];
  readonly findings: Findings;
  /**
   * Whole flows of it may die, whatever they are made of: an early packet moves the mappings of one of its NATs, or nobody
   * knows whether it does, or some flows of another path through one of its ends are dead. The few flows of the matrix
   * then say little of kinds of packets.
   */
  readonly isUnsteady: boolean;
}

export function pathEvidence(run: RunObservation, path: PathObservation, references: References): PathEvidence {
  const ends = { client: endOf(run, path, 'client'), server: endOf(run, path, 'server') };
  const referenceOf = (end: EndObservation | null): ReferenceEvidence => (end && references.get(end)) ?? UNASKED;
  return {
    run,
    path,
    ends,
    reference: { client: referenceOf(ends.client), server: referenceOf(ends.server) },
    references,
    up: directionEvidence('up', path.up),
    down: directionEvidence('down', path.down),
    predicted: predict(
      behindPorts(ends.client, referenceOf(ends.client)),
      behindPorts(ends.server, referenceOf(ends.server)),
    ),
    arms: armsWith(run.ownArms),
    altered: alteredStun(path, ends),
    findings: findingsOf(path.trials, path.family, run.ownExperiments),
    isUnsteady:
      ROLES.some((host) => !isSteady(ends[host]?.nat ?? null)) ||
      run.paths.some((other) => other.id !== path.id && sharesEnd(path, other) && hasDeadFlows(other)),
  };
}

function sharesEnd(path: PathObservation, other: PathObservation): boolean {
  return endFamily(path) === endFamily(other) && ROLES.some((host) => path[host].interface === other[host].interface);
}

function hasDeadFlows({ trials }: PathObservation): boolean {
  return flowDependent(trials.filter(({ experiment }) => experiment === 'flows')) !== null;
}

/** Where ports are filtered, some of the NAT's tests cannot be done, and need not be. */
function behindPorts(end: EndObservation | null, { ports }: ReferenceEvidence): NatModel | null {
  const nat = end?.nat ?? null;
  return nat && ports ? withoutOtherPorts(nat) : nat;
}

const UNASKED: ReferenceEvidence = { own: [], best: [], answers: false, arms: [], ports: null };

function endOf(run: RunObservation, path: PathObservation, host: Role): EndObservation | null {
  return (
    run.ends.find(
      (end) => end.host === host && end.interface === path[host].interface && end.family === endFamily(path),
    ) ?? null
  );
}

export function referencesOf(run: RunObservation): References {
  return new Map(run.ends.map((end) => [end, referenceEvidence(run, end)]));
}

function referenceEvidence(run: RunObservation, end: EndObservation): ReferenceEvidence {
  const own = end.reference.control;
  const siblings = run.ends.filter(({ host, interface: name }) => host === end.host && name === end.interface);
  const best = siblings
    .map(({ reference }) => reference.control)
    .reduce((left, right) => (count(right).received > count(left).received ? right : left), own);
  const answers = passesOften(count(own));
  return { own, best, answers, arms: compareArms(end.reference, own, answers), ports: portFilterOf(run, end) };
}

/** Neither UDP nor TCP of the reference answered anywhere, though references were given. */
export function referenceIsDown(run: RunObservation): boolean {
  const asked = run.ends.some(({ reference }) => packetsTo(reference).sent > 0 || reference.tcp.tried > 0);
  return (
    run.references > 0 &&
    asked &&
    run.ends.every(({ reference }) => packetsTo(reference).received === 0 && reference.tcp.connected === 0)
  );
}

/** Packets of every arm to the reference, and how many it answered. */
export function packetsTo(reference: EndObservation['reference']): { sent: number; received: number } {
  const others = reference.arms.filter(({ arm }) => arm !== CONTROL_ARM);
  const counts = [reference.control, ...others.map(({ rounds }) => rounds)].map(count);
  return {
    sent: counts.reduce((sum, { sent }) => sum + sent, 0),
    received: counts.reduce((sum, { received }) => sum + received, 0),
  };
}

/** How people call an end: `wwan0 (o2)`. */
export function nameOf({ interface: name, label }: { readonly interface: string; readonly label: string }): string {
  return label === '' || label === name ? name : `${name} (${label})`;
}
