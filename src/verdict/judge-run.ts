import { CONTROL_ARM } from '../mutation/names.js';
import { adviceOf } from './advice.js';
import { judgeCarriers } from './carriers.js';
import { armOf, count, type Count, type DirectionEvidence } from './direction.js';
import { pathEvidence, referencesOf } from './evidence.js';
import { exitOf } from './exit.js';
import { seconds } from './faults.js';
import type { EndObservation, RunObservation } from './observation.js';
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
import { summaryOf } from './summary.js';
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
      hosts: run.hosts.map((host) => hostReport(run, host)),
      incomplete: incomplete(run),
    },
    paths: verdicts.map(pathReport),
    carriers,
    reference: run.ends.map(referenceLeg),
    transfer: null,
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
    state,
    cause,
    arm,
    fields,
    summary: summaryOf(verdict),
    client: path.client,
    server: path.server,
    egress: { client: path.egress.client.verdict, server: path.egress.server.verdict },
    up: directionReport(verdict, 'up'),
    down: directionReport(verdict, 'down'),
    arms: armReports(up, down),
    rttMs: path.rttMs,
    icmp: [
      ...new Map(path.icmp.map(({ type, code, from }) => [`${type} ${code} ${from}`, { type, code, from }])).values(),
    ],
    priority: path.priority,
    selected: path.selected,
    predicted,
    conditions,
  };
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

function referenceLeg({ host, interface: name, family, reference }: EndObservation): ReferenceLegReport {
  const { tried, connected } = reference.tcp;
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
  };
}

function tally({ sent, received }: Count): Tally {
  return { n: sent, k: received, ...clopperPearson(received, sent), p: null };
}
