import { CONTROL_ARM } from '../mutation/names.js';
import { isAnswerable } from '../mutation/reference.js';
import { armOf as armOfDefinition } from '../mutation/registry.js';
import { adviceOf } from './advice.js';
import { judgeCarriers } from './carriers.js';
import { armOf, count, type Count, type DirectionEvidence } from './direction.js';
import { pathEvidence, referencesOf } from './evidence.js';
import { exitOf } from './exit.js';
import { seconds } from './faults.js';
import type { EndObservation, PathObservation, RunObservation } from './observation.js';
import { judgePath, type PathVerdict } from './path.js';
import type {
  ArmDirectionReport,
  ArmReport,
  DirectionReport,
  HostReport,
  PathReport,
  ReferenceLegReport,
  Report,
  Tally,
} from './report.js';
import { clopperPearson } from './statistics.js';
import { evidenceOf, headlineOf, summaryOf } from './summary.js';
import { transferReport } from './transfer.js';
import type { Direction } from './words.js';

/** What a run observed → its report (`icepath.report/1`). Pure: an old record is judged as the run itself was. */
export function judgeRun(run: RunObservation): Report {
  const references = referencesOf(run);
  const verdicts = run.paths.map((path) => judgePath(pathEvidence(run, path, references)));
  const carriers = judgeCarriers(run, verdicts, references);
  return {
    schema: 'icepath.report/1',
    run: {
      id: run.id,
      started: run.started,
      durationMs: run.durationMs,
      label: run.label,
      version: run.version,
      backend: run.backend,
      seed: run.seed,
      policy: run.policy,
      arms: run.arms,
      ownArms: run.ownArms,
      hosts: run.hosts.map((host) => hostReport(run, host)),
      clock: run.clock,
      incomplete: incomplete(run),
    },
    paths: verdicts.map(pathReport),
    carriers,
    reference: run.ends.map((end) => referenceLeg(run, end)),
    transfer: run.transfer && transferReport(run.transfer),
    ...(run.relays && run.relays.length > 0 ? { relays: run.relays } : {}),
    policies: run.policies ?? [],
    ...(run.profile ? { profile: run.profile } : {}),
    webrtc: run.yardsticks,
    advice: adviceOf(run, verdicts, carriers),
    exit: exitOf(run, verdicts),
  };
}

function incomplete({ interrupted, controlLost, durationMs }: RunObservation): string | null {
  if (interrupted) return `interrupted after ${seconds(durationMs)}`;
  return controlLost ? `the control channel ended after ${seconds(controlLost.at)}: ${controlLost.reason}` : null;
}

function hostReport(run: RunObservation, host: RunObservation['hosts'][number]): HostReport {
  return {
    ...host,
    interfaces: host.interfaces.map((on) => {
      const models = run.ends
        .filter((end) => end.host === host.role && end.interface === on.name)
        .flatMap(({ family, nat }) => (nat ? [[family, nat] as const] : []));
      return { ...on, nat: Object.fromEntries(models) };
    }),
  };
}

function pathReport(verdict: PathVerdict): PathReport {
  const { state, cause, arm, fields, conditions, evidence } = verdict;
  const { path, up, down, predicted } = evidence;
  return {
    id: path.id,
    family: path.family,
    wanted: path.wanted,
    ...(path.nat64 ? { nat64: path.nat64 } : {}),
    state,
    cause,
    arm,
    fields,
    summary: summaryOf(verdict),
    headline: headlineOf(verdict),
    evidence: evidenceOf(verdict),
    client: path.client,
    server: path.server,
    egress: { client: path.egress.client.verdict, server: path.egress.server.verdict },
    up: directionReport(verdict, 'up'),
    down: directionReport(verdict, 'down'),
    arms: armReports(up, down),
    rttMs: path.rttMs,
    ...(path.lapses.length > 0 && {
      lapses: path.lapses.map(({ from, until, gone }) => ({ fromMs: from, untilMs: until, gone })),
    }),
    icmp: [
      ...new Map(path.icmp.map(({ type, code, from }) => [`${type} ${code} ${from}`, { type, code, from }])).values(),
    ],
    priority: path.priority,
    selected: path.selected,
    ways: path.ways.map(({ way, arm: armOfWay, ttl, helped, guess }) => {
      return { way, arm: armOfWay, ttl, helped, ...(guess && { guess }) };
    }),
    ...(path.relay ? { relay: relayReport(path.relay) } : {}),
    predicted,
    findings: evidence.findings,
    altered: evidence.altered,
    location: evidence.findings.location,
    conditions,
  };
}

function relayReport({
  rttMs,
  client,
  server,
}: NonNullable<PathObservation['relay']>): NonNullable<PathReport['relay']> {
  return { rttMs, client, server };
}

function directionReport({ directions, evidence }: PathVerdict, direction: Direction): DirectionReport {
  return { state: directions[direction], ...evidence[direction].packets };
}

function armReports(up: DirectionEvidence, down: DirectionEvidence): ArmReport[] {
  const names = new Set([up, down].flatMap(({ observed }) => observed.arms.map(({ arm }) => arm)));
  return [...names].map((arm) => ({ arm, up: armDirection(up, arm), down: armDirection(down, arm) }));
}

function armDirection(evidence: DirectionEvidence, arm: string): ArmDirectionReport {
  if (arm === CONTROL_ARM) return { ...evidence.control, p: null };
  const { sent, received, p } = armOf(evidence, arm) ?? { sent: 0, received: 0, p: null };
  return { sent, received, p };
}

function referenceLeg(run: RunObservation, end: EndObservation): ReferenceLegReport {
  const { host, interface: name, family, reference } = end;
  const { tried, connected } = reference.tcp;
  const unanswerable = new Set(run.ownArms.filter((own) => !isAnswerable(armOfDefinition(own))).map((own) => own.name));
  return {
    host,
    interface: name,
    family,
    udp: tally(count(reference.control)),
    tcp: tally({ sent: tried, received: connected }),
    arms: reference.arms.map(({ arm, rounds }) => {
      const { sent, received } = count(rounds);
      return { arm, sent, answered: received };
    }),
    notAsked: run.references === 0 ? [] : run.arms.filter((arm) => unanswerable.has(arm)),
  };
}

function tally({ sent, received }: Count): Tally {
  return { n: sent, k: received, ...clopperPearson(received, sent), p: null };
}
