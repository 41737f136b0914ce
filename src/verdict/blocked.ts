import { count, type DirectionEvidence, pairedRounds } from './direction.js';
import { nameOf, packetsTo, type PathEvidence } from './evidence.js';
import { localFault } from './faults.js';
import { readIcmp } from './icmp.js';
import { isSpoiled, sharedNat, sharedNatWords } from './nat-prediction.js';
import { endFamily, type EndObservation, type RoundObservation } from './observation.js';
import { ALPHA, boundary, mcnemar, ROUNDS_PER_LOOK } from './statistics.js';
import { DIRECTIONS, ROLES, type Role } from './words.js';

/** verdicts.md, "blocked needs all of". */
const SUCCESSES_MIN = 20;
const LOSSY_SHARE = 0.02;
const LOSSY_OBSERVATION_MS = 30_000;
/** An interface that still delivers this share of its packets is lossy, not cut off from UDP. */
const ALIVE_SHARE = 0.2;

export interface Condition {
  readonly condition: string;
  readonly met: boolean;
  readonly detail: string;
  /** Not met, and more rounds may meet it: evidence is scarce, none speaks against it. */
  readonly needsTime?: boolean;
}

export function allMet(conditions: readonly Condition[]): boolean {
  return conditions.length > 0 && conditions.every(({ met }) => met);
}

/** Both directions may ask the same: where one of them lacks it, that is what the report has to say. */
export function eachOnce(conditions: readonly Condition[]): Condition[] {
  const names = [...new Set(conditions.map(({ condition }) => condition))];
  return names.flatMap((name) => {
    const same = conditions.filter(({ condition }) => condition === name);
    const [told] = [...same.filter(({ met }) => !met), ...same];
    return told ? [told] : [];
  });
}

/** Whether peers' UDP is blocked in this direction: every condition of verdicts.md, one by one. */
export function peerBlockConditions(evidence: PathEvidence, direction: DirectionEvidence): Condition[] {
  const { direction: way, control, packets } = direction;
  return [
    egressVerified(evidence, ROLES),
    {
      condition: `${way}: the control never arrives`,
      met: control.sent >= SUCCESSES_MIN && packets.received === 0,
      detail: `${ratio(control)} control packets arrived, ${ratio(packets)} of all kinds`,
      needsTime: control.sent < SUCCESSES_MIN && packets.received === 0,
    },
    ...ROLES.map((host) => referenceReached(evidence, direction, host)),
    natsPredictSuccess(evidence),
    natsDoNotRefuse(evidence, direction),
    noLocalCounter(evidence, [direction]),
    longEnough(evidence, direction),
    significant(evidence, direction),
    onEnoughFlows(evidence, direction),
  ];
}

function egressVerified({ path }: PathEvidence, hosts: readonly Role[]): Condition {
  const unsure = hosts.filter((host) => path.egress[host].verdict !== 'verified');
  return {
    condition: 'egress verified',
    met: unsure.length === 0,
    detail:
      unsure.length === 0
        ? hosts.map((host) => `${nameOf(path[host])} left by its own interface`).join('; ')
        : unsure.map((host) => `${host}: ${path.egress[host].verdict}, ${path.egress[host].reason}`).join('; '),
  };
}

function referenceReached(evidence: PathEvidence, direction: DirectionEvidence, host: Role): Condition {
  const { run, path, reference } = evidence;
  const { best } = reference[host];
  const shared = pairedRounds(best, direction.controlRounds).map(([own]) => own);
  const answered = count(shared);
  return {
    condition: `${host}: the reference answers in the same rounds`,
    met: run.references > 0 && answered.received >= SUCCESSES_MIN,
    detail:
      run.references === 0
        ? 'no reference was given'
        : `${ratio(answered)} control packets from ${nameOf(path[host])} answered by the reference, ${SUCCESSES_MIN} needed`,
    needsTime: answered.received > 0 && answered.received < SUCCESSES_MIN,
  };
}

