import type { DirectionEvidence } from './direction.js';
import { nameOf, type PathEvidence, referenceIsDown } from './evidence.js';
import { endFamily } from './observation.js';
import type { Cause, Role } from './words.js';

/** Something on the way to a verdict that was not the network's doing, and explains the silence. */
export interface Fault {
  readonly cause: Extract<Cause, 'local-fault' | 'peer-fault' | 'reference-fault'>;
  /** One sentence part: what it was. */
  readonly detail: string;
  readonly remedy: string | null;
}

/** verdicts.md: `inconclusive` with a fault that explains the silence; the first that applies. */
export function faultOf(evidence: PathEvidence): Fault | null {
  return (
    localFault(evidence, evidence.up) ??
    localFault(evidence, evidence.down) ??
    peerLost(evidence) ??
    peerSilent(evidence, evidence.up) ??
    peerSilent(evidence, evidence.down) ??
    referenceFault(evidence)
  );
}

/** A counter on the sender (out) or the receiver (in) that moved enough to have eaten this direction's packets. */
export function localFault(evidence: PathEvidence, direction: DirectionEvidence): Fault | null {
  const { packets, control, from, to, refused, observed } = direction;
  if (packets.received > 0) return null;
  if (packets.sent === 0) {
    if (refused === 0) return null;
    const [code = 'an error'] = Object.entries(observed.sendErrors).sort(([, a], [, b]) => b - a)[0] ?? [];
    return {
      cause: 'local-fault',
      detail: `the kernel of the ${from} refused all ${String(refused)} sends on ${nameOf(evidence.path[from])} with ${code}`,
      remedy: `look at the routes and the firewall of the ${from}: ip route; nft list ruleset`,
    };
  }
  // A counter that moved less than half as often has eaten something else (a broadcast, another program's packets).
  const missing = control.sent > 0 ? control.sent : packets.sent;
  const eaters = (
    [
      [from, 'out'],
      [to, 'in'],
    ] as const
  ).flatMap(([host, heading]) =>
    (evidence.ends[host]?.faults ?? [])
      .filter((fault) => fault.direction === heading && fault.delta * 2 >= missing)
      .map((fault) => ({ host, fault })),
  );
  const [eater] = eaters;
  if (!eater) return null;
  const { host, fault } = eater;
  return {
    cause: 'local-fault',
    detail: `${fault.counter} of the ${host} rose by ${String(fault.delta)} on ${nameOf(evidence.path[host])}`,
    remedy: fault.explanation,
  };
}

/** What the far end received after its last word is not known: silence then proves nothing. */
function peerLost({ run }: PathEvidence): Fault | null {
  if (!run.controlLost) return null;
  return {
    cause: 'peer-fault',
    detail: `the control channel ended after ${seconds(run.controlLost.at)} (${run.controlLost.reason}), and the far end's record ends there`,
    remedy: 'look whether the other host and its icepath still run, and start both again',
  };
}

/** The far end lives and its record is here, but on this interface it neither sent nor logged anything. */
function peerSilent(evidence: PathEvidence, towards: DirectionEvidence): Fault | null {
  const back = towards === evidence.up ? evidence.down : evidence.up;
  if (towards.packets.sent === 0 || towards.packets.received > 0) return null;
  if (back.packets.sent > 0 || back.refused > 0 || sentElsewhere(evidence, towards.to)) return null;
  return silent(evidence, towards.to);
}

/** An end that sent on another path lives; this one was not its turn. */
function sentElsewhere({ run, path }: PathEvidence, host: Role): boolean {
  return run.paths
    .filter((other) => other[host].interface === path[host].interface && endFamily(other) === endFamily(path))
    .some(({ up, down }) => (host === 'client' ? up : down).checksSent > 0);
}

function silent({ path }: PathEvidence, host: Role): Fault {
  return {
    cause: 'peer-fault',
    detail: `the ${host} neither sent nor logged anything on ${nameOf(path[host])}`,
    remedy: `look at icepath on the ${host}: is ${path[host].interface} still up there?`,
  };
}

function referenceFault({ run }: PathEvidence): Fault | null {
  if (!referenceIsDown(run)) return null;
  return {
    cause: 'reference-fault',
    detail: 'the reference answered neither UDP nor TCP on any interface of either end',
    remedy: 'start the reference (icepath reflector) or name another one with --reference, and run again',
  };
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}