function natsPredictSuccess({ predicted, ends }: PathEvidence): Condition {
  const spoiled = ROLES.filter((host) => isSpoiled(ends[host]?.nat ?? null));
  const shared = sharedNat(ends.client?.nat ?? null, ends.server?.nat ?? null);
  const models = ROLES.map((host) => `${host} ${natText(ends[host])}`).join(', ');
  return {
    condition: 'both NATs measured, spoil test included, and they predict success',
    met: predicted === 'success',
    needsTime: predicted === 'unknown' && ROLES.every((host) => isComing(ends[host])),
    detail:
      spoiled.length > 0
        ? `${models}: an early packet moves the mapping at the ${spoiled.join(' and the ')}`
        : shared !== null
          ? `${models}: ${sharedNatWords(shared)}`
          : `${models}: ${predicted}`,
  };
}

/** Whether this end's NAT model is complete, or measured on. */
function isComing(end: EndObservation | null): boolean {
  return end?.nat !== null && end?.nat !== undefined && (end.nat.missing.length === 0 || end.nat.pending === true);
}

export function natText(end: EndObservation | null): string {
  const nat = end?.nat;
  if (!nat) return 'not measured';
  const words = `${nat.mapping}/${nat.filtering}`;
  return nat.spoil === null && nat.mapping !== 'none' ? `${words} without a spoil test` : words;
}

function natsDoNotRefuse(evidence: PathEvidence, { from, direction }: DirectionEvidence): Condition {
  const refusals = evidence.path.icmp.filter((icmp) => icmp.host === from && readIcmp(evidence, icmp) === 'nat-port');
  return {
    condition: `${direction}: the far NAT does not refuse the port`,
    met: refusals.length === 0,
    detail: refusals[0]
      ? `port-unreachable from ${refusals[0].from}, the far NAT itself`
      : 'no port-unreachable from it',
  };
}

function noLocalCounter(evidence: PathEvidence, directions: readonly DirectionEvidence[]): Condition {
  const fault = directions.map((direction) => localFault(evidence, direction)).find((found) => found !== null);
  return {
    condition: 'no local counter explains it',
    met: !fault,
    detail: fault?.detail ?? 'no reverse-path or firewall counter rose enough on either host',
  };
}

function longEnough({ reference }: PathEvidence, { controlRounds }: DirectionEvidence): Condition {
  const worst = Math.max(
    ...ROLES.map((host) => {
      const { sent, received } = count(pairedRounds(reference[host].best, controlRounds).map(([own]) => own));
      return sent === 0 ? 0 : 1 - received / sent;
    }),
  );
  const observed = span(controlRounds);
  const lossy = worst > LOSSY_SHARE;
  return {
    condition: 'observed for 30 s where the reference leg loses more than 2 %',
    met: !lossy || observed >= LOSSY_OBSERVATION_MS,
    needsTime: lossy && observed < LOSSY_OBSERVATION_MS,
    detail: `${(worst * 100).toFixed(0)} % lost to the reference, ${(observed / 1000).toFixed(0)} s observed`,
  };
}

function span(rounds: readonly RoundObservation[]): number {
  const first = rounds.reduce((least, { at }) => Math.min(least, at), Infinity);
  const last = rounds.reduce((most, { at }) => Math.max(most, at), -Infinity);
  return rounds.length === 0 ? 0 : last - first;
}

/** Rounds in which the reference answered both ends. */
function bothReached({ reference }: PathEvidence): RoundObservation[] {
  return pairedRounds(reference.client.best, reference.server.best)
    .filter(([client, server]) => client.received && server.received)
    .map(([client]) => client);
}

/** Rounds in which both ends reached the reference and the peer did not hear: McNemar against equal fortune. */
function significant(evidence: PathEvidence, { controlRounds, direction }: DirectionEvidence): Condition {
  const both = bothReached(evidence);
  const pairs = pairedRounds(both, controlRounds);
  const worse = pairs.filter(([, own]) => !own.received).length;
  const better = controlRounds.filter((own) => own.received && !both.some(({ round }) => round === own.round)).length;
  const condition = boundaryCondition(`${direction}: `, mcnemar(worse, better), controlRounds.length);
  return { ...condition, needsTime: !condition.met && worse >= better };
}

/**
 * Where one of several parallel ways is dead, a flow (an arm in a block of rounds, on a 5-tuple of its own) that takes it
 * lets nothing through, and few flows may all take it. Where each flow has met a dead way with chance ½, or else fares as
 * McNemar's test has it, all `f` of them are silent in their `r` shared rounds with chance Π (½ + ½ · 2^−r). Silence at a
 * later look contains that of every earlier one, so that α holds at each.
 */
function onEnoughFlows(evidence: PathEvidence, { observed, direction }: DirectionEvidence): Condition {
  const both = bothReached(evidence);
  const flows = observed.arms.flatMap(({ rounds }) => {
    const shared = new Map<number, number>();
    for (const [{ round }] of pairedRounds(both, rounds)) {
      const block = Math.floor(round / ROUNDS_PER_LOOK);
      shared.set(block, (shared.get(block) ?? 0) + 1);
    }
    return [...shared.values()];
  });
  const p = flows.reduce((product, rounds) => product * (0.5 + 0.5 ** (rounds + 1)), 1);
  return {
    condition: `${direction}: more flows than could all meet one dead way`,
    met: p <= ALPHA,
    detail: `${flows.length} flows of ${observed.arms.length} arms; where half of several parallel ways are dead, p = ${p.toExponential(1)}, at most ${ALPHA.toExponential(0)}`,
    needsTime: p > ALPHA,
  };
}

function boundaryCondition(prefix: string, p: number, rounds: number): Condition {
  const limit = boundary(rounds);
  return {
    condition: `${prefix}α = ${ALPHA.toExponential(0)} at the sequential boundary`,
    met: p <= limit,
    detail: `p = ${p.toExponential(1)}, at most ${limit.toExponential(1)} after ${rounds} rounds`,
  };
}

/**
 * The share of TCP connections that must come up in the rounds in which no UDP does. An outage takes both alike; loss
 * may cost one attempt in many. Of three tries all must connect.
 */
const TCP_SHARE = 0.8;

/**
 * verdicts.md's exception `udp-blocked` for the end at `host`: no UDP to anyone, though TCP works on the interface and
 * UDP on another. `null` where nothing hints at it (the reference was never asked, or answered).
 */
export function udpBlockConditions(evidence: PathEvidence, host: Role): Condition[] | null {
  const { run, path, ends, references } = evidence;
  const end = ends[host];
  const control = count(evidence.reference[host].own);
  if (
    !end ||
    run.references === 0 ||
    control.sent === 0 ||
    packetsTo(end.reference).received > 0 ||
    end.reference.tcp.connected === 0
  )
    return null;
  const elsewhere = run.ends.find(
    (other) =>
      other.family === end.family &&
      !(other.host === end.host && other.interface === end.interface) &&
      references.get(other)?.answers === true,
  );
  const packets = packetsThrough(evidence, end);
  const lost = (1 - ALIVE_SHARE) ** packets.sent;
  return [
    egressVerified(evidence, [host]),
    {
      condition: `${host}: no control reaches the reference`,
      met: control.sent >= SUCCESSES_MIN && control.received === 0,
      detail: `${ratio(control)} control packets from ${nameOf(path[host])} answered`,
    },
    {
      condition: `${host}: TCP works on the same interface in the same rounds`,
      met: end.reference.tcp.connected >= TCP_SHARE * end.reference.tcp.tried,
      detail: `${end.reference.tcp.connected} of ${end.reference.tcp.tried} TCP connections to the reference came up`,
    },
    {
      condition: 'UDP of the reference answers on another interface',
      met: elsewhere !== undefined,
      detail: elsewhere ? `UDP answers on ${nameOf(elsewhere)} of the ${elsewhere.host}` : 'UDP answers on no other',
    },
    {
      condition: `${host}: no UDP passes to or from anyone`,
      met: packets.received === 0,
      detail: `${ratio(packets)} UDP packets of all kinds passed`,
    },
    noLocalCounter(evidence, [evidence.up, evidence.down]),
    boundaryCondition(`${host}: `, lost, control.sent),
  ];
}

/** Control packets on every path of this end, and every arm to the reference. */
function packetsThrough({ run }: PathEvidence, end: EndObservation): { sent: number; received: number } {
  const sums = { ...packetsTo(end.reference) };
  for (const path of run.paths) {
    if (path[end.host].interface !== end.interface || endFamily(path) !== end.family) continue;
    for (const direction of DIRECTIONS) {
      for (const { rounds } of path[direction].arms) {
        const { sent, received } = count(rounds);
        sums.sent += sent;
        sums.received += received;
      }
      sums.received += path[direction].checksReceived;
    }
  }
  return sums;
}

function ratio({ received, sent }: { readonly received: number; readonly sent: number }): string {
  return `${received} of ${sent}`;
}
